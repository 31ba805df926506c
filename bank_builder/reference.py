"""One reference image: finds the category in it, pools its features, and makes its row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.localise import Localisation, localise, min_max_scaled
from bank_builder.points import centre_points, sample_points
from bank_builder.reference_mask import (
    BLACK_IMAGE,
    ReferenceMask,
    given_mask_reason,
    localisation_reason,
    mask_reason,
    segment_photo,
    segment_reference,
)
from bank_builder.report import StageClock
from bank_builder.sources.base import Origin, SourceImage
from foundation.images.masks import encode_rle, mask_area_fraction
from foundation.images.pooling import pool_regions
from foundation.images.reading import encode_png
from foundation.interfaces import Segmenter
from schemas.settings import Settings
from schemas.tables import ReferenceRow


@dataclass(frozen=True)
class Examined:
    """An image with what was found in it; None for what was not looked for.

    reason: why the image is rejected, None if it is a good reference. points: int32 (n, 2), (x, y).
    """

    image: SourceImage
    reason: str | None
    localisation: Localisation | None = None
    points: NDArray[np.int32] | None = None
    reference: ReferenceMask | None = None


@dataclass(frozen=True)
class RegionFeatures:
    """The features of one image's two regions, float32 (d,), L2-normalised; None = no feature."""

    foreground: NDArray[np.float32] | None = None
    background: NDArray[np.float32] | None = None


def examine(
    image: SourceImage,
    segmenter: Segmenter,
    settings: Settings,
    clock: StageClock,
) -> Examined:
    """Finds the category in an image, and decides whether the image is a good reference.

    What is known of the image says how. A person's mask is used as it is. Cross-attention is
    localised and segmented. Without either, the category is sought in the middle. An image that the
    safety checker blacked out is not looked at.
    """
    if image.flagged:
        return Examined(image, BLACK_IMAGE)
    if image.mask is not None:
        given = ReferenceMask(image.mask)
        return Examined(image, given_mask_reason(given), reference=given)
    if image.attention is not None:
        return _examine_attention(image, image.attention, segmenter, settings, clock)
    return _examine_middle(image, segmenter, settings, clock)


def _examine_attention(
    image: SourceImage,
    attention: NDArray[np.float32],
    segmenter: Segmenter,
    settings: Settings,
    clock: StageClock,
) -> Examined:
    height, width = image.pixels.shape[:2]
    with clock.stage("localise"):
        found = localise(attention, (height, width), settings.localisation)
        points = sample_points(found.binary, settings.localisation.points, found.scaled)
    reason = localisation_reason(found)
    if reason is not None:
        return Examined(image, reason, found, points)
    with clock.stage("segment"):
        reference = segment_reference(segmenter, image.pixels, found, points, settings.reference)
    reason = mask_reason(reference, found, settings.reference)
    return Examined(image, reason, found, points, reference)


def _examine_middle(
    image: SourceImage, segmenter: Segmenter, settings: Settings, clock: StageClock
) -> Examined:
    height, width = image.pixels.shape[:2]
    with clock.stage("localise"):
        points = centre_points((height, width), settings.localisation.points)
    with clock.stage("segment"):
        reference = segment_photo(segmenter, image.pixels, points, settings.reference)
    reason = mask_reason(reference, None, settings.reference)
    return Examined(image, reason, None, points, reference)


def pool_reference(
    tokens: NDArray[np.float32], mask: NDArray[np.bool_], min_area: float
) -> RegionFeatures:
    """Computes the feature of a reference's mask and, as a negative, of the rest [peer: OVDiff].

    A rest of less than `min_area` of the image is the mask's rim rather than a background and has
    no feature [ours].

    Args:
        tokens: float32 (gh, gw, d), the image's patch tokens.
        mask: bool (H, W).
        min_area: fraction of the image.

    Raises:
        ValueError: tokens that are not finite.
    """
    if not np.isfinite(tokens).all():
        raise ValueError("expected finite patch tokens, found others")
    features, valid = pool_regions(tokens, np.stack([mask, ~mask]))
    has_background = valid[1] and mask_area_fraction(~mask) >= min_area
    return RegionFeatures(
        foreground=features[0] if valid[0] else None,
        background=features[1] if has_background else None,
    )


def reference_row(origin: Origin, examined: Examined, features: RegionFeatures) -> ReferenceRow:
    """The row of an image that was made, accepted or rejected.

    The attention map is stored at its own resolution, min-max scaled to 0..255.
    """
    found, reference = examined.localisation, examined.reference
    image, attention = examined.image, examined.image.attention
    rle = None if reference is None else encode_rle(reference.mask)
    return ReferenceRow(
        **vars(origin),
        status="accepted" if examined.reason is None else "rejected",
        reason=examined.reason,
        width=image.pixels.shape[1],
        height=image.pixels.shape[0],
        mask=rle,
        mask_area=None if reference is None else mask_area_fraction(reference.mask),
        sam_score=None if reference is None else reference.score,
        attention_agreement=None if reference is None else reference.agreement,
        contrast=None if found is None else found.contrast,
        points=examined.points,
        png=encode_png(image.pixels),
        attention=None if found is None or attention is None else _attention_png(attention),
        foreground=features.foreground,
        background=features.background,
    )


def failed_row(origin: Origin, reason: str, image: SourceImage | None = None) -> ReferenceRow:
    """The row of an image that could not be made, or not be examined (`image`)."""
    return ReferenceRow(
        **vars(origin),
        status="failed",
        reason=reason,
        width=None if image is None else image.pixels.shape[1],
        height=None if image is None else image.pixels.shape[0],
        png=None if image is None else encode_png(image.pixels),
    )


def _attention_png(attention: NDArray[np.float32]) -> bytes:
    return encode_png(np.rint(min_max_scaled(attention) * 255).astype(np.uint8))
