"""What `rim build` and `rim add` say of the bank they leave, and their exit status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rim.cli.options import counted, say

if TYPE_CHECKING:
    from bank_builder.report import BuildReport


def holdings(report: BuildReport) -> str:
    """How many images and features there are, in words."""
    return (
        f"{report.images} images, {report.accepted} accepted, {report.rejected} rejected, "
        f"{report.failed} failed, {report.features} features"
    )


def tell_lacks(report: BuildReport, bank: Path, again: str) -> int:
    """Says which images failed and which categories no photo can be labelled with.

    again: what a person types to have failed images made anew. Returns the exit status: 3 if
    anything is lacking, 0 otherwise.
    """
    if report.failed:
        why = f"rim sql {bank} \"SELECT image_id, reason FROM images WHERE status = 'failed'\""
        say(f"{counted(report.failed, 'image')} failed; why: {why}; to try again: {again}")
    empty = report.categories_without_feature
    if empty:
        say(f"no usable reference image of: {', '.join(empty)}")
    return 3 if report.failed or empty else 0
