"""Data of strangers never becomes code: no pickles anywhere, no models with programs inside."""

from __future__ import annotations

import ast
import io
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from foundation.sam_checkpoint import load_sam
from foundation.stack import ModelStack
from foundation.text_to_image_loading import load_pipeline
from rim.evaluation.counting import ConfusionCounts
from rim.evaluation.evaluation_folder import STATE, evaluation_folder
from schemas.errors import ModelError, OutputError
from schemas.resources import data_folder
from schemas.settings import Settings, load_settings
from tests.attacks.test_pictures import POINTER

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "schemas", "foundation", "bank_builder", "query", "rim", "miniature", "benchmarks",
)  # fmt: skip
MODULES = {
    "pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml",
    "code", "codeop", "runpy",
}  # fmt: skip
CALLS = {"eval", "exec", "compile", "__import__"}
SYSTEM = {"os.system", "os.popen", "torch.hub.load", "torch.jit.load", "torch.package"}
# What these calls must, or must not, be told.
NEEDED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}
FORBIDDEN = {"shell": True, "trust_remote_code": True, "allow_pickle": True, "weights_only": False}


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression of names, otherwise what ends it."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults(source: str, package: str = "foundation") -> Iterator[str]:
    """What in a file could turn data into code."""
    for node in ast.walk(ast.parse(source)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module or ""]
            for module in modules:
                if module.partition(".")[0] in MODULES:
                    yield f"line {line}: import of {module}"
            if isinstance(node, ast.ImportFrom) and node.module in ("torch", "numpy", "os"):
                for name in {"load", "system", "popen"} & set(names):
                    yield f"line {line}: {node.module}.{name} under another name"
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords if word.arg}
            if name in CALLS or name in SYSTEM:
                yield f"line {line}: {name}"
            for word, value in FORBIDDEN.items():
                if word in given and given[word] != repr(not value):
                    yield f"line {line}: {word}={given[word]}"
            word, value = NEEDED.get(name, ("", True))
            if word and given.get(word) != repr(value):
                yield f"line {line}: {name} without {word}={value}"
            loads = package == "foundation" and name.endswith(".from_pretrained")
            safe = given.get("trust_remote_code") == "False" or "**" in ast.unparse(node)
            if loads and not safe:
                yield f"line {line}: {name} without trust_remote_code=False"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_can_run_data(package: str) -> None:
    files = sorted((REPOSITORY / package).rglob("*.py"))
    assert files
    found = [
        f"{path.relative_to(REPOSITORY)}, {fault}"
        for path in files
        for fault in faults(path.read_text(encoding="utf-8"), package)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("import json, torch", 0),
        ("import pickle", 1),
        ("from joblib import load", 1),
        ("def f():\n    import dill.source", 1),
        ("from torch import load", 1),
        ("torch.load(path)", 1),
        ("torch.load(path, weights_only=False)", 2),
        ("torch.load(path, weights_only=flag)", 2),
        ("torch.load(path, weights_only=True)", 0),
        ("np.load(path)", 1),
        ("np.load(path, allow_pickle=False)", 0),
        ("numpy.load(path, allow_pickle=True)", 2),
        ("subprocess.run(words, shell=True)", 1),
        ("os.system('x')", 1),
        ("eval(text)", 1),
        ("model.eval()", 0),
        ("AutoModel.from_pretrained(path)", 1),
        ("AutoModel.from_pretrained(path, trust_remote_code=False)", 0),
        ("AutoModel.from_pretrained(path, **_FROM_FOLDER)", 0),
        ("AutoModel.from_pretrained(path, trust_remote_code=True)", 2),
    ],
)
def test_the_check_itself(source: str, number: int) -> None:
    assert len(list(faults(source))) == number


class Attack:
    """Unpickling it would create a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return Path.touch, (self.victim,)


def miniature() -> Settings:
    return load_settings("miniature")


def copied(tmp_path: Path, role: str) -> tuple[Path, Settings]:
    """A copy of one of the miniature's models, and settings that name it."""
    location = getattr(miniature().models, role).location
    folder = tmp_path / role
    source = data_folder() / location
    if source.is_dir():
        shutil.copytree(source, folder)
    else:
        folder.mkdir()
        shutil.copy(source, folder)
    return folder, load_settings("miniature", [f"models.{role}.location={folder}"])


PROGRAM = "import pathlib\npathlib.Path({victim!r}).touch()\nclass Model: pass\n"


