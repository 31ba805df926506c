"""Photos on GPUs of little memory: the same labels, or an error that names photo and ways out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from foundation.images.reading import encode_png
from foundation.sharing import Way
from query.segmentation import QueryEngine
from schemas.errors import ImageError
from schemas.settings import apply_overrides
from schemas.store.bank import StoredBank
from tests.bank_builder.card_stack import CardStack, Needs
from tests.card import GPU, Card
from tests.query.coloured import COLOURS, IDS, ColourStack, colour_bank

# MB: SAM and its features; what an embedding takes, and a point.
NEEDS = (Needs(0), Needs(1300, 250, 25), Needs(1200, 100, 0))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is on a device: collecting garbage after every try would only take time."""
    monkeypatch.setattr("foundation.memory.give_back", lambda: None)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> ColourStack:
    return ColourStack(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory, colours: ColourStack) -> StoredBank:
    return colour_bank(tmp_path_factory.mktemp("bank"), colours)


def photo() -> np.ndarray:
    image = np.zeros((32, 48, 3), np.uint8)
    image[:] = COLOURS["sea"]
    image[16:] = COLOURS["grass"]
    return image


def engine(
    bank: StoredBank, colours: ColourStack, card: Card, needs: tuple[Needs, ...] = NEEDS
) -> tuple[QueryEngine, CardStack]:
    settings = apply_overrides(bank.settings, ["proposals.grid=8", "proposals.points_per_batch=64"])
    stack = CardStack(colours.settings, card, needs)
    stack.stand_ins["segmenter"].inner = colours.segmenter
    stack.stand_ins["features"].inner = colours.features
    stack.fingerprints = colours.fingerprints  # type: ignore[method-assign]
    return QueryEngine(bank, stack, settings), stack


@pytest.mark.parametrize(
    ("memory", "way", "parts"),
    [
        (1300 + 1200 + 250 + 64 * 25, Way.AHEAD, 1),
        (1300 + 1200 + 250 + 8 * 25, Way.AHEAD, 8),
        (1300 + 1200, Way.TURNS, 8),
        (1300 + 250 + 25, Way.TURNS, 64),
    ],
)
def test_every_card_gives_the_same_labels(
    bank: StoredBank, colours: ColourStack, memory: int, way: Way, parts: int
) -> None:
    made, stack = engine(bank, colours, Card(memory))
    result = made.segment(photo())
    expected = np.where(np.arange(32)[:, None] < 16, IDS["sea"], IDS["grass"])
    np.testing.assert_array_equal(result.label_map, np.broadcast_to(expected, (32, 48)))
    assert (stack._shared.way, stack.stand_ins["segmenter"].parts) == (way, parts)


def test_a_photo_that_does_not_fit_is_named_with_ways_out(
    bank: StoredBank, colours: ColourStack, tmp_path: Path
) -> None:
    (tmp_path / "large.png").write_bytes(encode_png(photo()))
    made, stack = engine(bank, colours, Card(1574))
    words = r"large\.png: models\.segmenter: the memory of cuda:0 does not suffice.*--device cpu"
    with pytest.raises(ImageError, match=words):
        made.segment(tmp_path / "large.png")
    stack.stand_ins["segmenter"].card.memory = 5000  # another program has ended
    assert made.segment(tmp_path / "large.png").regions


@hypothesis_settings(max_examples=10, deadline=None)
@given(
    memory=st.integers(1, 120),
    sam=st.builds(Needs, st.integers(0, 30), st.integers(0, 30), st.integers(0, 3)),
    dino=st.builds(Needs, st.integers(0, 30), st.integers(0, 30), st.just(0)),
)
def test_a_photo_is_labelled_wherever_one_point_fits(
    bank: StoredBank, colours: ColourStack, memory: int, sam: Needs, dino: Needs
) -> None:
    made, stack = engine(bank, colours, Card(memory), (Needs(0), sam, dino))
    one = max(need.weights + need.fixed + need.each for need in (sam, dino))
    if memory >= one:
        assert (made.segment(photo()).label_map >= 0).all()
    else:
        with pytest.raises(ImageError, match="--device cpu"):
            made.segment(photo())
    on_card = [model.weights for model in stack.stand_ins.values() if model.device == GPU]
    assert stack.stand_ins["segmenter"].card.taken == sum(on_card)
