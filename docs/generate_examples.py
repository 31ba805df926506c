"""Writes the questions of `rim sql --examples` into docs/sql.md, between two marks.

python -m docs.generate_examples
"""

from __future__ import annotations

from pathlib import Path

from rim.inspection.sql.examples import EXAMPLES
from schemas.store.files import write_atomic

PAGE = Path(__file__).resolve().with_name("sql.md")
START = (
    "<!-- From rim/inspection/sql/examples.py by `python -m docs.generate_examples`; "
    "change them there. -->"
)
END = "<!-- end of examples -->"


def page(text: str) -> str:
    """The page with the examples as they are now; ValueError if the marks are not in it."""
    before, found, rest = text.partition(START)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{PAGE.name}: expected {START} and {END}")
    parts = [
        f"### {number}. {example.title}\n\n```sql\n{example.sql.strip()}\n```\n"
        for number, example in enumerate(EXAMPLES, start=1)
    ]
    return f"{before}{START}\n\n{chr(10).join(parts)}\n{END}{after}"


if __name__ == "__main__":
    write_atomic(PAGE, page(PAGE.read_text(encoding="utf-8")).encode("utf-8"))
