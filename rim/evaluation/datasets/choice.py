"""The names of the data sets, and the choice of one with its options.

It loads nothing, so that help is fast and a wrong call is answered at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.errors import UsageError

MINIATURE: Final = "miniature"
FOLDER: Final = "folder"
BENCHMARKS: Final = (
    "voc20",
    "voc21",
    "context59",
    "context60",
    "context459",
    "ade150",
    "ade847",
    "coco-object",
    "coco-stuff",
)
DATASET_NAMES: Final = (MINIATURE, *BENCHMARKS, FOLDER)

DEFAULT_SPLIT = "val"
NO_SOURCE = "expected a BANK to label with, or --predictions DIR, found neither"
_OPTIONS = ("root", "split", "images", "masks", "classes", "ignore")
_NEEDED = {MINIATURE: (), FOLDER: ("images", "masks", "classes")}
_FURTHER = {MINIATURE: (), FOLDER: ("ignore",)}


@dataclass(frozen=True)
class DatasetChoice:
    """A data set with the options that say where it is; None where nothing was said.

    Attributes:
        name: one of DATASET_NAMES.
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
        """Checks the options against the data set.

        Raises UsageError for an unknown name, an option that is missing, or one of another data
        set.
        """
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
        """The options that determine its classes and truths, as plain JSON data.

        The limit and the number of scenes are not among them: they only say how many images of it
        are scored.
        """
        if self.name == MINIATURE:
            return {"name": self.name, "seed": self.seed}
        if self.name == FOLDER:
            return {"name": self.name, "ignore": self.ignore}
        return {"name": self.name, "split": self.split or DEFAULT_SPLIT}
