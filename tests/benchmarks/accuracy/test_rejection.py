"""The rejection benchmark: what is planted, and that both rows of a pair see the same scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rim
from benchmarks.accuracy.rejection import (
    PlantedReferences,
    main,
    measure_rejection,
    plant,
    references_before_verdicts,
)
from schemas.ids import FOREGROUND


def references(categories: int, images: int) -> PlantedReferences:
    """A feature that says which reference it was."""
    count = categories * images
    return PlantedReferences(
        np.arange(count, dtype=np.float32)[:, None],
        np.arange(count),
        np.arange(count) / count,
        np.repeat(np.arange(categories), images),
        np.zeros(count, bool),
    )


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5])
def test_planted_references_come_from_another_category(fraction: float) -> None:
    clean = references(5, 20)

    found = plant(clean, fraction, seed=3)

    origin = found.features[:, 0].astype(int)
    assert np.bincount(found.label[found.planted], minlength=5).tolist() == [20 * fraction] * 5
    assert (clean.label[origin] != found.label).tolist() == found.planted.tolist()
    assert sorted(origin) == list(range(100))
    np.testing.assert_array_equal(found.area, clean.area[origin])
    np.testing.assert_array_equal(plant(clean, fraction, seed=3).features, found.features)


def test_one_category_alone_cannot_be_dealt_out() -> None:
    with pytest.raises(ValueError, match="categories enough"):
        plant(references(1, 10), 0.5, seed=0)


@pytest.mark.slow
def test_verdicts_are_left_aside(bank: rim.Bank) -> None:
    every = references_before_verdicts(bank)

    stored = bank.features()
    foreground = stored.role == FOREGROUND
    accepted = np.isin(every.image_id, stored.image_id)
    np.testing.assert_array_equal(every.features[accepted], stored.embeddings[foreground])
    automatic = {one.image_id for one in bank.verdicts if one.status == "rejected"}
    assert set(every.image_id[~accepted].tolist()) == automatic


@pytest.mark.slow
def test_rows_come_in_pairs_and_rejection_may_be_switched_off(bank: rim.Bank) -> None:
    lenient = bank.settings.reference.model_copy(
        update={"confusion_margin": 2.0, "outlier_mads": 1000.0, "max_excess": 1.0}
    )

    rows = measure_rejection(bank, planted=(0.0, 0.3), scenes=1, settings=lenient)

    assert [(row.planted > 0, row.rejection) for row in rows] == [
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    ]
    for off, on in (rows[:2], rows[2:]):
        assert (off.naming, off.miou, off.references) == (on.naming, on.miou, on.references)
        assert (on.lost, on.reasons) == (0.0, {})


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_json(
    bank: rim.Bank, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.json"
    arguments = ["--planted", "0.2", "--scenes", "1", "--json", str(path)]

    main([str(bank.path), *arguments])

    off, on = json.loads(path.read_text())
    assert (off["rejection"], on["rejection"]) == (False, True)
    assert off["found"] is None
    assert "mIoU" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([str(bank.path), "--planted", "1.5"])
