"""Text-to-image generation: images of a prompt, each with its category's attention map."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from foundation.cross_attention import CrossAttentionCapture
from foundation.interfaces import GeneratedImage, Prompt
from schemas.errors import ModelError, SettingsError, UsageError


class DiffusersTextToImage:
    """Generates images by a diffusers pipeline; see `foundation.text_to_image_loading` for which.

    All of an image's randomness comes from its own seed, by a generator on the CPU. The same
    prompts, seeds, batch and device give the same images; in another batch an image differs by
    floating-point rounding.

    Args:
        pipeline: a loaded pipeline on its device; its progress bar is switched off.
        steps: number of denoising steps.
        guidance_scale: classifier-free guidance; 1 and below means none.
        height, width: of the images, in pixels.

    Raises:
        SettingsError: a height or width that the pipeline cannot make, more steps than it was
            trained with, or a number of steps that its scheduler cannot do.
    """

    def __init__(
        self,
        pipeline: Any,
        steps: int,
        guidance_scale: float,
        height: int,
        width: int,
    ) -> None:
        most = int(pipeline.scheduler.config.num_train_timesteps)
        if not 1 <= steps <= most:
            raise SettingsError(f"generation.steps: expected 1 to {most}, found {steps}")
        self._pipeline = pipeline
        # The pipeline itself insists on 8, also where its own factor is smaller.
        multiple = max(8, int(pipeline.vae_scale_factor))
        for name, value in (("height", height), ("width", width)):
            if value < multiple or value % multiple:
                raise SettingsError(
                    f"generation.{name}: expected a multiple of {multiple}, found {value}"
                )
        self._steps = steps
        self._calls = unet_calls(pipeline.scheduler, steps)
        self._guidance_scale = guidance_scale
        self._height = height
        self._width = width
        pipeline.set_progress_bar_config(disable=True)

    @property
    def steps(self) -> int:
        """Denoising steps of an image."""
        return self._steps

    @property
    def calls(self) -> int:
        """How often the UNet is called for a batch; see `unet_calls`."""
        return self._calls

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[GeneratedImage]:
        """See `TextToImage.generate`.

        Raises:
            UsageError: not one seed a prompt, or a name too long for the text encoder.
            ModelError: the pipeline's tokenizer or UNet is not usable, or it made no image.
        """
        if len(prompts) != len(seeds):
            raise UsageError(f"expected one seed a prompt, found {len(seeds)} for {len(prompts)}")
        if not prompts:
            return []
        indices = [self._token_indices(prompt) for prompt in prompts]
        with CrossAttentionCapture(self._pipeline.unet, indices) as capture:
            output = self._pipeline(
                prompt=[prompt.text for prompt in prompts],
                height=self._height,
                width=self._width,
                num_inference_steps=self._steps,
                guidance_scale=self._guidance_scale,
                generator=[torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds],
                output_type="np",
            )
        images = _to_uint8(output.images)
        attention = capture.maps()
        # An XL pipeline has no safety checker.
        flags = getattr(output, "nsfw_content_detected", None) or [False] * len(prompts)
        return [
            GeneratedImage(image, map_, bool(flag))
            for image, map_, flag in zip(images, attention, flags, strict=True)
        ]

    def shortened(self, steps: int) -> DiffusersTextToImage:
        """The same pipeline in so many steps, for trials of time and memory.

        Some schedulers cannot do only a few: then in the fewest that they can.
        """
        possible = (n for n in range(steps, self._steps) if _can_do(self._pipeline.scheduler, n))
        fewest = next(possible, max(steps, self._steps))
        return DiffusersTextToImage(
            self._pipeline, fewest, self._guidance_scale, self._height, self._width
        )

    def to(self, device: torch.device) -> None:
        """Moves the pipeline's models.

        Not by the pipeline's own `to`, which warns of float16 on a CPU, where nothing is computed.
        """
        for part in self._pipeline.components.values():
            if isinstance(part, nn.Module):
                nn.Module.to(part, device)

    def _token_indices(self, prompt: Prompt) -> list[int]:
        """As `category_token_indices`; an XL pipeline's two text encoders must agree on it.

        Their embeddings are joined token by token, so one set of positions holds for both.
        """
        indices = category_token_indices(self._pipeline.tokenizer, prompt)
        second = getattr(self._pipeline, "tokenizer_2", None)
        if second is not None and category_token_indices(second, prompt) != indices:
            raise ModelError(
                f"expected both tokenizers of the pipeline to cut {prompt.text!r} alike, found "
                "different places of the category's name; this text-to-image model is not supported"
            )
        return indices


def unet_calls(scheduler: Any, steps: int) -> int:
    """How often a diffusers pipeline calls its UNet in so many denoising steps; runs nothing.

    Once for every time step that the scheduler plans: PNDM plans some twice (51 for 50 steps),
    solvers of second order all but one of them (Heun: 99).

    Args:
        scheduler: of the pipeline; it is left as it is.
        steps: at least 1.

    Raises:
        SettingsError: the scheduler cannot do that number of steps.
    """
    plan = copy.deepcopy(scheduler)
    try:
        plan.set_timesteps(steps)
    except Exception as error:  # every scheduler has errors of its own
        raise SettingsError(
            f"generation.steps: expected a number of steps that {type(scheduler).__name__} can do, "
            f"found {steps} ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
    return len(plan.timesteps)


def _can_do(scheduler: Any, steps: int) -> bool:
    try:
        unet_calls(scheduler, steps)
    except SettingsError:
        return False
    return True


def category_token_indices(tokenizer: Any, prompt: Prompt) -> list[int]:
    """Positions of the category's tokens in the prompt's token sequence, start token included.

    Found by character offsets, so a name of several tokens is taken whole and the same word
    elsewhere in the prompt is not.

    Args:
        tokenizer: a transformers tokenizer that knows offsets.
        prompt: the prompt with the name's place in it.

    Raises:
        UsageError: the name gives no token, or lies beyond what the text encoder reads.
        ModelError: the tokenizer knows no offsets.
    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"expected a tokenizer that knows character offsets, found {type(tokenizer).__name__}; "
            "save the pipeline with a tokenizer.json"
        )
    offsets = tokenizer(prompt.text, return_offsets_mapping=True)["offset_mapping"]
    indices = [
        index
        for index, (start, stop) in enumerate(offsets)
        if start < prompt.stop and stop > prompt.start and stop > start
    ]
    if not indices:
        raise UsageError(
            f"expected a category name with letters or digits, found {prompt.name!r} in the prompt "
            f"{prompt.text!r}, of which the text encoder keeps nothing; rename the category"
        )
    # The text encoder reads model_max_length tokens, the last of which is the end token.
    room = tokenizer.model_max_length - 1
    if indices[-1] >= room:
        raise UsageError(
            f"expected a prompt of at most {room - 1} tokens up to the end of the category's name, "
            f"found {indices[-1]} for {prompt.name!r}; shorten the name or the template"
        )
    return indices


def _to_uint8(images: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """float (B, H, W, 3) in [0, 1] to uint8, rounded as diffusers does for its PIL images."""
    if not np.isfinite(images).all():
        raise ModelError(
            "the text-to-image model made pixels that are not numbers; "
            "use another device or check the weights"
        )
    return (images * 255).round().astype(np.uint8)
