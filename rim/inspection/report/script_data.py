"""Data for the pages' scripts, as script files: pages on the disk may not fetch anything else."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Harmless in a script file, but not where somebody puts the text into a page.
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def script(variable: str, value: Mapping[str, Any]) -> bytes:
    """A script that sets `window.VARIABLE`; the same value always gives the same bytes."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return f"window.{variable}={text};\n".encode("utf-8", "backslashreplace")


def packed(values: NDArray[Any], dtype: str) -> str:
    """Numbers as base64 of little-endian bytes, for a typed array. dtype: such as "<u2"."""
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")
