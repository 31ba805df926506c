"""The report folder: what is in it, what is not, and what it replaces."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

import numpy as np
import pytest

from foundation.images.reading import read_image
from rim.check.findings import Outcome, ReportImage, StepResult, verdict
from rim.check.report import Machine, anonymous, check_out, facts, private_words, write_report
from rim.check.workbench import check_settings
from schemas.errors import OutputError, WriteFailed

MACHINE = Machine("1.2.3", "3.11", "Linux", "cpu, x86_64", {"torch": "2.15", "ray": None})
IMAGE = ReportImage("shown", "<b>a caption", np.full((4, 6, 3), 7, np.uint8))


def results(found: str = "so", trace: str = "") -> list[StepResult]:
    return [
        StepResult("a step", Outcome.FINE, found, "this", 1.0, 10**9, {"iou": 0.5}, (IMAGE,), trace)
    ]


def write(out: Path, found: str = "so", trace: str = "") -> Path:
    steps = results(found, trace)
    told = facts(check_settings("miniature"), MACHINE, steps, verdict(steps), 2.0)
    return write_report(out, told, steps)


def test_page_json_and_images(tmp_path: Path) -> None:
    page = write(tmp_path / "out")
    assert {path.name for path in page.parent.iterdir()} == {
        *("index.html", "rim-check.json", "images")
    }
    assert np.array_equal(read_image(page.parent / "images" / "shown.png"), IMAGE.pixels)
    told = json.loads((page.parent / "rim-check.json").read_text())
    assert told["verdict"] == "fine"
    assert told["exit_status"] == 0
    assert told["steps"][0]["numbers"] == {"iou": 0.5}
    assert told["machine"]["libraries"] == {"torch": "2.15", "ray": None}
    assert told["settings"]["preset"] == "miniature"
    text = page.read_text()
    assert "a step" in text
    assert "torch 2.15" in text
    assert "&lt;b&gt;a caption" in text
    assert 'src="images/shown.png"' in text


def test_nothing_private_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ada"))
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "engine-7.example.org")
    trace = 'File "/home/ada/rim/x.py", /scratch/ada_models/sam.pth on engine-7, '
    trace += "ada@engine-7.example.org"
    page = write(tmp_path / "out", "no /home/ada/weights; Ada, adamant", trace)
    for path in (page, page.parent / "rim-check.json"):
        text = path.read_text()
        assert "/home/ada" not in text
        assert "engine-7" not in text
        assert "ada_" not in text
        assert "ada@" not in text
        assert "adamant" in text
    told = json.loads((page.parent / "rim-check.json").read_text())["steps"][0]
    assert told["found"] == "no ~/weights; Ada, adamant"
    assert told["traceback"] == 'File "~/rim/x.py", /scratch/USER_models/sam.pth on HOST, USER@HOST'


def test_short_names_are_replaced_in_paths_alone() -> None:
    private = {"/home/al": "~", "al": "USER"}
    assert anonymous("also all /data/al/x /al", private) == "also all /data/USER/x /USER"
    assert anonymous({"n": [1, None, "/home/al/al"]}, private) == {"n": [1, None, "~/USER"]}


def test_longer_words_are_replaced_first() -> None:
    lengths = [len(word) for word in private_words()]
    assert lengths == sorted(lengths, reverse=True)
    assert min(lengths) > 0


def test_only_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    check_out(out)
    write(out, "first")
    check_out(out)
    page = write(out, "second")
    assert "second" in page.read_text()
    assert list(tmp_path.iterdir()) == [out]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"found 'notes.txt' in it; choose another --out"):
        check_out(out)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="expected a folder, found a file"):
        check_out(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "images").mkdir()
    with pytest.raises(OutputError, match="found 'images' in it"):
        check_out(tmp_path / "other")


def test_a_disk_that_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = write(tmp_path / "out", "first")

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteFailed, match="No space left on device; choose another --out"):
        write(tmp_path / "out", "second")
    assert "first" in page.read_text()
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
