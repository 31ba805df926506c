"""Promptable segmentation by SAM: embed an image once, then predict masks for many prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from segment_anything.modeling import Sam
from torch.nn import functional as F

from foundation.interfaces import ImageEmbedding, MaskCandidates
from foundation.precision import encoder_type
from foundation.sam_checkpoint import load_sam
from foundation.sam_decoder import PointDecoder
from foundation.sam_encoder import slim
from schemas.errors import ImageError, UsageError
from schemas.settings import Settings

# Pixels of float32 logits that are resized at a time: 256 MB.
_PIXELS_AT_ONCE = 1 << 26


def load(path: Path, settings: Settings, device: torch.device) -> SamSegmenter:
    """Loads the segmenter of a stack.

    Args:
        path: the checkpoint, or a folder with exactly one in it.
        settings: of a preset or a bank: the sizes of the architecture, and how many prompts go
            through the decoder at a time.
        device: where it shall run; it says what the encoder computes in.

    Raises:
        ModelError: see `load_sam`.
    """
    sam = load_sam(settings.models.segmenter, path)
    dtype = encoder_type(device)
    slim(sam.image_encoder, dtype)
    return SamSegmenter(sam.to(device), settings.proposals.points_per_batch, dtype)


class SamSegmenter:
    """Predicts masks for point prompts, equal to those of segment-anything's `SamPredictor`.

    Args:
        sam: a Sam in evaluation mode on its device.
        points_per_batch: prompts that go through the mask decoder at a time.
        encoder_dtype: what the image encoder computes in where it may, see
            `foundation.sam_encoder.slim`; the decoder and all results are float32.
    """

    def __init__(
        self,
        sam: Sam,
        points_per_batch: int = 64,
        encoder_dtype: torch.dtype = torch.float32,
    ) -> None:
        self._sam = sam
        self._encoder_dtype = encoder_dtype
        self._decoder = PointDecoder(sam.mask_decoder)
        self._points_per_batch = points_per_batch
        self._parts = 1
        self._side: int = sam.image_encoder.img_size
        self._low_side: int = sam.prompt_encoder.mask_input_size[0]
        self._factor = self._side // self._low_side

    def to(self, device: torch.device) -> None:
        """Moves the model; embeddings that were made before stay where they are."""
        self._sam.to(device)

    def divide(self, parts: int) -> None:
        """From now on decodes a batch of prompts in so many parts, which takes less memory."""
        self._parts = parts

    @torch.no_grad()
    def embed(self, image: npt.NDArray[np.uint8]) -> ImageEmbedding:
        """Runs the image encoder.

        Args:
            image: uint8 (H, W, 3) RGB.

        Raises:
            ImageError: another shape or type.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise ImageError(f"expected uint8 (H, W, 3) RGB, found {image.dtype} {image.shape}")
        original_size = (image.shape[0], image.shape[1])
        input_size = _scaled_size(original_size, self._side)
        resized = Image.fromarray(image).resize(input_size[::-1], Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].to(self._sam.device)
        half = self._encoder_dtype != torch.float32
        with torch.autocast(pixels.device.type, self._encoder_dtype, enabled=half):
            features = self._sam.image_encoder(self._sam.preprocess(pixels)).float()
        logit_size = (-(-input_size[0] // self._factor), -(-input_size[1] // self._factor))
        return ImageEmbedding(features, original_size, input_size, logit_size)

    @torch.no_grad()
    def predict(self, embedding: ImageEmbedding, points: npt.NDArray[np.number]) -> MaskCandidates:
        """Predicts three mask candidates for each prompt.

        Args:
            embedding: of the image that the points lie in.
            points: (P, N, 2), P prompts of N points each, all on the object; (x, y) in pixels of
                the original image, pixel centres at integers.

        Raises:
            UsageError: another shape, or no points in a prompt.
        """
        if points.ndim != 3 or points.shape[1] == 0 or points.shape[2] != 2:
            raise UsageError(f"expected points (P, N, 2) with N >= 1, found {points.shape}")
        height, width = embedding.original_size
        scale = np.array([embedding.input_size[1] / width, embedding.input_size[0] / height])
        # Rounded here: a GPU may have no float64.
        scaled = (points.astype(np.float64) * scale).astype(np.float32)
        coordinates = torch.as_tensor(scaled, device=self._sam.device)
        # One row and column more than the image: the edge pixels interpolate towards them.
        rows, columns = embedding.logit_size[0] + 1, embedding.logit_size[1] + 1
        if len(points) == 0:
            size = [min(side, self._low_side) for side in (rows, columns)]
            return MaskCandidates(coordinates.new_zeros(0, 3, *size), coordinates.new_zeros(0, 3))
        parts = [
            self._decode(embedding, chunk, rows, columns)
            for chunk in torch.split(coordinates, max(1, self._points_per_batch // self._parts))
        ]
        return MaskCandidates(
            torch.cat([logits for logits, _ in parts]), torch.cat([iou for _, iou in parts])
        )

    @torch.no_grad()
    def upsample(self, embedding: ImageEmbedding, logits: torch.Tensor) -> npt.NDArray[np.bool_]:
        """Masks at the image's resolution, resized a few at a time.

        Args:
            embedding: of the image the logits belong to.
            logits: float32 (n, h, w), any selection of `MaskCandidates.logits`.

        Returns:
            bool (n, H, W): logits, resized bilinearly as SAM does, above 0.
        """
        height, width = embedding.original_size
        masks = np.empty((len(logits), height, width), np.bool_)
        at_once = max(1, _PIXELS_AT_ONCE // max(height * width, self._side * self._side))
        for start in range(0, len(logits), at_once):
            chunk = logits[start : start + at_once]
            masks[start : start + at_once] = self._upsample_chunk(embedding, chunk).cpu().numpy()
        return masks

    @torch.no_grad()
    def working_logits(
        self, embedding: ImageEmbedding, logits: torch.Tensor
    ) -> npt.NDArray[np.float32]:
        """Logits at the embedding's `working_size`.

        From there they are resized bilinearly to the image (align_corners=False), if that is
        larger.

        Args:
            embedding: of the image the logits belong to.
            logits: float32 (n, h, w), any selection of `MaskCandidates.logits`.

        Returns:
            float32 (n, *working_size), above 0 = mask.
        """
        size = embedding.working_size
        if len(logits) == 0:
            return np.zeros((0, *size), np.float32)
        seen = self._as_seen(embedding, logits)
        if size != embedding.input_size:
            seen = F.interpolate(seen, size, mode="bilinear", align_corners=False)
        above: npt.NDArray[np.float32] = (seen[0] - self._sam.mask_threshold).cpu().numpy()
        return above

    def _decode(
        self, embedding: ImageEmbedding, points: torch.Tensor, rows: int, columns: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.ones(points.shape[:2], dtype=torch.int32, device=points.device)
        sparse, dense = self._sam.prompt_encoder(points=(points, labels), boxes=None, masks=None)
        position = self._sam.prompt_encoder.get_dense_pe()
        logits, predicted_iou = self._decoder(embedding.features, position, sparse, dense[:1])
        # A copy, so that the padding's memory is not kept.
        return logits[:, :, :rows, :columns].contiguous(), predicted_iou

    def _upsample_chunk(self, embedding: ImageEmbedding, logits: torch.Tensor) -> torch.Tensor:
        """As `Sam.postprocess_masks`, without the padding that does not touch the image."""
        seen = self._as_seen(embedding, logits)
        resized = F.interpolate(seen, embedding.original_size, mode="bilinear", align_corners=False)
        masks: torch.Tensor = resized[0] > self._sam.mask_threshold
        return masks

    def _as_seen(self, embedding: ImageEmbedding, logits: torch.Tensor) -> torch.Tensor:
        """(1, n, *input_size): the logits (n, h, w) at the size that the encoder saw."""
        size = (logits.shape[1] * self._factor, logits.shape[2] * self._factor)
        resized = F.interpolate(logits[None], size, mode="bilinear", align_corners=False)
        return resized[..., : embedding.input_size[0], : embedding.input_size[1]]


def _scaled_size(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """(height, width) with the long side at `long_side`, aspect kept, no side below one pixel."""
    scale = long_side / max(size)
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))
