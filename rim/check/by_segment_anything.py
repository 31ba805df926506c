"""Masks for points by segment-anything's own SamPredictor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam

from foundation.sam_checkpoint import load_sam
from schemas.settings import SegmenterSource


@dataclass(frozen=True)
class Predicted:
    """What SAM makes of an image and P points.

    embedding: float32 (c, h, w). masks: bool (P, 3, H, W). quality: float32 (P, 3).
    """

    embedding: NDArray[np.float32]
    masks: NDArray[np.bool_]
    quality: NDArray[np.float32]


def predict(
    source: SegmenterSource,
    checkpoint: Path,
    image: NDArray[np.uint8],
    points: NDArray[np.float32],
    device: torch.device,
) -> Predicted:
    """Computes the image's embedding, and three masks for each point with their predicted quality.

    Args:
        source: names the architecture.
        checkpoint: the file of weights.
        image: uint8 (H, W, 3) RGB.
        points: (P, 2), (x, y) pixels of the image.
        device: to run on.
    """
    predictor = SamPredictor(_load(source, checkpoint).to(device).eval())
    predictor.set_image(image, image_format="RGB")
    found = [
        predictor.predict(
            point_coords=point[None], point_labels=np.ones(1, np.int64), multimask_output=True
        )
        for point in points
    ]
    return Predicted(
        embedding=predictor.get_image_embedding()[0].float().cpu().numpy(),
        masks=np.stack([masks for masks, _, _ in found]),
        quality=np.stack([quality for _, quality, _ in found]),
    )


def _load(source: SegmenterSource, checkpoint: Path) -> Sam:
    """A published model as the library's registry builds it, with the weights in the checkpoint;
    one of other sizes as rim builds it, since the registry has none of them.
    """
    own = load_sam(source, checkpoint)
    if not isinstance(source.architecture, str):
        return own
    sam: Sam = sam_model_registry[source.architecture]()
    sam.load_state_dict(own.state_dict())
    return sam
