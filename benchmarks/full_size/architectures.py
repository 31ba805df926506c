"""The published architectures of the full-size presets, with random weights.

Sizes as in the configurations that were published with the weights. Values of the weights do not
matter here: shapes, formats, memory and time are those of the real models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
)

TOKENS = 77
_VOCABULARY = 49408
_SD15_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
_SDXL_UNET: dict[str, Any] = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer of the real length and vocabulary size that spells every word in letters."""
    letters = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    tokens = letters + [letter + "</w>" for letter in letters]
    tokens += [f"<unused{i}>" for i in range(_VOCABULARY - 2 - len(tokens))]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def sd15(**unet: Any) -> StableDiffusionPipeline:
    """Stable Diffusion v1.5 without its safety checker; `unet` changes sizes of the UNet."""
    words = tokenizer()
    with seeded():
        denoiser = UNet2DConditionModel(**{**_SD15_UNET, **unet})
        codec = _autoencoder(0.18215, 512)
        encoder = CLIPTextModel(_text_config(768, 12, 12))
    return StableDiffusionPipeline(
        vae=codec,
        text_encoder=encoder,
        tokenizer=words,
        unet=attentive(denoiser),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(**unet: Any) -> StableDiffusionXLPipeline:
    """Stable Diffusion XL with its two text encoders; `unet` changes sizes of the UNet."""
    words = tokenizer()
    with seeded():
        denoiser = UNet2DConditionModel(**{**_SDXL_UNET, **unet})
        codec = _autoencoder(0.13025, 1024)
        encoder = CLIPTextModel(_text_config(768, 12, 12))
        second = CLIPTextModelWithProjection(_text_config(1280, 32, 20, projection_dim=1280))
    return StableDiffusionXLPipeline(
        vae=codec,
        text_encoder=encoder,
        text_encoder_2=second,
        tokenizer=words,
        tokenizer_2=words,
        unet=attentive(denoiser),
        scheduler=_scheduler(),
        add_watermarker=False,
    )


def dinov2_base() -> Dinov2Model:
    """DINOv2 ViT-B/14."""
    with seeded():
        return Dinov2Model(
            Dinov2Config(
                hidden_size=768,
                num_hidden_layers=12,
                num_attention_heads=12,
                image_size=518,
                patch_size=14,
            )
        )


def clip_large() -> CLIPModel:
    """CLIP ViT-L/14."""
    text = _text_config(768, 12, 12, projection_dim=768)
    vision = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
    }
    with seeded():
        return CLIPModel(
            CLIPConfig(text_config=text.to_dict(), vision_config=vision, projection_dim=768)
        )


def attentive(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet with sharper cross-attention: random weights attend to all tokens alike, and a flat
    map would prove nothing.
    """
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "attn2.to_q" in name or "attn2.to_k" in name:
                parameter.mul_(4)
    return unet


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Random weights from a seed, the caller's random state left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _autoencoder(scaling: float, side: int) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=side,
        scaling_factor=scaling,
    )


def _text_config(width: int, layers: int, heads: int, **more: Any) -> CLIPTextConfig:
    words = {"bos_token_id": _VOCABULARY - 2, "eos_token_id": _VOCABULARY - 1}
    return CLIPTextConfig(
        vocab_size=_VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=TOKENS,
        pad_token_id=_VOCABULARY - 1,
        **words,
        **more,
    )


def _scheduler() -> PNDMScheduler:
    return PNDMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        skip_prk_steps=True,
        steps_offset=1,
        set_alpha_to_one=False,
    )
