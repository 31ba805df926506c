"""Names of strangers: of categories, photos and folders. None becomes a path, a tag, SQL or a code
for the terminal.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rim
from bank_builder.report import BuildProgress
from bank_builder.sources.photos import list_photos
from query.exports.inputs import check_outputs, collect_inputs
from rim.cli.progress import build_progress
from schemas.errors import UsageError, VocabularyError
from schemas.records import CategoryRecord
from schemas.vocabulary import (
    MAX_NAME,
    load_vocabulary,
    name_fault,
    parse_vocabulary,
    vocabulary_from_names,
)
from tests.attacks.test_pictures import POINTER
from tests.rim.conftest import Run

LEGAL = (
    "../../etc/passwd",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..",
    "con",
    "~root",
    "-rf",
    "$(reboot)",
    "%s%n",
    "{0}",
    "<script>alert(1)</script>",
    "&lt;",
    "'; DROP TABLE images; --",
    '"quoted"',
    "[red]marked[/]",
    "[/]",
    "x" * MAX_NAME,
    "\u05e9\u05dc\u05d5\u05dd",  # written from right to left
    "\U0001f469\u200d\U0001f680",  # two emoji, joined
    "\u0628\u0646\u0641\u0634\u0647\u200c\u0627\u06cc",  # a joiner that Persian needs
    "e" + "\u0301" * 8,
    "1; rm",
)
ILLEGAL = {
    "": "no name",
    "   ": "no name",
    "x" * (MAX_NAME + 1): "201 characters, more than 200",
    "x" * 10_000: "10,000 characters",
    "\x1b[31mred": "U+001B",
    "a\0b": "U+0000",
    "a\nb": "U+000A",
    "a\rb": "U+000D",
    "a\x85b": "U+0085",
    "a\u2028b": "U+2028",
    "a\tb": "U+0009",
    "a\u202egpj.exe": "U+202E",
    "a\u2066b": "U+2066",
    "a\u200bb": "U+200B",
    "\ufeffa": "U+FEFF",
    "a\ud800": "U+D800",
    "\u200d": "nothing to see",
    "\u3164": "nothing to see",
    "Z" + "\u0335\u0489" * 50: "combining marks",
}


@pytest.mark.parametrize("name", LEGAL)
def test_a_name_may_look_like_anything(name: str) -> None:
    assert name_fault(name) is None
    assert vocabulary_from_names([name]).names == (name,)
    assert parse_vocabulary(f"cat, {name}\n", "w.txt").categories[0].synonyms == (name,)
    assert CategoryRecord(category_id=0, name=name).name == name


@pytest.mark.parametrize("name", ILLEGAL)
def test_a_name_that_hides_something_is_none(name: str) -> None:
    fault = name_fault(name)
    assert fault is not None
    assert ILLEGAL[name].replace("nothing", "without anything") in fault
    with pytest.raises(ValueError, match="expected a category's name"):
        CategoryRecord(category_id=0, name=name)
    with pytest.raises(ValueError, match="expected a category's name"):
        CategoryRecord(category_id=0, name="cat", synonyms=(name,))


@pytest.mark.parametrize("name", [name for name in ILLEGAL if name.strip() and name != "a\tb"])
def test_it_is_refused_in_a_vocabulary_in_one_short_line(name: str) -> None:
    for given in (name, f"cat, {name}"):
        with pytest.raises(VocabularyError) as caught:
            vocabulary_from_names([given])
        message = str(caught.value)
        assert message.isprintable()
        assert "entry 1" in message
        assert len(message) < 400


def test_a_pointer_of_git_lfs_is_no_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(POINTER)
    with pytest.raises(VocabularyError, match=r"found a Git LFS pointer.*git lfs pull"):
        load_vocabulary(str(path))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """One photo with its mask in a folder of each name that can be one."""
    folder = tmp_path / "photos"
    for number, name in enumerate(folder_names()):
        (folder / name).mkdir(parents=True)
        colours = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(colours).save(folder / name / "[b].png")
        Image.new("L", (64, 48), 255).save(folder / name / "[b].mask.png")
    return folder


def folder_names() -> list[str]:
    return [name for name in LEGAL if "/" not in name and name != ".." and not name.startswith(".")]


@pytest.mark.slow
def test_a_bank_of_such_names_stays_in_its_folder(run: Run, photos: Path, tmp_path: Path) -> None:
    """Built, asked and queried; synonyms hold the names that no folder can have."""
    bank, out = tmp_path / "bank", tmp_path / "out"
    others = [name for name in LEGAL if name not in folder_names()]
    first, *rest = folder_names()
    words = tmp_path / "words.txt"
    words.write_text("\n".join([", ".join([first, *others]), *rest]), encoding="utf-8")
    before = {path.name for path in tmp_path.iterdir()}

    built = run("build", words, "--out", bank, "--source", f"folder:{photos}", "--device", "cpu")
    assert built.status == 0, built.err
    info = run("info", bank)
    assert info.status == 0, info.err
    for name in ("[red]marked[/]", "[/]", "<script>", "'; DROP TABLE images; --", "../../etc/pass"):
        assert name in info.out
    rows = rim.open(bank).sql("SELECT category, count(*) FROM features GROUP BY ALL")
    assert {row["category"] for row in rows.to_arrow_table().to_pylist()} == set(folder_names())
    photo = photos / "con" / "[b].png"
    queried = run("query", bank, photo, "--out", out, "--background", "off")
    assert queried.status == 0, queried.err
    result = json.loads((out / "[b].json").read_text(encoding="utf-8"))
    assert {one["category"] for one in result["categories"]} <= set(folder_names())

    assert {path.name for path in tmp_path.iterdir()} == before | {"bank", "out"}
    names = [path.name for path in bank.rglob("*")]
    assert all(name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
               for name in names)  # fmt: skip


def test_links_that_lead_out_of_the_photos_are_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A stranger's folder of photos cannot bring a person's own pictures into a bank."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    (theirs / "cat").mkdir(parents=True)
    (theirs / "kept").mkdir()
    for path in (mine / "private.png", theirs / "cat" / "a.png", theirs / "kept" / "b.png"):
        Image.new("RGB", (4, 4)).save(path)
    (theirs / "dog").symlink_to(mine)
    (theirs / "cat" / "up.png").symlink_to("../../mine/private.png")
    (theirs / "cat" / "a.mask.png").symlink_to(mine / "private.png")
    (theirs / "cat" / "loop.png").symlink_to("loop.png")
    (theirs / "cat" / "within.png").symlink_to("../kept/b.png")
    records = [CategoryRecord(category_id=i, name=name) for i, name in enumerate(["cat", "dog"])]

    found = list_photos(theirs, records, may_lack=["dog"])

    assert [one.record.file for one in found["cat"]] == ["cat/a.png", "cat/within.png"]
    assert [one.mask for one in found["cat"]] == [None, None]
    assert found["dog"] == []
    assert "links that lead out of this folder" in caplog.text
    for name in ("dog", "cat/up.png", "cat/a.mask.png", "cat/loop.png"):
        assert name in caplog.text
    with pytest.raises(UsageError, match="found none of dog"):
        list_photos(theirs, records, may_lack=[])


def test_pipes_and_odd_names_among_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "cat"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "a.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    for name in (b"\x1b[31m.png", b"\xff.png", b"two\nlines.png"):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(b"x")
    found = list_photos(tmp_path, [CategoryRecord(category_id=0, name="cat")], may_lack=[])
    assert [(one.record.file, one.record.sha256 is None) for one in found["cat"]] == [
        ("cat/a.png", False),
        ("cat/pipe.png", True),
    ]
    assert r"\x1b[31m.png, cat/two\nlines.png, cat/\udcff.png" in caplog.text
    assert all(line.isprintable() for line in caplog.text.splitlines())


def test_results_are_named_within_the_output_folder(tmp_path: Path) -> None:
    """Whatever the photos are called."""
    given = tmp_path / "given"
    given.mkdir()
    names = ("..png", "...png", "a b.png", "-x.png", "$(x).png", "x" * 190 + ".png", "\u202e.png")
    for name in names:
        (given / name).write_bytes(b"x")
    inputs = collect_inputs([given / name for name in names])
    check_outputs(inputs, tmp_path / "out")
    for image in inputs:
        assert "/" not in image.name
        assert (tmp_path / "out" / f"{image.name}.json").resolve().parent == tmp_path / "out"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.png", "A.JPG"), "both be"),
        (("caf\u00e9.png", "cafe\u0301.jpg"), "both be"),
        (("stra\u00dfe.png", "STRASSE.png"), "both be"),
        (("x" * 230 + ".png",), "at most 200 bytes"),
        (("\u00e4" * 120 + ".png",), "at most 200 bytes"),
    ],
)
def test_results_that_would_meet_or_have_no_name_are_refused_before_any_work(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=message):
        collect_inputs([tmp_path])


def test_progress_on_a_terminal_shows_names_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also names that look like the marks of the library that draws it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    with build_progress() as show:
        for number, name in enumerate(("[/]", "[red]marked[/]", "[link=x]")):
            show(BuildProgress("references", number + 1, 3, name, number + 1, 0, 0, 1.0))
    assert "accepted 100%, references [link=x]" in capsys.readouterr().err
