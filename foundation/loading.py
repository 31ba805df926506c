"""Loading a network of diffusers or transformers from its folder, with all of its weights."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from schemas.errors import ModelError
from schemas.text import shortened

_LIBRARIES = ("diffusers", "transformers")


def load_network(kind: Any, folder: Path, role: str, **options: Any) -> Any:
    """Loads the network in a folder, in float32 and in evaluation mode, on the CPU.

    Both libraries give weights that the files lack random values, and only log it: a network that
    is half random makes images and features all the same.

    Args:
        kind: a class of diffusers or transformers with `from_pretrained`.
        folder: its configuration and weights in safetensors.
        role: the model's key in the settings' section `models`, for messages.
        options: more arguments of `from_pretrained`.

    Raises:
        ModelError: the files lack weights of the network.
        Exception: of the library, if it cannot be loaded.
    """
    with quiet():
        network, report = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
    missing = sorted(report["missing_keys"])
    if missing:
        raise ModelError(
            f"models.{role}: expected all weights of {type(network).__name__} in {folder}, found "
            f"none for {shortened(missing, 3)}; the files are not complete or of "
            "another network: get them again"
        )
    return network.eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the libraries' remarks and progress bars from the user while they load.

    They remark on renamed classes, and on weights in the files that nothing uses. What matters is
    an error of ours. The bars stay off.
    """
    for name in _LIBRARIES:
        if name in sys.modules:  # features need no diffusers
            import_module(f"{name}.utils.logging").disable_progress_bar()
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
