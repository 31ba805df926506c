"""What the events of the page do, without Gradio: checks what they carry, words the notice."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rim.app.bank_in_hand import Progress
from rim.app.payload import head_payload, trials_payload, viewer_payload, why_payload
from rim.app.session import AppSession
from rim.app.state import Choice, State
from schemas.errors import RimError, UsageError
from schemas.text import printable, printable_lines

logger = logging.getLogger(__name__)

LONGEST_NAME = 200
"""Characters of a name that the browser sends."""


@dataclass(frozen=True)
class Shown:
    """The values of the page's parts after an action; see `rim.app.payload`.

    names: all categories. chosen: those that take part, none for all.
    """

    head: dict[str, Any]
    viewer: dict[str, Any]
    why: dict[str, Any]
    trials: dict[str, Any]
    names: tuple[str, ...]
    chosen: tuple[str, ...]


class Actions:
    """The session's actions as events call them. What goes wrong is said in the notice."""

    def __init__(self, session: AppSession, uploads: Path) -> None:
        """uploads: the folder of uploaded photos; no other file is ever opened."""
        self._session = session
        self._uploads = uploads.resolve()
        self._answers = itertools.count(1)

    def reload(self) -> Shown:
        """The page as it is, for a browser that opens it."""
        state = self._session.state()
        notice = "Drop a photo to begin." if state.photo is None else f"{printable(state.photo)}."
        return self._shown(state, notice, "hint")

    def photo(self, path: object, name: object) -> Shown:
        """Label an uploaded photo, and delete the upload."""

        def act() -> tuple[State, str]:
            file = Path(str(path)).resolve()
            if not file.is_relative_to(self._uploads):
                raise UsageError("expected a photo that was dropped on this page")
            try:
                given = Path(str(name)[-LONGEST_NAME:]).name
                state = self._session.open_photo(file, given)
            finally:
                file.unlink(missing_ok=True)
            return state, f"{printable(state.photo)}: {_found(state)}."

        return self._do(act)

    def refused(self, name: object, error: object) -> Shown:
        """Say that an upload did not arrive."""
        why = f"{printable(name)} did not arrive: {printable(error)}"
        return self._shown(self._session.state(), why, "error")

    def pick(self, region: object, serial: object) -> Shown:
        """Look at a region; None where no single one decided."""

        def act() -> tuple[State, str]:
            number = None if region is None else _whole(region)
            state = self._session.select(number, _whole(serial))
            if state.selection is None:
                return state, "No single region decided these pixels: patches or several did."
            return state, f"{state.selection.category}: its references are on the right."

        return self._do(act)

    def reject(self, image_id: object) -> Shown:
        """Reject a reference."""

        def act() -> tuple[State, str]:
            state = self._session.reject(_whole(image_id))
            return state, f"Rejected{_consequence(state)}."

        return self._do(act)

    def undo(self, image_id: object) -> Shown:
        """Take a rejection back."""

        def act() -> tuple[State, str]:
            state = self._session.undo(_whole(image_id))
            return state, f"Taken back{_consequence(state)}."

        return self._do(act)

    def choose(self, choice: Choice) -> Shown:
        """Name the photo's regions in another way."""

        def act() -> tuple[State, str]:
            state = self._session.choose(choice)
            return state, f"Named again{_consequence(state)}."

        return self._do(act)

    def attempt(self, name: str, images: int, keep: bool, progress: Progress) -> Shown:
        """Try a category, or add it for good."""

        def act() -> tuple[State, str]:
            given = name.strip()
            if not given or len(given) > LONGEST_NAME:
                raise UsageError(
                    f"expected a category's name of 1 to {LONGEST_NAME} characters, found "
                    f"{len(given)}"
                )
            if keep:
                state = self._session.add(given, progress)
                return state, f"{printable(given)} is in the bank{_consequence(state)}."
            most = self._session.state().bank.images_per_category
            state = self._session.try_category(given, min(images, most), progress)
            return state, f"{state.trials[-1]} is on trial{_consequence(state)}."

        return self._do(act)

    def keep(self, name: object, progress: Progress) -> Shown:
        """Keep a category that is on trial."""

        def act() -> tuple[State, str]:
            state = self._session.keep(str(name), progress)
            return state, f"{printable(name)} is in the bank{_consequence(state)}."

        return self._do(act)

    def drop(self, name: object) -> Shown:
        """Forget a category that is on trial."""

        def act() -> tuple[State, str]:
            state = self._session.drop(str(name))
            return state, f"{printable(name)} is forgotten{_consequence(state)}."

        return self._do(act)

    def _do(self, act: Callable[[], tuple[State, str]]) -> Shown:
        try:
            state, notice = act()
        except RimError as error:
            return self._shown(self._session.state(), printable_lines(str(error)), "error")
        except Exception as error:
            # The page must not wait for ever; the traceback goes to who started the server.
            logger.exception("an action of the page failed")
            why = f"unexpected {type(error).__name__}: {printable(error)}"
            return self._shown(self._session.state(), why, "error")
        return self._shown(state, notice, "done")

    def _shown(self, state: State, notice: str, kind: str) -> Shown:
        # A number of its own, so that the browser draws anew what was waiting for an answer.
        answer = {"answer": next(self._answers)}
        names = state.bank.categories
        return Shown(
            head=head_payload(state, notice, kind) | answer,
            viewer=viewer_payload(state) | answer,
            why=why_payload(state) | answer,
            trials=trials_payload(state) | answer,
            names=names,
            chosen=tuple(name for name in state.choice.categories if name in names),
        )


def _whole(value: object) -> int:
    """A whole number that the browser sent, as such or as text."""
    try:
        return int(str(value))
    except ValueError as error:
        raise UsageError(f"expected a whole number, found {printable(value)}") from error


def _found(state: State) -> str:
    view = state.view
    if view is None:
        return "nothing"
    regions = sum(spot.region is not None for spot in view.spots)
    return f"{regions} regions, {len(view.shares)} categories"


def _consequence(state: State) -> str:
    """What became of the photo, as the end of a sentence."""
    version = f"; the bank is at version {state.bank.version}"
    if state.changed is None:
        return version
    if state.changed == 0:
        return f"; the photo's labels stay as they are{version}"
    share = "less than 0.1 %" if state.changed < 0.001 else f"{100 * state.changed:.1f} %"
    return f"; {share} of the photo has another label{version}"
