"""The GPU memory that the full-size models take, by arithmetic: without weights or a GPU.

    python -m benchmarks.full_size.memory_budget

Weights and activations of the published architectures on the meta device, in the types that
`foundation.stack` computes in on a GPU, and which share of a card `foundation.sharing` settles on.
The tables of docs/full-size.md are what this prints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, Dinov2Config, Dinov2Model

from benchmarks.command import markdown_table
from benchmarks.full_size.architectures import (
    SD2_UNET,
    SD15_UNET,
    autoencoder,
    clip_large,
    safety_checker,
    text_config,
)
from benchmarks.full_size.clip_vocabulary import TOKENS
from benchmarks.full_size.live_bytes import peak_bytes
from foundation.cross_attention import CrossAttentionCapture
from foundation.precision import compute_in
from foundation.sam_checkpoint import PUBLISHED, build_sam
from foundation.sam_decoder import PointDecoder
from foundation.sam_encoder import slim
from foundation.sharing import Share, Way, shares
from schemas.settings import Settings, load_settings

HALF = torch.bfloat16
GB = 1e9
RESERVED = 1.0 * GB
"""For the CUDA context, the libraries' workspaces and the desktop: an assumption."""
CARDS = (4, 6, 8, 12, 16, 24, 80)  # as they are sold: GiB
BATCHES = (1, 2, 4, 8)
POINTS = (1, 8, 64)
_NAMES = {Way.AHEAD: "ahead", Way.TOGETHER: "together", Way.TURNS: "in turns"}
_LATENT = 64  # of 512 x 512 pixels
_PHOTO = (518, 784)  # 2 to 3 at the features' size, in whole patches
_REGIONS = 64  # that CLIP looks at together
_DINOV2 = {"large": (1024, 24, 16), "base": (768, 12, 12)}


@dataclass(frozen=True)
class Role:
    """Bytes of a model. weights: on the device. peak: beyond them, by items at a time."""

    name: str
    weights: int
    peak: Callable[[int], int]


@dataclass(frozen=True)
class Preset:
    """The models of a preset on a GPU: of a build, and of a query."""

    name: str
    settings: Settings
    generator: Role
    segmenter: Role
    features: Role

    @property
    def resident(self) -> int:
        """Weights of all that a build works with."""
        return self.generator.weights + self.segmenter.weights + self.features.weights

    def build_needs(self, share: Share) -> int:
        """Bytes of a build with this share at its peak, weights included."""
        made = self.generator.peak(share.batch)
        segmented, pooled = self.segmenter.peak(1), self.features.peak(share.batch)
        if share.way is Way.TURNS:
            return max(
                self.generator.weights + made,
                self.segmenter.weights + segmented,
                self.features.weights + pooled,
            )
        examined = max(segmented, pooled)
        return self.resident + (made + examined if share.way is Way.AHEAD else max(made, examined))

    def query_needs(self, way: Way, points: int) -> int:
        """Bytes of a query that decodes so many points at a time, weights included."""
        alone = {role: role.weights for role in (self.segmenter, self.features)}
        both = sum(alone.values())
        peaks = {self.segmenter: self.segmenter.peak(points), self.features: self.features.peak(1)}
        return max(
            (alone[role] if way is Way.TURNS else both) + peak for role, peak in peaks.items()
        )


def presets() -> tuple[Preset, ...]:
    """The presets that are shipped at full size."""
    return (
        _preset("paper", SD15_UNET, (768, 12), True, "vit_h", "large"),
        _preset("fast", SD2_UNET, (1024, 23), False, "vit_b", "base"),
    )


def build_share(preset: Preset, card: int) -> Share | None:
    """The share of a build on a card of so many GiB; None if a single image does not fit."""
    options = shares(Way, preset.settings.generation.batch_size)
    return next((one for one in options if preset.build_needs(one) <= room(card)), None)


