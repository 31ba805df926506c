"""Which mask proposals make up one region (Eq. 1), with a guard for masks that hold objects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BORDER = 0.02
"""A mask reaches a side of the photo if it has a pixel in this outermost fraction of it."""

OBJECT_AREA = 0.04
"""From this fraction of the photo on, a contained mask may be an object that stands alone."""

PARTS_FILL = 1 / 3
"""Parts make up at least this fraction of their whole; objects leave more of their ground open."""

DISJOINT = 0.1
"""Two masks are apart if they share no more than this fraction of the smaller one."""


def fuse_masks(
    masks: NDArray[np.bool_], *, threshold: float = 0.9, max_fused_area: float = 0.5
) -> tuple[tuple[int, ...], ...]:
    """Groups the proposals that are parts of one another, e.g. "T-shirt" and "person".

    Eq. 1 of the RIM supplement [paper]: M1 and M2 are merged if

        area(M1 and M2) / min(area M1, area M2) > threshold.

    The paper states neither an order nor whether merging is transitive, and has no guard against
    a mask that contains everything. What is done here [ours]:

    1. Empty masks are dropped.
    2. Containers are set apart (see `find_containers`). They stay regions of their own and merge
       with nothing, so a meadow never swallows the animals on it; where a container and a mask
       inside it are both regions, the better match wins the pixel later.
    3. The others are visited from the largest to the smallest (equal areas: in the given order).
       A mask that fulfils Eq. 1 with an earlier *whole* joins it, the one that holds most of it,
       equally held: the smaller one; otherwise it becomes a whole itself. Eq. 1 is asked of the
       whole as proposed, not of the growing union, and is not transitive: two objects that share
       a sliver stay apart although the sliver belongs to both.
    4. A region's mask is the union of its members, see `MaskProposals.united_logits`.

    Args:
        masks: (n, h, w) bool; bring the best first, since ties go to the earlier one.
        threshold: the 0.9 of Eq. 1, in [0, 1].
        max_fused_area: fraction of the photo above which a mask is a container whatever it holds.

    Returns:
        For each region the indices of its proposals, the whole (the largest) first; the regions
        come by falling area of their wholes. Every non-empty proposal is in exactly one.
    """
    areas = masks.sum(axis=(1, 2), dtype=np.int64)
    filled = np.flatnonzero(areas)
    if filled.size == 0:
        return ()
    order = filled[np.argsort(-areas[filled], kind="stable")]
    filled_masks, areas = masks[order], areas[order]
    shared = _intersections(filled_masks)
    overlap = shared / np.minimum(areas[:, None], areas[None, :])
    containers = find_containers(
        filled_masks, shared, overlap, threshold=threshold, max_fused_area=max_fused_area
    )
    return tuple(
        tuple(int(order[member]) for member in members)
        for members in _group(overlap, containers, threshold)
    )


def find_containers(
    masks: NDArray[np.bool_],
    shared: NDArray[np.float32],
    overlap: NDArray[np.float32],
    *,
    threshold: float,
    max_fused_area: float,
) -> NDArray[np.bool_]:
    """Finds masks that hold objects rather than parts [ours]; three signs, each sufficient.

    - It covers more than `max_fused_area` of the photo.
    - It reaches from one side of the photo to the opposite one, as ground and sky do.
    - It holds two or more masks that are apart from each other, each of at least `OBJECT_AREA` of
      the photo, which together fill less than `PARTS_FILL` of it. A roof and a wall make up most
      of their house; plates leave most of their table open. Masks inside that are containers
      themselves, or nearly the same mask, are not counted.

    Missing a container loses objects; one too many only leaves its parts as regions beside it. The
    signs are therefore generous.

    Args:
        masks: (n, h, w) bool, by falling area, none empty.
        shared: (n, n) pixels shared by each pair.
        overlap: (n, n) left side of Eq. 1.

    Returns:
        (n,) bool.
    """
    count, height, width = masks.shape
    areas = np.diagonal(shared)
    large = areas > max_fused_area * height * width
    containers: NDArray[np.bool_] = large | _spans_photo(masks)
    object_area = OBJECT_AREA * height * width
    for whole in range(count - 1, -1, -1):
        if containers[whole]:
            continue
        inside = [
            part
            for part in range(whole + 1, count)
            if overlap[whole, part] > threshold
            and object_area <= areas[part] <= threshold * areas[whole]
            and not containers[part]
        ]
        apart: list[int] = []
        for part in inside:
            if all(overlap[part, other] <= DISJOINT for other in apart):
                apart.append(part)
        filled = shared[whole, apart].sum()
        containers[whole] = len(apart) >= 2 and filled < PARTS_FILL * areas[whole]
    return containers


def _group(
    overlap: NDArray[np.float32], containers: NDArray[np.bool_], threshold: float
) -> list[list[int]]:
    """Members of each region, the whole first; masks come by falling area."""
    groups: dict[int, list[int]] = {}
    wholes: list[int] = []
    for mask in range(len(containers)):
        holders = [] if containers[mask] else [w for w in wholes if overlap[w, mask] > threshold]
        if holders:
            # Wholes come by falling area, so the last of the equally good ones is the smallest.
            best = max(holders, key=lambda whole: (overlap[whole, mask], whole))
            groups[best].append(mask)
            continue
        groups[mask] = [mask]
        if not containers[mask]:
            wholes.append(mask)
    return list(groups.values())


def _intersections(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(n, n) shared pixels, by one matrix product; float32 counts exactly up to 2^24 pixels."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    return flat @ flat.T


def _spans_photo(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) bool: has pixels along both the left and right, or both the top and bottom side."""
    _, height, width = masks.shape
    y, x = max(1, round(BORDER * height)), max(1, round(BORDER * width))
    top, bottom = masks[:, :y].any(axis=(1, 2)), masks[:, -y:].any(axis=(1, 2))
    left, right = masks[:, :, :x].any(axis=(1, 2)), masks[:, :, -x:].any(axis=(1, 2))
    return np.asarray((top & bottom) | (left & right))
