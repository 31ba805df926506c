"""The published architectures of the full-size presets, with random weights.

Sizes as in the configurations that were published with the weights. Values of the weights do not
matter here: shapes, formats, memory and time are those of the real models.

`reduced=True` gives the same architecture with fewer and narrower layers: block types,
conditioning, widths of attention heads, vocabulary and text length stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    Dinov2Config,
    Dinov2Model,
)

from benchmarks.full_size.clip_vocabulary import TOKENS, VOCABULARY, clip_merges, clip_vocabulary

_NOISE: dict[str, Any] = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}
SD15_UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
}
SD2_UNET: dict[str, Any] = SD15_UNET | {
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
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


# Heads are 40 to 160 wide in SD v1.5, 64 in SD 2 and XL, and in every text encoder.
_REDUCED: dict[str, Any] = {"layers_per_block": 1, "norm_num_groups": 16, "sample_size": 64}
_REDUCED_SD15 = _REDUCED | {
    "block_out_channels": (80, 160, 160, 160),
    "attention_head_dim": 2,
    "cross_attention_dim": 64,
}
_REDUCED_SD2 = _REDUCED | {
    "block_out_channels": (64, 128, 128, 128),
    "attention_head_dim": (1, 2, 2, 2),
    "cross_attention_dim": 128,
}
_REDUCED_SDXL = _REDUCED | {
    "block_out_channels": (64, 128, 128),
    "attention_head_dim": (1, 2, 2),
    "transformer_layers_per_block": (1, 1, 2),
    "cross_attention_dim": 64 + 128,
    "addition_time_embed_dim": 32,
    "projection_class_embeddings_input_dim": 6 * 32 + 128,
}


def tokenizer(pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    """CLIP's tokenizer in its published layout. SD 2 and XL's second pad with "!"."""
    return CLIPTokenizer(
        vocab=clip_vocabulary(),
        merges=clip_merges(),
        pad_token=pad_token,
        model_max_length=TOKENS,
    )


def sd15(reduced: bool = False, checked: bool = False, **unet: Any) -> StableDiffusionPipeline:
    """Stable Diffusion v1.5; with its safety checker if `checked`; `unet` changes sizes."""
    sizes = SD15_UNET | (_REDUCED_SD15 if reduced else {})
    with seeded():
        denoiser = UNet2DConditionModel(**{**sizes, **unet})
        codec = autoencoder(0.18215, 512, reduced)
        encoder = CLIPTextModel(text_config(768, 12, reduced=reduced))
        checker = safety_checker(reduced) if checked else None
    return StableDiffusionPipeline(
        vae=codec,
        text_encoder=encoder,
        tokenizer=tokenizer(),
        unet=attentive(denoiser),
        scheduler=PNDMScheduler(
            **_NOISE, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False
        ),
        safety_checker=checker,
        feature_extractor=CLIPImageProcessor() if checked else None,
        requires_safety_checker=checked,
    )


def sd2(reduced: bool = False, **unet: Any) -> StableDiffusionPipeline:
    """Stable Diffusion 2.1, which predicts velocities; `unet` changes sizes."""
    sizes = SD2_UNET | {"sample_size": 96, "upcast_attention": True}
    scheduler = DDIMScheduler(
        **_NOISE,
        prediction_type="v_prediction",
        steps_offset=1,
        set_alpha_to_one=False,
        clip_sample=False,
    )
    return _of_second_kind(sizes, scheduler, reduced, unet)


def sd_turbo(reduced: bool = False, **unet: Any) -> StableDiffusionPipeline:
    """SD-Turbo: the layers of Stable Diffusion 2, one to four steps, no guidance."""
    scheduler = EulerDiscreteScheduler(**_NOISE, steps_offset=1, timestep_spacing="trailing")
    return _of_second_kind(SD2_UNET, scheduler, reduced, unet)


def latent_consistency(reduced: bool = False) -> LatentConsistencyModelPipeline:
    """A latent consistency model out of v1.5: guidance is an input of the UNet."""
    plain = sd15(reduced)
    with seeded():
        denoiser = UNet2DConditionModel.from_config(plain.unet.config, time_cond_proj_dim=256)
    return LatentConsistencyModelPipeline(
        vae=plain.vae,
        text_encoder=plain.text_encoder,
        tokenizer=plain.tokenizer,
        unet=attentive(denoiser),
        scheduler=LCMScheduler(**_NOISE, steps_offset=1, set_alpha_to_one=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl(reduced: bool = False, **unet: Any) -> StableDiffusionXLPipeline:
    """Stable Diffusion XL with its two text encoders; `unet` changes sizes of the UNet."""
    sizes = _SDXL_UNET | (_REDUCED_SDXL if reduced else {})
    with seeded():
        denoiser = UNet2DConditionModel(**{**sizes, **unet})
        codec = autoencoder(0.13025, 1024, reduced)
        encoder = CLIPTextModel(text_config(768, 12, reduced=reduced))
        wide = text_config(1280, 32, reduced=reduced, times=2, hidden_act="gelu")
        second = CLIPTextModelWithProjection(wide)
    return StableDiffusionXLPipeline(
        vae=codec,
        text_encoder=encoder,
        text_encoder_2=second,
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(pad_token="!"),
        unet=attentive(denoiser),
        scheduler=EulerDiscreteScheduler(**_NOISE, steps_offset=1, timestep_spacing="leading"),
        add_watermarker=False,
    )


def safety_checker(reduced: bool = False) -> StableDiffusionSafetyChecker:
    """Stable Diffusion's safety checker: CLIP ViT-L/14 and seventeen concepts. It flags nothing."""
    config = CLIPConfig(vision_config=_vision_config(reduced), projection_dim=768)
    with seeded():
        return StableDiffusionSafetyChecker(config)


