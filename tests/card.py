"""A pretended GPU: its memory is counted, its models are stand-ins that take some of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")


@dataclass
class Card:
    """A GPU's memory in bytes; stands for `foundation.memory.DeviceMemory` as well."""

    memory: int
    taken: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, size: int) -> None:
        """Allocates; torch's error if there is no room."""
        with self.lock:
            if self.taken + size > self.memory:
                raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes")
            self.taken += size
            self.most = max(self.most, self.taken)

    def free(self, size: int) -> None:
        """Frees."""
        with self.lock:
            self.taken -= size

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Allocates for the while of a block."""
        self.take(size)
        try:
            yield
        finally:
            self.free(size)

    def peak_of(self, run: Callable[[], object]) -> int:
        """The most that was allocated while `run` ran, beyond what was before."""
        before = self.most = self.taken
        run()
        return self.most - before


@dataclass
class CardModel:
    """A model on the card; calls take `fixed` and `each` for every item of a batch.

    It does what `inner` does. moves: how often it came onto the card. largest: of its batches.
    """

    card: Card
    weights: int
    fixed: int = 0
    each: int = 0
    inner: Any = None
    device: torch.device = CPU
    parts: int = 1
    moves: int = 0
    largest: int = 0

    def to(self, device: torch.device) -> None:
        """Takes or frees the weights."""
        if device == self.device:
            return
        if device == GPU:
            self.card.take(self.weights)
            self.moves += 1
        else:
            self.card.free(self.weights)
        self.device = device

    def divide(self, parts: int) -> None:
        """As the models do."""
        self.parts = parts

    def shortened(self, steps: int) -> CardModel:
        """Takes the same."""
        assert steps == 1
        return self

    @property
    def dimension(self) -> int:
        """Of the features."""
        return int(self.inner.dimension)

    def generate(self, prompts: Sequence[Any], seeds: Sequence[int]) -> Any:
        """Images of a batch."""
        with self.running(len(prompts)):
            return self.inner.generate(prompts, seeds)

    def embed(self, image: Any) -> Any:
        """The fixed part of a segmenter."""
        with self.running(0):
            return self.inner.embed(image)

    def predict(self, embedding: Any, points: Any) -> Any:
        """What a segmenter takes for each prompt of a part."""
        with self.running(max(1, len(points) // self.parts)):
            return self.inner.predict(embedding, points)

    def upsample(self, embedding: Any, logits: Any) -> Any:
        """Takes nothing here."""
        assert self.device == GPU
        return self.inner.upsample(embedding, logits)

    def working_logits(self, embedding: Any, logits: Any) -> Any:
        """Takes nothing here."""
        assert self.device == GPU
        return self.inner.working_logits(embedding, logits)

    def extract(self, images: Sequence[Any]) -> Any:
        """Features of a batch, a part at a time."""
        with self.running(max(1, len(images) // self.parts)):
            return self.inner.extract(images)

    @contextmanager
    def running(self, items: int) -> Iterator[None]:
        """Takes what a call takes; the model has to be on the card."""
        assert self.device == GPU
        with self.card.held(self.fixed + self.each * items):
            yield
        self.largest = max(self.largest, items)
