"""The example bank and its report, written once for the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from rim.inspection.report.write import Report, write_report
from schemas.store.bank import StoredBank
from tests.rim.inspection.report.examples import Page, example_bank


@dataclass(frozen=True)
class Written:
    """The example bank, its report, and the report's pages by their relative paths."""

    bank: StoredBank
    report: Report
    folder: Path
    pages: dict[str, Page]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    work = tmp_path_factory.mktemp("report")
    bank = example_bank(work / "bank")
    report = write_report(bank, work / "report")
    folder = report.index.parent
    pages = {
        str(path.relative_to(folder)): Page.read(path) for path in sorted(folder.rglob("*.html"))
    }
    return Written(bank, report, folder, pages)
