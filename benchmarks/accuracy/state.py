"""What has been measured already: a file, one line a row and bank, that a new run goes on with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.accuracy.measuring import Measurement
from schemas.digests import canonical_json, sha256_bytes
from schemas.store.files import write_atomic

_FORMAT = 1


def measurement_key(what_counts: Mapping[str, Any]) -> str:
    """The digest of everything that a measurement depends on, plain data."""
    return sha256_bytes(canonical_json({"format": _FORMAT, **what_counts}))


class MeasuredRows:
    """The measurements of a file; each is in the file once `add` returns.

    A line that a crash left half written is left out, and so measured again.
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
        """What was measured under a key, see `measurement_key`."""
        return self._known.get(key)

    def __getitem__(self, key: str) -> Measurement:
        """The same; KeyError if it has not been measured."""
        return self._known[key]

    def add(self, key: str, measurement: Measurement) -> None:
        """Keep a measurement; OSError if it cannot be written."""
        self._known[key] = measurement
        lines = [_line(one, known) for one, known in self._known.items()]
        write_atomic(self._path, "".join(lines).encode("utf-8"))


def _line(key: str, measurement: Measurement) -> str:
    return json.dumps({"key": key} | _plain(asdict(measurement)), allow_nan=False) + "\n"


def _parsed(line: str) -> tuple[str, Measurement]:
    data = json.loads(line)
    return str(data["key"]), Measurement(
        _numbers(data["values"]), _numbers(data["per_class"]), float(data["seconds"])
    )


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: math.nan if value is None else float(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Without what is not a number, which JSON cannot say."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if value != value else value
