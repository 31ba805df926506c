"""The per-user folder in which rim keeps what it would otherwise have to find out again.

The folder is `~/.cache/rim`, or what the environment variable RIM_CACHE says. Nothing in it is
needed: whatever is missing or damaged there is found out again.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The per-user folder of rim, whether or not it exists."""
    named = os.environ.get("RIM_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "rim"
