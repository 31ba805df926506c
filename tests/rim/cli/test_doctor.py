"""`rim doctor`: devices, versions, folders and presets, without a question to any server."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from foundation.stack import ROLES
from foundation.weights.checkpoint import checkpoints_folder
from foundation.weights.model_files import fetch
from rim.cli import diagnosis as doctor
from rim.cli.diagnosis import LIBRARIES, diagnose
from schemas.resources import preset_names, preset_path
from schemas.settings import load_settings
from tests.rim.conftest import Run
from tests.rim.hub_preset import serve_miniature
from tests.stand_in_hub import StandInHub


def test_as_json(run: Run, hub: StandInHub, tmp_path: Path) -> None:
    outcome = run("doctor", "--json")
    assert outcome.status == 0
    facts = outcome.json()
    cpu = facts["devices"][0]
    assert cpu["name"] == "cpu"
    assert cpu["cores"] >= 1
    assert cpu["memory"] > 1e8
    assert set(facts["versions"]) == set(LIBRARIES)
    assert facts["versions"]["torch"] == importlib.metadata.version("torch")
    folders = {folder["what"]: folder["path"] for folder in facts["caches"]}
    assert folders["hub models"] == str(tmp_path / "caches" / "hub")
    assert all(folder["free"] > 0 for folder in facts["caches"])
    presets = {preset["name"]: preset for preset in facts["presets"]}
    assert set(presets) == set(preset_names())
    assert presets["miniature"]["complete"]
    assert not presets["paper"]["complete"]
    models = {model["role"]: model for model in presets["paper"]["models"]}
    assert list(models) == list(ROLES)
    assert models["segmenter"] == {
        "role": "segmenter",
        "name": load_settings("paper").models.segmenter.location,
        "status": "missing",
        "bytes": 2_564_550_879,
        "path": None,
        "revision": None,
    }
    assert models["features"]["revision"] == load_settings("paper").models.features.revision
    purposes = {one["purpose"]: one for one in presets["paper"]["purposes"]}
    assert {name: one["lacking"] for name, one in purposes.items()} == {
        "build": ["text_to_image", "segmenter", "features"],
        "query": ["segmenter", "features"],
        "text": ["text_image"],
    }
    assert purposes["query"]["command"] == "rim fetch --preset paper --for query"
    assert not any(one["lacking"] for one in presets["miniature"]["purposes"])
    assert hub.requests == []


def test_plain_lines(run: Run, hub: StandInHub) -> None:
    outcome = run("doctor")
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert any(line.startswith("device cpu: ") and " memory" in line for line in lines)
    assert f"library duckdb: {importlib.metadata.version('duckdb')}" in lines
    assert "preset miniature: complete" in lines
    assert [line for line in lines if line.startswith("preset paper: ")] == [
        "preset paper: for build not complete without text_to_image (5.5 GB), segmenter (2.6 GB), "
        "features (1.2 GB); rim fetch --preset paper --for build",
        "preset paper: for query not complete without segmenter (2.6 GB), features (1.2 GB); "
        "rim fetch --preset paper --for query",
        "preset paper: for text not complete without text_image (1.7 GB); "
        "rim fetch --preset paper --for text",
    ]
    features = "facebook/dinov2-large at 47b73eefe95e"
    assert f"preset paper, features: missing, 1.2 GB, {features}" in lines
    assert outcome.err == ""


def test_a_library_that_is_not_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LIBRARIES", ("click", "no-such-library"))
    assert diagnose().versions["no-such-library"] is None
    assert "library no-such-library: missing" in run("doctor").out.splitlines()


def test_a_preset_as_it_fills(
    run: Run, hub: StandInHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = serve_miniature(hub, tmp_path)
    monkeypatch.setattr(doctor, "preset_names", lambda: ("hub",))
    monkeypatch.setattr(doctor, "load_settings", lambda _: load_settings(str(path)))

    def states() -> dict[str, str]:
        (preset,) = diagnose().presets
        return {model.role: model.status for model in preset.models}

    assert set(states().values()) == {"missing"}
    assert "without text_to_image (size unknown), " in run("doctor").out
    fetch(load_settings(str(path)).models.features, "features")
    assert states()["features"] == "complete"
    lines = run("doctor").out.splitlines()
    assert "preset hub, features: complete, 6 MB, mini/features unpinned" in lines
    run("fetch", "--preset", path, "--for", "query")
    (preset,) = diagnose().presets
    lacking = {one.purpose: one.lacking for one in preset.purposes}
    assert lacking == {"build": ("text_to_image",), "query": (), "text": ("text_image",)}
    assert "preset hub: for query complete" in run("doctor").out.splitlines()
    report = run("fetch", "--preset", path, "--json").json()
    (preset,) = diagnose().presets
    assert preset.complete
    by_role = {model.role: model for model in preset.models}
    assert by_role["features"].revision == hub.commit("mini/features")
    assert by_role["segmenter"].revision is None
    assert [by_role[role].bytes for role in ROLES] == [one["bytes"] for one in report["models"]]
    checkpoint = Path(by_role["segmenter"].path or "")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    assert states()["segmenter"] == "changed"
    size = f"{(by_role['segmenter'].bytes or 0) / 1e6:.0f} MB"
    told = f"preset hub: for query not complete without segmenter ({size}); rim fetch --preset hub"
    assert told in run("doctor").out


def test_a_checkpoint_of_another_size_than_the_preset_states(run: Run, hub: StandInHub) -> None:
    file = checkpoints_folder() / "sam_vit_h_4b8939.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"an interrupted copy")
    (paper,) = (preset for preset in diagnose().presets if preset.name == "paper")
    (segmenter,) = (model for model in paper.models if model.role == "segmenter")
    assert (segmenter.status, segmenter.bytes, segmenter.path) == ("changed", 19, str(file))
    assert file.read_bytes() == b"an interrupted copy"


def test_graphics_cards(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = SimpleNamespace(name="Card", total_memory=80_000_000_000)

    def busy(_: int) -> tuple[int, int]:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: facts)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (70_000_000_000, facts.total_memory))
    line = "device cuda:0: Card, 80.0 GB memory"
    assert f"{line}, 70.0 GB free" in run("doctor").out.splitlines()
    monkeypatch.setattr(torch.cuda, "mem_get_info", busy)
    assert line in run("doctor").out.splitlines()


def test_apples_gpu(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 11_000_000_000)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 1_000_000_000)
    line = "device mps: Apple GPU (Metal), 11.0 GB memory, 10.0 GB free"
    assert line in run("doctor").out.splitlines()


def test_a_table_on_a_terminal(run: Run, hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    outcome = run("doctor")
    assert outcome.status == 0
    shown = re.sub(r"\x1b\[[\d;]*m", "", outcome.out)  # without colours
    assert re.search(r"preset +role +status +size +model", shown)
    assert re.search(r"paper +text_to_image +missing +5\.5 GB +stable-diffusion", shown)
    assert "miniature: complete" in shown


def test_presets_are_the_shipped_ones() -> None:
    assert {"fast", "miniature", "paper"} <= set(preset_names())
    assert preset_path("fast").is_file()