def dinov2_base(reduced: bool = False) -> Dinov2Model:
    """DINOv2 ViT-B/14."""
    width = 128 if reduced else 768
    with seeded():
        return Dinov2Model(
            Dinov2Config(
                hidden_size=width,
                num_hidden_layers=2 if reduced else 12,
                num_attention_heads=width // 64,
                image_size=518,
                patch_size=14,
            )
        )


def clip_large(reduced: bool = False) -> CLIPModel:
    """CLIP ViT-L/14."""
    text = text_config(768, 12, reduced=reduced, projection_dim=768)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=_vision_config(reduced), projection_dim=768
    )
    with seeded():
        return CLIPModel(config)


def attentive(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """The UNet with sharper cross-attention.

    Random weights attend to all tokens equally, and a flat map would prove nothing.
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


def _of_second_kind(
    sizes: dict[str, Any], scheduler: Any, reduced: bool, unet: dict[str, Any]
) -> StableDiffusionPipeline:
    """A pipeline of Stable Diffusion 2, whose text encoder is OpenCLIP's."""
    sizes = sizes | (_REDUCED_SD2 if reduced else {})
    with seeded():
        denoiser = UNet2DConditionModel(**{**sizes, **unet})
        codec = autoencoder(0.18215, 768, reduced)
        encoder = CLIPTextModel(text_config(1024, 23, reduced=reduced, times=2, hidden_act="gelu"))
    return StableDiffusionPipeline(
        vae=codec,
        text_encoder=encoder,
        tokenizer=tokenizer(pad_token="!"),
        unet=attentive(denoiser),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def autoencoder(scaling: float, side: int, reduced: bool = False) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(32, 32, 64, 64) if reduced else (128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1 if reduced else 2,
        latent_channels=4,
        sample_size=side,
        scaling_factor=scaling,
    )


def text_config(
    width: int, layers: int, *, reduced: bool = False, times: int = 1, **more: Any
) -> CLIPTextConfig:
    """times: how many heads the reduced encoder has."""
    if reduced:
        width, layers = 64 * times, 2
    return CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        max_position_embeddings=TOKENS,
        bos_token_id=VOCABULARY - 2,
        eos_token_id=VOCABULARY - 1,
        pad_token_id=VOCABULARY - 1,
        **{"projection_dim": width} | more,
    )


def _vision_config(reduced: bool) -> dict[str, Any]:
    width = 128 if reduced else 1024
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": 2 if reduced else 24,
        "num_attention_heads": width // 64,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
    }
