"""Mask proposals: what SAM finds in a photo when it is prompted by a grid of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from foundation.interfaces import ImageEmbedding, MaskCandidates, Segmenter
    from schemas.settings import Proposals

_NMS_BLOCK = 64
_PIXELS_AT_ONCE = 1 << 25  # 128 MB of float32 masks in one matrix product
_LARGEST_HALF = 60000.0


@dataclass(frozen=True)
class MaskProposals:
    """The proposals of one photo at SAM's low resolution, best predicted quality first.

    Attributes:
        masks: (n, h, w) bool; the whole photo is (h, w), without SAM's padding.
        logits: (n, h', w') float16 on SAM's device, above 0 = mask; with the padding's first row
            and column where there is one, which `SamSegmenter.working_logits` needs.
        quality: (n,) float32, predicted IoU.
        stability: (n,) float32, see `stability_score`.
    """

    masks: NDArray[np.bool_]
    logits: torch.Tensor
    quality: NDArray[np.float32]
    stability: NDArray[np.float32]

    def united_logits(self, groups: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """(m, h', w') float32 logits of the union of each group of proposals: their maximum."""
        united = [self.logits[list(group)].float().amax(dim=0) for group in groups]
        return torch.stack(united) if united else self.logits[:0].float()


@torch.no_grad()
def propose(segmenter: Segmenter, embedding: ImageEmbedding, settings: Proposals) -> MaskProposals:
    """Proposes masks: prompts SAM with a grid of points, keeps good masks, drops near-duplicates.

    As segment-anything's automatic mask generator, with two differences [ours]: everything happens
    at the low resolution of SAM's logits, so that only what survives is ever upsampled (a
    candidate at full size costs the whole photo), and duplicates are told by the IoU of masks
    instead of boxes. A mask is kept if its predicted IoU is above `min_quality`, its stability at
    least `min_stability` and its area at least `min_area` of the photo.

    At most 3 * grid^2 masks are held, in half precision: 0.4 GB for 32 points a side and SAM's
    256 x 256 logits, of which a photo usually keeps less than half.

    Args:
        segmenter: `foundation.sam.SamSegmenter`.
        embedding: of the photo.
        settings: the section `proposals`.
    """
    points = point_grid(settings.grid, embedding.original_size)
    parts = [
        _good_masks(segmenter.predict(embedding, chunk[:, None]), embedding.logit_size, settings)
        for chunk in _chunks(points, settings.points_per_batch)
    ]
    logits = torch.cat([part[0] for part in parts])
    quality = torch.cat([part[1] for part in parts])
    stability = torch.cat([part[2] for part in parts])
    order = torch.argsort(quality, descending=True, stable=True)
    masks = _on_photo(logits, embedding.logit_size) > 0
    chosen = mask_nms(masks, order, settings.nms)
    return MaskProposals(
        masks=masks[chosen].cpu().numpy(),
        logits=logits[chosen],
        quality=quality[chosen].cpu().numpy(),
        stability=stability[chosen].cpu().numpy(),
    )


def point_grid(side: int, size: tuple[int, int]) -> NDArray[np.float64]:
    """Computes the centres of side x side equal rectangles laid over the photo.

    Args:
        side: points along each side.
        size: (height, width) of the photo.

    Returns:
        (side^2, 2), (x, y) in pixels with pixel centres at integers, row by row.
    """
    middles = (np.arange(side) + 0.5) / side
    y, x = np.meshgrid(middles * size[0] - 0.5, middles * size[1] - 0.5, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def stability_score(logits: torch.Tensor, offset: float) -> torch.Tensor:
    """Computes how little a mask depends on its threshold [segment-anything].

    It is the IoU of the logits above +offset and those above -offset: the first mask lies inside
    the second, so it is a ratio of areas.

    Args:
        logits: (..., h, w), above 0 where the mask is.
        offset: above 0.

    Returns:
        (...) float32 in [0, 1]; 0 if both are empty.
    """
    inner = (logits > offset).sum(dim=(-2, -1), dtype=torch.float32)
    outer = (logits > -offset).sum(dim=(-2, -1), dtype=torch.float32)
    return inner / outer.clamp(min=1)


def mask_nms(masks: torch.Tensor, order: torch.Tensor, threshold: float) -> torch.Tensor:
    """Drops near-duplicates: greedy non-maximum suppression by the IoU of masks.

    Visits the masks in the given order and keeps each whose IoU with every kept one is at most
    the threshold. Done in blocks, so that nearly all IoUs come from a few matrix products.

    Args:
        masks: (n, h, w) bool, none empty.
        order: (n,) indices, best first.
        threshold: in [0, 1].

    Returns:
        (k,) int64 indices of the kept masks, best first.
    """
    flat = masks.flatten(1)
    kept = [order[:0]]
    while order.numel():
        block, order = order[:_NMS_BLOCK], order[_NMS_BLOCK:]
        overlaps = (_iou(flat, block, block) > threshold).cpu().numpy()
        chosen: list[int] = []
        for row in range(len(block)):
            if not overlaps[row, chosen].any():
                chosen.append(row)
        block = block[chosen]
        kept.append(block)
        order = order[(_iou(flat, block, order) <= threshold).all(dim=0)]
    return torch.cat(kept)


def _good_masks(
    candidates: MaskCandidates, logit_size: tuple[int, int], settings: Proposals
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (k, h', w') float16, quality (k,) and stability (k,) of those that pass."""
    logits, quality = candidates.logits.flatten(0, 1), candidates.predicted_iou.flatten()
    good = quality > settings.min_quality
    logits, quality = logits[good], quality[good]
    on_photo = _on_photo(logits, logit_size)
    stability = stability_score(on_photo, settings.stability_offset)
    area = (on_photo.half() > 0).sum(dim=(-2, -1))
    smallest = max(1.0, settings.min_area * logit_size[0] * logit_size[1])
    good = (stability >= settings.min_stability) & (area >= smallest)
    half = logits[good].clamp(-_LARGEST_HALF, _LARGEST_HALF).half()
    return half, quality[good].float(), stability[good]


def _on_photo(logits: torch.Tensor, logit_size: tuple[int, int]) -> torch.Tensor:
    """(..., h, w): the logits without SAM's padding."""
    return logits[..., : logit_size[0], : logit_size[1]]


def _iou(flat: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """(r, c) IoU of masks (n, pixels), by matrix products of bounded size."""
    first = flat[rows].float()
    area = first.sum(dim=1)
    parts = [torch.empty((len(rows), 0), device=flat.device)]
    for chunk in torch.split(columns, max(1, _PIXELS_AT_ONCE // max(1, flat.shape[1]))):
        second = flat[chunk].float()
        shared = first @ second.T
        parts.append(shared / (area[:, None] + second.sum(dim=1) - shared))
    return torch.cat(parts, dim=1)


def _chunks(points: NDArray[np.float64], size: int) -> list[NDArray[np.float64]]:
    return [points[start : start + size] for start in range(0, len(points), size)]
