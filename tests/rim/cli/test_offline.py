"""With --offline, no command opens a socket: neither with weights from the repository nor with
weights that `rim fetch` got.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from miniature.world import draw_scene
from tests.rim.hub_preset import serve_miniature
from tests.stand_in_hub import StandInHub, hub_environment

REPOSITORY = Path(__file__).resolve().parents[3]

# Python itself reports every use of a socket to the hook, whichever library makes it. That the
# hook sees it is tried first. Before that, urllib3 is loaded, as diffusers does: at import it tries
# whether the machine has IPv6, by a socket that it binds to ::1 and closes.
_WATCHED = """
import json, socket, sys

seen, watching = [], False
def hook(event, arguments):
    if watching and event.startswith("socket.") and event != "socket.gethostname":
        seen.append(event)
        raise OSError(f"{event} while offline")
sys.addaudithook(hook)

import urllib3
from rim.cli.main import main
watching = True
for attempt in (lambda: socket.socket(), lambda: socket.getaddrinfo("127.0.0.1", 80)):
    try:
        attempt()
    except OSError:
        pass
assert seen == ["socket.__new__", "socket.getaddrinfo"], seen
seen.clear()

statuses = []
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as leaving:
        statuses.append(leaving.code)
print(json.dumps({"statuses": statuses, "seen": seen}))
"""


def run_watched(commands: list[list[str]], folder: Path, environment: dict[str, str]) -> None:
    """Runs the commands in one fresh process; each must succeed, and none may open a socket."""
    ended = subprocess.run(
        [sys.executable, "-c", _WATCHED, json.dumps(commands)],
        cwd=folder,
        env=os.environ | environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    outcome = json.loads(ended.stdout.splitlines()[-1])
    assert outcome == {"statuses": [0] * len(commands), "seen": []}, ended.stderr


def commands_for(preset: str, folder: Path) -> list[list[str]]:
    """A whole life of a bank."""
    (folder / "words.txt").write_text("house\ngrass\n", encoding="utf-8")
    scene = draw_scene(11, (96, 128), things=("house",)).image
    Image.fromarray(scene).save(folder / "photo.png")
    build = ["build", "words.txt", "--out", "bank", "-k", "2", "--steps", "4"]
    return [
        [*build, "--preset", preset, "--offline"],
        ["query", "bank", "photo.png", "--out", "labels", "--offline"],
        ["sql", "bank", "SELECT category, accepted FROM categories"],
        ["info", "bank"],
        ["eval", "bank", "--dataset", "miniature", "--scenes", "1"],
        ["verify", "bank"],
        ["doctor"],
        ["fetch", "--preset", preset],
    ]


@pytest.mark.slow
def test_the_stack_of_the_repository(tmp_path: Path) -> None:
    environment = {"HF_HOME": str(tmp_path / "hf"), "RIM_CACHE": str(tmp_path / "rim")}
    run_watched(commands_for("miniature", tmp_path), tmp_path, environment)
    assert (tmp_path / "labels" / "photo.labels.png").exists()


@pytest.mark.slow
def test_a_stack_that_was_fetched(hub: StandInHub, tmp_path: Path) -> None:
    preset = serve_miniature(hub, tmp_path)
    environment = hub_environment(hub, tmp_path)
    fetched = subprocess.run(
        [sys.executable, "-m", "rim", "fetch", "--preset", str(preset), "--json"],
        env=os.environ | environment | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert fetched.returncode == 0, fetched.stderr
    hub.requests.clear()
    run_watched(commands_for(str(preset), tmp_path), tmp_path, environment)
    assert hub.requests == []
    manifest = json.loads((tmp_path / "bank" / "manifests" / "000001.json").read_text("utf-8"))
    assert manifest["models"]["features"]["name"] == "mini/features"
    made_by = {role: model["fingerprint"] for role, model in manifest["models"].items()}
    assert set(made_by) == {"text_to_image", "segmenter", "features"}
    for model in json.loads(fetched.stdout)["models"]:
        assert made_by.get(model["role"]) in (model["fingerprint"], None)
