"""Format `dataset`: photos and label maps as a folder that Hugging Face's `datasets` reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from foundation.images.image_file import open_image
from foundation.images.reading import encode_png
from query.exports.base import (
    FinishedRun,
    ResultFile,
    RunPhoto,
    Target,
    check_largest,
    json_bytes,
    label_of,
)
from query.exports.label_maps import LARGEST_LABEL
from query.exports.stored_photo import PLACEHOLDER
from query.result import LabelledPhoto
from schemas.errors import ImageError
from schemas.store.files import atomic_writer, write_atomic
from schemas.text import printable

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "dataset"
METADATA = f"{FOLDER}/metadata.jsonl"
CARD = f"{FOLDER}/README.md"
NAMES = f"{FOLDER}/id2label.json"

_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_ORIENTATION_TAG = 0x0112
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def image_paths(name: str) -> tuple[str, ...]:
    """The paths that the copy of a photo may have."""
    return tuple(f"{FOLDER}/images/{name}{suffix}" for suffix in _SUFFIXES.values())


def label_path(name: str) -> str:
    """The label map's file."""
    return f"{FOLDER}/labels/{name}.png"


def encode_pair(result: LabelledPhoto, target: Target) -> list[ResultFile]:
    """Makes dataset/images/NAME.jpg, .png or .webp, and dataset/labels/NAME.png.

    The image is the photo's own file where every reader shows it as it was labelled (JPEG, PNG or
    WebP, grey or RGB, one frame, not turned by EXIF), otherwise a PNG of the pixels that were
    labelled. The labels are 8 bits a pixel if all of the bank's fit, else 16: 0 unlabelled,
    otherwise category_id + 1.

    Raises OutputError if a category_id of the bank does not fit into 16 bits.
    """
    check_largest("a 16-bit label map", result.category_names, LARGEST_LABEL)
    in_8_bits = label_of(max(result.category_names, default=0)) <= 255
    labels = label_of(result.label_map.astype(np.int64))
    narrow = labels.astype(np.uint8) if in_8_bits else labels.astype(np.uint16)
    kind = None if target.photo is None else _plain_format(target.photo)
    if target.photo is None or kind is None:
        kind, image = "PNG", encode_png(result.image)
    else:
        image = target.photo.read_bytes()
    return [
        ResultFile(f"{FOLDER}/images/{target.name}{_SUFFIXES[kind]}", image),
        ResultFile(label_path(target.name), encode_png(narrow)),
    ]


def write_dataset(run: FinishedRun) -> None:
    """Writes what makes a data set of the pairs: `metadata.jsonl`, `id2label.json` and the card.

    `load_dataset("imagefolder", data_dir="DIR/dataset")` makes of each line of the metadata one
    row with `image` (of `file_name`), `label` (of `label_file_name`), `photo`, and `categories`,
    the names in the label map.
    """
    photos = 0
    seen: Counter[int] = Counter()
    pixels: Counter[int] = Counter()
    with atomic_writer(run.folder / METADATA) as file:
        for photo in run.photos():
            file.write(json_bytes(_row(photo, run.names)) + b"\n")
            photos += 1
            for label in photo.stored.labels:
                seen[label.category_id] += 1
                pixels[label.category_id] += label.area
    id2label = {0: "unlabelled", **{label_of(i): name for i, name in run.names.items()}}
    write_atomic(run.folder / NAMES, json_bytes(id2label, indent=1) + b"\n")
    card = _card(photos, run, [(i, seen[i], pixels[i]) for i in run.names])
    write_atomic(run.folder / CARD, card.encode("utf-8"))


def _row(photo: RunPhoto, names: Mapping[int, str]) -> dict[str, object]:
    possible = zip(image_paths(PLACEHOLDER), image_paths(photo.name), strict=True)
    image = next(path for mark, path in possible if mark in photo.stored.files)
    return {
        "file_name": image.removeprefix(f"{FOLDER}/"),
        "label_file_name": label_path(photo.name).removeprefix(f"{FOLDER}/"),
        "photo": photo.file_name,
        "categories": [names[label.category_id] for label in photo.stored.labels],
    }


def _card(photos: int, run: FinishedRun, counts: list[tuple[int, int, int]]) -> str:
    size = next((words for most, words in _SIZES if photos < most), "n>1M")
    title = f"{photos} photos labelled with {len(run.names)} categories"
    lines = [
        "---",
        f"pretty_name: {json.dumps(title)}",
        "task_categories:",
        "- image-segmentation",
        "size_categories:",
        f"- {size}",
        "dataset_info:",
        "  features:",
        "  - name: image",
        "    dtype: image",
        "  - name: label",
        "    dtype: image",
        "  - name: photo",
        "    dtype: string",
        "  - name: categories",
        "    sequence: string",
        "---",
        "",
        f"# {title}",
        "",
        f"Labelled by rim with version {run.bank_version} of its bank, without training and without"
        " human labels; nobody has checked them.",
        "",
        "```python",
        "from datasets import load_dataset",
        'data = load_dataset("imagefolder", data_dir="dataset", split="train")',
        "```",
        "",
        "| column | holds |",
        "|---|---|",
        "| `image` | the photo |",
        "| `label` | a picture of the same size; each pixel is a label of the table below |",
        "| `photo` | the photo's file, relative to the folder that all photos were in |",
        "| `categories` | the names in `label` |",
        "",
        "`id2label.json` has the names by label. Label 0 is unlabelled.",
        "",
        "| label | category | photos | pixels |",
        "|---:|---|---:|---:|",
        *(
            f"| {label_of(i)} | {_cell(run.names[i])} | {seen:,} | {pixels:,} |"
            for i, seen, pixels in counts
        ),
    ]
    return "\n".join(lines) + "\n"


def _cell(name: str) -> str:
    """Escapes a name for a table, so that it is no mark-up."""
    return "".join(f"\\{one}" if one in "\\`*_[]<>|&" else one for one in printable(name))


def _plain_format(photo: Path) -> str | None:
    """The format of a photo that every reader shows alike; None for one that needs a new file."""
    try:
        with open_image(photo, formats=tuple(_SUFFIXES)) as image:
            alike = (
                image.mode in ("RGB", "L")
                and not image.has_transparency_data
                and getattr(image, "n_frames", 1) == 1
                and image.getexif().get(_ORIENTATION_TAG, 1) == 1
            )
            return image.format if alike and image.format in _SUFFIXES else None
    except ImageError:
        return None
