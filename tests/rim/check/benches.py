"""Workbenches for the tests: with the miniature stack, and with stand-ins for all models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from foundation.stack import ModelStack
from rim.check.photos import CheckCategory, read_check_data
from rim.check.workbench import Workbench, check_settings, choose_categories
from schemas.settings import Settings
from tests.bank_builder.stand_in import settings as stand_in_settings


def miniature_bench(folder: Path, settings: Settings | None = None) -> Workbench:
    """The miniature's models, loaded when they are first used."""
    settings = check_settings("miniature") if settings is None else settings
    data = read_check_data()
    stack = ModelStack(settings, "cpu", offline=True)
    return Workbench(settings, stack, folder, data, choose_categories(settings, data))


def stand_in_bench(
    folder: Path,
    stack: Any,
    things: Sequence[str] = ("cat", "rocket"),
    stuff: Sequence[str] = ("sky",),
) -> Workbench:
    """Coloured rectangles in place of models."""
    categories = [CheckCategory(name, False) for name in things]
    categories += [CheckCategory(name, True) for name in stuff]
    return Workbench(stand_in_settings(), stack, folder, read_check_data(), tuple(categories))


def with_categories(bench: Workbench, names: Sequence[str]) -> Workbench:
    """The same with another list of things."""
    return replace(bench, categories=tuple(CheckCategory(name, False) for name in names))
