"""The four models of one settings file, each loaded when it is first used."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from foundation.model_files import fingerprint, resolve
from schemas.errors import ModelError, RimError, UsageError
from schemas.records import ModelRecord
from schemas.settings import Models, ModelSource, Settings

# The model libraries are imported by what needs them: a query has no use for diffusers.
if TYPE_CHECKING:
    from foundation.patch_features import PatchFeatures
    from foundation.segmenter import SamSegmenter
    from foundation.text_image import ClipScorer
    from foundation.text_to_image import DiffusersTextToImage

ROLES: tuple[str, ...] = tuple(Models.model_fields)

_Model = TypeVar("_Model")


class ModelStack:
    """Text-to-image, segmenter, patch features and text-image scores, as the settings name them.

    All models compute in float32, except that on a GPU the text-to-image model runs in float16.

    Args:
        settings: of a preset or a bank.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        offline: use only weights that are on this machine.

    Raises:
        UsageError: a device that torch does not know or have.
    """

    def __init__(self, settings: Settings, device: str = "auto", offline: bool = True) -> None:
        self.settings = settings
        self.device = choose_device(device)
        self.offline = offline
        self._loaded: dict[str, Any] = {}
        self._records: dict[str, ModelRecord] = {}

    @property
    def text_to_image(self) -> DiffusersTextToImage:
        """Makes reference images; see `foundation.text_to_image`. ModelError if it is missing."""
        return self._get("text_to_image", self._load_text_to_image)

    @property
    def segmenter(self) -> SamSegmenter:
        """Makes masks of points; see `foundation.segmenter`. ModelError if it is missing."""
        return self._get("segmenter", self._load_segmenter)

    @property
    def features(self) -> PatchFeatures:
        """Makes patch tokens; see `foundation.patch_features`. ModelError if it is missing."""
        return self._get("features", self._load_features)

    @property
    def text_image(self) -> ClipScorer:
        """Compares texts and images; see `foundation.text_image`. ModelError if it is missing."""
        return self._get("text_image", self._load_text_image)

    def path(self, role: str) -> Path:
        """Where a role's files are, downloaded first if need be and allowed.

        Raises:
            ModelError: they are missing.
        """
        return resolve(self._source(role), role, offline=self.offline, preset=self.settings.preset)

    def fingerprints(self) -> dict[str, ModelRecord]:
        """Name, licence and content fingerprint of all four models, by role; read once.

        Raises:
            ModelError: files are missing or cannot be read.
        """
        for role in ROLES:
            if role not in self._records:
                source = self._source(role)
                self._records[role] = ModelRecord(
                    name=source.location,
                    licence=source.licence,
                    fingerprint=fingerprint(self.path(role)),
                )
        return dict(self._records)

    def free(self, role: str) -> None:
        """Forgets a loaded model so that its memory can be used; it is loaded again when needed.

        The memory is free once the caller holds no reference to the model either.
        """
        self._source(role)
        if self._loaded.pop(role, None) is not None:
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _source(self, role: str) -> ModelSource:
        if role not in ROLES:
            raise UsageError(f"expected one of the roles {', '.join(ROLES)}, found {role!r}")
        source: ModelSource = getattr(self.settings.models, role)
        return source

    def _get(self, role: str, load: Callable[[Path], _Model]) -> _Model:
        if role not in self._loaded:
            path = self.path(role)
            try:
                self._loaded[role] = load(path)
            except RimError:
                raise
            except Exception as error:  # every model library has errors of its own
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise ModelError(
                    f"models.{role}: expected a model in {path} that can be loaded, "
                    f"found {type(error).__name__}: {reason}; check or fetch the files again"
                ) from error
        model: _Model = self._loaded[role]
        return model

    def _load_text_to_image(self, path: Path) -> DiffusersTextToImage:
        from diffusers.utils import logging
        from transformers.utils import logging as transformers_logging

        from foundation.pipelines import load_pipeline
        from foundation.text_to_image import DiffusersTextToImage

        logging.disable_progress_bar()
        transformers_logging.disable_progress_bar()
        dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        pipeline = load_pipeline(path, self.device, dtype)
        generation = self.settings.generation
        return DiffusersTextToImage(
            pipeline,
            steps=generation.steps,
            guidance_scale=generation.guidance_scale,
            height=generation.height,
            width=generation.width,
        )

    def _load_segmenter(self, path: Path) -> SamSegmenter:
        from foundation.sam_checkpoint import load_sam
        from foundation.segmenter import SamSegmenter

        sam = load_sam(self.settings.models.segmenter, path).to(self.device)
        return SamSegmenter(sam, self.settings.proposals.points_per_batch)

    def _load_features(self, path: Path) -> PatchFeatures:
        from transformers import AutoModel
        from transformers.utils import logging

        from foundation.patch_features import PatchFeatures
        from foundation.preprocessing import IMAGENET, read_normalisation

        logging.disable_progress_bar()
        model = AutoModel.from_pretrained(path, **_FROM_FOLDER).to(self.device).eval()
        if model.config.model_type not in ("dinov2", "dinov2_with_registers", "dinov3_vit"):
            raise ModelError(
                f"models.features: expected a DINOv2 or DINOv3 transformer in {path}, "
                f"found {model.config.model_type}; correct models.features.location"
            )
        normalisation = read_normalisation(path, IMAGENET)
        return PatchFeatures(model, self.settings.features.size, normalisation)

    def _load_text_image(self, path: Path) -> ClipScorer:
        from transformers import AutoTokenizer, CLIPModel
        from transformers.utils import logging

        from foundation.preprocessing import CLIP, read_normalisation
        from foundation.text_image import ClipScorer

        logging.disable_progress_bar()
        model = CLIPModel.from_pretrained(path, **_FROM_FOLDER).to(self.device).eval()
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        return ClipScorer(model, tokenizer, read_normalisation(path, CLIP))


_FROM_FOLDER: dict[str, Any] = {
    "dtype": torch.float32,
    "use_safetensors": True,
    "local_files_only": True,
    "trust_remote_code": False,
}


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is a GPU if there is one, else the CPU.

    Raises:
        UsageError: torch does not know or have the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(
            f"expected a device that torch has here, such as auto, cpu or cuda, found {name!r}"
        ) from error
    return device
