"""One reference image: from the picture to its row in the bank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bank_builder.centre_prior import centre_points
from bank_builder.gates import BLACK_IMAGE, given_mask_reason, localisation_reason, mask_reason
from bank_builder.localise import Localisation, localise, min_max_scaled
from bank_builder.points import sample_points
from bank_builder.reference_mask import ReferenceMask, segment_photo, segment_reference
from bank_builder.source_image import Origin, SourceImage
from bank_builder.stage_clock import StageClock
from foundation.images.masks import encode_rle, mask_area_fraction
from foundation.images.pooling import pool_regions
from foundation.images.reading import encode_png
from foundation.interfaces import Segmenter
from schemas.settings import Settings
from schemas.tables import ReferenceRow


@dataclass(frozen=True)
class Examined:
    """A picture with what was found in it; None for what was not looked for.

    reason: why the image is rejected, None if it is a good reference. points: int32 (n, 2), (x, y).
    """

    picture: SourceImage
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
    picture: SourceImage,
    segmenter: Segmenter,
    settings: Settings,
    clock: StageClock,
) -> Examined:
    """Find the category in its picture, and judge whether the picture is a good reference.

    What is known of the picture says how. A person's mask is used as it is. Cross-attention is
    localised and segmented. Without either, the category is sought in the middle. An image that the
    safety checker blacked out is not looked at.
    """
    if picture.flagged:
        return Examined(picture, BLACK_IMAGE)
    if picture.mask is not None:
        given = ReferenceMask(picture.mask)
        return Examined(picture, given_mask_reason(given), reference=given)
    if picture.attention is not None:
        return _examine_attention(picture, picture.attention, segmenter, settings, clock)
    return _examine_middle(picture, segmenter, settings, clock)


def _examine_attention(
    picture: SourceImage,
    attention: NDArray[np.float32],
    segmenter: Segmenter,
    settings: Settings,
    clock: StageClock,
) -> Examined:
    height, width = picture.image.shape[:2]
    with clock.stage("localise"):
        found = localise(attention, (height, width), settings.localisation)
        points = sample_points(found.binary, settings.localisation.points, found.scaled)
    reason = localisation_reason(found)
    if reason is not None:
        return Examined(picture, reason, found, points)
    with clock.stage("segment"):
        reference = segment_reference(segmenter, picture.image, found, points, settings.reference)
    reason = mask_reason(reference, found, settings.reference)
    return Examined(picture, reason, found, points, reference)


def _examine_middle(
    picture: SourceImage, segmenter: Segmenter, settings: Settings, clock: StageClock
) -> Examined:
    height, width = picture.image.shape[:2]
    with clock.stage("localise"):
        points = centre_points((height, width), settings.localisation.points)
    with clock.stage("segment"):
        reference = segment_photo(segmenter, picture.image, points, settings.reference)
    reason = mask_reason(reference, None, settings.reference)
    return Examined(picture, reason, None, points, reference)


def pool_reference(
    tokens: NDArray[np.float32], mask: NDArray[np.bool_], min_area: float
) -> RegionFeatures:
    """The feature of a reference's mask and, as a negative, of all the rest [peer: OVDiff].

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

    The attention map is kept at its own resolution, min-max scaled to 0..255.
    """
    found, reference = examined.localisation, examined.reference
    picture, attention = examined.picture, examined.picture.attention
    rle = None if reference is None else encode_rle(reference.mask)
    return ReferenceRow(
        **vars(origin),
        status="accepted" if examined.reason is None else "rejected",
        reason=examined.reason,
        width=picture.image.shape[1],
        height=picture.image.shape[0],
        mask=rle,
        mask_area=None if reference is None else mask_area_fraction(reference.mask),
        sam_score=None if reference is None else reference.score,
        attention_agreement=None if reference is None else reference.agreement,
        contrast=None if found is None else found.contrast,
        points=examined.points,
        png=encode_png(picture.image),
        attention=None if found is None or attention is None else _attention_png(attention),
        foreground=features.foreground,
        background=features.background,
    )


def failed_row(origin: Origin, reason: str, picture: SourceImage | None = None) -> ReferenceRow:
    """The row of an image that could not be made, or not be looked at (`picture`)."""
    return ReferenceRow(
        **vars(origin),
        status="failed",
        reason=reason,
        width=None if picture is None else picture.image.shape[1],
        height=None if picture is None else picture.image.shape[0],
        png=None if picture is None else encode_png(picture.image),
    )


def _attention_png(attention: NDArray[np.float32]) -> bytes:
    return encode_png(np.rint(min_max_scaled(attention) * 255).astype(np.uint8))
