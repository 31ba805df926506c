"""What the browser sends is checked, and what goes wrong is said on the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rim.app.actions import Actions, Shown
from rim.app.session import AppSession
from rim.app.state import QueryOptions


@pytest.fixture
def uploads(tmp_path: Path, scene: Path) -> Path:
    """A folder with one uploaded photo."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    shutil.copy(scene, folder / "scene.png")
    return folder


@pytest.fixture
def actions(session: AppSession, uploads: Path) -> Actions:
    return Actions(session, uploads)


def no_progress(_: object) -> None:
    """Progress that nobody looks at."""


def test_a_photo_is_labelled_and_its_upload_deleted(actions: Actions, uploads: Path) -> None:
    assert actions.reload().head["notice"] == "Drop a photo to begin."
    shown = actions.photo(str(uploads / "scene.png"), "holiday.png")
    assert shown.head["kind"] == "done"
    assert shown.head["notice"].startswith("holiday.png: ")
    assert shown.viewer["photo"] == "holiday.png"
    assert not (uploads / "scene.png").exists()
    assert actions.reload().viewer["photo"] == "holiday.png", "for a browser that comes later"


def test_only_uploads_are_opened(actions: Actions, uploads: Path, tmp_path: Path) -> None:
    outside = Path(shutil.copy(uploads / "scene.png", tmp_path / "outside.png"))
    (uploads / "link.png").symlink_to(outside)
    for path in (outside, uploads / ".." / outside.name, uploads / "link.png", "scene.png"):
        shown = actions.photo(str(path), "scene.png")
        assert shown.head["kind"] == "error"
        assert shown.head["notice"] == "expected a photo that was dropped on this page"
    assert outside.exists()


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda actions: actions.reject("12x"), "expected a whole number, found 12x"),
        (lambda actions: actions.reject(-1), "expected image_ids of the bank, found -1"),
        (lambda actions: actions.undo(5), "was not rejected here"),
        (lambda actions: actions.choose(QueryOptions(matcher="magic")), "matching.matcher"),
        (lambda actions: actions.keep("x", no_progress), "no category 'x' is on trial"),
        (lambda actions: actions.attempt("  ", 2, False, no_progress), "1 to 200 characters"),
        (lambda actions: actions.attempt("zebra", 2, True, no_progress), "does not know zebra"),
        (lambda actions: actions.refused("a\x1b.png", "too large"), r"a\\x1b.png did not arrive"),
    ],
)
def test_errors_are_said(actions: Actions, act: Callable[[Actions], Shown], expected: str) -> None:
    shown = act(actions)
    assert shown.head["kind"] == "error"
    assert expected.replace("\\\\", "\\") in shown.head["notice"]
    assert shown.head["version"] == 1


def test_every_answer_differs_so_that_the_page_stops_waiting(actions: Actions) -> None:
    assert actions.undo(5).why != actions.undo(5).why


def test_an_unexpected_error_is_said_and_logged(
    actions: Actions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(AppSession, "drop", broken)
    assert actions.drop("x").head["notice"] == "unexpected ZeroDivisionError: by nothing"
    assert "ZeroDivisionError" in caplog.text


def test_rejecting_says_what_became_of_the_photo(actions: Actions, uploads: Path) -> None:
    shown = actions.photo(str(uploads / "scene.png"), "scene.png")
    picked = actions.pick(0, shown.viewer["serial"])
    first = picked.why["selection"]["references"][0]["image_id"]
    rejected = actions.reject(first)
    assert rejected.head["notice"].endswith("; the bank is at version 2.")
    assert rejected.why["rejected"][0]["image_id"] == first
    assert actions.undo(first).head["notice"].startswith("Taken back; ")
