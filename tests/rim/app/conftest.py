"""A session on a copy of the small bank, with the models that are loaded for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import rim
from rim.app.session import AppSession


@pytest.fixture
def own_bank(bank_copy: Path, opened: rim.Bank) -> rim.Bank:
    """A bank that the test may change."""
    bank = rim.open(bank_copy)
    bank.share_models(opened)
    return bank


@pytest.fixture
def session(own_bank: rim.Bank) -> Iterator[AppSession]:
    """A session on that bank, before the first photo."""
    session = AppSession(own_bank)
    yield session
    session.close()
