"""How the models of a stack share the memory of their device: all at once or in turns, by trial."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from foundation.interfaces import BuildStack, Prompt, Result
from foundation.memory import DeviceMemory, empty_cache, first_that_fits
from schemas.errors import MemoryShort

_CPU = torch.device("cpu")
# Those that can work on a part of a batch at a time; results depend on it by rounding alone.
_DIVISIBLE = ("segmenter", "features", "text_image")
_FEW_PARTS, _MANY_PARTS = 8, 64


class Way(enum.Enum):
    """The ways in which models can share a device, in words; the fastest comes first."""

    AHEAD = "all models at once, the next images made meanwhile"
    TOGETHER = "all models at once"
    TURNS = "one model at a time"


@dataclass(frozen=True)
class Share:
    """A way to share the device, and how many images are worked on together."""

    way: Way
    batch: int

    def __str__(self) -> str:
        return f"batches of {self.batch}, {self.way.value}"


def shares(ways: Iterable[Way], most: int) -> Iterator[Share]:
    """Every way with batches of `most`, its half, its quarter, ... and 1, the fastest way first.

    A smaller batch costs a GPU little, since a few images keep it busy; not making images ahead
    costs what the stages after generation take; moving models in and out costs seconds a batch. So
    the models stay on the device as long as one image fits beside them. [ours]
    """
    for way in ways:
        size = most
        while size >= 1:
            yield Share(way, size)
            size //= 2


class SharedDevice:
    """The models that are loaded, by role, and the way in which they share a device.

    In turns, each has the device to itself while it is active, and waits in the machine's memory
    meanwhile. Where memory is short they also cut their batches into parts.

    Attributes:
        way: the present one.
        models: objects with `to(device)` and, for roles that work on batches of points or regions,
            `divide(parts)`.
        active: the role that was activated last.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.models: dict[str, Any] = {}
        self.active = ""
        # On a CPU nothing is moved, and models would only take each other's cores. Without the
        # counters of CUDA it is not known what two models take at the same time.
        ways = {"cpu": (Way.TOGETHER,), "cuda": tuple(Way)}
        self._ways = ways.get(device.type, (Way.TOGETHER, Way.TURNS))
        self.way = self._ways[0]
        self._parts = 1

    def add(self, role: str, model: Any) -> None:
        """Adds a model that was loaded onto the device."""
        if role in _DIVISIBLE:
            model.divide(self._parts)
        self.models[role] = model

    def activate(self, role: str) -> None:
        """Gives a model, which is among `models`, the device to itself if they take turns."""
        self.active = role
        if self.way is Way.TURNS:
            self.clear(keep=role)
            self.models[role].to(self.device)

    def clear(self, keep: str | None = None) -> None:
        """Moves models away from the device, all but one."""
        for role, model in self.models.items():
            if role != keep:
                model.to(_CPU)
        empty_cache()

    def change(self, way: Way, parts: int | None = None) -> None:
        """From now on the models share the device in this way, and cut batches into parts."""
        if self.way is Way.TURNS and way is not Way.TURNS:
            for model in self.models.values():
                model.to(self.device)
        self.way = way
        if parts is not None:
            self._parts = parts
            for role, model in self.models.items():
                if role in _DIVISIBLE:
                    model.divide(parts)

    def take_turns(self) -> bool:
        """From now on the models take turns; returns whether that is possible and new."""
        new = self.way is not Way.TURNS and Way.TURNS in self._ways
        if new:
            self.change(Way.TURNS)
        return new

    def options(self, most: int) -> Iterator[Share]:
        """The present way and the slower ones, with batches of at most `most`, in order."""
        return shares(self._ways[self._ways.index(self.way) :], most)

    def lesser(self, batch: int, most: int) -> Iterator[Share]:
        """Those of `options` that take less memory than the present way with this batch."""
        slower = self._ways[self._ways.index(self.way) + 1 :]
        yield from shares([self.way], batch // 2)
        yield from shares(slower, most)

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Runs work; where memory runs out, again with less of it, in a fixed order.

        Batches are cut into 8 parts, which costs little; then models take turns; then batches are
        cut into 8, and into 64 parts. What has sufficed stays.

        Raises:
            MemoryShort: nothing helps; all is as it was before.
        """
        before = self.way, self._parts

        def run(step: tuple[Way, int]) -> Result:
            self.change(*step)
            return work()

        found = first_that_fits(self._steps(), run)
        if not isinstance(found, str):
            return found[1]
        # What was too much may be the exception; but others may have taken the memory meanwhile.
        if isinstance(first_that_fits([before], lambda step: self.change(*step)), str):
            self.change(Way.TURNS, 1)
        elsewhere = "" if self.device.type == "cpu" else "use --device cpu, or "
        raise self.too_much(found, f"{elsewhere}close other programs, or scale the photo down")

    def too_much(self, reason: str, remedies: str) -> MemoryShort:
        """The error for the model that is active."""
        alone = ", with models that take turns on it" if self.way is Way.TURNS else ""
        return MemoryShort(
            f"models.{self.active}: the memory of {self.device} does not suffice{alone} "
            f"({reason}); {remedies}"
        )

    def _steps(self) -> list[tuple[Way, int]]:
        """The present way and parts, and what takes less, in order."""
        ways = list(dict.fromkeys((self.way, self._ways[-1])))
        steps = [(way, parts) for way in ways for parts in (1, _FEW_PARTS)]
        steps.append((ways[-1], _MANY_PARTS))
        return steps[steps.index((self.way, self._parts)) :]


@dataclass(frozen=True)
class BuildTrial:
    """Runs one batch through the stages of a build.

    Where images are made ahead, generation and the other stages may reach their peaks at the same
    time. Running both at once would meet that case only by chance; so the others' peak is measured,
    and reserved while a batch is generated.

    Attributes:
        roles: of the models that the build works with.
        image_size: (height, width) of its images.
    """

    stack: BuildStack
    device: SharedDevice
    memory: DeviceMemory
    roles: Sequence[str]
    image_size: tuple[int, int]

    def run(self, share: Share) -> None:
        """Makes and examines a batch; runs out of memory if the share is too large."""
        self.device.change(share.way)
        if share.way is Way.AHEAD and "text_to_image" in self.roles:
            meanwhile = self.memory.peak_of(lambda: self._examine(share.batch))
            with self.memory.held(meanwhile):
                self._generate(share.batch)
            return
        self._generate(share.batch)
        self._examine(share.batch)

    def _generate(self, count: int) -> None:
        """Runs one denoising step, decoding and the safety checker: all steps take no more."""
        if "text_to_image" not in self.roles:
            return
        self.stack.activate("text_to_image")
        generator = self.stack.text_to_image.shortened(1)
        generator.generate([Prompt("a photo of a cat", 13, 16)] * count, list(range(count)))

    def _examine(self, count: int) -> None:
        """Runs SAM with a prompt on one image, and the feature model on a batch."""
        image = np.zeros((*self.image_size, 3), np.uint8)
        if "segmenter" in self.roles:
            self.stack.activate("segmenter")
            segmenter = self.stack.segmenter
            embedding = segmenter.embed(image)
            points = np.zeros((1, self.stack.settings.localisation.points, 2), np.float32)
            candidates = segmenter.predict(embedding, points)
            segmenter.upsample(embedding, candidates.logits[0])
        if "features" in self.roles:
            self.stack.activate("features")
            self.stack.features.extract([image] * count)
