"""A reader of banks by `schemas/FORMAT.md` alone: the standard library, pyarrow and numpy."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq


def unsealed(path: Path) -> dict[str, Any]:
    """A sealed JSON object, checked."""
    data = path.read_bytes()
    end = re.search(rb'"digest": "([0-9a-f]{64})"\n\}\n\Z', data)
    assert end is not None, path
    zeros = data[: end.start(1)] + b"0" * 64 + data[end.end(1) :]
    assert hashlib.sha256(zeros).hexdigest().encode() == end[1], path
    content: dict[str, Any] = json.loads(data)
    del content["digest"]
    return content


def checked(folder: Path, record: dict[str, Any]) -> Path:
    """A file, whose size and content must be the recorded ones."""
    path = folder / record["name"]
    data = path.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (record["size"], record["sha256"]), path
    return path


@dataclass(frozen=True)
class ForeignBank:
    """One version of a bank as another program sees it."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, path: Path, version: int | None = None) -> ForeignBank:
        numbers = [int(one.stem) for one in (path / "manifests").glob("[0-9]*.json")]
        manifest = unsealed(path / "manifests" / f"{version or max(numbers):06d}.json")
        assert (manifest["format"], manifest["format_version"]) == ("rim-bank", 1)
        assert manifest["reader_flags"] == []
        return cls(path, manifest)

    def categories(self) -> dict[int, list[str]]:
        return {
            one["category_id"]: [one["name"], *one["synonyms"]]
            for one in self.manifest["vocabulary"]
            if not one["removed"]
        }

    def rows(self, part: str) -> Iterator[dict[str, Any]]:
        for shard in self.manifest["shards"]:
            folder = self.path / "shards" / shard["name"]
            assert unsealed(folder / "shard.json") == shard
            table = pq.read_table(checked(folder, shard[part]), page_checksum_verification=True)
            assert table.num_rows == shard[part]["rows"]
            yield from table.to_pylist()

    def verdicts(self) -> dict[int, dict[str, Any]]:
        record = self.manifest["verdicts"]
        if record is None:
            return {}
        rows = pq.read_table(checked(self.path / "verdicts", record)).to_pylist()
        counting: dict[int, dict[str, Any]] = {}
        for row in sorted(rows, key=lambda one: str(one["by"])):  # "automatic" before "person"
            counting[row["image_id"]] = row
        return counting

    def images(self) -> list[dict[str, Any]]:
        """The facts with the verdicts applied, by image_id."""
        verdicts = self.verdicts()
        rows = []
        for row in self.rows("images"):
            verdict = verdicts.get(row["image_id"])
            if verdict is not None and row["status"] != "failed":
                row |= {"status": verdict["status"], "reason": verdict["reason"]}
            rows.append(row)
        return sorted(rows, key=lambda row: int(row["image_id"]))

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """feature_ids and embeddings of accepted images out of the shards, in the index's order."""
        accepted = {row["image_id"] for row in self.images() if row["status"] == "accepted"}
        rows = [row for row in self.rows("features") if row["image_id"] in accepted]
        rows.sort(key=lambda row: (row["feature_id"] & 1, row["feature_id"]))
        ids = np.array([row["feature_id"] for row in rows], "<i8")
        assert hashlib.sha256(ids.tobytes()).hexdigest() == self.manifest["feature_rows"]
        return ids, np.array([row["embedding"] for row in rows], "<f4")

    def index(self) -> tuple[np.ndarray, np.ndarray]:
        """The same out of the index."""
        data = checked(self.path / "index", self.manifest["index"]).read_bytes()
        count, dimension = self.manifest["index"]["rows"], self.manifest["dimension"]
        end = 82 + 4 * count * dimension
        embeddings = np.frombuffer(data, "<f4", count * dimension, 82).reshape(count, dimension)
        assert struct.unpack_from("<Q", data, end) == (count,)
        return np.frombuffer(data, "<i8", count, end + 8), embeddings
