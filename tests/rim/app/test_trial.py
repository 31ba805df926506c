"""A category on trial counts as if it were in the bank, and the bank stays as it is until kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rim
from rim.app.session import AppSession
from rim.app.trial import JoinedBank, build_trial
from rim.bank import Bank
from schemas.errors import UsageError, VocabularyError
from schemas.ids import unpack_image_ids
from tests.rim.conftest import files_of


def rows_by_name(bank: Bank) -> dict[tuple[str, int, int], bytes]:
    """Every feature by category, number and role."""
    names = {record.category_id: record.name for record in bank.categories}
    features = bank.features()
    keys = unpack_image_ids(features.image_id)
    return {
        (names[category_id], number, role): vector.tobytes()
        for category_id, number, role, vector in zip(
            keys.category_id.tolist(),
            keys.number.tolist(),
            features.role.tolist(),
            features.embeddings,
            strict=True,
        )
    }


@pytest.mark.slow
def test_joined_features_are_those_of_the_bank_to_which_the_category_is_added(
    own_bank: rim.Bank, tmp_path: Path
) -> None:
    trial = build_trial(
        own_bank, (), "snow", 4, tmp_path / "trial", preset=None, device="auto", offline=False
    )
    joined = JoinedBank(own_bank, [trial])
    assert [record.name for record in joined.categories][-1] == "snow"
    assert trial.category_id not in {record.category_id for record in own_bank.categories}
    features = joined.features()
    for role in (0, 1):
        ids = features.feature_id[features.role == role]
        assert (np.diff(ids) > 0).all()
    assert (np.diff(features.role) >= 0).all()
    assert rows_by_name(joined) == rows_by_name(rim.add(own_bank, ["snow"]))


def test_trying_leaves_the_bank_and_keeping_adds_to_it(
    session: AppSession, scene: Path, own_bank: rim.Bank
) -> None:
    session.open_photo(scene)
    before = files_of(own_bank.path)
    told = []
    tried = session.try_category("snow, firn", 2, told.append)
    assert files_of(own_bank.path) == before
    assert tried.trials == ("snow",)
    assert tried.bank.categories == ("house", "fish", "grass", "sky", "snow")
    assert (told[-1].done, told[-1].total) == (2, 2)
    with pytest.raises(VocabularyError, match="not on trial yet"):
        session.try_category("snow", 1)

    kept = session.keep("snow")
    assert kept.trials == ()
    assert kept.bank.categories == tried.bank.categories
    bank = rim.open(own_bank.path)
    assert bank.version == tried.bank.version + 1
    assert bank.sql(
        "SELECT synonyms, images FROM categories WHERE category = 'snow'"
    ).fetchall() == [(["firn"], 4)]


def test_dropping_gives_the_earlier_labels_back(session: AppSession, scene: Path) -> None:
    before = session.open_photo(scene)
    session.try_category("snow", 2)
    after = session.drop("snow")
    assert after.trials == ()
    assert before.view is not None
    assert after.view is not None
    assert np.array_equal(after.view.labels, before.view.labels)
    with pytest.raises(UsageError, match="no category 'snow' is on trial"):
        session.drop("snow")


@pytest.mark.slow
def test_what_was_rejected_on_trial_is_rejected_when_it_is_kept(
    session: AppSession, own_bank: rim.Bank
) -> None:
    session.try_category("snow", 3)
    asked = session._bank.asked
    snow = max(record.category_id for record in asked.categories)
    features = asked.features()
    own = features.image_id[(features.category_id == snow) & (features.role == 0)]
    bad = int(own[-1])
    number = int(unpack_image_ids(own).number[-1])
    tried = session.reject(bad)
    assert tried.bank.version == own_bank.version, "only the small bank has another version"
    assert [card.on_trial for card in tried.rejected] == [True]

    kept = session.keep("snow")
    rejected = rim.open(own_bank.path).sql(
        "SELECT category, number FROM images WHERE reason = 'rejected by a person'"
    )
    assert rejected.fetchall() == [("snow", number)]
    assert [(card.number, card.on_trial) for card in kept.rejected] == [(number, False)]
    assert session.undo(kept.rejected[0].image_id).rejected == ()


def test_names_that_cannot_be_tried(session: AppSession) -> None:
    with pytest.raises(UsageError, match=r"does not know zebra; it knows house, fish"):
        session.try_category("zebra", 2)
    with pytest.raises(VocabularyError, match="it has the category 'fish' already"):
        session.try_category("fish", 2)
    assert session.state().trials == ()


def test_adding_for_good_at_once(session: AppSession, own_bank: rim.Bank) -> None:
    state = session.add("snow")
    assert (state.trials, state.bank.version) == ((), own_bank.version + 1)
    assert "snow" in state.bank.categories
