"""A bank of the drawn world that accepts whatever its few steps make."""

from __future__ import annotations

import pytest

import rim


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> rim.Bank:
    """Six images of two things and of two kinds of stuff."""
    settings = [f"reference.{gate}=0" for gate in ("min_quality", "min_agreement", "min_area")]
    folder = tmp_path_factory.mktemp("banks") / "bank"
    names = ("house", "fish", "grass", "sky")
    return rim.build(names, folder, images_per_category=6, steps=4, settings=settings)
