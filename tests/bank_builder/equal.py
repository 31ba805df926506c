"""Two banks are equal if they have the same rows by (category, source, number, role)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from schemas.ids import ROLES, SOURCES, unpack_image_ids
from schemas.store.bank import StoredBank

Key = tuple[str, str, int, str]


def facts(bank: StoredBank) -> dict[tuple[str, str, int], dict[str, Any]]:
    """Every image's row by category, source and number, verdicts applied, without its ids."""
    rows = bank.images_table().to_pylist()
    return {
        (row["category"], row["source"], row["number"]): {
            key: value for key, value in row.items() if key not in ("image_id", "category_id")
        }
        for row in rows
    }


def images(bank: StoredBank) -> dict[tuple[str, str, int], bytes]:
    """Every image's PNG."""
    rows = bank.images_table(["image_id", "category", "source", "number"]).to_pylist()
    pngs = bank.png([row["image_id"] for row in rows])
    return {
        (row["category"], row["source"], row["number"]): pngs[row["image_id"]]
        for row in rows
        if row["image_id"] in pngs
    }


def keys(bank: StoredBank) -> dict[int, Key]:
    """What each feature_id of the bank's features stands for."""
    features = bank.features()
    names = {record.category_id: record.name for record in bank.categories}
    ids = unpack_image_ids(features.image_id)
    return {
        int(feature_id): (
            names[int(ids.category_id[row])],
            SOURCES[ids.source_code[row]],
            int(ids.number[row]),
            ROLES[features.role[row]],
        )
        for row, feature_id in enumerate(features.feature_id)
    }


def embeddings(bank: StoredBank) -> dict[Key, bytes]:
    """Every accepted feature, bit by bit."""
    named, features = keys(bank), bank.features()
    rows = zip(features.feature_id, features.embeddings, strict=True)
    return {named[int(feature_id)]: embedding.tobytes() for feature_id, embedding in rows}


def answers(bank: StoredBank, queries: np.ndarray) -> list[dict[Key, float]]:
    """For each query, what the index finds, with all similarities."""
    named = keys(bank)
    similarity, feature_id = bank.index().search(queries, bank.index().count)
    return [
        {named[int(one)]: float(value) for one, value in zip(*pair, strict=True)}
        for pair in zip(feature_id, similarity, strict=True)
    ]


def prototypes(bank: StoredBank) -> dict[tuple[str, str, int], list[float]]:
    """Every stored prototype by category, kind and number."""
    found = bank.prototypes()
    assert found is not None
    names = {record.category_id: record.name for record in bank.categories}
    columns = (found.category_id, found.kind, found.number, found.embeddings)
    return {
        (names[int(category_id)], str(kind), int(number)): embedding.tolist()
        for category_id, kind, number, embedding in zip(*columns, strict=True)
    }


def assert_equal(one: StoredBank, other: StoredBank) -> None:
    """The same rows, images, features, neighbours and prototypes; ids may differ."""
    assert facts(one) == facts(other)
    assert images(one) == images(other)
    assert embeddings(one) == embeddings(other)
    queries = other.features().embeddings[:20]
    for found, expected in zip(answers(one, queries), answers(other, queries), strict=True):
        assert found.keys() == expected.keys()
        np.testing.assert_allclose(
            [found[key] for key in expected], list(expected.values()), atol=1e-6
        )
    assert prototypes(one).keys() == prototypes(other).keys()
    for key, embedding in prototypes(other).items():
        np.testing.assert_allclose(prototypes(one)[key], embedding, atol=1e-6)
    assert {(record.name, record.synonyms) for record in one.categories} == {
        (record.name, record.synonyms) for record in other.categories
    }


def shard_files(out: Path) -> dict[str, tuple[bytes, int]]:
    """Every file under `shards`, with its content and the time of its last change."""
    return {
        str(path.relative_to(out)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted((out / "shards").rglob("*"))
        if path.is_file()
    }
