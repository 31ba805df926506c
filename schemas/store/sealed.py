"""Sealed JSON: a file that carries a digest of its own bytes, so that no changed byte passes.

The last member of the object is `"digest"`: the SHA-256, as 64 lower-case hexadecimal digits, of
the whole file with those 64 digits replaced by the digit 0. Any program can check it without
knowing how JSON was spelt.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.digests import sha256_bytes
from schemas.errors import BankDamaged
from schemas.lfs import LFS_HINT, looks_like_lfs_pointer

MAX_BYTES = 1 << 29
"""A larger file is not read: 847 categories of 50 images take 2 MB."""

_ZEROS = b"0" * 64
_END = re.compile(rb'"digest": "([0-9a-f]{64})"\n\}\n\Z')


def seal(content: Mapping[str, Any]) -> bytes:
    """The file of an object, whose own "digest" does not count; ValueError for NaN and the like."""
    others = {key: value for key, value in content.items() if key != "digest"}
    text = json.dumps(
        others | {"digest": _ZEROS.decode()}, indent=1, ensure_ascii=False, allow_nan=False
    )
    data = text.encode("utf-8") + b"\n"
    return _with_digest(data, sha256_bytes(data).encode())


def read_sealed(path: Path) -> dict[str, Any]:
    """The object in a sealed file, "digest" included.

    Raises BankDamaged, naming the file, if it cannot be read or is not what was sealed.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            raise BankDamaged(f"{path}: expected a file, found something else")
        if status.st_size > MAX_BYTES:
            raise BankDamaged(
                f"{path}: expected at most {MAX_BYTES:,} bytes, found {status.st_size:,}"
            )
        data = path.read_bytes()
    except OSError as error:
        raise BankDamaged(f"{path}: cannot be read ({error.strerror})") from error
    return unseal(data, path)


def unseal(data: bytes, path: Path) -> dict[str, Any]:
    """The object in the bytes of a sealed file; BankDamaged if they are not what was sealed.

    path: names the file in messages.
    """
    if looks_like_lfs_pointer(data):
        raise BankDamaged(f"{path}: found {LFS_HINT}")
    found = _END.search(data)
    if found is None:
        raise BankDamaged(f"{path}: it is not what was written (no digest at its end)")
    if sha256_bytes(_with_digest(data, _ZEROS)).encode() != found[1]:
        raise BankDamaged(f"{path}: its content is not what was written (digest differs)")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BankDamaged(f"{path}: expected JSON, found: {error}") from error
    if not isinstance(content, dict):
        raise BankDamaged(f"{path}: expected a JSON object, found {type(content).__name__}")
    return content


def digest_of(data: bytes) -> str:
    """The digest in the bytes of a sealed file."""
    found = _END.search(data)
    if found is None:
        raise ValueError("expected a sealed object")
    return found[1].decode()


def _with_digest(data: bytes, digest: bytes) -> bytes:
    """The file with other digits in the place of its digest."""
    end = _END.search(data)
    if end is None:
        raise ValueError("expected a sealed object")
    return data[: end.start(1)] + digest + data[end.end(1) :]
