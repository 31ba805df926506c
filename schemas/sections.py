"""The sections of the settings: every value that a user can set, its range and default.

The defaults are the full-size ones; a preset changes them. Areas are fractions of the image's,
sizes are pixels. The page of all settings (docs/generate_settings.py) is made from this file: every
field is described under `Attributes:`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.ids import MAX_NUMBER

CATEGORY_PLACEHOLDER = "{category}"

Positive = Annotated[int, Field(gt=0)]
Digits = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all settings: frozen, unknown keys refused, no silent casts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelSource(Section):
    """Where a model's files are: a hub id, the address of one file, an absolute folder, or a path
    inside the data folder.

    Attributes:
        location: a hub id, an https address, a folder or file.
        revision: of a hub id; without one it is unpinned: the hub's main branch.
        licence: as published, for `rim info` and the manifest.
        size_gb: about how much there is to download, in units of 10^9 bytes, for messages only.
        sha256: of the one file that an address names; without it, digits in the file's name count.
        size: of that file, exactly, in bytes.
    """

    location: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    licence: str = "unknown"
    size_gb: Annotated[float, Field(gt=0)] | None = None
    sha256: Digits | None = None
    size: Positive | None = None

    @property
    def download_bytes(self) -> int | None:
        """How many bytes there are to download, exactly or about; None if unknown."""
        if self.size is not None:
            return self.size
        return None if self.size_gb is None else round(self.size_gb * 1e9)


class SamArchitecture(Section):
    """The sizes of a SAM that is none of the published ones (names as in segment-anything).

    Attributes:
        image_size: side of the square that images are fitted into, pixels.
        patch_size: side of a patch, pixels.
        embed_dim, depth, num_heads: width, blocks and attention heads of the image encoder.
        global_attn_indexes: blocks that attend to the whole image, from 0.
        window_size: side of the window, in patches, that the other blocks attend to.
        out_chans: channels of the image embedding.
        decoder_heads, decoder_mlp: attention heads and hidden width of the mask decoder.
    """

    image_size: Positive
    patch_size: Positive
    embed_dim: Positive
    depth: Positive
    num_heads: Positive
    global_attn_indexes: tuple[Annotated[int, Field(ge=0)], ...]
    window_size: Annotated[int, Field(ge=0)]
    out_chans: Positive
    decoder_heads: Positive
    decoder_mlp: Positive


class SegmenterSource(ModelSource):
    """Where a segment-anything checkpoint is, and which architecture it holds.

    Attributes:
        architecture: a published one by its name, or the sizes of another.
    """

    architecture: Literal["vit_b", "vit_l", "vit_h"] | SamArchitecture


class Models(Section):
    """The four models of a stack.

    Attributes:
        text_to_image: a Stable Diffusion pipeline of diffusers; makes the references.
        segmenter: a segment-anything checkpoint; masks of references and regions of photos.
        features: a DINOv2 or DINOv3 folder of transformers; patch features.
        text_image: a CLIP folder of transformers; only for text evidence and `compare-labels`.
    """

    text_to_image: ModelSource
    segmenter: SegmenterSource
    features: ModelSource
    text_image: ModelSource

    def sources(self) -> dict[str, ModelSource]:
        """The models that there are, by their role."""
        found = {role: getattr(self, role) for role in type(self).model_fields}
        return {role: source for role, source in found.items() if source is not None}


class Generation(Section):
    """How reference images are generated.

    Attributes:
        images_per_category: K, also `-k`.
        steps: denoising steps, also `--steps`.
        guidance_scale: of classifier-free guidance; 1 and below means none.
        seed: of all randomness, also `--seed`; an image's own follows from it, the category and
            the number.
        height, width: of the images, pixels.
        batch_size: images that are made at a time; halved until it fits into the GPU's memory.
        template: the prompt, with {category} where the name goes.
        no_article: names that the prompt gives no "a" or "an".
    """

    images_per_category: Annotated[int, Field(gt=0, le=MAX_NUMBER + 1)] = 50
    steps: Positive = 50
    guidance_scale: Annotated[float, Field(gt=0)] = 7.5
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    height: Annotated[int, Field(gt=0, multiple_of=8)] = 512
    width: Annotated[int, Field(gt=0, multiple_of=8)] = 512
    batch_size: Positive = 8
    template: str = f"a photo of {CATEGORY_PLACEHOLDER}"
    no_article: tuple[str, ...] = ()

    @field_validator("template")
    @classmethod
    def _one_placeholder(cls, template: str) -> str:
        if template.count(CATEGORY_PLACEHOLDER) != 1:
            raise ValueError(f"expected a text with {CATEGORY_PLACEHOLDER} in it once")
        return template


class Localisation(Section):
    """How a cross-attention map becomes prompt points.

    Attributes:
        method: how the map is binarised: above Otsu's threshold, or above a fixed one.
        threshold: the fixed one, of the map scaled to 0..1.
        min_contrast: below this (max - min) / (max + min) of the raw map, the map says nothing:
            prompt points are taken all over the image, which is the mask itself unless SAM has a
            good one.
        points: prompt points an image, N of Algorithm 1.
    """

    method: Literal["otsu", "threshold"] = "otsu"
    threshold: Fraction = 0.5
    min_contrast: Fraction = 0.05
    points: Positive = 4


class Reference(Section):
    """Which references are good enough. The last three compare images with each other, at the end
    of a build.

    Attributes:
        min_quality: IoU that SAM predicts for its mask.
        min_agreement: IoU of mask and binarised attention; half of it for a large mask (0.75 of the
            image).
        min_area: a smaller mask is rejected; a smaller rest of the image has no background
            feature.
        max_area: a larger mask is rejected whatever the category, unless the map has no contrast;
            stuff that fills its images needs 1, which lets all pass.
        max_excess: the share of the image by which a large mask (0.75 of it) may exceed the upper
            quartile of its category's masks (1 lets all pass).
        outlier_mads: median absolute deviations that a reference may lie from its category's
            median.
        confusion_margin: the cosine by which a reference may be nearer to another category than
            to its own (2, the largest there is, lets all pass).
    """

    min_quality: Fraction = 0.5
    min_agreement: Fraction = 0.2
    min_area: Fraction = 0.005
    max_area: Fraction = 1.0
    max_excess: Fraction = 0.25
    outlier_mads: Annotated[float, Field(gt=0)] = 6.0
    confusion_margin: Annotated[float, Field(gt=0, le=2)] = 0.15


class Features(Section):
    """How region features are made.

    Attributes:
        size: the short side that images are resized to, pixels, rounded to whole patches.
    """

    size: Positive = 518


class Build(Section):
    """How the work of a build is cut.

    Attributes:
        shard_images: images a shard; what an interrupted build has to make again at most.
    """

    shard_images: Positive = 50


class Proposals(Section):
    """How a photo is cut into regions.

    Attributes:
        grid: prompt points a side.
        min_quality: IoU that SAM predicts for a mask; a worse one is dropped.
        min_stability: IoU of the mask cut at logits of +stability_offset and -stability_offset; a
            less stable one is dropped.
        stability_offset: see min_stability.
        nms: IoU above which the worse of two proposals is dropped.
        fuse: threshold of Eq. 1; at 1 nothing is fused.
        max_fused_area: a proposal larger than this swallows no others.
        min_area: a smaller proposal is dropped.
        points_per_batch: points that go through SAM's mask decoder at a time.
    """

    grid: Positive = 32
    min_quality: Fraction = 0.8
    min_stability: Fraction = 0.85
    stability_offset: Annotated[float, Field(gt=0)] = 1.0
    nms: Fraction = 0.8
    fuse: Fraction = 0.9
    max_fused_area: Fraction = 0.5
    min_area: Fraction = 0.0005
    points_per_batch: Positive = 64


class Matching(Section):
    """How regions are matched against the bank.

    Attributes:
        matcher: by a vote of the nearest references, by category means, or by ranking
            distributions; also `--matcher`.
        neighbours: k of `knn`, and references shown by the others.
        prototypes_per_category: sub-category prototypes of `prototype`.
        agents: m of `ranking`, categories whose order is compared.
        temperature: tau of `ranking`.
        standardise: whether the similarities of `ranking` are z-scored (without, a temperature of
            0.1 serves better).
        diffusion_weight, folder_weight: what a reference counts by its source, also
            `--source-weight`; 0 leaves those references out.
        background: cosine below which a region is none of the categories, also `--background`;
            "auto" takes it from the bank, none switches it off.
        negatives: whether a category is vetoed for regions that look like the background of its
            references.
        filter: categories that take a smaller share of the photo are dropped, and the photo is
            labelled again without them; `--filter` is 0.01.
        text_weight: of a category's probability by its name, beside its score; also
            `--text-weight`.
        overlap: whether all masks over a pixel vote on it, or the best one decides.
        patch_fallback: whether pixels under no mask are classified by their patches; otherwise they
            stay unlabelled.
        patch_smoothing: the patches are averaged over so many x so many of them; odd.
    """

    matcher: Literal["prototype", "knn", "ranking"] = "knn"
    neighbours: Positive = 15
    prototypes_per_category: Positive = 1
    agents: Annotated[int, Field(ge=2, le=6)] = 5
    temperature: Annotated[float, Field(gt=0)] = 1.0
    standardise: bool = True
    diffusion_weight: Annotated[float, Field(ge=0)] = 1.0
    folder_weight: Annotated[float, Field(ge=0)] = 1.0
    background: Annotated[float, Field(ge=-1, le=1)] | Literal["auto"] | None = "auto"
    negatives: bool = True
    filter: Annotated[float, Field(gt=0, le=1)] | None = None
    text_weight: Fraction = 0.0
    overlap: Literal["vote", "best"] = "vote"
    patch_fallback: bool = True
    patch_smoothing: Positive = 3

    @field_validator("patch_smoothing")
    @classmethod
    def _odd(cls, patches: int) -> int:
        if patches % 2 == 0:
            raise ValueError(f"expected an odd number of patches, found {patches}")
        return patches
