"""Reading one photo, and the mask beside it, as a picture of the size that a bank keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bank_builder.source_image import SourceImage
from bank_builder.sources.listing import FoundPhoto, checksum
from foundation.images.image_file import open_image
from foundation.images.reading import read_image
from schemas.errors import ImageError

LONG_SIDE = 1024
"""A larger photo is stored with its long side at so many pixels [ours]: SAM sees no more than 1024,
the patch features less."""


def read_photo(photo: FoundPhoto) -> SourceImage:
    """A photo the way a viewer shows it, and its mask; both scaled down if they are large.

    The photo is scaled by averaging areas, the mask by nearest neighbours; the mask that SAM makes
    of a photo without one is made of the scaled photo.

    Raises:
        ImageError: photo or mask cannot be read, the mask's size is not the (upright) photo's, or a
            file is not the one that was listed. The message names the file relative to the folder
            of photos, so that a bank says the same wherever the folder is.
    """
    named = photo.record.file
    _check_unchanged(photo.path, photo.record.sha256, named)
    image = read_image(photo.path, named)
    mask = None
    if photo.mask is not None:
        _check_unchanged(photo.mask, photo.record.mask_sha256, f"the mask of {named}")
        mask = read_mask(photo.mask, (image.shape[0], image.shape[1]), f"the mask of {named}")
    return _kept(image, mask)


def read_mask(path: Path, size: tuple[int, int], named: str) -> NDArray[np.bool_]:
    """A mask's pixels: True where the file's are not black, and not wholly transparent.

    Args:
        path: a PNG of any kind.
        size: (height, width) that it must have.
        named: the file in messages.

    Raises:
        ImageError: it is no PNG, damaged, or of another size.
    """
    height, width = size
    with open_image(path, formats=("PNG",), what="mask", named=named) as picture:
        if picture.size == (width, height):
            return _not_black(picture)
        found = f"{picture.size[0]} x {picture.size[1]}"
    raise ImageError(
        f"{named}: expected the photo's size, {width} x {height} pixels, found {found}"
    )


def _not_black(picture: Image.Image) -> NDArray[np.bool_]:
    if picture.mode == "P" or picture.has_transparency_data:
        picture = picture.convert("RGBA")
    values: NDArray[np.bool_] = np.asarray(picture) != 0
    if picture.mode == "RGBA":
        values = values[..., :3] & values[..., 3:]
    return values if values.ndim == 2 else np.logical_or.reduce(values, axis=2)


def _kept(image: NDArray[np.uint8], mask: NDArray[np.bool_] | None) -> SourceImage:
    height, width = image.shape[:2]
    scale = LONG_SIDE / max(height, width)
    if scale >= 1:
        return SourceImage(image, mask)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smaller = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    if mask is None:
        return SourceImage(smaller)
    grey = Image.fromarray(mask.astype(np.uint8))
    return SourceImage(smaller, np.asarray(grey.resize(size, Image.Resampling.NEAREST)) > 0)


def _check_unchanged(path: Path, sha256: str | None, named: str) -> None:
    found = checksum(path)
    if found is None:
        raise ImageError(f"{named}: cannot be read")
    if found != sha256:
        raise ImageError(f"{named}: it has changed since the build began")
