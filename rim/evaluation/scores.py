"""Confusion matrix of a whole data set, and the scores that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from rim.html import html_table
from schemas.errors import UsageError
from schemas.ids import UNLABELLED


class FailureJson(TypedDict):
    """An image that was left out, in the form of `Scores.to_dict`."""

    image: str
    error: str


class ScoresJson(TypedDict):
    """The form of `Scores.to_dict`; the names are fixed."""

    miou: float | None
    pixel_accuracy: float | None
    mean_accuracy: float | None
    fw_iou: float | None
    per_class: dict[str, float | None]
    missing: list[str]
    failed: list[FailureJson]
    images: int
    pixels: int


@dataclass(frozen=True)
class Failure:
    """An image that could not be scored and is left out. name: the image's; error: why."""

    name: str
    error: str


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class; fractions lie in [0, 1].

    Attributes:
        name: of the class.
        iou: intersection over union; NaN for a class in neither truth nor prediction.
        accuracy: correct fraction of the class's pixels in the truth; NaN if there is none.
        truth_pixels, predicted_pixels, intersection: counts, ignored pixels left out.
        missing: whether nothing could predict the class, for want of a category.
    """

    name: str
    iou: float
    accuracy: float
    truth_pixels: int
    predicted_pixels: int
    intersection: int
    missing: bool


@dataclass(frozen=True)
class Scores:
    """The scores of a data set, each in [0, 1]; NaN if the truth had no pixel to score.

        scores = rim.evaluate("bank", "miniature")
        scores.miou, scores.per_class["house"]

    Attributes:
        miou: mean IoU of the classes that occur in the truth or the prediction.
        pixel_accuracy: correct pixels of all pixels.
        mean_accuracy: mean over the classes in the truth of their correct fraction.
        fw_iou: IoU weighted by the class's share of the truth.
        classes: by class, in the order of the labels.
        failed: images that could not be read; they do not count anywhere else here.
        images, pixels: how many were scored, ignored pixels left out.
    """

    miou: float
    pixel_accuracy: float
    mean_accuracy: float
    fw_iou: float
    classes: tuple[ClassScores, ...]
    failed: tuple[Failure, ...]
    images: int
    pixels: int

    @property
    def per_class(self) -> dict[str, float]:
        """IoU by class name; NaN for a class in neither truth nor prediction."""
        return {one.name: one.iou for one in self.classes}

    @property
    def missing(self) -> tuple[str, ...]:
        """Classes that the bank does not have and therefore cannot predict."""
        return tuple(one.name for one in self.classes if one.missing)

    def _repr_html_(self) -> str:
        """The scores as a table, for a notebook."""
        head = ["mIoU", "pixel accuracy", "mean accuracy", "frequency-weighted IoU", "images"]
        whole = (self.miou, self.pixel_accuracy, self.mean_accuracy, self.fw_iou, self.images)
        left_out = f"{len(self.failed)} images left out." if self.failed else ""
        rows = []
        for one in self.classes:
            name = f"{one.name} (missing)" if one.missing else one.name
            rows.append((name, one.iou, one.accuracy, one.truth_pixels, one.predicted_pixels))
        columns = ["class", "IoU", "accuracy", "truth", "predicted"]
        return html_table(head, [whole]) + html_table(columns, rows, left_out)

    def to_dict(self) -> ScoresJson:
        """The scores for JSON, null instead of NaN."""
        return {
            "miou": or_none(self.miou),
            "pixel_accuracy": or_none(self.pixel_accuracy),
            "mean_accuracy": or_none(self.mean_accuracy),
            "fw_iou": or_none(self.fw_iou),
            "per_class": {name: or_none(iou) for name, iou in self.per_class.items()},
            "missing": list(self.missing),
            "failed": [{"image": one.name, "error": one.error} for one in self.failed],
            "images": self.images,
            "pixels": self.pixels,
        }


class ConfusionMatrix:
    """Counts of pixels by true and predicted class, over as many images as are given.

    Pixels whose truth is the ignore label do not count at all, whatever was predicted there. An
    unlabelled prediction (-1) is an error: it counts for the true class and for no predicted one.

    Attributes:
        counts: (C, C + 1) int64, [true class, predicted class]; the last column is unlabelled.
        images: number of updates.
    """

    def __init__(self, num_classes: int, ignore: int = -1) -> None:
        """Raises UsageError if there is no class, or `ignore` is one."""
        if num_classes < 1:
            raise UsageError(f"expected at least one class, found {num_classes}")
        if 0 <= ignore < num_classes:
            raise UsageError(
                f"expected an ignore label outside 0..{num_classes - 1}, found {ignore}"
            )
        self.num_classes = num_classes
        self.ignore = ignore
        self.counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
        self.images = 0

    def update(self, prediction: npt.ArrayLike, truth: npt.ArrayLike) -> None:
        """Counts one image; arguments and errors are those of `count`."""
        self.counts += self.count(prediction, truth)
        self.images += 1

    def count(self, prediction: npt.ArrayLike, truth: npt.ArrayLike) -> NDArray[np.int64]:
        """The counts of one image alone, (C, C + 1) int64, not yet added to `counts`.

        Args:
            prediction: integers of any shape, a class 0..C-1 or -1 for unlabelled.
            truth: the same shape, a class or the ignore label.

        Raises UsageError for different shapes and for anything but these integers.
        """
        predicted, true = np.asarray(prediction), np.asarray(truth)
        if predicted.shape != true.shape:
            raise UsageError(
                f"expected a prediction of the truth's size {true.shape}, found {predicted.shape}"
            )
        for what, labels in (("prediction", predicted), ("truth", true)):
            if labels.dtype.kind not in "iu":
                raise UsageError(f"expected integers in the {what}, found {labels.dtype}")
        scored = true != self.ignore
        predicted, true = predicted[scored].astype(np.int64), true[scored].astype(np.int64)
        self._check("truth", true, 0)
        self._check("prediction", predicted, UNLABELLED)
        width = self.num_classes + 1
        column = np.where(predicted == UNLABELLED, self.num_classes, predicted)
        pairs = np.bincount(true * width + column, minlength=self.num_classes * width)
        return pairs.reshape(self.num_classes, width)

    def scores(
        self,
        class_names: Sequence[str],
        missing: Sequence[str] = (),
        failed: Sequence[Failure] = (),
    ) -> Scores:
        """The scores; `class_names` are unique, in the order of the labels."""
        if len(set(class_names)) != self.num_classes or len(class_names) != self.num_classes:
            raise UsageError(
                f"expected {self.num_classes} different class names, found {len(class_names)}"
                f" of which {len(set(class_names))} are different"
            )
        correct = np.diagonal(self.counts).astype(np.float64)
        true, predicted = self.counts.sum(axis=1), self.counts[:, :-1].sum(axis=0)
        union = true + predicted - correct
        iou, accuracy = np.full(self.num_classes, np.nan), np.full(self.num_classes, np.nan)
        np.divide(correct, union, out=iou, where=union > 0)
        np.divide(correct, true, out=accuracy, where=true > 0)
        total = int(true.sum())
        in_truth = true > 0
        nan = float("nan")
        return Scores(
            miou=float(iou[union > 0].mean()) if total else nan,
            pixel_accuracy=float(correct.sum() / total) if total else nan,
            mean_accuracy=float(accuracy[in_truth].mean()) if total else nan,
            fw_iou=float((true[in_truth] * iou[in_truth]).sum() / total) if total else nan,
            classes=tuple(
                ClassScores(
                    name=name,
                    iou=float(iou[i]),
                    accuracy=float(accuracy[i]),
                    truth_pixels=int(true[i]),
                    predicted_pixels=int(predicted[i]),
                    intersection=int(correct[i]),
                    missing=name in missing,
                )
                for i, name in enumerate(class_names)
            ),
            failed=tuple(failed),
            images=self.images,
            pixels=total,
        )

    def _check(self, what: str, labels: NDArray[np.int64], smallest: int) -> None:
        if labels.size and not (smallest <= labels.min() and labels.max() < self.num_classes):
            raise UsageError(
                f"expected labels from {smallest} to {self.num_classes - 1} in the {what}, found"
                f" {labels.min()} to {labels.max()}"
            )


def or_none(score: float) -> float | None:
    """The score, None for NaN."""
    return None if np.isnan(score) else score
