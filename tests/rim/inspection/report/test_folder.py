"""Where a report may be written, and that half of one is never left."""

from __future__ import annotations

from pathlib import Path

import pytest

from rim.inspection.report import write
from rim.inspection.report.folder import MARKER, check_folder, replacing_folder
from rim.inspection.report.write import write_report
from schemas.errors import OutputError, UsageError, WriteFailed
from tests.rim.inspection.report.conftest import Written


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A folder that stands for a bank's."""
    (tmp_path / "bank" / "shards").mkdir(parents=True)
    return tmp_path / "bank"


def test_new_empty_and_earlier_folders_are_taken(tmp_path: Path, bank: Path) -> None:
    assert check_folder(tmp_path / "new" / "deep", bank) == tmp_path / "new" / "deep"
    (tmp_path / "empty").mkdir()
    check_folder(tmp_path / "empty", bank)
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / MARKER).write_text("{}")
    (earlier / "pictures").mkdir()
    check_folder(earlier, bank)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["notes.txt"], "'notes.txt'"),
        (["index.html"], "'index.html'"),
        ([MARKER, "index.html", "notes.txt"], "'notes.txt'"),
        ([MARKER, "my bank"], "'my bank'"),
    ],
)
def test_folders_with_anything_else_are_refused(
    tmp_path: Path, bank: Path, files: list[str], found: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in files:
        (out / name).write_text("mine")
    with pytest.raises(OutputError, match=found):
        check_folder(out, bank)
    assert sorted(path.name for path in out.iterdir()) == sorted(files)


def test_a_file_and_places_in_and_around_the_bank_are_refused(tmp_path: Path, bank: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", bank, bank / "report", bank / "shards", tmp_path):
        with pytest.raises(OutputError):
            check_folder(out, bank)
    (tmp_path / "link").symlink_to(bank)
    with pytest.raises(OutputError, match="outside the bank"):
        check_folder(tmp_path / "link" / "report", bank)


def test_the_folder_appears_whole_and_replaces_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for content in ("first", "second"):
        with replacing_folder(target, {"version": 1}) as work:
            assert work.parent == tmp_path
            (work / "index.html").write_text(content)
            (work / content).write_text("")
        assert (target / "index.html").read_text() == content
    assert sorted(path.name for path in target.iterdir()) == ["index.html", MARKER, "second"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no")])
def test_what_is_interrupted_leaves_the_earlier_report(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "out"
    with replacing_folder(target, {}) as work:
        (work / "index.html").write_text("first")
    with pytest.raises(type(error)):
        write_and_raise(target, error)
    assert (target / "index.html").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def write_and_raise(target: Path, error: BaseException) -> None:
    with replacing_folder(target, {}) as work:
        (work / "index.html").write_text("second")
        raise error


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteFailed, match=r"cannot write the report .*No space left"),
        replacing_folder(tmp_path / "out", {}),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_fails_midway_leaves_nothing(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "write_map", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(written.bank, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def test_a_wrong_call_changes_nothing(written: Written, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tsne"):
        write_report(written.bank, tmp_path / "out", projection="tsne")
    with pytest.raises(OutputError, match="outside the bank"):
        write_report(written.bank, written.bank.path / "report")
    assert list(tmp_path.iterdir()) == []
