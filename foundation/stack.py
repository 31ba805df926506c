"""The four models of one settings file, each loaded when it is first used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from foundation.memory import (
    give_back,
    is_out_of_memory,
    largest_that_fits,
)
from foundation.missing import Caller
from foundation.model_files import check_content, fingerprint, resolve
from foundation.precision import compute_in, decode_in, encoder_type, fast_type
from schemas.errors import ModelError, RimError, UsageError
from schemas.records import ModelRecord
from schemas.settings import Models, ModelSource, Settings

# The model libraries are imported by what needs them: a query has no use for diffusers.
if TYPE_CHECKING:
    from foundation.patch_features import PatchFeatures
    from foundation.segmenter import SamSegmenter
    from foundation.text_image import ClipScorer
    from foundation.text_to_image import DiffusersTextToImage

logger = logging.getLogger(__name__)

ROLES: tuple[str, ...] = tuple(Models.model_fields)

_Model = TypeVar("_Model")


class ModelStack:
    """Text-to-image, segmenter, patch features and text-image scores, as the settings name them.

    The text-to-image model's UNet and decoder compute in the device's fast type (see `precision`),
    on a GPU SAM's image encoder too. Patch features are compared across machines and stay in
    float32, as does all else.

    Args:
        settings: of a preset or a bank.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps", ...
        offline: use only weights that are on this machine.
        caller: who needs the models, for the error if one is missing; by default the preset.
        read_files: find fingerprints by reading every file, whatever is remembered of it.

    Raises:
        UsageError: a device that torch does not know or have.
    """

    def __init__(
        self,
        settings: Settings,
        device: str = "auto",
        offline: bool = True,
        *,
        caller: Caller | None = None,
        read_files: bool = False,
    ) -> None:
        self.settings = settings
        self.device = choose_device(device)
        self.offline = offline
        self._caller = caller or Caller(settings.preset)
        self._read_files = read_files
        self._loaded: dict[str, Any] = {}
        self._records: dict[str, ModelRecord] = {}
        self._one_at_a_time = False

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

    @property
    def works_ahead(self) -> bool:
        """Whether one model may run while another's results are looked at: on a GPU that holds them
        all. On a CPU they would only take each other's cores.
        """
        return self.device.type == "cuda" and not self._one_at_a_time

    def batch_that_fits(self, most: int) -> int:
        """The largest batch of pictures, at most `most`, that can be made on a GPU; found by trial.

        A trial is one denoising step with decoding, which takes as much memory as all the steps.
        If not even one picture can be made beside the other models, from now on they share the
        GPU: each has it to itself while it is active, and waits in the machine's memory meanwhile.
        On a CPU nothing is tried; the machine swaps before it runs out.

        Raises:
            ModelError: the memory does not suffice for one picture.
        """
        if self.device.type == "cpu":
            return most
        self.activate("text_to_image")
        size = self._try_batches(most)
        if size is None and not self._one_at_a_time:
            self._one_at_a_time = True
            self.activate("text_to_image")
            size = self._try_batches(most)
        if size is None:
            raise ModelError(
                f"models.text_to_image: one picture of {self.settings.generation.width} x "
                f"{self.settings.generation.height} does not fit into the memory of {self.device}; "
                "use a smaller preset (--preset fast), smaller pictures "
                "(--set generation.height=384 --set generation.width=384) or --device cpu"
            )
        if size < most or self._one_at_a_time:
            how = "one model at a time" if self._one_at_a_time else "all models at once"
            logger.info("memory for batches of %d of %d, %s on %s", size, most, how, self.device)
        return size

    def _try_batches(self, most: int) -> int | None:
        from foundation.text_to_image import Prompt

        trial = self.text_to_image.shortened(1)
        prompt = Prompt("a photo of a cat", 13, 16)

        def make(count: int) -> None:
            trial.generate([prompt] * count, list(range(count)))

        size = largest_that_fits(make, most)
        give_back()
        return size

    def activate(self, role: str) -> None:
        """Gives a model the device to itself, if they were found to have to share it."""
        if not self._one_at_a_time:
            return
        model = getattr(self, role)
        self._clear_device(keep=role)
        model.to(self.device)

    def path(self, role: str) -> Path:
        """Where a role's files are, downloaded first if need be and allowed.

        Raises:
            ModelError: they are missing.
        """
        return resolve(self._source(role), role, offline=self.offline, caller=self._caller)

    def fingerprints(self, roles: Sequence[str] = ROLES) -> dict[str, ModelRecord]:
        """Name, licence and content fingerprint of models, by default all four, by role; read once.

        Raises:
            ModelError: files are missing, cannot be read, or are not those that the settings name.
        """
        for role in roles:
            if role not in self._records:
                source, path = self._source(role), self.path(role)
                found = fingerprint(path, read=self._read_files)
                check_content(source, role, path, found)
                self._records[role] = ModelRecord(
                    name=source.location, licence=source.licence, fingerprint=found
                )
        return {role: self._records[role] for role in roles}

    def free(self, role: str) -> None:
        """Forgets a loaded model so that its memory can be used; it is loaded again when needed.

        The memory is free once the caller holds no reference to the model either.
        """
        self._source(role)
        if self._loaded.pop(role, None) is not None:
            give_back()

    def _source(self, role: str) -> ModelSource:
        if role not in ROLES:
            raise UsageError(f"expected one of the roles {', '.join(ROLES)}, found {role!r}")
        source: ModelSource = getattr(self.settings.models, role)
        return source

    def _get(self, role: str, load: Callable[[Path], _Model]) -> _Model:
        if role not in self._loaded:
            path = self.path(role)
            try:
                self._loaded[role] = self._load(load, path)
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

    def _load(self, load: Callable[[Path], _Model], path: Path) -> _Model:
        """Loads a model, if need be in place of the others on the device."""
        try:
            return load(path)
        except Exception as error:
            if not (is_out_of_memory(error) and self._loaded):
                raise
        self._one_at_a_time = True
        self._clear_device()
        return load(path)

    def _clear_device(self, keep: str | None = None) -> None:
        for role, model in self._loaded.items():
            if role != keep:
                model.to(torch.device("cpu"))
        give_back()

    def _load_text_to_image(self, path: Path) -> DiffusersTextToImage:
        from diffusers.utils import logging
        from transformers.utils import logging as transformers_logging

        from foundation.pipelines import load_pipeline
        from foundation.text_to_image import DiffusersTextToImage

        logging.disable_progress_bar()
        transformers_logging.disable_progress_bar()
        pipeline = load_pipeline(path, self.device)
        dtype = fast_type(self.device)
        compute_in(pipeline.unet, dtype)
        decode_in(pipeline.vae, dtype)
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
        points = self.settings.proposals.points_per_batch
        return SamSegmenter(sam, points, encoder_type(self.device))

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
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        return ClipScorer(model, tokenizer, read_normalisation(path, CLIP))


_FROM_FOLDER: dict[str, Any] = {
    "dtype": torch.float32,
    "use_safetensors": True,
    "local_files_only": True,
    "trust_remote_code": False,
}


def choose_device(name: str) -> torch.device:
    """The torch device of a name; "auto" is a CUDA GPU, else Apple's GPU (MPS), else the CPU,
    whichever works.

    Raises:
        UsageError: torch does not know or have the device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        # A virtual machine may have the GPU in name only.
        return torch.device("mps" if _works("mps") is None else "cpu")
    error = _works(name)
    if error is not None:
        raise UsageError(
            f"expected a device that torch has here, such as auto, cpu, cuda or mps, found {name!r}"
        ) from error
    return torch.device(name)


def _works(name: str) -> Exception | None:
    """Why torch cannot compute on a device; None if it can."""
    try:
        device = torch.device(name)
        if device.type == "mps" and not torch.backends.mps.is_available():
            return NotImplementedError("MPS is not available")
        (torch.ones(1, device=device) + 1).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return error
    return None
