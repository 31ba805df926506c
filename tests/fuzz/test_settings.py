"""Any override and any preset file: settings, or one line that says what is wrong."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from schemas.errors import SettingsError
from schemas.resources import preset_path
from schemas.settings import Settings, apply_overrides, load_settings
from schemas.text import hidden_character
from tests.fuzz.mutations import mutated

MINIATURE = load_settings("miniature")


def keys_of(model: BaseModel, prefix: str = "") -> list[str]:
    """The dotted keys of all settings."""
    found = []
    for name in type(model).model_fields:
        value = getattr(model, name)
        inner = isinstance(value, BaseModel)
        found += keys_of(value, f"{prefix}{name}.") if inner else [prefix + name]
    return found


KEYS = st.one_of(
    st.sampled_from(keys_of(MINIATURE)),
    st.text(st.sampled_from("abem.delsgn"), max_size=12),
    st.text(max_size=8),
)
ODD = (
    "", "none", "true", "nan", "-inf", "1e999", "9" * 400, "9" * 5000, "-1", "0", "[" * 5000,
    "]", "{a=" * 3000, "x" * 9999, "\"", "2020-01-01", "08:00:00", '"\\u0000"', "1\nb=2", "0x7f",
    "[[1]]", "{}", "\x1b[31m", "\ud800", "/etc/passwd", "[" + "1," * 5000 + "]",
)  # fmt: skip
VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=30),
    st.text(st.sampled_from("[]{}\"'\\=,.\n1eE-+naif_:TZ "), max_size=20),
    st.sampled_from(ODD),
)
OVERRIDES = st.one_of(st.builds("{}={}".format, KEYS, VALUES), st.text(max_size=20))


def is_plain(error: SettingsError) -> bool:
    """One line, without codes, not endless."""
    return hidden_character(str(error)) is None and len(str(error)) < 1500


def check_override(overrides: list[str]) -> None:
    try:
        changed = apply_overrides(MINIATURE, overrides)
    except SettingsError as error:
        plain = is_plain(error)
        assert plain
        return
    assert Settings.model_validate_json(changed.model_dump_json()) == changed
    assert len(changed.build_hash()) == 64
    assert (changed.build_hash() == MINIATURE.build_hash()) == (not changed.differences(MINIATURE))


@given(st.lists(OVERRIDES, min_size=1, max_size=3))
def test_any_override(overrides: list[str]) -> None:
    check_override(overrides)


@pytest.mark.parametrize("value", ODD, ids=lambda value: ascii(value[:12]))
def test_odd_values_of_every_key(value: str) -> None:
    for key in keys_of(MINIATURE):
        check_override([f"{key}={value}"])


VALID = ("generation.steps=7", "generation.seed=3", "features.size=112", "matching.matcher=knn",
         "proposals.fuse=0.8", "reference.min_area=0.1", "models.features.licence=x")  # fmt: skip


@given(st.permutations(VALID))
def test_the_order_of_overrides_does_not_matter(order: list[str]) -> None:
    assert apply_overrides(MINIATURE, order) == apply_overrides(MINIATURE, VALID)
    hashes = {apply_overrides(MINIATURE, some).build_hash() for some in (order, VALID)}
    assert len(hashes) == 1


@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_in_what_is_stored_does_not_matter(chance: random.Random) -> None:
    def shuffled(tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        items = [(key, shuffled(value)) for key, value in tree.items()]
        chance.shuffle(items)
        return dict(items)

    stored = shuffled(MINIATURE.model_dump(mode="json"))
    again = Settings.model_validate(stored, strict=False)
    for source in ("diffusion", "folder"):
        assert again.build_hash(source) == MINIATURE.build_hash(source)


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.stress)])
def test_damaged_presets(tmp_path: Path, count: int) -> None:
    presets = [preset_path(name).read_bytes() for name in ("miniature", "paper")]
    path = tmp_path / "mine.toml"
    read, messages = 0, []
    for seed in range(count):
        path.write_bytes(mutated(presets[seed % 2], random.Random(seed), presets))
        try:
            load_settings(str(path)).build_hash()
            read += 1
        except SettingsError as error:
            messages.append(error)
    assert all(is_plain(error) for error in messages)
    assert 0.05 * count < read < 0.9 * count