def query_share(preset: Preset, card: int) -> tuple[Way, int] | None:
    """The way of a query and the points at a time; None if a photo does not fit."""
    points = preset.settings.proposals.points_per_batch
    # In the order of `SharedDevice.within_memory`.
    options = [(Way.TOGETHER, 1), (Way.TOGETHER, 8), (Way.TURNS, 1), (Way.TURNS, 8)]
    steps = [(way, points // parts) for way, parts in [*options, (Way.TURNS, 64)]]
    return next((step for step in steps if preset.query_needs(*step) <= room(card)), None)


def room(card: int) -> float:
    """Bytes that models have of a card that is sold with so many GiB."""
    return card * 2**30 - RESERVED


def tables(chosen: Sequence[Preset]) -> str:
    """Tables of what models, a build and a query take, and of what runs on which card."""
    return "\n\n".join([_roles(chosen), _needs(chosen), _cards(chosen)])


def _roles(chosen: Sequence[Preset]) -> str:
    rows = []
    for preset in chosen:
        roles = ((preset.generator, 8), (preset.segmenter, 64), (preset.features, 8))
        for role, many in roles:
            sizes = (role.weights, role.peak(1), role.peak(many))
            numbers = (f"{one / GB:.2f}" for one in sizes)
            rows.append((f"`{preset.name}`: {role.name}", *numbers))
    return markdown_table(("GB", "weights", "at work on 1", "on 8 images or 64 points"), rows)


def _needs(chosen: Sequence[Preset]) -> str:
    """GB of a build by way and batch, of a query by way and points."""
    heads = [f"batch {batch}" for batch in BATCHES] + [f"query, {points}" for points in POINTS]
    rows = []
    for preset in chosen:
        for way in Way:
            needs = [preset.build_needs(Share(way, batch)) for batch in BATCHES]
            needs += [preset.query_needs(way, points) for points in POINTS]
            rows.append((f"`{preset.name}`, {_NAMES[way]}", *(f"{one / GB:.1f}" for one in needs)))
    return markdown_table(("GB", *heads), rows)


def _cards(chosen: Sequence[Preset]) -> str:
    heads = [f"`{preset.name}`: {work}" for preset in chosen for work in ("build", "query")]
    rows = []
    for card in CARDS:
        words = []
        for preset in chosen:
            words.append(_build_words(build_share(preset, card)))
            words.append(_query_words(query_share(preset, card)))
        rows.append((f"{card} GB", *words))
    return markdown_table(("card", *heads), rows)


def _build_words(share: Share | None) -> str:
    return "not one image" if share is None else f"{_NAMES[share.way]}, batch {share.batch}"


def _query_words(share: tuple[Way, int] | None) -> str:
    if share is None:
        return "no photo"
    way, points = share
    return f"{_NAMES[way]}, {points} points"


def _preset(
    name: str,
    unet: dict[str, Any],
    text: tuple[int, int],
    checked: bool,
    sam: str,
    dinov2: str,
) -> Preset:
    settings = load_settings(name)
    with torch.device("meta"):
        return Preset(
            name,
            settings,
            _generator(unet, text, checked, guided=settings.generation.guidance_scale > 1),
            _segmenter(sam),
            _features(dinov2),
        )


def _generator(
    sizes: dict[str, Any], text: tuple[int, int], checked: bool, *, guided: bool
) -> Role:
    unet = UNet2DConditionModel(**sizes).eval()
    codec: AutoencoderKL = autoencoder(0.18215, 512).eval()
    codec.enable_slicing()
    compute_in(unet, HALF)
    compute_in(codec.decoder, HALF)
    parts: list[nn.Module] = [unet, codec, CLIPTextModel(text_config(*text))]
    checker = None
    if checked:
        checker = safety_checker().eval()
        compute_in(checker.vision_model, torch.float16)
        parts.append(checker)

    @cache
    def peak(count: int) -> int:
        rows = count * (2 if guided else 1)
        latents = torch.empty(rows, 4, _LATENT, _LATENT, device="meta")
        words = torch.empty(rows, TOKENS, sizes["cross_attention_dim"], device="meta")

        def denoise() -> None:
            with CrossAttentionCapture(unet, [[5]] * count):
                unet(latents, 1, encoder_hidden_states=words)

        stages = [denoise, lambda: codec.decode(latents[:count])]
        if checker is not None:
            pixels = torch.empty(count, 3, 224, 224, device="meta")
            stages.append(lambda: checker.vision_model(pixels))
        return max(peak_bytes(stage) for stage in stages)

    return Role("generator", sum(map(weights, parts)), peak)


def _segmenter(name: str) -> Role:
    sam = build_sam(PUBLISHED[name]).requires_grad_(False).to("meta")
    slim(sam.image_encoder, HALF)
    decoder = PointDecoder(sam.mask_decoder)
    image = torch.empty(1, 256, 64, 64, device="meta")

    @cache
    def embed() -> int:
        pixels = torch.empty(1, 3, 768, 1024, device="meta")
        return peak_bytes(lambda: sam.image_encoder(sam.preprocess(pixels)), HALF)

    @cache
    def peak(points: int) -> int:
        tokens = torch.empty(points, 2, 256, device="meta")  # the point, and a padding point
        return max(embed(), peak_bytes(lambda: decoder(image, image, tokens, image)))

    return Role(f"SAM {name}", weights(sam), peak)


def _features(name: str) -> Role:
    width, depth, heads = _DINOV2[name]
    model = Dinov2Model(
        Dinov2Config(
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            image_size=518,
            patch_size=14,
        )
    ).eval()

    @cache
    def peak(count: int) -> int:
        pixels = torch.empty(count, 3, *_PHOTO, device="meta")
        return peak_bytes(lambda: model(pixel_values=pixels))

    return Role(f"DINOv2 {name}", weights(model), peak)


def text_image() -> Role:
    """CLIP, which scores regions in a query with a text weight."""
    with torch.device("meta"):
        model = clip_large().eval()

    @cache
    def peak(count: int) -> int:
        pixels = torch.empty(count, 3, 224, 224, device="meta")
        return peak_bytes(lambda: model.get_image_features(pixel_values=pixels))

    return Role("CLIP", weights(model), peak)


def weights(module: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def main() -> None:
    """Prints the tables, and what CLIP takes."""
    print(tables(presets()))
    clip = text_image()
    print(
        f"\nwith --text-weight: CLIP {clip.weights / GB:.2f}, at work {clip.peak(8) / GB:.2f} "
        f"with 8 regions, {clip.peak(_REGIONS) / GB:.2f} with {_REGIONS}"
    )


if __name__ == "__main__":
    main()
