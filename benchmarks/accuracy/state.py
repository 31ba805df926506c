"""The file of finished measurements, one line a row and bank, with which a new run goes on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accuracy.measuring import Measurement
from benchmarks.command import plain
from schemas.digests import canonical_json, sha256_bytes
from schemas.store.files import write_atomic

_FORMAT = 1


def measurement_key(what_counts: Mapping[str, Any]) -> str:
    """The digest of everything that a measurement depends on, plain data."""
    return sha256_bytes(canonical_json({"format": _FORMAT, **what_counts}))


class MeasuredRows:
    """The measurements of a file; each is in the file once `add` returns.

    A line that a crash left half written is ignored, and so measured again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, Measurement] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    key, measurement = _parsed(line)
                except (ValueError, TypeError, KeyError):
                    continue
                self._known[key] = measurement

    def get(self, key: str) -> Measurement | None:
        """The measurement of a key, see `measurement_key`; None if there is none."""
        return self._known.get(key)

    def __getitem__(self, key: str) -> Measurement:
        """The same; KeyError if it has not been measured."""
        return self._known[key]

    def add(self, key: str, measurement: Measurement) -> None:
        """Stores a measurement; OSError if it cannot be written."""
        self._known[key] = measurement
        lines = [_line(one, known) for one, known in self._known.items()]
        write_atomic(self._path, "".join(lines).encode("utf-8"))


def _line(key: str, measurement: Measurement) -> str:
    return json.dumps({"key": key} | plain(asdict(measurement)), allow_nan=False) + "\n"


def _parsed(line: str) -> tuple[str, Measurement]:
    data = json.loads(line)
    return str(data["key"]), Measurement(
        _numbers(data["values"]), _numbers(data["per_class"]), float(data["seconds"])
    )


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in values.items()}
