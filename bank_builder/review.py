"""Reviews of a bank's images, a person's verdicts: gives them and takes them back."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc

from bank_builder.commit import open_latest, publish_change
from bank_builder.report import BuildReport, describe_bank
from schemas.errors import UsageError
from schemas.ids import FOREGROUND, ROLES
from schemas.store.bank import StoredBank
from schemas.store.lock import build_lock
from schemas.store.verdicts import Status, Verdict
from schemas.text import hidden_character, printable, shortened

REJECTED_BY_PERSON = "rejected by a person"
"""The reason where a person gives none."""


@dataclass(frozen=True)
class VerdictChange:
    """A person's verdicts that were given or taken back.

    bank: what it holds afterwards. changed: image_ids. unchanged: image_ids of which the bank says
    the same already. emptied: names of categories that no photo can be labelled with any more.
    """

    bank: BuildReport
    changed: tuple[int, ...]
    unchanged: tuple[int, ...]
    emptied: tuple[str, ...]


@dataclass(frozen=True)
class _Decision:
    """A person's verdicts as they will be, and the image_ids for which that is a change or not."""

    person: tuple[Verdict, ...]
    changed: tuple[int, ...]
    unchanged: tuple[int, ...]


def give_verdicts(
    out: Path, image_ids: Iterable[int], status: Status, reason: str | None = None
) -> VerdictChange:
    """Stores a person's verdict on images, above the automatic ones and earlier reviews.

    If the bank says the same already it stays as it is.

    Args:
        out: the bank's folder.
        image_ids: of images that did not fail.
        status: what they are.
        reason: of a rejection; by default REJECTED_BY_PERSON, or as it was rejected before.

    Raises:
        UsageError: an image that is not in the bank, that failed, or that is to be accepted and has
            no feature; a reason that is no line of text. Nothing is changed then.
        BankError, BankDamaged: there is no bank that can be read.
        OutputError: another process is writing into it; WriteFailed: the disk does not take it.
    """
    if reason is not None:
        _check_reason(reason, status)
    ids = _ids(image_ids)

    def decide(bank: StoredBank) -> _Decision:
        _check_usable(bank, ids, status)
        person = _by_person(bank)
        changed = []
        for image_id in ids:
            before = person.get(image_id)
            if before is not None and before.status == status and reason in (None, before.reason):
                continue
            why = (reason or REJECTED_BY_PERSON) if status == "rejected" else None
            person[image_id] = Verdict(image_id, status, why, "person")
            changed.append(image_id)
        return _decision(person, ids, changed)

    return _decide(out, decide)


def take_back_verdicts(out: Path, image_ids: Iterable[int], status: Status) -> VerdictChange:
    """Deletes a person's verdicts on images: the automatic ones count again.

    Args:
        out: the bank's folder.
        image_ids: of any images of the bank; those without a person's verdict stay as they are.
        status: of the verdicts.

    Raises:
        UsageError: an image that is not in the bank, or of which a person said the opposite.
            Nothing is changed then.
        BankError, BankDamaged: there is no bank that can be read.
        OutputError: another process is writing into it; WriteFailed: the disk does not take it.
    """
    ids = _ids(image_ids)

    def decide(bank: StoredBank) -> _Decision:
        _statuses(bank, ids)
        person = _by_person(bank)
        given = [image_id for image_id in ids if image_id in person]
        opposite = [image_id for image_id in given if person[image_id].status != status]
        if opposite:
            raise UsageError(
                f"{out}: expected images that a person {status}, but {shortened(opposite)} "
                f"{'was' if len(opposite) == 1 else 'were'} {person[opposite[0]].status} by a "
                "person; nothing was changed"
            )
        for image_id in given:
            del person[image_id]
        return _decision(person, ids, given)

    return _decide(out, decide)


