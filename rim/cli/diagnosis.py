"""Finds out what is installed, found and missing on this machine; loads no weights."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import rim
from foundation.weights.cache import cache_folder
from foundation.weights.missing import fetch_command
from foundation.weights.roles import roles_for
from rim.cli.fetching import read_fetched
from schemas.errors import ModelError
from schemas.resources import preset_names
from schemas.settings import ModelSource, load_settings

LIBRARIES = (
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "accelerate",
    "segment-anything",
    "safetensors",
    "huggingface-hub",
    "faiss-cpu",
    "duckdb",
    "pyarrow",
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "pydantic",
)


@dataclass(frozen=True)
class Device:
    """A place where models can run. memory, free: bytes, None if unknown. cores: of a CPU."""

    name: str
    model: str
    memory: int | None
    free: int | None
    cores: int | None = None


@dataclass(frozen=True)
class CacheFolder:
    """A folder for downloads. free: bytes left on its disk."""

    what: str
    path: str
    free: int


@dataclass(frozen=True)
class ModelState:
    """One model of a preset.

    status: "changed" is one whose files are not of the sizes that were fetched, or that the preset
    states. bytes: on this
    machine, or about what there is to download; None if unknown. revision: of a model from the hub,
    the commit that was fetched or else what the preset pins; "unpinned" if neither is known.
    """

    role: str
    name: str
    status: Literal["complete", "missing", "changed"]
    bytes: int | None
    path: str | None
    revision: str | None = None


@dataclass(frozen=True)
class PurposeState:
    """What a purpose of `rim fetch --for` lacks: roles; command: what fetches those."""

    purpose: str
    lacking: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class PresetState:
    """A shipped preset, its models, and what they suffice for."""

    name: str
    description: str
    models: tuple[ModelState, ...]
    complete: bool
    purposes: tuple[PurposeState, ...]


@dataclass(frozen=True)
class Diagnosis:
    """All of it. versions: by library, None for one that is not installed."""

    rim: str
    python: str
    system: str
    devices: tuple[Device, ...]
    versions: dict[str, str | None]
    caches: tuple[CacheFolder, ...]
    presets: tuple[PresetState, ...]


def diagnose() -> Diagnosis:
    """Looks at this machine; asks nothing of any server."""
    return Diagnosis(
        rim=rim.__version__,
        python=platform.python_version(),
        system=platform.platform(),
        devices=(_cpu(), *_gpus()),
        versions={name: _version(name) for name in LIBRARIES},
        caches=_caches(),
        presets=tuple(_preset(name) for name in preset_names()),
    )


def _cpu() -> Device:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device("cpu", platform.machine(), memory, _available(), cores)


def _available() -> int | None:
    """Bytes that programs can still have, where Linux tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def _gpus() -> tuple[Device, ...]:
    try:
        import torch
    except ImportError:  # the versions say so
        return ()
    devices = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        try:
            free: int | None = torch.cuda.mem_get_info(index)[0]
        except RuntimeError:  # a card that others use alone
            free = None
        devices.append(Device(f"cuda:{index}", facts.name, facts.total_memory, free))
    if torch.backends.mps.is_available():
        # It shares the machine's memory, of which it may have this much.
        most = torch.mps.recommended_max_memory()
        free = most - torch.mps.driver_allocated_memory()
        devices.append(Device("mps", "Apple GPU (Metal)", most, free))
    return tuple(devices)


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _caches() -> tuple[CacheFolder, ...]:
    folders = [("records of rim fetch", cache_folder())]
    try:
        from huggingface_hub import constants

        folders.append(("hub models", Path(constants.HF_HUB_CACHE).expanduser()))
        from foundation.weights.checkpoint import checkpoints_folder

        folders.append(("checkpoints", checkpoints_folder()))
    except ImportError:
        pass
    return tuple(CacheFolder(what, str(path), _free(path)) for what, path in folders)


def _free(path: Path) -> int:
    """Bytes left where a folder is, or would be made."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def _preset(name: str) -> PresetState:
    settings = load_settings(name)
    models = tuple(_model(name, role, source) for role, source in settings.models.sources().items())
    wrong = {model.role for model in models if model.status != "complete"}
    purposes = tuple(
        PurposeState(
            purpose,
            tuple(role for role in roles_for((purpose,), settings) if role in wrong),
            fetch_command(f"--preset {name}", (purpose,)),
        )
        for purpose in ("build", "query", "text")  # an evaluation takes what a query takes
    )
    return PresetState(name, settings.description, models, not wrong, purposes)


def _model(preset: str, role: str, source: ModelSource) -> ModelState:
    from foundation.weights.checkpoint import checkpoint_path
    from foundation.weights.model_files import (
        is_address,
        is_remote,
        local_path,
        model_files,
        resolve,
    )

    told = source.download_bytes
    record = read_fetched(preset).models.get(role)
    if record is not None and not record.is_of(source):
        record = None
    revision = None
    if is_remote(source) and not is_address(source.location):
        revision = (record.commit if record else None) or source.revision or "unpinned"
    try:
        path = resolve(source, role)
    except (ModelError, ImportError):
        if is_address(source.location) and (file := checkpoint_path(source)).is_file():
            size = file.stat().st_size
            return ModelState(role, source.location, "changed", size, str(file), revision)
        return ModelState(role, source.location, "missing", told, None, revision)
    sizes = {file: file.stat().st_size for file in model_files(path)}
    same = record is None or all(sizes.get(path / one.name) == one.size for one in record.files)
    return ModelState(
        role,
        source.location,
        "complete" if same else "changed",
        sum(sizes.values()),
        str(path),
        None if local_path(source) else revision,
    )