def edit(path: Path, **changes: object) -> None:
    """Changes keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("saved", ["plain", "by torch", "in a new archive"])
def test_a_checkpoint_with_a_program_is_refused_and_nothing_ran(tmp_path: Path, saved: str) -> None:
    file, victim = tmp_path / "model.pth", tmp_path / "victim"
    if saved == "plain":
        file.write_bytes(pickle.dumps({"weights": Attack(victim)}, protocol=2))
    else:
        archive = saved == "in a new archive"
        torch.save({"weights": Attack(victim)}, file, _use_new_zipfile_serialization=archive)
    with pytest.raises(ModelError, match=r"models\.segmenter: .*model\.pth"):
        load_sam(miniature().models.segmenter, tmp_path)
    assert not victim.exists()


def test_a_state_with_a_program_is_refused_and_nothing_ran(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    with evaluation_folder(tmp_path, {"a": 1}, (), 2, overwrite=False) as folder:
        folder.save_counts(ConfusionCounts(np.zeros((2, 3), np.int64), {"x": "1"}), last=True)
    with np.load(tmp_path / STATE, allow_pickle=False) as state:
        content = dict(state)
    content["identity"] = np.array([Attack(victim)], dtype=object)
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    (tmp_path / STATE).write_bytes(buffer.getvalue())
    with (
        pytest.raises(OutputError, match="found it damaged"),
        evaluation_folder(tmp_path, {"a": 1}, (), 2, overwrite=False),
    ):
        pass
    assert not victim.exists()


@pytest.mark.parametrize("role", ["features", "text_image"])
def test_a_transformer_with_a_program_runs_none(tmp_path: Path, role: str) -> None:
    """Both where the configuration names a program, and where only that could load the model."""
    folder, settings = copied(tmp_path, role)
    victim = tmp_path / "victim"
    (folder / "evil.py").write_text(PROGRAM.format(victim=str(victim)))
    classes = ("AutoConfig", "AutoModel", "AutoTokenizer", "CLIPModel")
    edit(folder / "config.json", auto_map=dict.fromkeys(classes, "evil.Model"))
    if role == "text_image":
        tokens = {"AutoTokenizer": ["evil.Model", "evil.Model"]}
        edit(folder / "tokenizer_config.json", auto_map=tokens)
    getattr(ModelStack(settings, "cpu"), role)  # the class of the library is taken
    edit(folder / "config.json", model_type="evil")
    if role == "features":
        with pytest.raises(ModelError, match=r"models\.features"):
            _ = ModelStack(settings, "cpu").features
    assert not victim.exists()


@pytest.mark.parametrize("role", ["features", "text_image", "text_to_image"])
def test_weights_in_a_pickle_are_not_even_opened(tmp_path: Path, role: str) -> None:
    folder, settings = copied(tmp_path, role)
    victim = tmp_path / "victim"
    attack = pickle.dumps({"weights": Attack(victim)}, protocol=2)
    for weights in folder.rglob("*.safetensors"):
        is_diffusers = weights.name.startswith("diffusion")
        name = "diffusion_pytorch_model.bin" if is_diffusers else "pytorch_model.bin"
        weights.with_name(name).write_bytes(attack)
        weights.unlink()
    with pytest.raises(ModelError, match=rf"models\.{role}"):
        getattr(ModelStack(settings, "cpu"), role)
    assert not victim.exists()


@pytest.mark.parametrize(
    "part",
    [
        ["evil", "Model"],
        ["os", "system"],
        ["transformers", "AutoModel"],
        ["diffusers", "AutoModel"],
        ["diffusers", 7],
        [["evil"], "Model"],
        [],
        ["unet"],
    ],
    ids=str,
)
def test_a_pipeline_with_a_program_is_refused(tmp_path: Path, part: list[object]) -> None:
    folder, settings = copied(tmp_path, "text_to_image")
    victim = tmp_path / "victim"
    for place in (folder, folder / "unet"):
        (place / "evil.py").write_text(PROGRAM.format(victim=str(victim)))
    edit(folder / "model_index.json", unet=part)
    if part:
        with pytest.raises(ModelError, match="code that comes with a model is never run"):
            load_pipeline(folder, torch.device("cpu"))
    with pytest.raises(ModelError, match=r"models\.text_to_image"):
        _ = ModelStack(settings, "cpu").text_to_image
    edit(folder / "model_index.json", _class_name=["evil", "Model"])
    with pytest.raises(ModelError, match="expected a pipeline whose UNet"):
        load_pipeline(folder, torch.device("cpu"))
    assert not victim.exists()


@pytest.mark.parametrize("role", ["text_to_image", "segmenter", "features", "text_image"])
def test_pointers_of_git_lfs_are_called_that(tmp_path: Path, role: str) -> None:
    """Where a copy of the repository, or of a model, was made without its large files."""
    folder, settings = copied(tmp_path, role)
    weights = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".pth")]
    weights[0].write_bytes(POINTER)
    message = rf"models\.{role}: .*{weights[0].name}, a Git LFS pointer.*run git lfs pull"
    with pytest.raises(ModelError, match=message):
        getattr(ModelStack(settings, "cpu"), role)
    with pytest.raises(ModelError, match=message):
        ModelStack(settings, "cpu").fingerprints([role])
