"""Loading a segment-anything checkpoint, of a published architecture or one of any size."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from schemas.errors import ModelError
from schemas.lfs import LFS_HINT, is_lfs_pointer
from schemas.settings import SamArchitecture, SegmenterSource

# Of pixel values 0..255, as in every published SAM.
_PIXEL_MEAN = [123.675, 116.28, 103.53]
_PIXEL_STD = [58.395, 57.12, 57.375]


def _published(
    embed_dim: int, depth: int, num_heads: int, global_attn_indexes: tuple[int, ...]
) -> SamArchitecture:
    return SamArchitecture(
        image_size=1024,
        patch_size=16,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=num_heads,
        global_attn_indexes=global_attn_indexes,
        window_size=14,
        out_chans=256,
        decoder_heads=8,
        decoder_mlp=2048,
    )


PUBLISHED = {
    "vit_b": _published(768, 12, 12, (2, 5, 8, 11)),
    "vit_l": _published(1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": _published(1280, 32, 16, (7, 15, 23, 31)),
}


def build_sam(architecture: SamArchitecture) -> Sam:
    """Builds a Sam of the given sizes with random weights, in evaluation mode.

    For the published architectures it is the model that segment-anything's own registry builds.
    """
    grid = architecture.image_size // architecture.patch_size
    dimension = architecture.out_chans
    sam = Sam(
        image_encoder=ImageEncoderViT(
            depth=architecture.depth,
            embed_dim=architecture.embed_dim,
            img_size=architecture.image_size,
            mlp_ratio=4,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            num_heads=architecture.num_heads,
            patch_size=architecture.patch_size,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=architecture.global_attn_indexes,
            window_size=architecture.window_size,
            out_chans=dimension,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=dimension,
            image_embedding_size=(grid, grid),
            input_image_size=(architecture.image_size, architecture.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(
                depth=2,
                embedding_dim=dimension,
                mlp_dim=architecture.decoder_mlp,
                num_heads=architecture.decoder_heads,
            ),
            transformer_dim=dimension,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
        pixel_mean=_PIXEL_MEAN,
        pixel_std=_PIXEL_STD,
    )
    return sam.eval()


def load_sam(source: SegmenterSource, path: Path) -> Sam:
    """Loads the Sam whose weights are at `path`, in evaluation mode, on the CPU.

    Args:
        source: says which architecture the checkpoint has.
        path: a checkpoint (a state dict, .pth or .pt), or a folder with exactly one in it.

    Raises:
        ModelError: no checkpoint, more than one, or not one of this architecture.
    """
    checkpoint = _checkpoint_file(path)
    if is_lfs_pointer(checkpoint):
        raise ModelError(
            f"models.segmenter: expected a segment-anything checkpoint, found {checkpoint}, "
            f"{LFS_HINT}"
        )
    named = source.architecture
    architecture = PUBLISHED[named] if isinstance(named, str) else named
    try:
        # Only tensors: a checkpoint cannot run code.
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        # Built without memory of its own, it takes over the checkpoint's tensors.
        with torch.device("meta"):
            sam = build_sam(architecture)
        sam.load_state_dict(state, assign=True)
    except Exception as error:  # the unpickler raises nearly anything on hostile bytes
        name = named if isinstance(named, str) else "the given sizes"
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"models.segmenter: expected a segment-anything checkpoint of {name} in {checkpoint}, "
            f"found something else ({reason}); check architecture and file"
        ) from error
    # Constants that no checkpoint holds.
    sam.pixel_mean = torch.tensor(_PIXEL_MEAN).view(-1, 1, 1)
    sam.pixel_std = torch.tensor(_PIXEL_STD).view(-1, 1, 1)
    return sam.float().requires_grad_(False)


def _checkpoint_file(path: Path) -> Path:
    if path.is_file():
        return path
    found = sorted(file for suffix in ("*.pth", "*.pt") for file in path.rglob(suffix))
    if len(found) != 1:
        raise ModelError(
            f"models.segmenter: expected one checkpoint (.pth) in {path}, found {len(found)}; "
            "name the file itself"
        )
    return found[0]
