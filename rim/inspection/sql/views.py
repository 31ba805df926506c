"""The views that questions in SQL see, and the small tables behind them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from schemas.errors import BankDamaged, BankError
from schemas.manifest import Manifest
from schemas.store.manifests import list_versions, read_manifest

if TYPE_CHECKING:
    from schemas.store.bank import StoredBank

VIEWS = """
CREATE VIEW images AS
SELECT f.image_id, f.category, f.number, f.source, f.prompt, f.seed,
       CASE WHEN f.status = 'failed' OR v.status IS NULL THEN f.status ELSE v.status END AS status,
       CASE WHEN f.status = 'failed' OR v.status IS NULL THEN f.reason ELSE v.reason END AS reason,
       f.width, f.height, f.mask, f.mask_area, f.sam_score, f.attention_agreement, f.points,
       _attention(f.image_id) AS attention, _png(f.image_id) AS png,
       f.category_id, f.contrast, v."by" AS decided_by, f.file
FROM _images f LEFT JOIN _verdicts v USING (image_id);

CREATE VIEW features AS
SELECT f.feature_id, f.image_id, i.category, f.role, f.embedding
FROM _features f JOIN images i USING (image_id)
WHERE i.status = 'accepted';

CREATE VIEW categories AS
SELECT c.category_id, c.category, c.synonyms,
       coalesce(i.images, 0)::INTEGER AS images,
       coalesce(i.accepted, 0)::INTEGER AS accepted,
       coalesce(f.features, 0)::INTEGER AS features
FROM _categories c
LEFT JOIN (SELECT category_id, count(*) AS images,
                  count(*) FILTER (status = 'accepted') AS accepted
           FROM images GROUP BY ALL) i USING (category_id)
LEFT JOIN (SELECT i.category_id, count(*) AS features
           FROM _features JOIN images i USING (image_id)
           WHERE i.status = 'accepted' GROUP BY ALL) f USING (category_id)
ORDER BY c.category_id;

CREATE VIEW prototypes AS
SELECT c.category, p.kind, p.number, p."references", p.embedding, p.category_id
FROM _prototypes p JOIN _categories c USING (category_id);

CREATE VIEW builds AS
SELECT version, time, settings::JSON AS settings, models, libraries, seconds
FROM _builds ORDER BY version;

CREATE MACRO cosine(a, b) AS array_cosine_similarity(a, b);

-- Names in full: a question's own WITH names nothing in here.
CREATE MACRO nearest(reference, k := 10) AS TABLE
SELECT f.image_id, f.category, array_cosine_similarity(f.embedding, o.embedding) AS similarity
FROM memory.main.features f, memory.main.features o
WHERE o.image_id = reference AND o.role = 'foreground'
  AND f.role = 'foreground' AND f.image_id <> o.image_id
ORDER BY similarity DESC, f.image_id LIMIT k;
"""

# The views, and the parts of the bank that reading one reads. Images are read row by row when a
# question asks for them; their files and the manifests are checked by the functions that read them.
VIEW_PARTS: Mapping[str, tuple[Literal["images", "features", "prototypes"], ...]] = {
    "categories": ("images", "features"),
    "images": ("images",),
    "features": ("images", "features"),
    "prototypes": ("prototypes",),
    "builds": (),
}

# The functions among them that give tables, and the views that they read.
FUNCTION_VIEWS: Mapping[str, tuple[str, ...]] = {"nearest": ("features",)}

_CATEGORIES = pa.schema(
    [
        pa.field("category_id", pa.int32()),
        pa.field("category", pa.string()),
        pa.field("synonyms", pa.list_(pa.string())),
    ]
)

_BUILDS = pa.schema(
    [
        pa.field("version", pa.int32()),
        pa.field("time", pa.timestamp("us")),
        pa.field("settings", pa.string()),
        pa.field(
            "models",
            pa.list_(
                pa.struct(
                    [
                        pa.field(name, pa.string())
                        for name in ("role", "name", "licence", "fingerprint")
                    ]
                )
            ),
        ),
        pa.field("libraries", pa.map_(pa.string(), pa.string())),
        pa.field("seconds", pa.map_(pa.string(), pa.float64())),
    ]
)


def categories_table(bank: StoredBank) -> pa.Table:
    """The bank's categories, as `_categories`."""
    rows = [
        {"category_id": c.category_id, "category": c.name, "synonyms": list(c.synonyms)}
        for c in bank.categories
    ]
    return pa.Table.from_pylist(rows, schema=_CATEGORIES)


def builds_table(bank: StoredBank) -> pa.Table:
    """One row for every manifest that can be read, as `_builds`."""
    rows = []
    for version in list_versions(bank.path):
        try:
            rows.append(_build(read_manifest(bank.path, version)))
        except (BankDamaged, BankError):
            continue
    return pa.Table.from_pylist(rows, schema=_BUILDS)


def _build(manifest: Manifest) -> dict[str, Any]:
    models = [
        {
            "role": role,
            "name": model.name,
            "licence": model.licence,
            "fingerprint": model.fingerprint,
        }
        for role, model in sorted(manifest.models.items())
    ]
    return {
        "version": manifest.version,
        "time": _utc(manifest.created),
        "settings": json.dumps(manifest.settings, ensure_ascii=False),
        "models": models,
        "libraries": sorted(manifest.libraries.items()),
        "seconds": sorted(manifest.seconds.items()),
    }


def _utc(text: str) -> datetime | None:
    """An ISO 8601 time as UTC without a zone, as DuckDB's TIMESTAMP is; None if it is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
