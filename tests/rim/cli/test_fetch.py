"""`rim fetch`: downloads, records, verifies, mends, and says what it could not get."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from foundation.stack import ROLES, ModelStack
from foundation.weights import cache
from foundation.weights.cache import cache_folder
from foundation.weights.checkpoint import checkpoints_folder
from foundation.weights.roles import ROLES_OF
from rim.cli.commands.fetch import command
from rim.cli.fetching import read_fetched
from schemas.settings import load_settings
from schemas.store.manifests import commit_manifest, read_manifest
from tests.rim.conftest import Run, files_of
from tests.rim.hub_preset import serve_miniature
from tests.stand_in_hub import StandInHub, hub_environment

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def preset(hub: StandInHub, tmp_path: Path) -> Path:
    """The miniature stack, named by hub ids and an address."""
    return serve_miniature(hub, tmp_path)


def test_a_preset_inside_the_repository_needs_nothing(run: Run, hub: StandInHub) -> None:
    outcome = run("fetch", "--preset", "miniature", "--json")
    assert outcome.status == 0
    report = outcome.json()
    assert report["preset"] == "miniature"
    assert [model["role"] for model in report["models"]] == list(ROLES)
    assert {model["status"] for model in report["models"]} == {"local"}
    assert "nothing to download, everything is here already" in outcome.err
    assert hub.requests == []
    assert not (cache_folder() / "fetched").exists()


def test_fetched_once_it_is_here(run: Run, hub: StandInHub, preset: Path) -> None:
    outcome = run("fetch", "--preset", preset, "--json")
    assert outcome.status == 0, outcome.err
    assert "complete; everything runs with --offline now" in outcome.err
    report = outcome.json()
    assert report["failed"] == []
    miniature = ModelStack(load_settings("miniature"), device="cpu").fingerprints()
    for model in report["models"]:
        assert set(model) == {
            *("role", "name", "revision", "path", "bytes"),
            *("fingerprint", "status", "damaged", "of_bank"),
        }
        assert model["of_bank"] is None
        assert model["status"] == "fetched"
        assert model["fingerprint"] == miniature[model["role"]].fingerprint
        assert Path(model["path"]).exists()
        if model["role"] == "segmenter":
            assert model["revision"] is None
            assert model["bytes"] == Path(model["path"]).stat().st_size
        else:
            assert model["revision"] == hub.commit(model["name"])
    record = read_fetched("hub")
    assert set(record.models) == set(ROLES)
    assert record.models["features"].commit == hub.commit("mini/features")
    assert record.models["features"].revision is None  # the preset does not pin it
    assert len(record.models["text_to_image"].files) > 5

    # A second call compares every byte with the record, and asks nobody.
    hub.requests.clear()
    again = run("fetch", "--preset", preset, "--json")
    assert again.status == 0
    assert {model["status"] for model in again.json()["models"]} == {"present"}
    assert [model["fingerprint"] for model in again.json()["models"]] == [
        model["fingerprint"] for model in report["models"]
    ]
    assert hub.requests == []
    text = run("fetch", "--preset", preset).err
    assert f"features: mini/features at {hub.commit('mini/features')[:12]} (6 MB, present, " in text


def test_what_came_by_other_ways_is_compared_with_the_hub(
    run: Run, hub: StandInHub, preset: Path
) -> None:
    for role in ROLES:
        ModelStack(load_settings(str(preset)), device="cpu", offline=False).path(role)
    hub.requests.clear()
    report = run("fetch", "--preset", preset, "--json").json()
    assert {model["status"] for model in report["models"]} == {"present"}
    assert not [one for one in hub.requests if "/resolve/" in one.path]
    assert set(read_fetched("hub").models) == set(ROLES)


def test_damaged_files_are_named_and_fetched_again(run: Run, hub: StandInHub, preset: Path) -> None:
    report = run("fetch", "--preset", preset, "--json").json()
    paths = {model["role"]: Path(model["path"]) for model in report["models"]}
    good = files_of(paths["text_to_image"])
    weights = paths["text_to_image"] / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    (paths["text_image"] / "config.json").unlink()
    paths["segmenter"].write_bytes(b"not a checkpoint")
    hub.requests.clear()
    outcome = run("fetch", "--preset", preset, "--json")
    assert outcome.status == 3
    models = {model["role"]: model for model in outcome.json()["models"]}
    assert models["text_to_image"]["damaged"] == ["vae/diffusion_pytorch_model.safetensors"]
    assert models["text_image"]["damaged"] == ["config.json"]
    assert models["segmenter"]["damaged"] == [paths["segmenter"].name]
    assert models["features"]["damaged"] == []
    assert [models[role]["status"] for role in ROLES] == [
        *("repaired", "repaired", "present", "repaired")
    ]
    assert (
        "models.text_image: config.json was damaged, and has been downloaded again" in outcome.err
    )
    assert [model["fingerprint"] for model in models.values()] == [
        model["fingerprint"] for model in report["models"]
    ]
    assert files_of(paths["text_to_image"]) == good
    assert len([one for one in hub.requests if one.method == "GET" and "vae" in one.path]) == 1
    assert run("fetch", "--preset", preset).status == 0


def test_a_repair_asks_for_the_recorded_commit(run: Run, hub: StandInHub, preset: Path) -> None:
    first = run("fetch", "--preset", preset, "--json").json()["models"][ROLES.index("features")]
    (Path(first["path"]) / "config.json").unlink()
    # Not for what the main branch is by now: that may be another model.
    outcome = run("fetch", "--preset", preset, "--json")
    asked = [one.path for one in hub.requests if "/api/models/mini/features" in one.path]
    assert f"/api/models/mini/features/revision/{first['revision']}" in asked
    assert outcome.json()["models"][ROLES.index("features")]["revision"] == first["revision"]


def test_a_branch_that_has_moved_is_no_damage(
    run: Run, hub: StandInHub, preset: Path, tmp_path: Path
) -> None:
    hub.models["mini/features"] = Path(shutil.copytree(hub.models["mini/features"], tmp_path / "m"))
    run("fetch", "--preset", preset)
    old = hub.commit("mini/features")
    (tmp_path / "m" / "scores.json").write_text("{}", encoding="utf-8")
    ModelStack(load_settings(str(preset)), device="cpu", offline=False).path("features")
    outcome = run("fetch", "--preset", preset, "--json")
    assert outcome.status == 0
    model = outcome.json()["models"][ROLES.index("features")]
    assert model["revision"] == hub.commit("mini/features") != old
    assert (model["status"], model["damaged"]) == ("present", [])
    assert read_fetched("hub").models["features"].commit == model["revision"]


def test_a_corrupted_transfer_fails_that_model_only(
    run: Run, hub: StandInHub, preset: Path
) -> None:
    hub.corrupt.add("features/resolve/" + hub.commit("mini/features") + "/model.safetensors")
    outcome = run("fetch", "--preset", preset, "--json")
    assert outcome.status == 3
    (failed,) = outcome.json()["failed"]
    assert (failed["role"], failed["name"]) == ("features", "mini/features")
    assert "the corrupted file was deleted" in failed["error"]
    assert f"rim: {failed['error']}" in outcome.err
    assert "complete" not in outcome.err
    assert len(outcome.json()["models"]) == 3
    hub.corrupt.clear()
    hub.requests.clear()
    again = run("fetch", "--preset", preset, "--json")
    assert again.status == 0
    statuses = [model["status"] for model in again.json()["models"]]
    assert statuses == ["present", "present", "fetched", "present"]
    assert {one.path.split("/")[1] for one in hub.requests if "/resolve/" in one.path} == {"mini"}
    assert not [one for one in hub.requests if "text-to-image" in one.path]


def test_nothing_could_be_had(run: Run, hub: StandInHub, preset: Path) -> None:
    hub.broken = True
    outcome = run("fetch", "--preset", preset)
    assert outcome.status == 1
    lines = [line for line in outcome.err.splitlines() if line.startswith("rim: ")]
    assert len(lines) == 4
    assert all("could not be downloaded (" in line for line in lines)
    assert "models.segmenter" in lines[1]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--preset", "papre"),
        ("--preset", "none.toml"),
        ("--preset", "paper", "--bank", "bank"),
        ("--preset", "paper", "--for", "everything"),
    ],
)
def test_wrong_calls(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run("fetch", *arguments)
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) <= 2


def test_the_purposes_that_can_be_named() -> None:
    (option,) = (one for one in command.params if one.name == "purposes")
    assert list(option.type.choices) == list(ROLES_OF)  # type: ignore[attr-defined]


def test_a_damaged_record_is_no_record(run: Run, hub: StandInHub, preset: Path) -> None:
    run("fetch", "--preset", preset)
    (cache_folder() / "fetched" / "hub.json").write_text("{", encoding="utf-8")
    assert run("fetch", "--preset", preset).status == 0
    assert set(read_fetched("hub").models) == set(ROLES)


def test_a_preset_that_names_another_model_now(run: Run, hub: StandInHub, preset: Path) -> None:
    run("fetch", "--preset", preset)
    hub.models["mini/other"] = hub.models["mini/features"]
    text = preset.read_text(encoding="utf-8")
    preset.write_text(text.replace("mini/features", "mini/other"), encoding="utf-8")
    models = run("fetch", "--preset", preset, "--json").json()["models"]
    assert [model["status"] for model in models] == ["present", "present", "fetched", "present"]


def test_a_file_of_another_program_is_named_and_left(
    run: Run, hub: StandInHub, preset: Path
) -> None:
    (name,) = (Path(path).name for path in hub.files)
    file = checkpoints_folder() / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another checkpoint")
    outcome = run("fetch", "--preset", preset, "--for", "query", "--json")
    assert outcome.status == 3
    (failed,) = outcome.json()["failed"]
    assert failed["error"].startswith(f"models.segmenter: {file}: expected a file with the MD5 or ")
    assert file.read_bytes() == b"another checkpoint"
    assert hub.transfers(name) == []
    file.unlink()
    assert run("fetch", "--preset", preset, "--for", "query").status == 0


def test_a_check_reads_what_is_remembered(
    run: Run, hub: StandInHub, preset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_NS", -(10**12))
    report = run("fetch", "--preset", preset, "--for", "query", "--json").json()
    weights = Path(report["models"][1]["path"]) / "model.safetensors"
    good = weights.read_bytes()
    before = stamp_of(weights)
    weights.write_bytes(good[:-1] + b"?")
    # As where a disk loses a bit: nothing but the content tells.
    memory = cache_folder() / "files.json"
    content = json.loads(memory.read_text(encoding="utf-8"))
    (entry,) = (one for one in content["contents"].values() if one["stamp"] == before)
    entry["stamp"] = stamp_of(weights)
    memory.write_text(json.dumps(content), encoding="utf-8")
    assert run("fetch", "--preset", preset, "--for", "query").status == 0
    outcome = run("fetch", "--preset", preset, "--for", "query", "--check", "--json")
    assert outcome.status == 3
    assert [model["status"] for model in outcome.json()["models"]] == ["present", "repaired"]
    assert weights.read_bytes() == good


def stamp_of(path: Path) -> dict[str, int]:
    facts = path.stat()
    return {
        "size": facts.st_size,
        "mtime_ns": facts.st_mtime_ns,
        "ctime_ns": facts.st_ctime_ns,
        "inode": facts.st_ino,
    }


@pytest.mark.slow
def test_each_command_takes_what_it_uses(
    run: Run, hub: StandInHub, preset: Path, scene: Path, tmp_path: Path
) -> None:
    """A build needs no CLIP, a query no generator; what is missing is told with what fetches it."""
    words, bank = tmp_path / "words.txt", tmp_path / "bank"
    words.write_text("house\n", encoding="utf-8")
    build = ("build", words, "--out", bank, "-k", "2", "--steps", "8", "--preset", preset)
    outcome = run(*build, "--offline")
    assert outcome.status == 2
    assert f"`rim fetch --preset {preset} --for build`" in outcome.err
    assert run("fetch", "--preset", preset, "--for", "build").status == 0
    assert not [path for path in hub.sent if "mini/clip" in path]
    hub.requests.clear()
    outcome = run(*build, "--offline")
    assert outcome.status == 0, outcome.err
    manifest = json.loads((bank / "manifests" / "000001.json").read_text(encoding="utf-8"))
    assert set(manifest["models"]) == {"text_to_image", "segmenter", "features"}
    query = ("query", bank, scene, "--out", tmp_path / "labels", "--offline")
    assert run(*query).status == 0
    outcome = run(*query, "--text-weight", "0.5")
    assert outcome.status == 2
    assert f"`rim fetch --bank {bank} --for query --for text`" in outcome.err
    assert run("verify", bank).status == 0
    assert run("info", bank).status == 0
    assert hub.requests == []


@pytest.mark.slow
def test_what_a_bank_needs(
    run: Run, hub: StandInHub, preset: Path, scene: Path, tmp_path: Path, bank_copy: Path
) -> None:
    bank = of_hub(bank_copy, preset)
    query = ("query", bank, scene, "--out", tmp_path / "labels", "--offline")
    outcome = run(*query)
    assert outcome.status == 2
    assert f"`rim fetch --bank {bank} --for query`" in outcome.err
    outcome = run("fetch", "--bank", bank, "--json")
    assert outcome.status == 0, outcome.err
    assert "complete for query, which runs with --offline now" in outcome.err
    models = outcome.json()["models"]
    assert [model["role"] for model in models] == ["segmenter", "features"]
    assert [model["of_bank"] for model in models] == [model["fingerprint"] for model in models]
    assert {path.split("/")[2] for path in hub.sent if path.startswith("/mini")} == {"features"}
    assert run(*query).status == 0
    hub.requests.clear()
    again = run("fetch", "--bank", bank, "--json").json()["models"]
    assert {model["status"] for model in again} == {"present"}
    assert hub.requests == []
    assert not read_fetched("miniature").models
    assert [path.name[:5] for path in (cache_folder() / "fetched").iterdir()] == ["bank-"]


def test_other_weights_than_the_banks_are_told(
    run: Run, hub: StandInHub, preset: Path, tmp_path: Path, bank_copy: Path
) -> None:
    other = Path(shutil.copytree(hub.models["mini/features"], tmp_path / "other"))
    config = other / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    hub.models["mini/features"] = other
    outcome = run("fetch", "--bank", of_hub(bank_copy, preset), "--json")
    assert outcome.status == 3
    assert "models.features: expected the model that the bank was made with" in outcome.err
    assert "complete" not in outcome.err


def of_hub(bank: Path, preset: Path) -> Path:
    """The bank as if it had been built with the preset's models, which have the same content."""
    manifest = read_manifest(bank)
    models = load_settings(str(preset)).models.model_dump(mode="json")
    settings = {**manifest.settings, "models": models}
    commit_manifest(
        bank, manifest.model_copy(update={"settings": settings, "version": manifest.version + 1})
    )
    return bank


