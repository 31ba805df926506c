"""A gate: what is wanted, what was measured, and whether that is enough; many as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from miniature.world import CATEGORIES, FAMILIAR, NOVEL, STUFF

GROUPS: dict[str, tuple[str, ...]] = {
    "all": CATEGORIES,
    "familiar": FAMILIAR,
    "novel": NOVEL,
    "stuff": STUFF,
}


@dataclass(frozen=True)
class Gate:
    """One measured number. ``least`` and ``most`` are what is wanted; without both it is reported
    only.
    """

    model: str
    name: str
    measured: float
    least: float | None = None
    most: float | None = None

    @property
    def wanted(self) -> str:
        """What is wanted, in words: "≥ 0.80", "0.80 to 1.25", or nothing."""
        if self.least is not None and self.most is not None:
            return f"{self.least:.2f} to {self.most:.2f}"
        if self.least is not None:
            return f"≥ {self.least:.2f}"
        return "" if self.most is None else f"≤ {self.most:.2f}"

    @property
    def reached(self) -> bool | None:
        """Whether it is as wanted; None if nothing is wanted. What is not a number never is."""
        if self.least is None and self.most is None:
            return None
        low = self.least is None or self.measured >= self.least
        high = self.most is None or self.measured <= self.most
        return low and high and not np.isnan(self.measured)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what is not a number becomes None."""
        measured = None if np.isnan(self.measured) else round(self.measured, 4)
        return {
            "model": self.model,
            "gate": self.name,
            "wanted": self.wanted,
            "measured": measured,
            "reached": self.reached,
        }


@dataclass(frozen=True)
class Measured:
    """The gates of one model and, by category, the numbers behind them."""

    gates: tuple[Gate, ...]
    per_category: dict[str, dict[str, float]]


def mean_or_nan(values: Sequence[float]) -> float:
    """The mean; not a number if there are no values."""
    return float(np.mean(values)) if len(values) else float("nan")


def shares(right: Sequence[tuple[str, bool]]) -> dict[str, float]:
    """The share that is right, over :data:`GROUPS` and every category; of (category, right)."""
    return {
        name: mean_or_nan([float(ok) for category, ok in right if category in group])
        for name, group in (GROUPS | {name: (name,) for name in CATEGORIES}).items()
    }


def gates_table(gates: Sequence[Gate]) -> Table:
    """The gates as a rich table, one a row."""
    table = Table("model", "gate", title="Gates of the miniature stack")
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
