"""Tiny models with random weights, of the same classes as the real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from segment_anything.modeling import Sam
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)

from benchmarks.full_size.architectures import attentive
from foundation.sam_checkpoint import build_sam
from schemas.settings import SamArchitecture

TINY_SAM = SamArchitecture(
    image_size=128,
    patch_size=16,
    embed_dim=32,
    depth=2,
    num_heads=2,
    global_attn_indexes=(1,),
    window_size=4,
    out_chans=32,
    decoder_heads=2,
    decoder_mlp=64,
)


def make_tokenizer(model_max_length: int = 16) -> CLIPTokenizer:
    """A CLIP tokenizer that knows letters and a few words; "fishbowl" is fish + bowl."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["-", "'"]
    tokens = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in ("photo", "of", "house", "fish", "bowl", "boat"):
        built = word[0]
        for index, letter in enumerate(word[1:], start=1):
            last = index == len(word) - 1 and word != "fish"
            part = letter + "</w>" if last else letter
            merges.append((built, part))
            built += part
            tokens.append(built)
    merges.append(("fis", "h</w>"))
    tokens += ["fish</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=model_max_length)


_UNET: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    "attention_head_dim": (2, 4),
    "norm_num_groups": 4,
}


def make_pipeline() -> StableDiffusionPipeline:
    """Stable Diffusion with two levels, an image factor of 2, and pronounced cross-attention."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    unet = UNet2DConditionModel(
        **_UNET,
        cross_attention_dim=16,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=16,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        text_encoder.embeddings.token_embedding.weight.normal_()
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=attentive(unet),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for model in (unet, vae, text_encoder):
        model.eval()
    return pipeline


def make_xl_pipeline() -> StableDiffusionXLPipeline:
    """Stable Diffusion XL in small: two text encoders, transformers of one and two blocks."""
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    unet = UNet2DConditionModel(
        **_UNET,
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=40,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 24,
    )
    plain = make_pipeline()
    sizes = plain.text_encoder.config.to_dict() | {"hidden_size": 24, "projection_dim": 24}
    second = CLIPTextModelWithProjection(CLIPTextConfig(**sizes))
    with torch.no_grad():
        second.text_model.embeddings.token_embedding.weight.normal_()
    for model in (unet, second):
        model.eval()
    return StableDiffusionXLPipeline(
        vae=plain.vae,
        text_encoder=plain.text_encoder,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=attentive(unet),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        add_watermarker=False,
    )


def make_consistency_pipeline() -> LatentConsistencyModelPipeline:
    """A latent consistency model: guidance is told to the UNet instead of doubling the batch."""
    plain = make_pipeline()
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_config(plain.unet.config, time_cond_proj_dim=8)
    return LatentConsistencyModelPipeline(
        vae=plain.vae,
        text_encoder=plain.text_encoder,
        tokenizer=plain.tokenizer,
        unet=unet.eval(),
        scheduler=LCMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def make_sam() -> Sam:
    """A SAM whose random masks have both signs."""
    torch.manual_seed(0)
    return build_sam(TINY_SAM)


def make_dinov2(registers: int = 0) -> Dinov2Model | Dinov2WithRegistersModel:
    """DINOv2 with patches of 4 pixels and tokens of 16 numbers."""
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_ratio": 2,
        "image_size": 16,
        "patch_size": 4,
    }
    if registers:
        config = Dinov2WithRegistersConfig(**sizes, num_register_tokens=registers)
        return Dinov2WithRegistersModel(config).eval()
    return Dinov2Model(Dinov2Config(**sizes)).eval()


def make_dinov3() -> DINOv3ViTModel:
    """DINOv3 with patches of 4 pixels, tokens of 16 numbers and two registers."""
    torch.manual_seed(0)
    config = DINOv3ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=4,
        num_register_tokens=2,
    )
    return DINOv3ViTModel(config).eval()


def make_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """CLIP with images of 16 pixels and embeddings of 8 numbers."""
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    text = sizes | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 16,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = sizes | {"image_size": 16, "patch_size": 4}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).eval()


@pytest.fixture(scope="session")
def tokenizer() -> CLIPTokenizer:
    return make_tokenizer()


@pytest.fixture(scope="session")
def pipeline() -> StableDiffusionPipeline:
    return make_pipeline()


@pytest.fixture(scope="session")
def sam() -> Sam:
    return make_sam()


@pytest.fixture(scope="session")
def clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    return make_clip(tokenizer)


@pytest.fixture(scope="session")
def stack_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: CLIPTokenizer) -> Path:
    """All four models as files, and the preset `tiny.toml` that names them."""
    folder = tmp_path_factory.mktemp("stack")
    make_pipeline().save_pretrained(folder / "generator", safe_serialization=True)
    (folder / "sam").mkdir()
    torch.save(make_sam().state_dict(), folder / "sam" / "tiny.pth")
    make_dinov2(registers=2).save_pretrained(folder / "dinov2")
    make_clip(tokenizer).save_pretrained(folder / "clip")
    tokenizer.save_pretrained(folder / "clip")
    sam_sizes = "\n".join(
        f"{key} = {list(value) if isinstance(value, tuple) else value}"
        for key, value in TINY_SAM.model_dump().items()
    )
    (folder / "tiny.toml").write_text(
        f"""
[models.text_to_image]
location = "generator"
licence = "Apache-2.0"
[models.segmenter]
location = "sam"
[models.segmenter.architecture]
{sam_sizes}
[models.features]
location = "dinov2"
[models.text_image]
location = "clip"
[generation]
steps = 2
height = 16
width = 24
[features]
size = 16
""",
        encoding="utf-8",
    )
    return folder
