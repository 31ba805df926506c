"""The four models of one settings file, each loaded when it is first used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from foundation.interfaces import Result
from foundation.memory import DeviceMemory, first_line, first_that_fits, give_back
from foundation.sharing import BuildTrial, Share, SharedDevice, Way
from foundation.weights.missing import Caller
from foundation.weights.model_files import check_content, fingerprint, resolve
from foundation.weights.roles import BUILD_ROLES
from schemas.errors import ModelError, RimError, UsageError
from schemas.records import ModelRecord
from schemas.settings import Models, ModelSource, Settings

if TYPE_CHECKING:
    from foundation.patch_features import PatchFeatures
    from foundation.sam import SamSegmenter
    from foundation.text_image import ClipScorer
    from foundation.text_to_image import DiffusersTextToImage

logger = logging.getLogger(__name__)

ROLES: tuple[str, ...] = tuple(Models.model_fields)

_Model = TypeVar("_Model")


class ModelStack:
    """Text-to-image, segmenter, patch features and text-image scores, as the settings name them.

    The text-to-image model's UNet and decoder compute in the device's fast type (see `precision`),
    on a GPU SAM's image encoder and the safety checker's vision transformer too. Patch features are
    compared across machines and stay in float32, as does all else.

    On a GPU all models are on the device, or, where its memory is too small for that, they take
    turns: each has it to itself while it is active, and waits in the machine's memory meanwhile.
    Which it is, is found by trial (`batch_that_fits`, `within_memory`), and stays.

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
        self._records: dict[str, ModelRecord] = {}
        self._shared = SharedDevice(self.device)
        self._memory = DeviceMemory(self.device)
        self._most = 1
        self._trial: BuildTrial | None = None

    @property
    def text_to_image(self) -> DiffusersTextToImage:
        """Makes reference images; see `foundation.text_to_image`. ModelError if it is missing."""
        return self._get("text_to_image", self._load_text_to_image)

    @property
    def segmenter(self) -> SamSegmenter:
        """Makes masks of points; see `foundation.sam`. ModelError if it is missing."""
        return self._get("segmenter", self._load_segmenter)

    @property
    def features(self) -> PatchFeatures:
        """Makes patch tokens; see `foundation.patch_features`. ModelError if it is missing."""
        return self._get("features", self._load_features)

    @property
    def text_image(self) -> ClipScorer:
        """Compares texts and images; see `foundation.text_image`. ModelError if it is missing."""
        return self._get("text_image", self._load_text_image)

    def load(
        self,
        roles: Sequence[str] = BUILD_ROLES,
        on_role: Callable[[str], None] = lambda role: None,
    ) -> None:
        """Loads models, so that one that cannot be is found before anything is written.

        Args:
            roles: those that are used.
            on_role: called with each role before it is loaded.

        Raises:
            ModelError: a model is missing or cannot be loaded.
            SettingsError: a model cannot do what the settings ask for.
        """
        for role in roles:
            on_role(role)
            logger.debug("loaded %s", type(getattr(self, role)).__name__)

    @property
    def works_ahead(self) -> bool:
        """Whether the next images may be made while the last ones are examined.

        On a GPU with memory for both; on a CPU they would only take each other's cores.
        """
        return self._shared.way is Way.AHEAD

    def batch_that_fits(
        self,
        most: int,
        roles: Sequence[str] = BUILD_ROLES,
        image_size: tuple[int, int] | None = None,
    ) -> int:
        """The largest batch of images, at most `most`, that a build can make and examine; by trial.

        Tried are all stages as they will run, see `BuildTrial`, in the ways and sizes of
        `SharedDevice.options`. On a CPU nothing is tried; the machine swaps before it runs out.

        Args:
            most: at least 1.
            roles: of the models that the build works with.
            image_size: (height, width) of the images, by default that of generated ones.

        Raises:
            MemoryShort: a single image does not fit, with models that take turns.
        """
        if self.device.type == "cpu":
            return most
        generation = self.settings.generation
        size = image_size or (generation.height, generation.width)
        self._most = most
        self._trial = BuildTrial(self, self._shared, self._memory, roles, size)
        return self._first_that_fits(self._trial, self._shared.options(most))

    def can_take_less(self, batch: int) -> bool:
        """Whether a build in batches of this size can go on with less memory than now."""
        return next(self._shared.lesser(batch, self._most), None) is not None

    def take_less(self, batch: int) -> int:
        """The batch to go on with after memory ran out at `batch`, found as by `batch_that_fits`.

        Raises:
            MemoryShort: nothing less fits any more.
        """
        give_back()
        options = self._shared.lesser(batch, self._most)
        if self._trial is None:
            return next(options).batch
        return self._first_that_fits(self._trial, options)

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Runs work, again with less memory where it ran out; see `SharedDevice.within_memory`.

        The work calls `activate` before it uses a model.

        Raises:
            MemoryShort: the memory does not suffice.
        """
        return self._shared.within_memory(work)

    def activate(self, role: str) -> None:
        """Gives a model the device to itself, if they were found to have to share it."""
        if self._shared.way is Way.TURNS:
            getattr(self, role)  # loaded, if it is not
        self._shared.activate(role)

    def _first_that_fits(self, trial: BuildTrial, options: Iterable[Share]) -> int:
        found = first_that_fits(options, trial.run)
        give_back()
        if isinstance(found, str):
            height, width = trial.image_size
            raise self._shared.too_much(
                found,
                f"one image of {height} x {width} has to fit: use a smaller preset (--preset "
                "fast), smaller images (--set generation.height=384 --set generation.width=384), "
                "or --device cpu, or close other programs that use the device",
            )
        share, _ = found
        logger.info("memory on %s for %s; asked for: %d", self.device, share, self._most)
        return share.batch

    def path(self, role: str) -> Path:
        """The place of a role's files, which are downloaded first if they are missing and may be.

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
        if self._shared.models.pop(role, None) is not None:
            give_back()

    def _source(self, role: str) -> ModelSource:
        if role not in ROLES:
            raise UsageError(f"expected one of the roles {', '.join(ROLES)}, found {role!r}")
        source: ModelSource = getattr(self.settings.models, role)
        return source

    def _get(self, role: str, load: Callable[[Path], _Model]) -> _Model:
        if role not in self._shared.models:
            path = self.path(role)
            try:
                self._shared.add(role, self._load_making_room(role, load, path))
            except RimError:
                raise
            except Exception as error:  # every model library has errors of its own
                raise ModelError(
                    f"models.{role}: expected a model in {path} that can be loaded, found "
                    f"{type(error).__name__}: {first_line(error)}; check or fetch the files again"
                ) from error
        model: _Model = self._shared.models[role]
        return model

    def _load_making_room(self, role: str, load: Callable[[Path], _Model], path: Path) -> _Model:
        """Loads a model beside the others or, if need be, in their place on the device."""
        if self._shared.way is Way.TURNS:
            self._shared.clear()
        found = first_that_fits([path], load)
        if not isinstance(found, str):
            return found[1]
        if self._shared.models and self._shared.take_turns():
            return self._load_making_room(role, load, path)
        self._shared.active = role
        raise self._shared.too_much(
            found,
            "its weights alone have to fit: use a smaller preset (--preset fast), or --device cpu, "
            "or close other programs that use the device",
        )

    # Each family of models is imported when it is used: a query has no use for diffusers.

    def _load_text_to_image(self, path: Path) -> DiffusersTextToImage:
        from foundation.text_to_image_loading import load

        return load(path, self.settings, self.device)

    def _load_segmenter(self, path: Path) -> SamSegmenter:
        from foundation.sam import load

        return load(path, self.settings, self.device)

    def _load_features(self, path: Path) -> PatchFeatures:
        from foundation.patch_features import load

        return load(path, self.settings, self.device)

    def _load_text_image(self, path: Path) -> ClipScorer:
        from foundation.text_image import load

        return load(path, self.device)


def choose_device(name: str) -> torch.device:
    """The torch device of a name.

    "auto" is a CUDA GPU, else Apple's GPU (MPS), else the CPU, whichever works.

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