def _decide(out: Path, decide: Callable[[StoredBank], _Decision]) -> VerdictChange:
    """Publishes what is decided, if that changes anything; decided again under the lock."""
    bank = open_latest(out)
    decision = decide(bank)
    if decision.changed:
        with build_lock(out):
            # Another process may have changed the bank between the first look and the lock.
            bank = open_latest(out)
            decision = decide(bank)
            if decision.changed:
                report, emptied = publish_change(bank, bank.manifest.vocabulary, decision.person)
                return VerdictChange(report, decision.changed, decision.unchanged, emptied)
    report = describe_bank(bank, changed=False, reused_shards=len(bank.shards))
    return VerdictChange(report, decision.changed, decision.unchanged, ())


def _ids(image_ids: Iterable[int]) -> tuple[int, ...]:
    """The ids as plain numbers, each once; UsageError if there is none, or something else."""
    if isinstance(image_ids, int | str):
        raise UsageError(f"expected a list of image_ids, found {image_ids!r}")
    try:
        ids = tuple(dict.fromkeys(operator.index(image_id) for image_id in image_ids))
    except TypeError as error:
        raise UsageError(f"expected image_ids, which are whole numbers: {error}") from error
    if not ids:
        raise UsageError("expected at least one image_id, found none; nothing was changed")
    return ids


def _check_reason(reason: str, status: Status) -> None:
    if status != "rejected":
        raise UsageError("a reason is for rejecting an image, not for accepting it")
    hidden = hidden_character(reason)
    if hidden is not None:
        raise UsageError(
            f"expected a reason of one line, found the control character U+{ord(hidden):04X} in it"
        )
    if not reason.strip():
        raise UsageError("expected a reason, found an empty one; leave it out if there is none")


def _statuses(bank: StoredBank, ids: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """Status and reason of images, verdicts applied; UsageError for those not in the bank."""
    table = bank.images_table(["image_id", "status", "reason"])
    rows = table.filter(pc.field("image_id").isin(_storable(ids))).to_pylist()
    found = {row["image_id"]: (row["status"], row["reason"]) for row in rows}
    unknown = [image_id for image_id in ids if image_id not in found]
    if unknown:
        raise UsageError(
            f"{bank.path}: expected image_ids of the bank, found {shortened(unknown)}; nothing was "
            f'changed; to list them: rim sql {bank.path} "SELECT image_id, category FROM images"'
        )
    return found


def _check_usable(bank: StoredBank, ids: Sequence[int], status: Status) -> None:
    """Raises UsageError for images that cannot be accepted or rejected."""
    found = _statuses(bank, ids)
    failed = [image_id for image_id in ids if found[image_id][0] == "failed"]
    if failed:
        raise UsageError(
            f"{bank.path}: image {shortened(failed)} failed ({found[failed[0]][1]}), so there is "
            "nothing to accept or reject; nothing was changed; to make it again: rim build "
            "--retry-failed"
        )
    if status != "accepted":
        return
    data = bank.datasets()
    asked = pc.field("image_id").isin(_storable(ids))
    usable = asked & (pc.field("role") == ROLES[FOREGROUND])
    with_feature = set(
        data.features.to_table(columns=["image_id"], filter=usable)["image_id"].to_pylist()
    )
    without = [image_id for image_id in ids if image_id not in with_feature]
    if without:
        # The shard's own reason: a person's would not say why there is no mask.
        rows = data.images.to_table(columns=["image_id", "reason"], filter=asked).to_pylist()
        reasons = {row["image_id"]: row["reason"] for row in rows}
        why = printable(reasons[without[0]] or "its patches have no direction in common")
        raise UsageError(
            f"{bank.path}: image {shortened(without)} cannot be accepted, it has no feature of its "
            f"category: {why}; nothing was changed"
        )


def _by_person(bank: StoredBank) -> dict[int, Verdict]:
    return {verdict.image_id: verdict for verdict in bank.verdicts if verdict.by == "person"}


def _decision(
    person: Mapping[int, Verdict], ids: Sequence[int], changed: Sequence[int]
) -> _Decision:
    unchanged = tuple(image_id for image_id in ids if image_id not in set(changed))
    return _Decision(tuple(person.values()), tuple(changed), unchanged)


def _storable(ids: Sequence[int]) -> list[int]:
    """Those that fit into the column; the others are in no bank."""
    return [image_id for image_id in ids if 0 <= image_id < 1 << 63]
