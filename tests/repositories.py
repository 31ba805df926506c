"""Folders as repositories of the hub look: a pipeline like SDXL's, and a model of transformers."""

from __future__ import annotations

import json
from pathlib import Path

PIPELINE = {
    "_class_name": "StableDiffusionXLPipeline",
    "_diffusers_version": "0.19.0.dev0",
    "force_zeros_for_empty_prompt": True,
    "feature_extractor": [None, None],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}

_TOKENIZER = ("merges.txt", "special_tokens_map.json", "tokenizer_config.json", "vocab.json")
PIPELINE_USED = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder_2/config.json",
    "text_encoder_2/model.safetensors",
    *(f"tokenizer/{name}" for name in _TOKENIZER),
    *(f"tokenizer_2/{name}" for name in _TOKENIZER),
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)
"""What of it is loaded."""

_OTHER_FORMS = (
    "model.onnx",
    "model.onnx_data",
    "openvino_model.bin",
    "openvino_model.xml",
    "flax_model.msgpack",
)
PIPELINE_UNUSED = (
    ".gitattributes",
    "LICENSE.md",
    "README.md",
    "comparison.png",
    "sd_xl_base_1.0.safetensors",
    "sd_xl_base_1.0_0.9vae.safetensors",
    "sd_xl_offset_example-lora_1.0.safetensors",
    *(f"text_encoder/{name}" for name in (*_OTHER_FORMS, "model.fp16.safetensors")),
    *(f"text_encoder_2/{name}" for name in (*_OTHER_FORMS, "pytorch_model.bin")),
    *(f"unet/{name}" for name in _OTHER_FORMS),
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.bf16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
    "unet/older/diffusion_pytorch_model.safetensors",
    "vae_1_0/config.json",
    "vae_1_0/diffusion_pytorch_model.safetensors",
    *(f"vae_decoder/{name}" for name in ("config.json", *_OTHER_FORMS)),
    *(f"vae_encoder/{name}" for name in ("config.json", *_OTHER_FORMS)),
)
"""What of it is not: single files, other precisions and formats, parts that the index lacks."""


def write_pipeline(folder: Path) -> None:
    """Every file has other content; those that are not used are the larger ones."""
    for number, name in enumerate((*PIPELINE_USED, *PIPELINE_UNUSED)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * (100 if name in PIPELINE_USED else 10_000))
    (folder / "model_index.json").write_text(json.dumps(PIPELINE), encoding="utf-8")


TRANSFORMER_USED = ("config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt")
TRANSFORMER_UNUSED = (
    "README.md",
    "flax_model.msgpack",
    "model.fp16.safetensors",
    "onnx/config.json",
    "onnx/model.onnx",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "tf_model.h5",
)


def write_transformer(folder: Path) -> None:
    """The same of a model of transformers."""
    for number, name in enumerate((*TRANSFORMER_USED, *TRANSFORMER_UNUSED)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * 100)
