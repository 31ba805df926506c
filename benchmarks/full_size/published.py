"""Models in the files in which they were published in 2022 and 2023, which today's libraries no
longer write: key names, configurations, tokenizers without tokenizer.json.

As the repositories of Stable Diffusion v1.5 (diffusers 0.6), openai/clip-vit-large-patch14 and
facebook/dinov2-* hold them, with weights in safetensors only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, Dinov2Model

from benchmarks.full_size.clip_vocabulary import END, START, TOKENS, clip_merges, clip_vocabulary

_DIFFUSERS = "0.6.0"
_UNET_KEYS = (
    "_class_name", "act_fn", "attention_head_dim", "block_out_channels", "center_input_sample",
    "cross_attention_dim", "down_block_types", "downsample_padding", "flip_sin_to_cos",
    "freq_shift", "in_channels", "layers_per_block", "mid_block_scale_factor", "norm_eps",
    "norm_num_groups", "out_channels", "sample_size", "up_block_types",
)  # fmt: skip
_VAE_KEYS = (
    "_class_name", "act_fn", "block_out_channels", "down_block_types", "in_channels",
    "latent_channels", "layers_per_block", "norm_num_groups", "out_channels", "sample_size",
    "up_block_types",
)  # fmt: skip
_SCHEDULER_KEYS = (
    "_class_name", "beta_end", "beta_schedule", "beta_start", "num_train_timesteps",
    "set_alpha_to_one", "skip_prk_steps", "steps_offset", "trained_betas",
)  # fmt: skip
_TEXT_KEYS = (
    "hidden_act", "hidden_size", "intermediate_size", "max_position_embeddings",
    "num_attention_heads", "num_hidden_layers", "projection_dim", "vocab_size",
)  # fmt: skip
_VISION_KEYS = (
    "hidden_act", "hidden_size", "image_size", "intermediate_size", "num_attention_heads",
    "num_hidden_layers", "patch_size",
)  # fmt: skip
# The published numbers of start, end and padding, which the vocabulary does not have.
_TEXT = {"model_type": "clip_text_model", "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
_VISION = {"model_type": "clip_vision_model", "dropout": 0.0, "torchscript": False}
_PARTS = {
    "feature_extractor": ["transformers", "CLIPFeatureExtractor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
_CLIP_PIXELS = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 224,
}
_DINOV2_PIXELS = {
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "BitImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 256},
}


def write_stable_diffusion(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Writes a v1.5 pipeline with its safety checker."""
    pipeline.save_pretrained(folder, safe_serialization=True)
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": _DIFFUSERS}
    _write_json(folder / "model_index.json", index | _PARTS)
    for file, keys in (
        ("unet/config.json", _UNET_KEYS),
        ("vae/config.json", _VAE_KEYS),
        ("scheduler/scheduler_config.json", _SCHEDULER_KEYS),
    ):
        config = json.loads((folder / file).read_text("utf-8"))
        old = {"_diffusers_version": _DIFFUSERS} | {key: config[key] for key in keys}
        _write_json(folder / file, old)
    _rename(folder / "vae" / "diffusion_pytorch_model.safetensors", _old_autoencoder_key)
    _write_text_encoder(pipeline, folder / "text_encoder")
    _write_safety_checker(pipeline, folder / "safety_checker")
    _write_json(folder / "feature_extractor" / "preprocessor_config.json", _CLIP_PIXELS)
    write_tokenizer(folder / "tokenizer")


def write_clip(model: CLIPModel, folder: Path) -> None:
    """Writes CLIP ViT-L/14 with tokenizer and preprocessor."""
    model.save_pretrained(folder)
    vision = model.config.vision_config
    positions = {
        "text_model.embeddings.position_ids": _numbers(TOKENS),
        "vision_model.embeddings.position_ids": _numbers(_places(vision)),
    }
    _rename(folder / "model.safetensors", lambda key: key, positions)
    config = {
        "architectures": ["CLIPModel"],
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "model_type": "clip",
        "projection_dim": model.config.projection_dim,
        "torch_dtype": "float32",
    }
    _write_json(folder / "config.json", config | _halves(model.config))
    _write_json(folder / "preprocessor_config.json", _CLIP_PIXELS)
    write_tokenizer(folder)


