"""A gate: what is wanted, what was measured, and whether that is enough; tables of gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.command import markdown_table, plain
from miniature.world import CATEGORIES, FAMILIAR, NOVEL, STUFF

FIRST, LAST = "<!-- scores -->", "<!-- end of scores -->"
"""Marks in a model card; between them stand its scores."""

GROUPS: dict[str, tuple[str, ...]] = {
    "all": CATEGORIES,
    "familiar": FAMILIAR,
    "novel": NOVEL,
    "stuff": STUFF,
}


@dataclass(frozen=True)
class Gate:
    """One measured number. ``least`` and ``most`` bound what is wanted; without both it is only
    reported.
    """

    model: str
    name: str
    measured: float
    least: float | None = None
    most: float | None = None

    @property
    def wanted(self) -> str:
        """The bounds in words: "≥ 0.80", "0.80 to 1.25", or nothing."""
        if self.least is not None and self.most is not None:
            return f"{self.least:.2f} to {self.most:.2f}"
        if self.least is not None:
            return f"≥ {self.least:.2f}"
        return "" if self.most is None else f"≤ {self.most:.2f}"

    @property
    def reached(self) -> bool | None:
        """Whether the number is within its bounds; None without bounds. NaN never is."""
        if self.least is None and self.most is None:
            return None
        low = self.least is None or self.measured >= self.least
        high = self.most is None or self.measured <= self.most
        return low and high and not np.isnan(self.measured)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not a number becomes None."""
        return {
            "model": self.model,
            "gate": self.name,
            "wanted": self.wanted,
            "measured": plain(self.measured, 4),
            "reached": self.reached,
        }


@dataclass(frozen=True)
class Measured:
    """The gates of one model and, by category, the numbers behind them."""

    gates: tuple[Gate, ...]
    per_category: dict[str, dict[str, float]]


def mean_or_nan(values: Sequence[float]) -> float:
    """The mean of some values; NaN if there are none."""
    return float(np.mean(values)) if len(values) else float("nan")


def shares(right: Sequence[tuple[str, bool]]) -> dict[str, float]:
    """The share of the pairs (category, right) that is right, by :data:`GROUPS` and category."""
    return {
        name: mean_or_nan([float(ok) for category, ok in right if category in group])
        for name, group in (GROUPS | {name: (name,) for name in CATEGORIES}).items()
    }


def gates_table(title: str, gates: Sequence[Gate]) -> Table:
    """The gates as a table for a terminal, one a row."""
    table = Table("model", "gate", title=title)
    table.add_column("wanted", justify="right")
    table.add_column("measured", justify="right")
    table.add_column("reached")
    words = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}
    shown = ""
    for gate in gates:
        if shown and gate.model != shown:
            table.add_section()
        name = gate.model if gate.model != shown else ""
        table.add_row(name, gate.name, gate.wanted, f"{gate.measured:.3f}", words[gate.reached])
        shown = gate.model
    return table


def write_scores(card: Path, measured: Measured) -> None:
    """Writes the measured gates between the marks of a model card, in place of what was there.

    Raises:
        ValueError: the card has not both marks, once each and in this order.
    """
    text = card.read_text(encoding="utf-8")
    before, found, rest = text.partition(FIRST)
    _, ended, after = rest.partition(LAST)
    if not (found and ended) or FIRST in rest or LAST in after:
        raise ValueError(f"expected {FIRST} and then {LAST} once each in {card}")
    words = {True: "yes", False: "**no**", None: ""}
    table = markdown_table(
        ("measured", "gate", "value", "reached"),
        [
            (gate.name, gate.wanted, f"{gate.measured:.3f}", words[gate.reached])
            for gate in measured.gates
        ],
    )
    card.write_text(f"{before}{FIRST}\n{table}\n{LAST}{after}", encoding="utf-8")
