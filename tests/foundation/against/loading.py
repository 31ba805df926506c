"""One role of a stack, loaded by our code from files of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from foundation.stack import ModelStack
from schemas.settings import load_settings


def load(role: str, path: Path, *more: str, dtype: torch.dtype = torch.float32) -> Any:
    """What `ModelStack` makes of a folder or file as one of its roles.

    Args:
        role: of the stack; the others stay the miniature's and are not loaded.
        path: the files.
        more: further settings, "section.key=value".
        dtype: what the device is said to compute in.
    """
    settings = load_settings("miniature", [f"models.{role}.location={path}", *more])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("foundation.text_to_image_loading.fast_type", lambda device: dtype)
        patch.setattr("foundation.sam.encoder_type", lambda device: dtype)
        return getattr(ModelStack(settings, device="cpu"), role)