# Keeps every 64 KiB that arrive; by itself the client passes on 10 MB at a time.
_SMALL_CHUNKS = """
import sys
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 1 << 16
from rim.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_ctrl_c_loses_nothing_that_arrived(hub: StandInHub, preset: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SMALL_CHUNKS, "fetch", "--preset", str(preset), "--json"]
    environment = os.environ | hub_environment(hub, tmp_path) | {"PYTHONPATH": str(REPOSITORY)}
    hub.pause = 0.02
    process = subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A suite that runs in the background of a shell passes on that interrupts are ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    blobs = tmp_path / "hf" / "hub" / "models--mini--text-to-image" / "blobs"
    wanted = "text_encoder/model.safetensors"  # what comes before it in the alphabet is complete
    deadline = time.monotonic() + 300
    while not hub.transfers("unet/diffusion_pytorch_model.safetensors"):
        assert time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    while not any(part.stat().st_size > 1 << 18 for part in blobs.glob("*.part")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    hub.pause = 5.0  # the rest cannot arrive before the interrupt does
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=300)
    assert process.returncode == 130, error
    assert error.splitlines()[-1] == "rim: interrupted; what was finished is kept"
    assert out == ""
    (part,) = blobs.glob("*.part")
    kept = part.stat().st_size
    assert len(hub.transfers(wanted)) == 1

    hub.pause, hub.requests = 0.0, []
    ended = subprocess.run(
        command, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert hub.transfers(wanted) == []
    assert hub.transfers("unet/diffusion_pytorch_model.safetensors") == [kept]
    assert not list(blobs.glob("*.part"))
    lines = [line for line in ended.stderr.splitlines() if line.startswith("text_to_image ")]
    assert lines  # plain lines; a rate only if it took a while
    assert all(" MB" in line for line in lines)
    assert json.loads(ended.stdout)["failed"] == []
