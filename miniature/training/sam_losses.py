"""What the miniature SAM and its teacher learn from: masks for prompts, codes for pixels."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor, nn

from miniature.training.sam_prompts import Prompts
from miniature.training.scene_pool import NOTHING

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
    """IoU of each mask with its target, both cut to yes or no."""
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
    """A training aid: a code for every low-resolution pixel, read off the image embedding.

    Pixels of one region shall have codes alike. It asks of the encoder what the prompts ask, for
    dozens of points at the cost of one prompt, and so trains it several times faster.
    """

    def __init__(self, channels: int, code: int = 12, cells: int = 4) -> None:
        super().__init__()
        self.read = nn.Sequential(
            nn.Conv2d(channels, 256, 1),
            nn.GELU(),
            nn.Conv2d(256, code * cells * cells, 1),
            nn.PixelShuffle(cells),
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
    """(B, count) int64 pixels of `regions` (B, h, w): every region is asked for alike often."""
    chosen = np.zeros((len(regions), count), np.int64)
    for row, flat in zip(chosen, regions.flatten(1).numpy(), strict=True):
        inside = np.flatnonzero(flat != NOTHING)
        share = 1.0 / np.bincount(flat)[flat[inside]]
        row[:] = rng.choice(inside, count, p=share / share.sum())
    return torch.from_numpy(chosen)
