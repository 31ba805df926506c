"""Summarises what a bank holds and how it was made, as plain data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow.compute as pc

from schemas.store.bank import StoredBank


def summary(bank: StoredBank) -> dict[str, Any]:
    """Returns categories with their counts, rejections by reason, models and settings.

    It reads no pixels. The keys are those of `rim info --json`.
    """
    manifest = bank.manifest
    facts = bank.images_table(["category", "status", "reason", "source"])
    images = Counter(facts["category"].to_pylist())
    accepted = Counter(facts.filter(pc.field("status") == "accepted")["category"].to_pylist())
    rejected = facts.filter(pc.field("status") != "accepted")
    reasons = Counter(str(reason) for reason in rejected["reason"].to_pylist())
    statuses = Counter(facts["status"].to_pylist())
    feature_rows = sum(shard.features.rows for shard in bank.shards)
    derived = (file for file in (manifest.index, manifest.prototypes) if file is not None)
    size = sum(file.size for shard in bank.shards for file in shard.files)
    size += sum(file.size for file in derived)
    return {
        "path": str(bank.path),
        "version": manifest.version,
        "created": manifest.created,
        "preset": bank.settings.preset,
        "categories": [
            {
                "category_id": record.category_id,
                "name": record.name,
                "synonyms": list(record.synonyms),
                "images": images[record.name],
                "accepted": accepted[record.name],
            }
            for record in bank.categories
        ],
        "images": facts.num_rows,
        "sources": dict(Counter(facts["source"].to_pylist())),
        "accepted": statuses["accepted"],
        "rejected": statuses["rejected"],
        "failed": statuses["failed"],
        "reasons": dict(reasons.most_common()),
        "features": feature_rows,
        "dimension": manifest.dimension,
        "bytes": size,
        "models": {role: record.model_dump() for role, record in manifest.models.items()},
        "seconds": {stage: round(seconds, 2) for stage, seconds in manifest.seconds.items()},
        "settings": manifest.settings,
    }
