"""The trial before a build: what its stages take of the device's memory, run as they will be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from foundation.interfaces import BuildStack, Prompt
from foundation.memory import DeviceMemory
from foundation.sharing import Share, SharedDevice, Way


@dataclass(frozen=True)
class BuildTrial:
    """One batch through the stages of a build.

    Where images are made ahead, generation and the other stages may reach their peaks at the same
    time. To run both and hope that they do would leave it to chance; so the others' peak is
    measured, and held while a batch is generated.

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
        """One denoising step, decoding and the safety checker: what all the steps take, too."""
        if "text_to_image" not in self.roles:
            return
        self.stack.activate("text_to_image")
        generator = self.stack.text_to_image.shortened(1)
        generator.generate([Prompt("a photo of a cat", 13, 16)] * count, list(range(count)))

    def _examine(self, count: int) -> None:
        """One image through SAM with a prompt, as many as are to be made through the features."""
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
