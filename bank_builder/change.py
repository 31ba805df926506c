"""A new version of a finished bank that no model is needed for, such as one of fewer categories."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bank_builder.commit import commit_version
from bank_builder.plan import plan_of
from bank_builder.report import BuildReport, describe_bank
from schemas.errors import UsageError
from schemas.records import CategoryRecord
from schemas.store.bank import StoredBank
from schemas.store.lock import build_lock
from schemas.store.manifests import read_manifest
from schemas.store.verdicts import Verdict
from schemas.text import did_you_mean, shortened
from schemas.vocabulary import name_key


@dataclass(frozen=True)
class Removal:
    """Categories that were taken out of a bank.

    bank: what it holds now. removed: their names. emptied: names of categories that no photo can be
    labelled with any more.
    """

    bank: BuildReport
    removed: tuple[str, ...]
    emptied: tuple[str, ...]


def remove_categories(out: Path, names: Iterable[str]) -> Removal:
    """Takes categories out of a bank, a person's verdicts on their images included.

    What is left is judged anew, as if they had never been there. Their ids are not given to others,
    and their shards stay on the disk for the older versions.

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
        report, emptied = publish_change(bank, vocabulary, None)
    return Removal(report, tuple(record.name for record in gone), emptied)


def open_latest(out: Path) -> StoredBank:
    """The bank's latest version, which a new one can follow."""
    manifest = read_manifest(out, to_write=True)
    return StoredBank(out, manifest.version)


def publish_change(
    bank: StoredBank, vocabulary: tuple[CategoryRecord, ...], person: Sequence[Verdict] | None
) -> tuple[BuildReport, tuple[str, ...]]:
    """Commits the next version; what it holds, and the categories that it left without a feature.

    Only for who holds the bank's build lock. What an unfinished build has left stays as it is.
    """
    before = describe_bank(bank, changed=False, reused_shards=len(bank.shards))
    plan = plan_of(bank.manifest).model_copy(update={"vocabulary": vocabulary})
    commit_version(bank.path, plan, bank.manifest, (), {}, bank.settings.reference, person)
    after = StoredBank(bank.path)
    report = describe_bank(after, changed=True, reused_shards=len(after.shards))
    empty_before = set(before.categories_without_feature)
    emptied = (name for name in report.categories_without_feature if name not in empty_before)
    return report, tuple(emptied)


def _named(bank: StoredBank, names: Iterable[str]) -> tuple[CategoryRecord, ...]:
    """The categories of those names, each once; UsageError as of `remove_categories`."""
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
