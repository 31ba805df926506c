"""`rim.report`: a bank as static HTML pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rim.api import category_ids
from rim.bank import Bank

if TYPE_CHECKING:
    from rim.inspection.report.write import Report


def report(
    bank: Bank | str | Path,
    out: str | Path,
    *,
    categories: Iterable[str] | None = None,
    version: int | None = None,
    map: str = "pca",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a bank's report: its references with masks, attention and verdicts, which categories
    look alike, and a map of the features.

    Args:
        bank: open, or its folder.
        out: the report's folder; an earlier report there is replaced when the new one is whole.
        categories: names or synonyms of those to show; None for all.
        version: of the bank, if its folder is given; None for the latest.
        map: "pca", or "umap" where umap-learn is installed.
        progress: called after each category with the number done and of all.

    Returns:
        index.html in `out`: open it in a browser; no server and no network are needed.

    Raises UsageError for an unknown category or map, OutputError if `out` holds something else,
    BankError or BankDamaged as `rim.open`, WriteFailed if the disk does not take it.
    """
    return make_report(
        bank, out, categories=categories, version=version, map=map, progress=progress
    ).index


def make_report(
    bank: Bank | str | Path,
    out: str | Path,
    *,
    categories: Iterable[str] | None,
    version: int | None,
    map: str,
    progress: Callable[[int, int], None] | None,
) -> Report:
    """The same, and what was written; the part that the command and the function share."""
    from rim.inspection.report.write import write_report
    from schemas.errors import UsageError

    opened = bank if isinstance(bank, Bank) else Bank(bank, version)
    if version is not None and opened.version != version:
        raise UsageError(
            f"expected version {version}, found version {opened.version} of the bank open; "
            f"open it: rim.open({str(opened.path)!r}, version={version})"
        )
    return write_report(
        opened,
        Path(out),
        category_ids=category_ids(opened, categories),
        projection=map,
        progress=progress,
    )
