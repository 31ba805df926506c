"""Measured scores in the model cards: a table between two marks, made anew each time."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gate import Measured

FIRST, LAST = "<!-- scores -->", "<!-- end of scores -->"


def write_scores(card: Path, measured: Measured) -> None:
    """Replace what stands between the marks of a card by the measured gates.

    Raises:
        ValueError: the card has not both marks, once each and in this order.
    """
    text = card.read_text(encoding="utf-8")
    before, found, rest = text.partition(FIRST)
    _, ended, after = rest.partition(LAST)
    if not (found and ended) or FIRST in rest or LAST in after:
        raise ValueError(f"expected {FIRST} and then {LAST} once each in {card}")
    card.write_text(before + FIRST + "\n" + scores_table(measured) + LAST + after, encoding="utf-8")


def scores_table(measured: Measured) -> str:
    """The gates as a Markdown table."""
    words = {True: "yes", False: "**no**", None: ""}
    lines = ["| measured | gate | value | reached |", "|---|---|---|---|"]
    lines += [
        f"| {gate.name} | {gate.wanted} | {gate.measured:.3f} | {words[gate.reached]} |"
        for gate in measured.gates
    ]
    return "\n".join(lines) + "\n"
