"""An image and its category's attention by a plain diffusers pipeline, without rim's capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import Attention, AttnProcessor
from numpy.typing import NDArray
from PIL import Image

from foundation.interfaces import Prompt
from foundation.text_to_image_loading import pipeline_class
from schemas.settings import Generation


class PlainPipeline:
    """The pipeline of a folder in float32, called the way its documentation shows.

    Args:
        folder: of the pipeline.
        generation: height, width and guidance scale.
        steps: denoising steps.
        device: to run on.
    """

    def __init__(
        self, folder: Path, generation: Generation, steps: int, device: torch.device
    ) -> None:
        # A watermarking library, where it is installed, would change an XL pipeline's images.
        extra = {"add_watermarker": False} if "XL" in pipeline_class(folder) else {}
        self._pipeline: Any = DiffusionPipeline.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            **extra,
        ).to(device)
        self._pipeline.set_progress_bar_config(disable=True)
        self._generation = generation
        self._steps = steps
        self._device = device

    def image(self, prompt: Prompt, seed: int) -> NDArray[np.uint8]:
        """The image of a prompt and a seed, uint8 (H, W, 3)."""
        output = self._pipeline(
            prompt=prompt.text,
            height=self._generation.height,
            width=self._generation.width,
            num_inference_steps=self._steps,
            guidance_scale=self._generation.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="pil",
        )
        return np.asarray(output.images[0].convert("RGB"), dtype=np.uint8)

    def attention(self, prompt: Prompt, seed: int) -> NDArray[np.float64]:
        """The averaged attention probability of the category's tokens, (h, w), not scaled.

        Every cross-attention layer computes all of its probabilities in the open, the prompt's half
        is found by its embedding, and the maps are resized by Pillow.
        """
        unet = self._pipeline.unet
        processors = dict(unet.attn_processors)
        embedding = self._pipeline.encode_prompt(
            prompt=prompt.text,
            device=self._device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )[0]
        recorder = _Recorder(embedding[0], _positions(self._pipeline.tokenizer, prompt))
        try:
            unet.set_attn_processor(
                {
                    name: recorder if ".attn2." in name else processor
                    for name, processor in processors.items()
                }
            )
            self.image(prompt, seed)
        finally:
            unet.set_attn_processor(processors)
        return recorder.average(self._generation.height / self._generation.width)


class _Recorder(AttnProcessor):  # type: ignore[misc]
    """diffusers' plain attention, which also notes the category's columns of the probabilities.

    embedding: (tokens, c) of the prompt. positions: of the category's tokens.
    """

    def __init__(self, embedding: torch.Tensor, positions: list[int]) -> None:
        super().__init__()
        self._embedding = embedding
        self._positions = positions
        self._maps: list[tuple[int, NDArray[np.float64]]] = []  # heads, and their mean (h * w,)

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        *rest: Any,
        **more: Any,
    ) -> torch.Tensor:
        """See `AttnProcessor`."""
        distances = (encoder_hidden_states - self._embedding).flatten(1).norm(dim=1)
        row = int(distances.argmin())
        query = attn.head_to_batch_dim(attn.to_q(hidden_states[row : row + 1]))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states[row : row + 1]))
        probabilities = attn.get_attention_scores(query, key)  # (heads, h * w, tokens)
        columns = probabilities[:, :, self._positions].double().mean(dim=(0, 2))
        self._maps.append((int(attn.heads), columns.cpu().numpy()))
        output: torch.Tensor = super().__call__(
            attn, hidden_states, encoder_hidden_states, *rest, **more
        )
        return output

    def average(self, aspect: float) -> NDArray[np.float64]:
        """The mean over heads, layers and steps on the finest grid; aspect: height / width."""
        finest = max(len(flat) for _, flat in self._maps)
        rows = round((finest * aspect) ** 0.5)
        total = np.zeros((rows, finest // rows))
        for heads, flat in self._maps:
            height = round((len(flat) * aspect) ** 0.5)
            image = Image.fromarray(flat.reshape(height, -1).astype(np.float32))
            resized = image.resize(total.shape[::-1], Image.Resampling.BILINEAR)
            total += heads * np.asarray(resized, np.float64)
        return total / sum(heads for heads, _ in self._maps)


def _positions(tokenizer: Any, prompt: Prompt) -> list[int]:
    """Where the name's tokens stand, by counting the tokens before and up to it."""
    before, through = (
        len(tokenizer(text, add_special_tokens=False)["input_ids"])
        for text in (prompt.text[: prompt.start].rstrip(), prompt.text[: prompt.stop])
    )
    return list(range(1 + before, 1 + through))
