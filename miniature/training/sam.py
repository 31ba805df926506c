"""Batches of drawn images with point prompts, and the losses by which SAM learns from them.

Beside familiar things the scenes hold nameless species and polygons without end, so that what
learns from them can segment anything; the novel categories of the world are never shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from segment_anything.modeling import Sam
from torch import Tensor, nn

from miniature.training.scenes import NOTHING, PackedImage, ScenePool, pack, vary
from miniature.training.shapes import SPECIES, draw_species_scene
from miniature.world import CATEGORIES, FAMILIAR, STUFF, draw_scene, draw_single

_LEAST_PIXELS = 24
_STUFF_WEIGHT = 0.35  # a stuff region is asked for this often, compared with a thing
_STRAY = 0.15  # share of prompts with several points of which one lies elsewhere nearby


@dataclass(frozen=True)
class Prompts:
    """P prompts of N points on each of B images.

    `points` (B * P, N, 2) float32 (x, y) pixels; `regions` and `parts` (B * P,) int64 the region
    asked for and the part under the first point (NOTHING: none, or several points).
    """

    points: Tensor
    regions: Tensor
    parts: Tensor


def draw_prompts(
    regions: NDArray[np.uint8],
    parts: NDArray[np.uint8],
    stuff: NDArray[np.bool_],
    prompts: int,
    points: int,
    rng: np.random.Generator,
) -> Prompts:
    """Prompts on random regions of each image, their points anywhere inside.

    `regions` and `parts` (B, S, S) as in `scenes.PackedImage`, `stuff` (B, regions) whether a
    region is stuff.
    """
    batch, side = regions.shape[0], regions.shape[-1]
    xy = np.zeros((batch, prompts, points, 2), np.float32)
    asked = np.full((batch, prompts), NOTHING, np.int64)
    part = np.full((batch, prompts), NOTHING, np.int64)
    for b in range(batch):
        flat = regions[b].ravel()
        order = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=NOTHING + 1)[:NOTHING]
        starts = np.concatenate([[0], np.cumsum(counts)])
        seen = np.flatnonzero(counts >= _LEAST_PIXELS)
        if not len(seen):
            continue
        weights = np.where(stuff[b][seen], _STUFF_WEIGHT, 1.0)
        chosen = rng.choice(seen, prompts, p=weights / weights.sum())
        offsets = rng.integers(0, counts[chosen][:, None], (prompts, points))
        pixels = order[starts[chosen][:, None] + offsets]
        xy[b, ..., 0], xy[b, ..., 1] = pixels % side, pixels // side
        asked[b] = chosen
        if points == 1:
            part[b] = parts[b].ravel()[pixels[:, 0]]
        else:
            stray = rng.random(prompts) < _STRAY
            moved = xy[b, stray, -1] + rng.normal(0, side / 10, (int(stray.sum()), 2))
            xy[b, stray, -1] = moved.clip(0, side - 1)
    return Prompts(
        torch.from_numpy(xy.reshape(batch * prompts, points, 2)),
        torch.from_numpy(asked.ravel()),
        torch.from_numpy(part.ravel()),
    )


def target_masks(regions: Tensor, parts: Tensor, prompts: Prompts) -> Tensor:
    """The masks that the prompts ask for, (B * P, 2, S / 2, S / 2): part or else whole, whole.

    Values are the share of each low-resolution pixel that is covered, so that the bilinearly
    enlarged mask is right to a fraction of a pixel.
    """
    repeat = len(prompts.regions) // len(regions)
    whole = regions.repeat_interleave(repeat, 0) == prompts.regions[:, None, None]
    same_part = parts.repeat_interleave(repeat, 0) == prompts.parts[:, None, None]
    without = (prompts.parts == NOTHING)[:, None, None]
    part = torch.where(without, whole, whole & same_part)
    return F.avg_pool2d(torch.stack([part, whole], 1).float(), 2)


SIDE = 128
_STUFF = [CATEGORIES.index(name) for name in STUFF]
_SIZES = ((128, 128),) * 5 + ((96, 128), (128, 96), (80, 128), (160, 160))


def draw_image(number: int) -> PackedImage:
    """Image `number` of the training stream: scenes of familiar things, species and polygons."""
    rng = np.random.default_rng([number, 50])
    seed = 2_000_000 + number
    size = _SIZES[int(rng.integers(len(_SIZES)))]
    draw = rng.random()
    if draw < 0.04:
        return pack(draw_single(seed, str(rng.choice(STUFF))), SIDE)
    species = [f"{SPECIES}{int(i)}" for i in rng.integers(0, 2**30, 4)]
    familiar = [str(kind) for kind in rng.choice(FAMILIAR, 3)]
    if draw < 0.34:
        side = 64 if rng.random() < 0.8 else int(rng.integers(64, 129))
        kind = familiar[0] if rng.random() < 0.5 else species[0]
        return pack(draw_species_scene(seed, [kind], (side, side), single=True), SIDE)
    if draw < 0.55:
        shapes = int(rng.integers(1, 4))
        return pack(draw_scene(seed, size, things=FAMILIAR, shapes=shapes), SIDE)
    kinds = [str(kind) for kind in rng.permutation(familiar + species)[: int(rng.integers(2, 8))]]
    return pack(draw_species_scene(seed, kinds, size), SIDE)


@dataclass(frozen=True)
class PromptBatch:
    """Preprocessed pixels (B, 3, S, S), maps of regions and parts (B, S, S) uint8, and prompts."""

    pixels: Tensor
    regions: Tensor
    parts: Tensor
    prompts: Prompts


def load_prompt_batch(
    sam: Sam,
    pool: ScenePool,
    size: int,
    prompts: int,
    several: float,
    rng: np.random.Generator,
) -> PromptBatch:
    """Random images of the pool, varied, with `prompts` prompts each.

    All prompts have one point or, in a share `several` of batches, the same number of 2 to 4.
    """
    slots = rng.integers(0, len(pool), size)
    maps = np.stack([pool.regions[slots], pool.parts[slots]], 1)
    images, truth = vary(pool.images[slots], maps, rng)
    regions, parts = truth.unbind(1)
    stuff = np.isin(pool.classes[slots], _STUFF)
    points = int(rng.integers(2, 5)) if rng.random() < several else 1
    asked = draw_prompts(regions.numpy(), parts.numpy(), stuff, prompts, points, rng)
    return PromptBatch(preprocess(sam, images, regions), regions, parts, asked)


def preprocess(sam: Sam, images: Tensor, regions: Tensor) -> Tensor:
    """As `Sam.preprocess` does: normalised, and zero where the image is padding."""
    inside = (regions != NOTHING)[:, None]
    pixels = images * 255
    normalised: Tensor = (pixels.to(sam.device) - sam.pixel_mean) / sam.pixel_std
    return normalised * inside.to(sam.device)


PART_DISCOUNT = 0.75  # a part counts less than an equally good whole, so that the whole is chosen


def decode(sam: Sam, embeddings: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """All four masks (B * P, 4, S / 2, S / 2) and their predicted IoU, for P prompts on each image.

    The mask decoder's own `forward` takes one image; this is the same for a batch of them.
    """
    decoder, prompt = sam.mask_decoder, sam.prompt_encoder
    labels = torch.ones(points.shape[:2], dtype=torch.int32, device=points.device)
    sparse, dense = prompt(points=(points, labels), boxes=None, masks=None)
    fixed = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([fixed.expand(len(points), -1, -1), sparse], 1)
    repeat = len(points) // len(embeddings)
    source = embeddings.repeat_interleave(repeat, 0) + dense
    positions = prompt.get_dense_pe().expand(len(points), -1, -1, -1)
    answers, source = decoder.transformer(source, positions, tokens)
    grid = embeddings.shape[-2:]
    fine = decoder.output_upscaling(source.transpose(1, 2).unflatten(2, grid))
    masks = [mlp(answers[:, i + 1]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    logits = (torch.stack(masks, 1) @ fine.flatten(2)).unflatten(2, fine.shape[-2:])
    return logits, decoder.iou_prediction_head(answers[:, 0])


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy (3) and dice (1) loss of each mask, over the last two dimensions, soft targets.

    SAM itself has a focal loss in place of the cross-entropy; in runs as short as these it leaves
    masks undecided.
    """
    share = logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((-2, -1))
    both = (share * target).sum((-2, -1))
    dice = 1 - (2 * both + 1) / (share.sum((-2, -1)) + target.sum((-2, -1)) + 1)
    return 3 * entropy + dice


