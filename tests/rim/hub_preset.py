"""The miniature stack as if it came from a hub: served by the stand-in, named by a preset file."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from schemas.resources import data_folder, preset_path
from tests.stand_in_hub import StandInHub

MODELS = ("text-to-image", "features", "clip")


def serve_miniature(hub: StandInHub, folder: Path) -> Path:
    """Serves the four models and returns the preset `hub.toml` that names them by hub id and
    address.
    """
    weights = data_folder() / "miniature"
    hub.models |= {f"mini/{name}": weights / name for name in MODELS}
    digits = hashlib.sha256((weights / "sam.pth").read_bytes()).hexdigest()[:6]
    hub.files[f"/sam_{digits}.pth"] = weights / "sam.pth"
    text = preset_path("miniature").read_text(encoding="utf-8")
    text = text.replace('"miniature/sam.pth"', f'"{hub.address}/sam_{digits}.pth"')
    text = re.sub(r'"miniature/([\w-]+)"', r'"mini/\1"', text)
    path = folder / "hub.toml"
    path.write_text(text, encoding="utf-8")
    return path
