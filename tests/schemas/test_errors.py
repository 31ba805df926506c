"""Every error knows the exit status that the command promises for it."""

from __future__ import annotations

import pytest

from schemas import errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.RimError, 1),
        (errors.BuildFailed, 1),
        (errors.UsageError, 2),
        (errors.VocabularyError, 2),
        (errors.SettingsError, 2),
        (errors.ImageError, 2),
        (errors.OutputError, 2),
        (errors.BankError, 2),
        (errors.ModelError, 2),
        (errors.SqlError, 2),
        (errors.BankDamaged, 3),
    ],
)
def test_exit_status(error: type[errors.RimError], status: int) -> None:
    assert issubclass(error, errors.RimError)
    assert error("what happened").exit_status == status
    assert str(error("what happened")) == "what happened"
