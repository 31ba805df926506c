"""Gates: reached or not, as a table, and in a model card."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.gate import FIRST, LAST, Gate, Measured, gates_table, shares, write_scores


@pytest.mark.parametrize(
    ("gate", "wanted", "reached"),
    [
        (Gate("m", "g", 0.80, 0.80), "≥ 0.80", True),
        (Gate("m", "g", 0.79, 0.80), "≥ 0.80", False),
        (Gate("m", "g", 1.30, 0.80, 1.25), "0.80 to 1.25", False),
        (Gate("m", "g", 1.00, 0.80, 1.25), "0.80 to 1.25", True),
        (Gate("m", "g", 1.00, None, 0.5), "≤ 0.50", False),
        (Gate("m", "g", 0.10), "", None),
        (Gate("m", "g", float("nan"), 0.80), "≥ 0.80", False),
    ],
)
def test_a_gate_is_reached_or_not(gate: Gate, wanted: str, reached: bool | None) -> None:
    assert gate.wanted == wanted
    assert gate.reached is reached
    assert json.loads(json.dumps(gate.as_dict(), allow_nan=False))["reached"] is reached


def test_the_table_says_yes_and_no() -> None:
    gates = [Gate("sam", "good", 0.9, 0.8), Gate("sam", "bad", 0.7, 0.8), Gate("clip", "told", 0.5)]
    console = Console(width=100, record=True, file=StringIO())
    console.print(gates_table("Gates", gates))
    lines = console.export_text().splitlines()
    ends = {
        name: line.rstrip(" │┃").split()[-1]
        for name in ("good", "bad", "told")
        for line in lines
        if name in line
    }
    assert ends == {"good": "yes", "bad": "no", "told": "0.500"}


def test_shares_by_group_and_category() -> None:
    found = shares([("house", True), ("bird", False), ("bird", True), ("grass", True)])
    assert found["all"] == 0.75
    assert (found["familiar"], found["novel"], found["stuff"]) == (1.0, 0.5, 1.0)
    assert found["bird"] == 0.5
    assert np.isnan(found["fish"])


def test_scores_replace_what_stands_between_the_marks_of_a_card(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text(f"before\n\n{FIRST}\nold\n{LAST}\nafter\n")
    for value in (0.5, 0.75):
        write_scores(card, Measured((Gate("m", "IoU", value, 0.6),), {}))
    text = card.read_text()
    assert text.startswith(f"before\n\n{FIRST}\n")
    assert text.endswith(f"| IoU | ≥ 0.60 | 0.750 | yes |\n{LAST}\nafter\n")
    assert "0.500" not in text
    card.write_text("no marks")
    with pytest.raises(ValueError, match="once each"):
        write_scores(card, Measured((), {}))
    assert card.read_text() == "no marks"
