"""The ablation's results: mean and spread over the banks, targets, tables and the plot."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.accuracy.measuring import Measurement
from benchmarks.accuracy.rows import BY_TEXT, DEFAULT, K_GROUP, ON_TRUE_MASKS, AblationRow
from benchmarks.command import markdown_table, plain, result_table
from benchmarks.gate import Gate
from schemas.store.files import write_atomic

CLOSED = ("mIoU", "familiar", "novel", "stuff")
OPEN = ("mIoU", "named", "background")
_TARGET_COLUMNS = ("target", "wanted", "found", "")
_LINES = (
    ("mIoU", "all categories", "#1f4e79", "o"),
    ("familiar", "familiar things", "#2e8b57", "s"),
    ("novel", "novel things", "#c0561f", "^"),
)
_DIGITS = 4  # of numbers in JSON
_INCHES = (7.0, 4.2)
_DPI = 200  # twice the 700 pixels at which it is read


@dataclass(frozen=True)
class Spread:
    """The values of several banks. std is the sample standard deviation; NaN for one bank."""

    each: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.each))

    @property
    def std(self) -> float:
        return float(np.std(self.each, ddof=1)) if len(self.each) > 1 else float("nan")

    def __str__(self) -> str:
        if np.isnan(self.mean):
            return "none"
        return f"{self.mean:.3f}" + ("" if np.isnan(self.std) else f" ± {self.std:.3f}")


@dataclass(frozen=True)
class Result:
    """A row and its measurements, one a bank."""

    row: AblationRow
    measured: tuple[Measurement, ...]

    def spread(self, column: str) -> Spread:
        """The spread of a column of `Measurement.values`."""
        return Spread(tuple(one.values[column] for one in self.measured))

    @property
    def columns(self) -> tuple[str, ...]:
        return OPEN if self.row.left_out else CLOSED


@dataclass(frozen=True)
class Ablation:
    """All results, their measurements in the order of `bank_seeds`."""

    scenes: int
    seed: int
    bank_seeds: tuple[int, ...]
    images_per_category: int
    results: tuple[Result, ...]

    @property
    def title(self) -> str:
        """Scenes, seed, K and banks in one line."""
        banks = len(self.bank_seeds)
        over = f", mean ± standard deviation over {banks} banks" if banks > 1 else ""
        return (
            f"{self.scenes} fresh scenes (seed {self.seed}), {self.images_per_category} images per"
            f" category{over}"
        )

    def of(self, row: AblationRow) -> Result:
        """The result of a row."""
        return next(one for one in self.results if one.row == row)

    def targets(self) -> tuple[Gate, ...]:
        """The numbers that the chain must reach, on the means over the banks."""
        default = self.of(DEFAULT)
        own, on_truth = default.spread("mIoU").mean, self.of(ON_TRUE_MASKS).spread("mIoU").mean
        by_text = max(self.of(row).spread("mIoU").mean for row in BY_TEXT)
        behind = default.spread("familiar").mean - default.spread("novel").mean
        return (
            Gate("ablation", "mIoU over all categories", own, 0.80),
            Gate(
                "ablation",
                "mIoU behind references with true masks",
                on_truth - own,
                None,
                0.05,
            ),
            Gate("ablation", "mIoU ahead of CLIP's text, the best way", own - by_text, 0.10),
            Gate("ablation", "mIoU of novel things behind familiar ones", behind, None, 0.10),
        )

    def tables(self) -> Iterator[Table]:
        """Tables for a terminal: closed vocabularies, those with "background", targets."""
        for columns in (CLOSED, OPEN):
            table = result_table(self.title, ("", *columns))
            for group, results in self._grouped(columns):
                table.add_section()
                table.add_row(f"[bold]{group}[/bold]")
                for one in results:
                    table.add_row(f"  {one.row.name}", *(str(one.spread(c)) for c in columns))
            yield table
        words = {True: "reached", False: "missed", None: ""}
        yield result_table("Targets", _TARGET_COLUMNS, self._target_rows(words))

    def markdown(self) -> str:
        """The same tables for a document."""
        parts = [f"mIoU on {self.title}."]
        for columns in (CLOSED, OPEN):
            rows: list[tuple[str, ...]] = []
            for group, results in self._grouped(columns):
                rows.append((f"**{group}**", *("" for _ in columns)))
                rows += [(one.row.name, *(str(one.spread(c)) for c in columns)) for one in results]
            parts.append(markdown_table(("", *columns), rows, "l" + "r" * len(columns)))
        words = {True: "reached", False: "**missed**", None: ""}
        parts.append(markdown_table(_TARGET_COLUMNS, self._target_rows(words), "lrrl"))
        return "\n\n".join(parts) + "\n"

    def _target_rows(self, words: Mapping[bool | None, str]) -> list[tuple[str, ...]]:
        return [
            (gate.name, gate.wanted, f"{gate.measured:.3f}", words[gate.reached])
            for gate in self.targets()
        ]

    def as_dict(self) -> dict[str, Any]:
        """The results as plain data for JSON, with every bank's values; NaN is None."""
        return {
            "scenes": self.scenes,
            "seed": self.seed,
            "bank_seeds": list(self.bank_seeds),
            "images_per_category": self.images_per_category,
            "rows": [_result(one) for one in self.results],
            "targets": [gate.as_dict() for gate in self.targets()],
        }

    def _grouped(self, columns: tuple[str, ...]) -> Iterator[tuple[str, Sequence[Result]]]:
        shown = (one for one in self.results if one.columns == columns)
        for group, results in groupby(shown, lambda one: one.row.group):
            yield group, tuple(results)


def plot_over_k(ablation: Ablation, path: Path) -> None:
    """Draws mIoU over K, with the standard deviation over the banks as a band, as a PNG.

    The same results give the same bytes. Needs matplotlib. OSError if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    results = [one for one in ablation.results if one.row.group == K_GROUP]
    ks = np.array([int(one.row.name.removeprefix("K = ")) for one in results])
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for column, label, colour, marker in _LINES:
        spreads = [one.spread(column) for one in results]
        mean = np.array([spread.mean for spread in spreads])
        std = np.nan_to_num([spread.std for spread in spreads])
        if np.isnan(mean).all():
            continue
        axes.fill_between(ks, mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
        axes.plot(ks, mean, color=colour, marker=marker, linewidth=2, label=label)
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("images per category (K)", fontsize=12)
    axes.set_ylabel("mIoU", fontsize=12)
    axes.tick_params(labelsize=11)
    axes.set_title(_title(ablation), fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=11, loc="best")
    FigureCanvasAgg(figure)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    write_atomic(path, drawn.getvalue())


def _title(ablation: Ablation) -> str:
    banks = len(ablation.bank_seeds)
    over = f"; mean and standard deviation over {banks} banks" if banks > 1 else ""
    return f"{ablation.scenes} fresh scenes of the miniature world{over}"


def _result(result: Result) -> dict[str, Any]:
    values = {}
    for column in result.columns:
        spread = result.spread(column)
        values[column] = plain(
            {"mean": spread.mean, "std": spread.std, "each": spread.each}, _DIGITS
        )
    return {
        "group": result.row.group,
        "name": result.row.name,
        "values": values,
        "per_class": [plain(one.per_class, _DIGITS) for one in result.measured],
        "seconds": [round(one.seconds, 2) for one in result.measured],
    }
