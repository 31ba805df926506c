"""A session does what `rim.query`, `rim.reject` and their undoing do, photo by photo."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rim
from foundation.stack import ModelStack
from query.segmentation import QueryEngine
from rim.app.session import AppSession
from rim.app.state import QueryOptions
from schemas.errors import ImageError, UsageError


def test_a_photo_gets_the_labels_of_a_query(
    session: AppSession, scene: Path, opened: rim.Bank
) -> None:
    state = session.open_photo(scene)
    expected = rim.query(opened, scene)
    assert state.photo == "scene.png"
    assert state.view is not None
    assert np.array_equal(state.view.labels, expected.label_map)
    assert np.array_equal(state.view.image, expected.image)
    assert {one.category for one in state.view.shares} == {
        expected.category_names[i] for i in np.unique(expected.label_map) if i >= 0
    }
    assert sum(one.share for one in state.view.shares) + state.view.unlabelled == pytest.approx(1)


@pytest.mark.parametrize(
    "options",
    [
        QueryOptions(matcher="prototype"),
        QueryOptions(background="off"),
        QueryOptions(background=0.9),
        QueryOptions(filter=True),
        QueryOptions(categories=("fish", "sky")),
    ],
)
def test_a_choice_names_again_what_was_cut_once(
    session: AppSession,
    scene: Path,
    opened: rim.Bank,
    options: QueryOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = session.open_photo(scene)
    expected = rim.query(
        opened,
        scene,
        matcher=options.matcher,
        background=options.background,
        filter=options.filter,
        categories=options.categories or None,
    )
    monkeypatch.delattr(QueryEngine, "cut")
    after = session.choose(options)
    assert before.view is not None
    assert after.view is not None
    assert np.array_equal(after.view.labels, expected.label_map)
    assert after.changed == pytest.approx(np.mean(before.view.labels != expected.label_map))
    assert after.serial != before.serial


def test_a_wrong_choice_changes_nothing(session: AppSession, scene: Path) -> None:
    before = session.open_photo(scene)
    with pytest.raises(UsageError, match="no category 'zebra'"):
        session.choose(QueryOptions(categories=("zebra",)))
    after = session.state()
    assert (after.options, after.serial) == (before.options, before.serial)


def test_a_file_that_is_no_picture_leaves_the_photo(
    session: AppSession, scene: Path, tmp_path: Path
) -> None:
    before = session.open_photo(scene)
    (tmp_path / "words.png").write_text("words")
    with pytest.raises(ImageError, match=r"^holiday\.png: "):
        session.open_photo(tmp_path / "words.png", "holiday.png")
    assert session.state().serial == before.serial


def test_a_region_shows_the_references_of_the_query(
    session: AppSession, scene: Path, opened: rim.Bank
) -> None:
    serial = session.open_photo(scene).serial
    expected = rim.query(opened, scene).regions[1]
    chosen = session.select(1, serial).selection
    assert chosen is not None
    assert (chosen.category, chosen.score) == (expected.category, expected.score)
    assert [(card.image_id, card.similarity) for card in chosen.references] == [
        (one.image_id, one.similarity) for one in expected.references
    ]
    assert {card.status for card in chosen.references} == {"accepted"}
    first = chosen.references[0]
    with Image.open(io.BytesIO(first.png or b"")) as picture:
        assert picture.size == (64, 64)
    assert session.select(1, serial - 1).selection is None, "a number of an older result"
    assert session.select(10_000, serial).selection is None
    assert session.select(None).selection is None


def test_a_rejected_reference_decides_nothing_any_more(
    session: AppSession, scene: Path, own_bank: rim.Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.open_photo(scene)
    before = session.select(0)
    assert before.selection is not None
    bad = before.selection.references[0].image_id
    monkeypatch.delattr(ModelStack, "__init__")  # the models that are loaded must do

    after = session.reject(bad)
    assert after.bank.version == before.bank.version + 1
    assert after.bank.references == before.bank.references - 1
    assert [(card.image_id, card.reason) for card in after.rejected] == [
        (bad, "rejected by a person")
    ]
    assert after.selection is not None
    assert after.selection.area == before.selection.area, "the same region is still selected"
    assert bad not in [card.image_id for card in after.selection.references]
    assert after.selection.was == (before.selection.category, before.selection.score)
    asked = rim.open(own_bank.path).sql(f"SELECT status FROM images WHERE image_id = {bad}")
    assert asked.fetchall() == [("rejected",)]

    undone = session.undo(bad)
    assert undone.rejected == ()
    assert undone.view is not None
    assert before.view is not None
    assert np.array_equal(undone.view.labels, before.view.labels)
    assert undone.selection == replace(
        before.selection, was=undone.selection.was if undone.selection else None
    )


def test_undoing_gives_back_what_a_person_had_accepted(own_bank: rim.Bank) -> None:
    row = own_bank.sql("SELECT min(image_id) FROM images WHERE status = 'accepted'").fetchall()
    image_id = row[0][0]
    bank = rim.accept(own_bank, [image_id])
    session = AppSession(bank)
    try:
        session.reject(image_id)
        session.undo(image_id)
        said = [one.status for one in rim.open(bank.path).verdicts if one.image_id == image_id]
        assert said == ["accepted"]
        with pytest.raises(UsageError, match="was not rejected here"):
            session.undo(image_id)
    finally:
        session.close()


def test_results_are_those_of_the_command(
    session: AppSession, scene: Path, opened: rim.Bank, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="drop a photo first"):
        session.results()
    session.open_photo(scene, "a/../b<c>.png")
    name, data = session.results()
    assert name == "b_c_.zip"
    expected = rim.query(opened, scene).save(tmp_path, "b_c_")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {one: archive.read(one) for one in archive.namelist()} == {
            path.name: path.read_bytes() for path in expected
        }


def test_nothing_of_a_session_stays(own_bank: rim.Bank) -> None:
    session = AppSession(own_bank)
    assert session.folder.is_dir()
    session.close()
    assert not session.folder.exists()
