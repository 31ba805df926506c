"""What the steps say of small banks of coloured rectangles, healthy ones and others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rim.check import meaning
from rim.check.findings import NotApplicable
from rim.check.workbench import Workbench
from tests.bank_builder.stand_in import StandInExtractor, StandInPainter, StandInStack
from tests.rim.check.benches import stand_in_bench


def built(folder: Path, **parts: object) -> Workbench:
    """A bench whose bank is built: cat and rocket are rectangles, sky is everywhere."""
    painter = parts.pop("painter", StandInPainter(flat=frozenset({"sky"})))
    bench = stand_in_bench(folder, StandInStack(text_to_image=painter, **parts))  # type: ignore[arg-type]
    meaning.build(bench)
    return bench


def test_a_healthy_bank(tmp_path: Path) -> None:
    bench = stand_in_bench(
        tmp_path, StandInStack(text_to_image=StandInPainter(flat=frozenset({"sky"})))
    )
    finding = meaning.build(bench)
    assert finding.fine, finding.found
    assert finding.found == "12 of 12 images accepted"
    assert len(finding.images) == 3
    for step in (meaning.attention, meaning.stuff, meaning.structure):
        assert step(bench).fine, step(bench).found
    # The rectangle is a quarter of the image at most, and nothing else has attention.
    assert meaning.attention(bench).numbers["lift"] > 3
    assert meaning.stuff(bench).numbers == {"stuff": 1.0, "things": 0.25}
    assert meaning.structure(bench).numbers["own_neighbour"] == 1


def test_attention_beside_the_object(tmp_path: Path) -> None:
    astray = StandInPainter(flat=frozenset({"sky"}), astray=frozenset({"cat", "rocket"}))
    finding = meaning.attention(built(tmp_path, painter=astray))
    assert not finding.fine
    assert finding.numbers["agreement"] < meaning.MIN_AGREEMENT


def test_things_as_large_as_stuff(tmp_path: Path) -> None:
    everywhere = StandInPainter(flat=frozenset({"sky", "cat", "rocket"}))
    assert not meaning.stuff(built(tmp_path, painter=everywhere)).fine


class Noise(StandInExtractor):
    """Tokens that have nothing to do with the image."""

    def extract(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        generator = np.random.default_rng(sum(int(image.sum()) for image in images))
        return [
            generator.normal(size=tokens.shape).astype(np.float32)
            for tokens in super().extract(images)
        ]


def test_features_that_know_no_category(tmp_path: Path) -> None:
    finding = meaning.structure(built(tmp_path, features=Noise()))
    assert not finding.fine
    assert finding.numbers["own_neighbour"] < meaning.MIN_OWN_NEIGHBOUR


def test_images_that_the_safety_checker_blacked_out(tmp_path: Path) -> None:
    black = StandInPainter(flagged=lambda seed: True)
    bench = stand_in_bench(tmp_path, StandInStack(text_to_image=black))
    finding = meaning.build(bench)
    assert not finding.fine
    assert "0 of 12 images accepted; none of cat, rocket, sky; 12 black image" in finding.found
    with pytest.raises(NotApplicable, match="no image of things has a mask"):
        meaning.attention(bench)
    with pytest.raises(NotApplicable, match="too few features"):
        meaning.structure(bench)


def test_without_a_bank_nothing_is_said(tmp_path: Path) -> None:
    for step in (meaning.attention, meaning.stuff, meaning.structure):
        with pytest.raises(NotApplicable, match="no bank"):
            step(stand_in_bench(tmp_path, StandInStack()))