def write_dinov2(model: Dinov2Model, folder: Path) -> None:
    """Writes DINOv2 with its preprocessor, which crops and resizes to other sizes than ours."""
    model.save_pretrained(folder)
    _write_json(folder / "preprocessor_config.json", _DINOV2_PIXELS)


def write_tokenizer(folder: Path, padding: str = END) -> None:
    """Writes CLIP's tokenizer as vocabulary and merges, without tokenizer.json.

    padding: SD 2 states "!" in special_tokens_map.json, and END in tokenizer_config.json.
    """
    (folder / "tokenizer.json").unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "vocab.json", clip_vocabulary())
    merges = "".join(f"{first} {second}\n" for first, second in clip_merges())
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    exact: dict[str, Any] = {
        "lstrip": False,
        "normalized": True,
        "rstrip": False,
        "single_word": False,
    }
    special = {
        "bos_token": {"content": START} | exact,
        "eos_token": {"content": END} | exact,
        "unk_token": {"content": END} | exact,
    }
    _write_json(folder / "special_tokens_map.json", special | {"pad_token": padding})
    typed = {name: {"__type": "AddedToken"} | token for name, token in special.items()}
    config = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": TOKENS,
        "name_or_path": "openai/clip-vit-large-patch14",
        "pad_token": END,
        "special_tokens_map_file": "./special_tokens_map.json",
        "tokenizer_class": "CLIPTokenizer",
    }
    _write_json(folder / "tokenizer_config.json", config | typed)


def _write_text_encoder(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    config = pipeline.text_encoder.config
    old = _chosen(config, _TEXT_KEYS) | _TEXT | {"architectures": ["CLIPTextModel"]}
    _write_json(folder / "config.json", old | {"torch_dtype": "float32"})
    positions = {"text_model.embeddings.position_ids": _numbers(config.max_position_embeddings)}
    _rename(folder / "model.safetensors", _under("text_model."), positions)


def _write_safety_checker(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    checker = pipeline.safety_checker
    old = {
        "architectures": ["StableDiffusionSafetyChecker"],
        "model_type": "clip",
        "projection_dim": checker.config.projection_dim,
        "torch_dtype": "float32",
        "transformers_version": None,
        "vision_config_dict": _chosen(checker.config.vision_config, _VISION_KEYS),
    }
    _write_json(folder / "config.json", old | _halves(checker.config))
    twice = "vision_model.vision_model."
    _rename(
        folder / "model.safetensors",
        lambda key: (
            twice + key.removeprefix(twice).removeprefix("vision_model.")
            if key.startswith("vision_model.")
            else key
        ),
        {f"{twice}embeddings.position_ids": _numbers(_places(checker.config.vision_config))},
    )


def _halves(config: Any) -> dict[str, Any]:
    return {
        "text_config": _chosen(config.text_config, _TEXT_KEYS) | _TEXT,
        "vision_config": _chosen(config.vision_config, _VISION_KEYS) | _VISION,
    }


def _chosen(config: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: getattr(config, key) for key in keys}


def _old_autoencoder_key(key: str) -> str:
    if ".mid_block.attentions." not in f".{key}":
        return key
    for new, old in (
        ("to_q", "query"),
        ("to_k", "key"),
        ("to_v", "value"),
        ("to_out.0", "proj_attn"),
    ):
        key = key.replace(f".{new}.", f".{old}.")
    return key


def _under(prefix: str) -> Callable[[str], str]:
    return lambda key: prefix + key.removeprefix(prefix)


def _numbers(count: int) -> torch.Tensor:
    return torch.arange(count)[None]


def _places(vision: Any) -> int:
    """Patches and the class token."""
    return int((vision.image_size // vision.patch_size) ** 2 + 1)


def _rename(
    file: Path, rename: Callable[[str], str], more: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Other names for the tensors of a file, and more tensors."""
    tensors = {rename(key): value for key, value in load_file(file).items()}
    save_file(tensors | dict(more or {}), file, metadata={"format": "pt"})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