@torch.no_grad()
def true_iou(logits: Tensor, target: Tensor) -> Tensor:
    """The IoU of each mask with its target, both binarised."""
    mask, truth = logits > 0, target > 0.5
    both, either = (mask & truth).sum((-2, -1)), (mask | truth).sum((-2, -1))
    return both / either.clamp(min=1)


def prompt_loss(
    sam: Sam, embeddings: Tensor, prompts: Prompts, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss of a group of prompts with equally many points, and the mean IoU of the chosen mask."""
    device = embeddings.device
    logits, predicted = decode(sam, embeddings, prompts.points.to(device))
    targets = targets.to(device)
    wanted = targets[:, (1, 0, 1, 1)]  # the single mask, the part, two for the whole
    with torch.autocast(device.type, enabled=False):
        logits, predicted = logits.float(), predicted.float()
        losses = mask_loss(logits, wanted)
        whole = losses[:, 2:]
        masks = 0.3 * losses[:, 0] + 0.5 * losses[:, 1]
        masks = masks + whole.min(1).values + 0.1 * whole.max(1).values
        quality = true_iou(logits, wanted)
        scale = torch.tensor((1.0, PART_DISCOUNT, 1.0, 1.0), device=device)
        judged = (predicted - quality * scale).square().sum(1)
        asked = (prompts.regions != NOTHING).float().to(device)
        loss = ((masks + judged) * asked).sum() / asked.sum().clamp(min=1)
    chosen = quality[:, 1:].gather(1, predicted[:, 1:].argmax(1, keepdim=True))
    return loss, chosen.mean()


class DenseHead(nn.Module):
    """A training aid: a code for every low-resolution pixel, computed from the image embedding.

    Pixels of one region shall have similar codes. It asks of the encoder what the prompts ask, for
    dozens of points at the cost of one prompt, and so trains it several times faster.
    """

    def __init__(self, channels: int, code: int = 12, factor: int = 4) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Conv2d(channels, 256, 1),
            nn.GELU(),
            nn.Conv2d(256, code * factor * factor, 1),
            nn.PixelShuffle(factor),
        )
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Codes (B, code, S / 2, S / 2) of embeddings (B, channels, S / 8, S / 8)."""
        codes: Tensor = self.read(embeddings)
        return codes

    def loss(self, codes: Tensor, regions: Tensor, queries: Tensor) -> Tensor:
        """Mask loss of Q query pixels an image against a quarter of its pixels.

        `codes` (B, code, h, w) float32, `regions` (B, h, w) uint8, `queries` (B, Q) int64 indices
        of pixels that lie in a region.
        """
        flat, region = codes.flatten(2), regions.flatten(1)
        asked = flat.gather(2, queries[:, None].expand(-1, flat.shape[1], -1))
        top, left = torch.randint(2, (2,)).tolist()
        corner = (..., slice(top, None, 2), slice(left, None, 2))
        others = codes[corner]
        logits = torch.einsum("bcq,bchw->bqhw", asked, others) + self.bias
        same = region.gather(1, queries)[:, :, None, None] == regions[corner][:, None]
        return mask_loss(logits, same.float()).mean()


def draw_queries(regions: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """(B, count) int64 pixels of `regions` (B, h, w): every region is drawn equally often."""
    chosen = np.zeros((len(regions), count), np.int64)
    for row, flat in zip(chosen, regions.flatten(1).numpy(), strict=True):
        inside = np.flatnonzero(flat != NOTHING)
        share = 1.0 / np.bincount(flat)[flat[inside]]
        row[:] = rng.choice(inside, count, p=share / share.sum())
    return torch.from_numpy(chosen)
