"""The speed of mask proposals: rim, and segment-anything's automatic mask generator.

    python -m benchmarks.speed.proposals [--preset PRESET] [--photo FILE] [--json FILE]

Both have the same photos, SAM, grid and thresholds, and no least area. Equality is measured at the
photo's size. Before duplicates are dropped the two agree in practically every mask, though rim
filters at SAM's low resolution and its grid lies half a pixel further to the upper left. After that
they differ where masks of one box are different things, or where boxes differ and masks hardly do:
rim compares masks, stock boxes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam
from skimage.data import astronaut

from benchmarks.command import add_device, add_preset, add_rounds, device_of, parser_of, settings_of
from benchmarks.full_size.architectures import seeded
from benchmarks.gate import Gate, mean_or_nan
from benchmarks.speed.timing import Seconds, in_turns, median, report, target, where
from foundation.images.masks import Rle, encode_rle
from foundation.images.reading import read_image
from foundation.interfaces import ImageEmbedding
from foundation.precision import encoder_type
from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import PUBLISHED, build_sam, load_sam
from foundation.stack import ModelStack
from miniature.world import FIRST_UNSEEN_SEED, draw_scene
from query.proposals import MaskProposals, propose
from schemas.settings import Proposals, Settings

RIM, STOCK, ENCODER = "rim", "stock", "rim's encoder alone"
SAME = 0.9
PHOTO_SIDE = 1024
LEAST_MINIATURE, LEAST_FULL_SIZE = 3.0, 5.0

_FIRST_SEED = FIRST_UNSEEN_SEED + 9_000
_MASKS_AT_ONCE = 64

Photo = NDArray[np.uint8]


@dataclass(frozen=True)
class Agreement:
    """The agreement of two sets of masks: for each mask the best IoU with one of the other set.

    stock, ours: float64 (n,), (m,), every photo's masks together.
    """

    stock: NDArray[np.float64]
    ours: NDArray[np.float64]

    def gates(self, title: str) -> list[Gate]:
        """The share at IoU >= 0.9 and the median of the best IoU, both ways."""
        rows = []
        for name, best in (
            ("stock among rim's", self.stock),
            ("rim's among stock", self.ours),
        ):
            rows.append(Gate(title, f"{name}: masks", float(len(best))))
            share = mean_or_nan([float(one) for one in best >= SAME])
            rows.append(Gate(title, f"{name}: share at IoU >= {SAME}", share))
            middle = float(np.median(best)) if len(best) else float("nan")
            rows.append(Gate(title, f"{name}: median IoU", middle))
        return rows


class Ways:
    """rim and stock on the same SAM.

    Args:
        sam: in evaluation mode on its device.
        settings: of both; `min_area` is not used, stock has none.
    """

    def __init__(self, sam: Sam, settings: Proposals) -> None:
        self._settings = settings.model_copy(update={"min_area": 0.0})
        self._segmenter = SamSegmenter(sam, settings.points_per_batch, encoder_type(sam.device))
        self._generator = SamAutomaticMaskGenerator(
            sam,
            points_per_side=settings.grid,
            points_per_batch=settings.points_per_batch,
            # At 0 it would not filter at all.
            pred_iou_thresh=max(settings.min_quality, np.finfo(np.float32).tiny),
            stability_score_thresh=settings.min_stability,
            stability_score_offset=settings.stability_offset,
            box_nms_thresh=settings.nms,
            crop_n_layers=0,
            min_mask_region_area=0,
        )

    def encode(self, photo: Photo) -> ImageEmbedding:
        """The part of rim's time that is SAM's image encoder."""
        return self._segmenter.embed(photo)

    def proposals(self, photo: Photo) -> tuple[ImageEmbedding, MaskProposals]:
        """At SAM's low resolution."""
        embedding = self.encode(photo)
        return embedding, propose(self._segmenter, embedding, self._settings)

    def rim(self, photo: Photo) -> list[NDArray[np.bool_]]:
        """Proposals at the photo's size, (H, W) each; a query upsamples fewer, fused ones."""
        embedding, found = self.proposals(photo)
        return [
            mask
            for chunk in torch.split(found.logits, _MASKS_AT_ONCE)
            for mask in self._segmenter.upsample(embedding, chunk.float())
        ]

    def stock(self, photo: Photo) -> list[dict[str, Any]]:
        """The generator's records, with masks at the photo's size."""
        records: list[dict[str, Any]] = self._generator.generate(photo)
        return records

    def rim_masks(self, photo: Photo) -> list[Rle]:
        """rim's proposals at the photo's size."""
        return [encode_rle(mask) for mask in self.rim(photo)]

    def stock_masks(self, photo: Photo) -> list[Rle]:
        """The generator's masks."""
        return [encode_rle(record["segmentation"]) for record in self.stock(photo)]


