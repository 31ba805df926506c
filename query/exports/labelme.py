"""Format `labelme`: NAME.labelme.json, polygons to correct by hand in LabelMe."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from foundation.images.masks import decode_rle
from foundation.images.reading import encode_png
from query.exports.base import ResultFile, Target, write_object
from query.result import LabelledPhoto

VERSION = "5.5.0"
LEAST_PIXELS = 9
"""Smaller pieces are left out: nobody corrects specks by hand."""

_NO_REGION = -1


def labelme_path(name: str) -> str:
    """The polygons' file."""
    return f"{name}.labelme.json"


def encode_labelme(result: LabelledPhoto, target: Target) -> list[ResultFile]:
    """Makes NAME.labelme.json, as LabelMe 5 reads it.

    Shapes come from the final label map, so they do not overlap: pixels that a region lost to
    others are not in its polygons. A pixel belongs to the largest region of its category that
    covers it; each connected piece (by sides) of a region's pixels, if it has at least
    LEAST_PIXELS, is one polygon with the category as its label. `group_id` is the region's number
    in NAME.json, from 0, and joins its pieces; pixels that got their label without a region have
    none. Points are x and y in pixels, see `query.exports.polygons.piece_polygon` for holes and
    accuracy.

    `imagePath` leads from the output folder to the photo. Without a photo in a file the pixels are
    put into `imageData`.
    """
    height, width = result.label_map.shape
    if target.photo is None:
        path, data = f"{target.name}.png", _base64_png(result.image)
    else:
        path, data = _relative(target), None
    file = io.BytesIO()
    write_object(
        file,
        {
            "version": VERSION,
            "flags": {},
            "shapes": _shapes(result),
            "imagePath": path,
            "imageData": data,
            "imageHeight": height,
            "imageWidth": width,
        },
    )
    return [ResultFile(labelme_path(target.name), file.getvalue())]


def _shapes(result: LabelledPhoto) -> Iterator[dict[str, Any]]:
    from query.exports.polygons import piece_polygon

    for category_id, region, top, left, piece in _pieces(result):
        points = piece_polygon(piece) + np.array((left, top))
        score = "" if region is None else f"score {result.regions[region].score:.3f}"
        yield {
            "label": result.category_names[category_id],
            "points": np.round(points, 2).tolist(),
            "group_id": region,
            "description": score,
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }


def _pieces(
    result: LabelledPhoto,
) -> Iterator[tuple[int, int | None, int, int, NDArray[np.bool_]]]:
    """Category, region, top, left and mask of each piece, by category and region."""
    labels, owners = result.label_map, _owners(result)
    for category_id in np.unique(labels[labels >= 0]).tolist():
        for owner in np.unique(owners[labels == category_id]).tolist():
            region = None if owner == _NO_REGION else owner
            box = (0, 0, *labels.shape[::-1]) if region is None else result.regions[owner].box
            x, y, width, height = box
            part = slice(y, y + height), slice(x, x + width)
            numbered, _ = ndimage.label((labels[part] == category_id) & (owners[part] == owner))
            sizes = np.bincount(numbered.ravel())
            for number, (rows, columns) in enumerate(ndimage.find_objects(numbered), start=1):
                if sizes[number] >= LEAST_PIXELS:
                    piece = numbered[rows, columns] == number
                    yield category_id, region, y + rows.start, x + columns.start, piece


def _owners(result: LabelledPhoto) -> NDArray[np.int32]:
    """(H, W) the number of the largest region of the pixel's own category, _NO_REGION without."""
    owners = np.full(result.label_map.shape, _NO_REGION, np.int32)
    regions = result.regions
    # The largest is painted last; of equal ones the better, which comes first.
    for number in sorted(range(len(regions)), key=lambda i: (regions[i].area, -i)):
        mask = decode_rle(regions[number].rle)
        owners[mask & (result.label_map == regions[number].category_id)] = number
    return owners


def _relative(target: Target) -> str:
    photo = os.path.abspath(str(target.photo))
    try:
        return os.path.relpath(photo, os.path.abspath(target.folder)).replace(os.sep, "/")
    except ValueError:  # on another drive
        return photo


def _base64_png(image: NDArray[np.uint8]) -> str:
    return base64.b64encode(encode_png(image)).decode("ascii")
