"""What a person does on the page, without the page: photo, labels, changes to the bank."""

from __future__ import annotations

import shutil
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from foundation.images.reading import read_image
from rim.api import category_ids, query_overrides
from rim.app.bank_in_hand import BankInHand, Models, Progress
from rim.app.results import share_changed, zipped_results
from rim.app.state import Choice, Selection, State
from rim.app.view import PhotoView, view_photo
from rim.bank import Bank
from schemas.errors import UsageError

if TYPE_CHECKING:
    from query.regions import SegmentedPhoto
    from query.result import Region
    from query.segmentation import QueryEngine, Segmentation


@dataclass(frozen=True, eq=False)
class _Labelled:
    name: str
    photo: SegmentedPhoto
    result: Segmentation
    view: PhotoView


class AppSession:
    """One person, one bank, one photo at a time.

    Every action returns the new state; if it raises, the labels are those from before. Actions wait
    for each other, whichever thread they come from. A photo is cut into regions once and named
    again whenever something changes; the models are loaded once.
    """

    def __init__(
        self,
        bank: Bank,
        *,
        preset: str | None = None,
        device: str = "auto",
        offline: bool = False,
    ) -> None:
        """Loads the models.

        Args:
            bank: the latest version of a bank.
            preset, device, offline: as of `rim.query`.

        Raises ModelError if models are missing or not the bank's, BankError for a bank without a
        reference.
        """
        self._lock = threading.RLock()
        self._models = Models(preset, device, offline)
        self._choice = Choice.of(bank.settings.matching)
        self._labelled: _Labelled | None = None
        self._selected: int | None = None
        self._changed: float | None = None
        self._was: Region | None = None
        self._serial = 0
        self._folder = Path(tempfile.mkdtemp(prefix="rim-app-"))
        self._bank = BankInHand(bank, self._models, self._folder)
        try:
            self._engine(self._choice)
            stack = bank.model_stack(bank.query_settings(preset, ()), device, offline)
            _ = stack.segmenter, stack.features  # loaded when they are first asked for
        except BaseException:
            self.close()
            raise

    @property
    def folder(self) -> Path:
        """A folder of this session alone, gone after `close`."""
        return self._folder

    def close(self) -> None:
        """Deletes what the session has on the disk: uploaded photos and categories on trial."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def state(self) -> State:
        """What the page shows now."""
        with self._lock:
            return self._state()

    def open_photo(self, path: str | Path, name: str | None = None) -> State:
        """Cut a photo into regions and name them.

        name: what it is called, by default the file's name. Raises ImageError if it cannot be read.
        """
        with self._lock:
            called = name or Path(path).name
            photo = self._engine(self._choice).cut(read_image(path, named=called))
            self._label(photo, called, self._choice)
            self._selected = self._changed = self._was = None
            return self._state()

    def choose(self, choice: Choice) -> State:
        """Name the photo's regions in another way.

        Raises UsageError or SettingsError for a choice that is none, BankError if none of the
        chosen categories has a reference.
        """
        with self._lock:
            self._relabel(choice)
            return self._state()

    def select(self, region: int | None, serial: int | None = None) -> State:
        """Look at a region by its number, or at none.

        serial: of the state that the number is from; an older one selects nothing.
        """
        with self._lock:
            known = region is not None and 0 <= region < len(self._regions())
            current = serial is None or serial == self._serial
            self._selected = region if known and current else None
            self._changed = self._was = None
            return self._state()

    def reject(self, image_id: int) -> State:
        """Reject a reference, for good or, of a category on trial, as long as it is on trial.

        Raises UsageError for an image that is not in the bank, OutputError or WriteFailed where the
        bank cannot be changed.
        """
        with self._lock:
            self._bank.reject(image_id)
            self._relabel(self._choice)
            return self._state()

    def undo(self, image_id: int) -> State:
        """Take a rejection of this session back; raises as `reject`."""
        with self._lock:
            self._bank.undo(image_id)
            self._relabel(self._choice)
            return self._state()

    def try_category(self, entry: str, images: int, progress: Progress | None = None) -> State:
        """Build a category from a few images and name the photo with it; the bank stays as it is.

        Args:
            entry: "name, synonym, synonym".
            images: how many, at least one.
            progress: called with what is done so far.

        Raises as `rim.app.trial.build_trial`.
        """
        with self._lock:
            self._take_part(self._bank.attempt(entry, images, progress))
            self._relabel(self._choice)
            return self._state()

    def add(self, entry: str, progress: Progress | None = None) -> State:
        """Add a category to the bank for good, with as many images as the others have.

        entry: "name, synonym, synonym"; a name that is on trial is kept. Raises as `rim.add`.
        """
        with self._lock:
            self._take_part(self._bank.add(entry, progress))
            self._relabel(self._choice)
            return self._state()

    def keep(self, name: str, progress: Progress | None = None) -> State:
        """Add a category on trial to the bank for good; raises as `rim.add`."""
        with self._lock:
            self._bank.keep(name, progress)
            self._relabel(self._choice)
            return self._state()

    def drop(self, name: str) -> State:
        """Forget a category on trial. Raises UsageError if it is not on trial."""
        with self._lock:
            self._bank.drop(name)
            left = tuple(one for one in self._choice.categories if one != name)
            self._choice = replace(self._choice, categories=left)
            self._relabel(self._choice)
            return self._state()

    def results(self) -> tuple[str, bytes]:
        """A ZIP of the photo's label map, overlay and JSON, as `rim query` writes them, and its
        name.

        Raises UsageError before the first photo.
        """
        with self._lock:
            labelled = self._labelled
        if labelled is None:
            raise UsageError("there are no results yet: drop a photo first")
        return zipped_results(labelled.result, labelled.name, self._folder)

    def _engine(self, choice: Choice) -> QueryEngine:
        unfiltered = () if choice.filter else ("matching.filter=none",)
        overrides = query_overrides(
            choice.matcher, choice.background, unfiltered, filter=choice.filter
        )
        models = self._models
        return self._bank.asked.engine(
            overrides=overrides,
            preset=models.preset,
            device=models.device,
            offline=models.offline,
        )

    def _label(self, photo: SegmentedPhoto, name: str, choice: Choice) -> _Labelled:
        ids = category_ids(self._bank.asked, choice.categories or None)
        result = self._engine(choice).label(photo, categories=ids)
        self._labelled = _Labelled(name, photo, result, view_photo(photo, result))
        self._choice = choice
        self._serial += 1
        return self._labelled

    def _relabel(self, choice: Choice) -> None:
        """Names the photo's regions anew; the selected region stays selected if it has a name."""
        self._changed = self._was = None
        before = self._labelled
        if before is None:
            category_ids(self._bank.asked, choice.categories or None)
            self._engine(choice)
            self._choice = choice
            return
        chosen = None if self._selected is None else self._regions()[self._selected]
        after = self._label(before.photo, before.name, choice)
        same = [
            number
            for number, one in enumerate(self._regions())
            if chosen and one.mask is chosen.mask
        ]
        self._selected = same[0] if same else None
        self._was = chosen
        self._changed = share_changed(before.result, after.result)

    def _take_part(self, name: str) -> None:
        """Has a new category among the chosen ones; all take part where none is chosen."""
        chosen = self._choice.categories
        if chosen and name not in chosen:
            self._choice = replace(self._choice, categories=(*chosen, name))

    def _regions(self) -> tuple[Region, ...]:
        return self._labelled.result.regions if self._labelled else ()

    def _state(self) -> State:
        labelled = self._labelled
        return State(
            serial=self._serial,
            bank=self._bank.facts(),
            choice=self._choice,
            photo=labelled.name if labelled else None,
            view=labelled.view if labelled else None,
            selection=self._selection(),
            changed=self._changed,
            rejected=self._bank.rejected(),
            trials=self._bank.trials,
        )

    def _selection(self) -> Selection | None:
        if self._selected is None or self._labelled is None:
            return None
        region = self._regions()[self._selected]
        was = self._was
        same = was is None or (was.category, was.score) == (region.category, region.score)
        return Selection(
            region=self._selected,
            category=region.category,
            category_id=region.category_id,
            score=region.score,
            similarity=region.similarity,
            area=region.area / self._labelled.result.label_map.size,
            references=self._bank.cards(region.references),
            was=None if was is None or same else (was.category, was.score),
        )
