"""Takes categories out of a finished bank."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bank_builder.commit import open_latest, publish_change
from bank_builder.report import BuildReport
from schemas.errors import UsageError
from schemas.records import CategoryRecord
from schemas.store.bank import StoredBank
from schemas.store.lock import build_lock
from schemas.text import did_you_mean, shortened
from schemas.vocabulary import name_key


@dataclass(frozen=True)
class Removal:
    """Categories that were taken out of a bank.

    bank: what it holds afterwards. removed: their names. emptied: names of categories that no photo
    can be labelled with any more.
    """

    bank: BuildReport
    removed: tuple[str, ...]
    emptied: tuple[str, ...]


def remove_categories(out: Path, names: Iterable[str]) -> Removal:
    """Takes categories out of a bank, with a person's verdicts on their images.

    The images that are left are compared again, as if the others had never been there. The ids of
    removed categories are not given to others, and their shards stay on the disk for the older
    versions.

    Args:
        out: the bank's folder.
        names: of categories, in any spelling that a vocabulary takes for the same.

    Raises:
        UsageError: a name that is no category of the bank, a synonym, or all the bank has.
        BankError, BankDamaged: there is no bank that can be read.
        OutputError: another process is writing into it; WriteFailed: the disk does not take it.
    """
    given = names if isinstance(names, str) else tuple(names)
    _named(open_latest(out), given)
    with build_lock(out):
        # Another process may have changed the bank between the first look and the lock.
        bank = open_latest(out)
        gone = _named(bank, given)
        ids = {record.category_id for record in gone}
        vocabulary = tuple(
            record.model_copy(update={"removed": True}) if record.category_id in ids else record
            for record in bank.manifest.vocabulary
        )
        report, emptied = publish_change(bank, vocabulary)
    return Removal(report, tuple(record.name for record in gone), emptied)


def _named(bank: StoredBank, names: Iterable[str]) -> tuple[CategoryRecord, ...]:
    """Finds the categories of those names, each once; UsageError as of `remove_categories`."""
    if isinstance(names, str):
        raise UsageError(f"expected a list of category names, found the single text {names!r}")
    own = {name_key(record.name): record for record in bank.categories}
    called = {name_key(name): record for record in bank.categories for name in record.synonyms}
    found: dict[int, CategoryRecord] = {}
    for name in names:
        if not isinstance(name, str):
            raise UsageError(f"expected names of categories, found {name!r}")
        record = own.get(name_key(name))
        if record is None and name_key(name) in called:
            raise UsageError(
                f"{bank.path}: expected the name of a category, found {name!r}, which is a synonym "
                f"of {called[name_key(name)].name!r}; name that one if you mean it"
            )
        if record is None:
            known = [one.name for one in bank.categories]
            raise UsageError(
                f"{bank.path}: expected a category of the bank, found {name!r}"
                f"{did_you_mean(name, known)}; it has {shortened(known)}"
            )
        found[record.category_id] = record
    if not found:
        raise UsageError("expected the name of at least one category, found none")
    if len(found) == len(bank.categories):
        raise UsageError(
            f"{bank.path}: a bank has at least one category, and these are all it has; to begin "
            "with others: rim build --overwrite"
        )
    return tuple(found.values())
