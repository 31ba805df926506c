"""rim: image banks from category names, and photos labelled with those names.

    import rim
    bank = rim.build(["house", "fish", "grass"], out="bank", preset="miniature")
    result = rim.query(bank, "photo.png")
    result.label_map, result.regions, result.overlay()

Importing rim loads no model library; each function loads what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rim._version import __version__
from rim.shadowed import check_packages

check_packages()

from schemas.errors import (  # noqa: E402  (only when it is known to be rim's)
    BankDamaged,
    BankError,
    BuildFailed,
    ImageError,
    MemoryShort,
    ModelError,
    OutputError,
    RimError,
    SettingsError,
    SqlError,
    UsageError,
    VocabularyError,
    WriteFailed,
)

if TYPE_CHECKING:
    from bank_builder.report import BuildProgress, BuildReport
    from query.result import NearReference, Region
    from query.segmentation import QueryEngine, Segmentation, SegmentedPhoto
    from rim.api import build, open, query, report
    from rim.bank import Bank
    from rim.changes import accept, add, reject, remove
    from rim.evaluation.label_similarity import (
        BestMatch,
        Direction,
        LabelComparison,
        LabelSimilarity,
        compare_labels,
    )
    from rim.evaluation.scores import ClassScores, Failure, Scores
    from rim.inspection.report.overview import Weakness
    from rim.inspection.report.write import Report
    from rim.inspection.sql.connection import Answer
    from rim.photo_queries import FolderResult, PhotoDone, PhotoFailed, query_folder
    from rim.scoring import evaluate

__all__ = [
    "Answer",
    "Bank",
    "BankDamaged",
    "BankError",
    "BestMatch",
    "BuildFailed",
    "BuildProgress",
    "BuildReport",
    "ClassScores",
    "Direction",
    "Failure",
    "FolderResult",
    "ImageError",
    "LabelComparison",
    "LabelSimilarity",
    "MemoryShort",
    "ModelError",
    "NearReference",
    "OutputError",
    "PhotoDone",
    "PhotoFailed",
    "QueryEngine",
    "Region",
    "Report",
    "RimError",
    "Scores",
    "Segmentation",
    "SegmentedPhoto",
    "SettingsError",
    "SqlError",
    "UsageError",
    "VocabularyError",
    "Weakness",
    "WriteFailed",
    "__version__",
    "accept",
    "add",
    "build",
    "compare_labels",
    "evaluate",
    "open",
    "query",
    "query_folder",
    "reject",
    "remove",
    "report",
]

# What is loaded when it is first used, by the module that defines it.
_LAZY = {
    "bank_builder.report": ("BuildProgress", "BuildReport"),
    "query.result": ("NearReference", "Region"),
    "query.segmentation": ("QueryEngine", "Segmentation", "SegmentedPhoto"),
    "rim.api": ("build", "open", "query", "report"),
    "rim.bank": ("Bank",),
    "rim.changes": ("accept", "add", "reject", "remove"),
    "rim.evaluation.label_similarity": (
        "BestMatch",
        "Direction",
        "LabelComparison",
        "LabelSimilarity",
        "compare_labels",
    ),
    "rim.scoring": ("evaluate",),
    "rim.evaluation.scores": ("ClassScores", "Failure", "Scores"),
    "rim.inspection.report.overview": ("Weakness",),
    "rim.inspection.report.write": ("Report",),
    "rim.inspection.sql.connection": ("Answer",),
    "rim.photo_queries": ("FolderResult", "PhotoDone", "PhotoFailed", "query_folder"),
}
_HOME = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rim' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
