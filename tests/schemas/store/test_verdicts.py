"""Verdicts: stored in a file of their own, a review above the automatic one."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import BankDamaged
from schemas.store.verdicts import Verdict, effective_verdicts, read_verdicts, write_verdicts

OUTLIER = Verdict(7, "rejected", "outlier of its category", "automatic")
PERSON_ACCEPTS = Verdict(7, "accepted", None, "person")
PERSON_REJECTS = Verdict(3, "rejected", "rejected by a person", "person")


def test_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "verdicts" / "000002.parquet"
    record = write_verdicts(path, [OUTLIER, PERSON_REJECTS, PERSON_ACCEPTS])
    assert record.rows == 3
    assert read_verdicts(path, record) == [PERSON_REJECTS, OUTLIER, PERSON_ACCEPTS]
    assert write_verdicts(tmp_path / "empty.parquet", []).rows == 0


def test_the_order_of_writing_does_not_change_the_bytes(tmp_path: Path) -> None:
    one = write_verdicts(tmp_path / "v.parquet", [OUTLIER, PERSON_REJECTS])
    assert write_verdicts(tmp_path / "v.parquet", [PERSON_REJECTS, OUTLIER]) == one


@pytest.mark.parametrize("order", [(OUTLIER, PERSON_ACCEPTS), (PERSON_ACCEPTS, OUTLIER)])
def test_a_person_stands_above_the_automatic_verdict(order: tuple[Verdict, ...]) -> None:
    assert effective_verdicts(order) == {7: PERSON_ACCEPTS}
    assert effective_verdicts([OUTLIER]) == {7: OUTLIER}


def test_one_author_has_one_verdict_about_an_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one verdict an image and author"):
        write_verdicts(tmp_path / "v.parquet", [OUTLIER, OUTLIER])


def test_status_and_reason_fit_together() -> None:
    with pytest.raises(ValueError, match="reason if and only if rejected"):
        Verdict(1, "rejected", None, "person")
    with pytest.raises(ValueError, match="reason if and only if rejected"):
        Verdict(1, "accepted", "nice", "person")
    with pytest.raises(ValueError, match="expected a verdict, found 'failed'"):
        Verdict(1, "failed", "x", "person")  # type: ignore[arg-type]


def test_damage_is_found(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    record = write_verdicts(path, [OUTLIER])
    content = bytearray(path.read_bytes())
    content[20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(BankDamaged, match=r"v\.parquet: its content is not what was written"):
        read_verdicts(path, record)
