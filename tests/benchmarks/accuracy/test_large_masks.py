"""The benchmark of large masks: who is counted, what is planted, and what comparing leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rim
from benchmarks.accuracy.large_masks import (
    WAYS,
    acceptance,
    found_among_things,
    main,
    measure,
    with_whole_images,
)
from benchmarks.accuracy.rejection import references_before_verdicts
from foundation.images.reading import decode_png
from foundation.stack import ModelStack


@pytest.mark.slow
def test_every_image_is_counted_once(bank: rim.Bank) -> None:
    things, stuff = acceptance(bank)
    assert (things.images, stuff.images) == (12, 12)
    for kind in (things, stuff):
        assert kind.accepted + sum(kind.reasons.values()) == kind.images


@pytest.mark.slow
def test_whole_images_are_planted_in_things_alone(bank: rim.Bank) -> None:
    clean = references_before_verdicts(bank)
    none, some = with_whole_images(bank, clean, (0.0, 0.17))
    np.testing.assert_array_equal(none.features, clean.features)
    assert some.planted.sum() == 2
    assert (some.area[some.planted] == 1).all()
    assert set(some.label[some.planted]) == set(clean.label[:12])
    np.testing.assert_array_equal(some.features[~some.planted], clean.features[~some.planted])
    row = int(np.flatnonzero(some.planted)[0])
    image_id = int(some.image_id[row])
    image = np.asarray(decode_png(bank.png([image_id])[image_id]), np.uint8)
    tokens = ModelStack(bank.settings, "cpu", offline=True).features.extract([image])[0]
    mean = tokens.mean(axis=(0, 1))
    np.testing.assert_allclose(some.features[row], mean / np.linalg.norm(mean), atol=1e-4)


@pytest.mark.slow
def test_rows_come_by_ways_of_comparing(bank: rim.Bank) -> None:
    everything, features, both = measure(bank, planted=(0.17,), scenes=1)
    assert len(WAYS) == 3
    assert everything.references == 24 >= features.references >= both.references
    assert everything.found is None
    assert both.found is not None
    assert features.found is not None
    assert both.found >= features.found


@pytest.mark.slow
def test_in_a_vocabulary_of_things_areas_find_what_features_may_not(bank: rim.Bank) -> None:
    none, _, features, both = found_among_things(bank, (0.0, 0.17))
    assert (none.planted, none.found) == (0, 0)
    assert features.planted == both.planted == both.found == 2
    assert features.found <= both.found


@pytest.mark.slow
def test_the_command_prints_tables_and_writes_json(
    bank: rim.Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.json"
    main([str(bank.path), "--planted", "0.17", "--scenes", "1", "--json", str(path)])
    results = json.loads(path.read_text())
    assert [one["kind"] for one in results["accepted"]] == ["things", "stuff"]
    assert len(results["planted"]) == len(WAYS)
    assert [one["way"] for one in results["among_things"]] == list(WAYS[1:])
    assert "features and areas" in capsys.readouterr().out
