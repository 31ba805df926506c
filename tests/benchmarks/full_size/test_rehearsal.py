"""The rehearsal's commands, on a stack that takes seconds instead of minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.full_size.rehearsal import StageFailed, rehearse, run
from benchmarks.full_size.snapshot import PRESET, write_snapshot
from foundation.interfaces import Prompt
from foundation.stack import ModelStack
from schemas.resources import preset_path
from schemas.settings import load_settings
from schemas.store.bank import StoredBank

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_all_commands_run_and_leave_what_they_should(tmp_path: Path) -> None:
    text = preset_path("miniature").read_text(encoding="utf-8")
    text = text.replace('"miniature/', f'"{REPOSITORY}/data/miniature/')
    start, end = text.index("known_categories"), text.index("[models.text_to_image]")
    text = text[:start] + text[end:].replace("[generation]", "[generation]\nsteps = 2")
    text = text.replace("[generation]", "[generation]\nimages_per_category = 1")
    text = text.replace("min_quality = 0.4", "min_quality = 0.0\nmin_agreement = 0.0\nmin_area = 0")
    (tmp_path / PRESET).write_text(text, encoding="utf-8")

    stages = rehearse(tmp_path)

    assert [stage.name for stage in stages] == ["build", "query", "sql", "verify"]
    assert all(stage.peak_gib > 0.01 for stage in stages)
    assert [record.name for record in StoredBank(tmp_path / "bank").categories] == [
        "house",
        "traffic light",
    ]
    assert (tmp_path / "labels" / "photo.json").exists()


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), reduced=True)


@pytest.mark.slow
def test_the_snapshot_works_in_every_role(snapshot: Path) -> None:
    """Published files of less than the published sizes, through the stack as a command has it."""
    stack = ModelStack(load_settings(str(snapshot)), device="cpu")
    (made,) = stack.text_to_image.generate([Prompt("a photo of a traffic light", 13, 26)], [0])
    assert made.image.shape == (128, 128, 3)
    assert made.image.std() > 10
    assert made.flagged is False
    assert made.attention.shape == (16, 16)
    assert made.attention.max() > 1.2 * made.attention.min()
    embedding = stack.segmenter.embed(made.image)
    logits = stack.segmenter.predict(embedding, np.array([[[60, 60]]])).logits[0]
    assert stack.segmenter.upsample(embedding, logits).shape == (3, 128, 128)
    (tokens,) = stack.features.extract([made.image])
    assert np.isfinite(tokens).all()
    assert tokens.shape[-1] == 128
    texts = stack.text_image.embed_texts(["a house", "grass"])
    assert (stack.text_image.embed_images([made.image]) @ texts.T).shape == (1, 2)


@pytest.mark.slow
@pytest.mark.stress
def test_all_commands_run_on_the_snapshot(snapshot: Path) -> None:
    stages = rehearse(snapshot.parent)
    assert [stage.name for stage in stages] == ["build", "query", "sql", "verify"]


def test_a_command_that_fails_ends_it() -> None:
    with pytest.raises(StageFailed, match="build: exit status 2"):
        run("build", "-m", "rim", "build", "--no-such-option")
