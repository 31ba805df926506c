"""A real model stack whose models are stand-ins on a pretended GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foundation.sharing import SharedDevice
from foundation.stack import ModelStack
from schemas.records import ModelRecord
from schemas.settings import Settings
from tests.bank_builder.stand_in import StandInExtractor, StandInPainter, StandInSegmenter
from tests.card import GPU, Card, CardModel


@dataclass(frozen=True)
class Needs:
    """What a model takes in bytes: its weights, a call, and every item of a batch."""

    weights: int
    fixed: int = 0
    each: int = 0


class CardStack(ModelStack):
    """Everything that a stack decides, with models of `tests.bank_builder.stand_in`.

    Args:
        needs: of text_to_image, segmenter and features.
    """

    def __init__(self, settings: Settings, card: Card, needs: Sequence[Needs]) -> None:
        super().__init__(settings, device="cpu")
        self.device = GPU
        self._shared = SharedDevice(GPU)
        self._memory = card  # type: ignore[assignment]
        inner = (StandInPainter(), StandInSegmenter(), StandInExtractor())
        roles = ("text_to_image", "segmenter", "features")
        self.stand_ins = {
            role: CardModel(card, need.weights, need.fixed, need.each, model)
            for role, need, model in zip(roles, needs, inner, strict=True)
        }

    def path(self, role: str) -> Path:
        """Never read."""
        return Path(role)

    def fingerprints(self, roles: Sequence[str] = ()) -> dict[str, ModelRecord]:
        """One record for each role."""
        record = ModelRecord(name="stand-in", licence="none", fingerprint="0" * 64)
        return dict.fromkeys(roles, record)

    def _onto_the_card(self, role: str) -> Any:
        self.stand_ins[role].to(GPU)
        return self.stand_ins[role]

    def _load_text_to_image(self, path: Path) -> Any:
        return self._onto_the_card("text_to_image")

    def _load_segmenter(self, path: Path) -> Any:
        return self._onto_the_card("segmenter")

    def _load_features(self, path: Path) -> Any:
        return self._onto_the_card("features")
