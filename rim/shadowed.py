"""Refuses to load rim where another module has the name of one of its packages."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("schemas", "foundation", "bank_builder", "query", "miniature")
"""The packages that rim consists of; they lie in one folder with it."""


def check_packages() -> None:
    """Raises ImportError if another module would be imported in place of one of rim's packages.

    Their names are common words: a file `schemas.py` or a package `query` in the folder that Python
    runs in comes before the installed one. The command `rim` ends with the message instead, and
    exit status 1.
    """
    home = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        found = _origin(name)
        if found is None or found.is_relative_to(home / name):
            continue
        message = (
            f"expected rim's own package {name!r} in {home}, found {found}, which hides it; rename "
            "that file or folder, or run in another folder (or without it on PYTHONPATH)"
        )
        if _is_command():
            sys.exit(f"rim: {message}")
        raise ImportError(message, name=name, path=str(found))


def _origin(name: str) -> Path | None:
    """The file that `import name` would load, or has loaded; None if there is none."""
    try:
        spec = find_spec(name)
    except ValueError:  # a module that was made by hand, without a spec
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def _is_command() -> bool:
    """Whether rim is loaded for the command `rim`, or for `python -m rim`."""
    return Path(sys.argv[0]).stem == "rim" or sys.orig_argv[1:3] == ["-m", "rim"]
