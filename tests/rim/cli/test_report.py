"""`rim report` and `rim.report`: pages about a bank."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rim
from tests.rim.conftest import NAMES, Run, files_of


def test_report_writes_pages_and_says_where(run: Run, built: Path, tmp_path: Path) -> None:
    before = files_of(built)
    outcome = run("report", built, "--out", tmp_path / "report", "--json")

    assert outcome.status == 0
    said = outcome.json()
    folder = tmp_path / "report"
    assert said["index"] == str(folder / "index.html")
    assert (said["version"], said["categories"], said["images"]) == (1, 4, 16)
    found = files_of(folder)
    assert (said["files"], said["bytes"]) == (len(found), sum(map(len, found.values())))
    for number, name in enumerate(NAMES):
        page = found[f"categories/category-{number:05d}.html"].decode()
        assert f"<bdi>{name}</bdi>" in page
        assert page.count('class="card ') == 4
    assert files_of(built) == before


def test_report_in_python_is_the_same(built: Path, opened: rim.Bank, tmp_path: Path) -> None:
    report = rim.report(opened, tmp_path / "one")
    assert report.index == tmp_path / "one" / "index.html"
    assert Path(report) == report.index
    rim.report(built, str(tmp_path / "two"), version=1)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_some_categories_and_an_earlier_report(run: Run, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    assert run("report", built, "--out", out).status == 0
    outcome = run("report", built, "--out", out, "--categories", "fish, sky")
    assert outcome.status == 0
    assert f"{out / 'index.html'}: 2 categories, 8 images" in outcome.err
    pages = sorted(path.name for path in (out / "categories").iterdir())
    assert pages == ["category-00001.html", "category-00003.html"]


def test_an_older_version_says_what_it_held(run: Run, bank_copy: Path, tmp_path: Path) -> None:
    image_id = rim.open(bank_copy).sql("SELECT min(image_id) FROM images").fetchall()[0][0]
    rim.reject(bank_copy, [image_id], reason="blurred")
    for version, expected in ((1, False), (2, True)):
        out = tmp_path / str(version)
        assert run("report", bank_copy, "--out", out, "--version", version).status == 0
        assert json.loads((out / "rim-report.json").read_text())["version"] == version
        text = (out / "categories" / "category-00000.html").read_text(encoding="utf-8")
        assert ("blurred" in text) is expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "taken"], "expected an empty folder or an earlier report, found 'mine.txt'"),
        (["--out", "new", "--categories", "fihs"], "no category 'fihs'"),
        (["--out", "new", "--categories", ","], "at least one category"),
        (["--out", "new", "--version", "7"], "has no version 7"),
        (["--out", "new", "--map", "tsne"], "'tsne'"),
        ([], "Missing option '--out'"),
    ],
)
def test_wrong_calls_change_nothing(
    run: Run,
    built: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    outcome = run("report", built, *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert len(outcome.err.splitlines()) <= 2
    assert files_of(tmp_path) == {"taken/mine.txt": b"mine"}
    assert not (tmp_path / "new").exists()


def test_a_version_that_is_not_the_open_one_is_refused(opened: rim.Bank, tmp_path: Path) -> None:
    with pytest.raises(rim.RimError, match=r"expected version 7, found version 1"):
        rim.report(opened, tmp_path / "out", version=7)


def test_damage_is_named_and_leaves_no_report(run: Run, bank_copy: Path, tmp_path: Path) -> None:
    pixels = sorted(bank_copy.rglob("pixels.parquet"))[2]
    content = bytearray(pixels.read_bytes())
    content[len(content) // 2] ^= 1
    pixels.write_bytes(content)
    outcome = run("report", bank_copy, "--out", tmp_path / "report")
    assert outcome.status == 3
    assert str(pixels) in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["bank"]


def test_weak_categories_are_named(run: Run, bank_copy: Path, tmp_path: Path) -> None:
    question = "SELECT image_id FROM images WHERE category = 'house' AND status = 'accepted'"
    ids = [row[0] for row in rim.open(bank_copy).sql(question).fetchall()]
    rim.reject(bank_copy, ids)
    said = run("report", bank_copy, "--out", tmp_path / "report", "--json").json()
    weak = {one["category"]: one["reasons"] for one in said["weak"]}
    assert weak["house"] == ["No accepted reference: no photo can be labelled with it."]
    again = run("report", bank_copy, "--out", tmp_path / "report")
    assert again.out == ""
    assert f"worth a look: {', '.join(weak)}" in again.err
