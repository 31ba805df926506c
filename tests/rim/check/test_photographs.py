"""The photographs labelled for real: by a bank that knows all names, though not what they mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foundation.images.reading import read_image
from rim.check import meaning
from rim.check.findings import NotApplicable
from rim.check.photos import CheckData
from rim.check.workbench import Workbench, check_settings
from schemas.settings import apply_overrides
from tests.rim.check.benches import miniature_bench


@pytest.mark.slow
def test_labels_of_a_stack_that_knows_nothing_of_photographs(tmp_path: Path) -> None:
    overrides = ("generation.images_per_category=1", "generation.steps=2", "proposals.grid=8")
    settings = apply_overrides(check_settings("miniature"), overrides)
    # As if the miniature's generator were one for any words.
    bench: Workbench = miniature_bench(
        tmp_path, settings.model_copy(update={"known_categories": None})
    )
    assert bench.categories == bench.data.categories
    # A few of them are enough: the cat, the astronaut and the grass.
    bench.data = data = CheckData(bench.data.categories, bench.data.photos[::3])
    with pytest.raises(NotApplicable, match="no bank"):
        meaning.photographs(bench)
    meaning.build(bench)
    finding = meaning.photographs(bench)
    ious = {name: iou for name, iou in finding.numbers.items() if name != "mean_iou"}
    assert finding.numbers["mean_iou"] == pytest.approx(sum(ious.values()) / len(ious))
    assert all(0 <= iou <= 1 for iou in ious.values())
    # By luck the blurred cat may be called one; a stack that sees nothing names not all of them.
    assert min(ious.values()) < meaning.LOW_PHOTO_IOU
    assert "; below" in finding.found
    named = {f"{name} in {photo.file}" for photo in data.photos for name in photo.categories}
    assert set(ious) == named
    for photo, shown in zip(data.photos, finding.images, strict=True):
        height, width, _ = read_image(photo.check_file()).shape
        assert shown.pixels.shape == (height, 2 * width, 3)
        assert np.unique(shown.pixels[:, width:].reshape(-1, 3), axis=0).shape[0] > 50
