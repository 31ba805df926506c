"""Which data set, with which options; loads nothing, so that a wrong call is answered at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rim.evaluation.datasets.names import DATASET_NAMES, FOLDER, MINIATURE
from schemas.errors import UsageError

DEFAULT_SPLIT = "val"
NO_SOURCE = "expected a BANK to label with, or --predictions DIR, found neither"
_OPTIONS = ("root", "split", "images", "masks", "classes", "ignore")
_NEEDED = {MINIATURE: (), FOLDER: ("images", "masks", "classes")}
_FURTHER = {MINIATURE: (), FOLDER: ("ignore",)}


@dataclass(frozen=True)
class DatasetChoice:
    """A data set with what it needs to be found; None where nothing was said.

    Attributes:
        name: one of `rim.evaluation.datasets.names.DATASET_NAMES`.
        root: of a benchmark.
        split: of a benchmark; by default the validation split.
        images, masks, classes, ignore: of `folder`.
        scenes, seed: of `miniature`.
        limit: only the first so many images.
    """

    name: str
    root: Path | None = None
    split: str | None = None
    images: Path | None = None
    masks: Path | None = None
    classes: Path | None = None
    ignore: int | None = None
    scenes: int = 100
    seed: int = 0
    limit: int | None = None

    def check(self) -> None:
        """UsageError for an unknown name, an option that is missing, or one of another data set."""
        if self.name not in DATASET_NAMES:
            from schemas.text import did_you_mean

            raise UsageError(
                f"no data set {self.name!r}{did_you_mean(self.name, DATASET_NAMES)}; data sets: "
                f"{', '.join(DATASET_NAMES)}"
            )
        needed = _NEEDED.get(self.name, ("root",))
        missing = [f"--{option}" for option in needed if getattr(self, option) is None]
        if missing:
            raise UsageError(f"--dataset {self.name} needs {', '.join(missing)}")
        allowed = (*needed, *_FURTHER.get(self.name, ("split",)))
        for option in _OPTIONS:
            if getattr(self, option) is not None and option not in allowed:
                raise UsageError(
                    f"--{option} says nothing about --dataset {self.name}; leave it out"
                )
        for what, number in (("scene", self.scenes), ("image (--limit)", self.limit)):
            if number is not None and number < 1:
                raise UsageError(f"expected at least one {what}, found {number}")
        if self.seed < 0:
            raise UsageError(f"expected a seed from 0, found {self.seed}")

    def identity(self) -> dict[str, str | int | None]:
        """What determines its classes and truths beside its files; the limit and the number of
        scenes only say how far it goes.
        """
        if self.name == MINIATURE:
            return {"name": self.name, "seed": self.seed}
        if self.name == FOLDER:
            return {"name": self.name, "ignore": self.ignore}
        return {"name": self.name, "split": self.split or DEFAULT_SPLIT}
