"""Results by hand and by chance, and runs over them, for the tests of the exports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from foundation.images.masks import encode_rle, mask_box
from query.exports.base import FinishedRun, ResultFile, RunPhoto, Target
from query.exports.stored_photo import FileMark, PhotoMark, StoredPhoto
from query.result import NearReference, Region
from query.segmentation import Segmentation
from schemas.ids import pack_image_id

NAMES = {0: "fish", 2: "grün, <b>", 3: "house"}
"""Category 1 was removed."""
MARK = PhotoMark(size=1, mtime_ns=2, sha256="0" * 64)


def region(mask: np.ndarray, category_id: int, score: float) -> Region:
    """A region with two references."""
    references = tuple(
        NearReference(pack_image_id(category_id, "diffusion", number), NAMES[category_id], 0.5)
        for number in (3, 1)
    )
    area = int(mask.sum())
    rle = encode_rle(mask)
    name = NAMES[category_id]
    return Region(name, category_id, score, 0.25, area, mask_box(mask), rle, references)


def segmentation(
    labels: np.ndarray, regions: Sequence[Region] = (), names: Mapping[int, str] = NAMES
) -> Segmentation:
    """A result over a grey photo."""
    image = np.full((*labels.shape, 3), 100, np.uint8)
    return Segmentation(image, labels.astype(np.int32), tuple(regions), names, 7)


def blob(
    random: np.random.Generator, size: tuple[int, int], share: float = 0.4, coarse: float = 1
) -> np.ndarray:
    """A bool mask of some odd pieces with holes."""
    field = ndimage.gaussian_filter(random.random(size), coarse * random.uniform(1, 3))
    return np.asarray(field > np.quantile(field, 1 - share))


def random_result(
    seed: int, size: tuple[int, int] = (40, 60), number: int = 5, coarse: float = 1
) -> Segmentation:
    """Overlapping regions of all categories, pixels that only the label map has, and unlabelled."""
    random = np.random.default_rng(seed)
    ids = list(NAMES)
    labels = np.full(size, -1, np.int32)
    labels[blob(random, size, coarse=coarse)] = 2
    regions = []
    for i in range(number):
        mask = blob(random, size, coarse=coarse)
        category_id = ids[i % len(ids)]
        labels[mask & blob(random, size, 0.7, coarse)] = category_id
        regions.append(region(mask, category_id, 1 - i / 7))
    return segmentation(labels, regions)


def finished(
    folder: Path, results: Sequence[Segmentation], files: Sequence[Sequence[str]] = ()
) -> FinishedRun:
    """A run over photos a0, a1, ... in folders of their own."""
    mark = FileMark(size=0, mtime_ns=0)
    of = files or [()] * len(results)

    def photos() -> Iterator[RunPhoto]:
        for i, result in enumerate(results):
            stored = StoredPhoto.of(result, MARK).with_files(dict.fromkeys(of[i], mark))
            yield RunPhoto(i + 1, f"a{i}", f"day {i}/a{i}.jpg", stored)

    return FinishedRun(folder, NAMES, 7, photos)


def write(folder: Path, files: Sequence[ResultFile]) -> list[Path]:
    """The files of a photo, written; their paths."""
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(file.data)
    return [folder / file.path for file in files]


def target(folder: Path, photo: Path | None = None) -> Target:
    """A photo of the name "a0"."""
    return Target(folder, "a0", photo)
