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
from schemas.errors import RimError

if TYPE_CHECKING:
    from query.segmentation import Region, Segmentation
    from rim.api import build, open, query
    from rim.bank import Bank
    from rim.changes import accept, add, reject, remove
    from rim.evaluation.label_similarity import compare_labels
    from rim.evaluation.scores import Scores
    from rim.photo_queries import query_folder
    from rim.reporting import report
    from rim.scoring import evaluate

__all__ = [
    "Bank",
    "Region",
    "RimError",
    "Scores",
    "Segmentation",
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

_HOME = {
    "Bank": "rim.bank",
    "Region": "query.segmentation",
    "Scores": "rim.evaluation.scores",
    "Segmentation": "query.segmentation",
    "accept": "rim.changes",
    "add": "rim.changes",
    "build": "rim.api",
    "compare_labels": "rim.evaluation.label_similarity",
    "evaluate": "rim.scoring",
    "open": "rim.api",
    "query": "rim.api",
    "query_folder": "rim.photo_queries",
    "reject": "rim.changes",
    "remove": "rim.changes",
    "report": "rim.reporting",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'rim' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
