"""The ablation's results: mean and spread over the banks, targets, and the tables of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.accuracy.measuring import Measurement
from benchmarks.accuracy.rows import BY_TEXT, DEFAULT, ON_TRUE_MASKS, Row
from benchmarks.gate import Gate

CLOSED = ("mIoU", "familiar", "novel", "stuff")
OPEN = ("mIoU", "named", "background")


@dataclass(frozen=True)
class Spread:
    """The values of several banks. std is the sample standard deviation; not a number for one."""

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
    """A row with what was measured for it, one a bank."""

    row: Row
    measured: tuple[Measurement, ...]

    def spread(self, column: str) -> Spread:
        """Of a column of `Measurement.values`."""
        return Spread(tuple(one.values[column] for one in self.measured))

    @property
    def columns(self) -> tuple[str, ...]:
        return OPEN if self.row.left_out else CLOSED


@dataclass(frozen=True)
class Ablation:
    """All results, one measurement a bank in the order of `bank_seeds`, and what they are of."""

    scenes: int
    seed: int
    bank_seeds: tuple[int, ...]
    images_per_category: int
    results: tuple[Result, ...]

    @property
    def title(self) -> str:
        """What was measured, in one line."""
        banks = len(self.bank_seeds)
        over = f", mean ± standard deviation over {banks} banks" if banks > 1 else ""
        return (
            f"{self.scenes} fresh scenes (seed {self.seed}), {self.images_per_category} images per"
            f" category{over}"
        )

    def of(self, row: Row) -> Result:
        """The result of a row."""
        return next(one for one in self.results if one.row == row)

    def targets(self) -> tuple[Gate, ...]:
        """What the chain must reach, on the means over the banks."""
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
        """For a terminal: the results with everything named, those with "background", targets."""
        for columns in (CLOSED, OPEN):
            table = Table("", title=self.title)
            for column in columns:
                table.add_column(column, justify="right", no_wrap=True)
            for group, results in self._grouped(columns):
                table.add_section()
                table.add_row(f"[bold]{group}[/bold]")
                for one in results:
                    table.add_row(f"  {one.row.name}", *(str(one.spread(c)) for c in columns))
            yield table
        table = Table("target", title="Targets")
        for column in ("wanted", "found", "reached"):
            table.add_column(column, justify="right")
        for gate in self.targets():
            found = f"{gate.measured:.3f}"
            table.add_row(gate.name, gate.wanted, found, "reached" if gate.reached else "missed")
        yield table

    def markdown(self) -> str:
        """The same for a document."""
        lines = [f"mIoU on {self.title}."]
        for columns in (CLOSED, OPEN):
            lines += ["", f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
            for group, results in self._grouped(columns):
                lines.append(f"| **{group}** |{' |' * len(columns)}")
                lines += [
                    f"| {one.row.name} | {' | '.join(str(one.spread(c)) for c in columns)} |"
                    for one in results
                ]
        lines += ["", "| target | wanted | found | |", "|---|---:|---:|---|"]
        lines += [
            f"| {gate.name} | {gate.wanted} | {gate.measured:.3f} |"
            f" {'reached' if gate.reached else '**missed**'} |"
            for gate in self.targets()
        ]
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, every bank's values in it; what is not a number is None."""
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


def _result(result: Result) -> dict[str, Any]:
    values = {}
    for column in result.columns:
        spread = result.spread(column)
        values[column] = {
            "mean": _number(spread.mean),
            "std": _number(spread.std),
            "each": [_number(one) for one in spread.each],
        }
    return {
        "group": result.row.group,
        "name": result.row.name,
        "values": values,
        "per_class": [
            {name: _number(iou) for name, iou in one.per_class.items()} for one in result.measured
        ],
        "seconds": [round(one.seconds, 2) for one in result.measured],
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
