"""Losses that draw features of one kind together: a cosine classifier and a contrast."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from miniature.training.region_batches import SPECIES_COUNT
from miniature.training.scene_pool import FIRST_SPECIES
from miniature.world import CATEGORIES, FAMILIAR, STUFF

NAMED = tuple(CATEGORIES.index(name) for name in FAMILIAR + STUFF)


class Namer(nn.Module):
    """A cosine classifier over familiar categories, stuff and species (Zhai and Wu, 2019)."""

    table: Tensor

    def __init__(self, width: int, temperature: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(NAMED) + SPECIES_COUNT, width))
        self.temperature = temperature
        table = torch.full((FIRST_SPECIES + SPECIES_COUNT,), -1)
        table[list(NAMED)] = torch.arange(len(NAMED))
        table[FIRST_SPECIES:] = len(NAMED) + torch.arange(SPECIES_COUNT)
        self.register_buffer("table", table, persistent=False)

    def forward(self, features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of each of the normalised features (R, d), and which were named right."""
        logits = features @ F.normalize(self.weight, dim=1).T / self.temperature
        wanted = self.table[classes]
        return F.cross_entropy(logits, wanted, reduction="none"), logits.argmax(1) == wanted


class Memory:
    """The latest features (n, d) and their classes (n,), as further company to contrast with."""

    def __init__(self, width: int, capacity: int, device: str) -> None:
        self.features = torch.zeros(capacity, width, device=device)
        self.classes = torch.full((capacity,), -1, device=device)
        self._next = 0

    def add(self, features: Tensor, classes: Tensor) -> None:
        """Replace the oldest entries."""
        slots = (self._next + torch.arange(len(features))) % len(self.features)
        self.features[slots], self.classes[slots] = features.detach(), classes
        self._next = int(slots[-1]) + 1

    def state_dict(self) -> dict[str, Any]:
        return {"features": self.features, "classes": self.classes, "next": self._next}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.features.copy_(state["features"])
        self.classes.copy_(state["classes"])
        self._next = state["next"]


def contrastive_loss(
    features: Tensor, classes: Tensor, memory: Memory, temperature: float = 0.1
) -> Tensor:
    """Supervised contrastive loss (Khosla et al., 2020) of normalised features (R, d).

    Each is contrasted with the others and with a memory (Wang et al., 2020); features whose kind is
    not among those count for nothing, and each kind of the batch counts alike.
    """
    keys = torch.cat([features, memory.features])
    kinds = torch.cat([classes, memory.classes])
    similarity = features @ keys.T / temperature
    left_out = kinds.expand(len(features), -1) < 0
    left_out.fill_diagonal_(True)
    same = (classes[:, None] == kinds) & ~left_out
    logs = similarity.masked_fill(left_out, -torch.inf).log_softmax(1).masked_fill(~same, 0.0)
    pairs = same.sum(1)
    losses = -logs.sum(1) / pairs.clamp(min=1)
    alike = (classes[:, None] == classes).sum(1)
    share = (pairs > 0) / alike
    return (losses * share).sum() / share.sum().clamp(min=1e-6)
