"""Folders of the published text-to-image architectures at reduced size, written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from benchmarks.full_size import architectures, published


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a text-to-image pipeline by its name in `architectures`, written once."""
    folder = tmp_path_factory.mktemp("pipelines")
    makers: dict[str, Callable[[], Any]] = {
        "sd15": lambda: architectures.sd15(reduced=True, checked=True),
        "sd2": lambda: architectures.sd2(reduced=True),
        "sd_turbo": lambda: architectures.sd_turbo(reduced=True),
        "sdxl": lambda: architectures.sdxl(reduced=True),
        "latent_consistency": lambda: architectures.latent_consistency(reduced=True),
    }

    def written(name: str) -> Path:
        path = folder / name
        if not path.exists():
            if name == "sd15":
                published.write_stable_diffusion(makers[name](), path)
            else:
                makers[name]().save_pretrained(path, safe_serialization=True)
        return path

    return written


@pytest.fixture(autouse=True)
def _quiet_libraries() -> None:
    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