def agreement(ways: Ways, photos: Sequence[Photo]) -> Agreement:
    """The agreement of the two ways' masks."""
    stock, ours = [np.empty(0)], [np.empty(0)]
    for photo in photos:
        iou = ious(ways.stock_masks(photo), ways.rim_masks(photo))
        stock.append(iou.max(axis=1, initial=0))
        ours.append(iou.max(axis=0, initial=0))
    return Agreement(np.concatenate(stock), np.concatenate(ours))


def ious(rows: Sequence[Rle], columns: Sequence[Rle]) -> NDArray[np.float64]:
    """The IoU of masks of one size, (r, c)."""
    if not rows or not columns:
        return np.zeros((len(rows), len(columns)))
    first, second = (
        [{"size": list(rle.size), "counts": rle.counts.encode("ascii")} for rle in masks]
        for masks in (rows, columns)
    )
    found: NDArray[np.float64] = coco.iou(first, second, [0] * len(second))
    return found


def without_nms(settings: Proposals) -> Proposals:
    """The settings with which all good masks remain, however similar they are."""
    return settings.model_copy(update={"nms": 1.0})


def gates_of(seconds: Seconds, photos: int, least: float | None) -> list[Gate]:
    """The measured numbers; `least` bounds the ratio."""
    gates = [
        Gate(name, "ms a photo", 1e3 * median(times) / photos) for name, times in seconds.items()
    ]
    ratio = median(seconds[STOCK]) / median(seconds[RIM])
    gates.append(Gate("ratio", "rim to stock", ratio, least=least))
    return gates


def photos_of(options: argparse.Namespace, settings: Settings) -> list[Photo]:
    """The photo that was named, scenes for a stack that knows only those, or a standard photo."""
    if options.photo:
        return [read_image(options.photo)]
    if settings.known_categories is not None:
        size = (options.side, options.side)
        return [draw_scene(_FIRST_SEED + i, size).image for i in range(options.scenes)]
    photo = Image.fromarray(astronaut())
    return [np.asarray(photo.resize((PHOTO_SIDE, PHOTO_SIDE), Image.Resampling.LANCZOS))]


def sam_of(settings: Settings, device: torch.device, random: bool) -> Sam:
    """The preset's SAM, or one of its architecture with random weights."""
    source = settings.models.segmenter
    if not random:
        return load_sam(source, ModelStack(settings, "cpu").path("segmenter")).to(device)
    named = source.architecture
    with seeded():
        return build_sam(PUBLISHED[named] if isinstance(named, str) else named).to(device)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table; `arguments` are the command line's."""
    parser = parser_of(__doc__)
    add_rounds(parser, 3)
    add_device(parser)
    add_preset(parser)
    add = parser.add_argument
    add("--random", action="store_true", help="random weights of the preset's architecture")
    add("--photo", type=Path, help="instead of scenes or a standard photo")
    add("--scenes", type=int, default=20, help="how many (default 20)")
    add("--side", type=int, default=128, help="of a scene, in pixels (default 128)")
    options = parser.parse_args(arguments)
    device = device_of(options)
    settings = settings_of(options)
    sam = sam_of(settings, device, options.random)
    photos = photos_of(options, settings)

    ways = Ways(sam, settings.proposals)
    # Also warms them up.
    same = agreement(ways, photos)
    all_good = agreement(Ways(sam, without_nms(settings.proposals)), photos)
    seconds = in_turns(
        {
            RIM: lambda: [ways.rim(photo) for photo in photos],
            STOCK: lambda: [ways.stock(photo) for photo in photos],
            ENCODER: lambda: [ways.encode(photo) for photo in photos],
        },
        options.rounds,
        device,
    )
    least = target(settings, device, miniature=LEAST_MINIATURE, full_size=LEAST_FULL_SIZE)
    gates = gates_of(seconds, len(photos), least)
    gates += same.gates("equality") + all_good.gates("equality before NMS")
    size = "x".join(str(side) for side in photos[0].shape[:2])
    title = (
        f"Mask proposals, {settings.preset}: {len(photos)} photos of {size}, "
        f"grid {settings.proposals.grid}, {where(device)}"
    )
    report(title, gates, seconds, options.json)


if __name__ == "__main__":
    main()
