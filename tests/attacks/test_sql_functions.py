"""DuckDB's functions with arguments that nobody meant: an answer or one line, no dead process."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.query.examples import reference_row, write_bank

REPOSITORY = Path(__file__).parents[2]
ARGUMENTS = [
    "NULL", "1", "-1", "9223372036854775807", "0.5", "'nan'::DOUBLE", "1::HUGEINT", "true", "'a'",
    "''", "'\\xff'::BLOB", "'101'::BIT", "'{}'::JSON", "[1, 2]", "['a']", "[]", "[1, 2]::INT[2]",
    "{'a': 1}", "MAP {'a': 1}", "1::VARIANT", "DATE '2020-01-01'", "DATE 'infinity'",
    "INTERVAL 1 day", "lambda x: x", "(SELECT sum(range) FROM range(3))", "number", "prompt", "png",
]  # fmt: skip
# They wait, which is all that they do.
SLOW = {"sleep_ms", "pg_sleep"}
ASK = """
import json, sys
from rim.inspection.sql.connection import connect
from schemas.store.bank import StoredBank
from schemas.errors import SqlError
answered = 0
with connect(StoredBank(sys.argv[1]), timeout=10) as connection:
    for question in json.load(sys.stdin):
        try:
            connection.ask(question).to_arrow_table()
            answered += 1
        except SqlError as error:
            if not str(error).isprintable():
                sys.exit(f"{question}: {error}")
        except BaseException as error:
            sys.exit(f"{question}: {error!r}")
print(answered)
"""


def questions(count: int, seed: int) -> list[str]:
    """Calls of all functions that DuckDB lists, by name, in random company."""
    names = [
        name
        for (name,) in duckdb.sql(
            "SELECT DISTINCT function_name FROM duckdb_functions()"
            " WHERE NOT contains(function_name, 'collate_') ORDER BY 1"
        ).fetchall()
        if name not in SLOW
    ]
    choose = random.Random(seed)
    calls = []
    for _ in range(count):
        arguments = choose.choices(ARGUMENTS, k=choose.choice([0, 1, 1, 2, 2, 2, 3, 3, 4]))
        quoted = choose.choice(names).replace('"', '""')
        where = choose.choice(["SELECT {} FROM images", "SELECT {}", "SELECT * FROM {} LIMIT 50"])
        calls.append(where.format(f'"{quoted}"({", ".join(arguments)})'))
    return calls


def ask_all(bank: Path, count: int, seed: int) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", ASK, bank],
        input=json.dumps(questions(count, seed)),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return int(ended.stdout)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("functions") / "bank"
    unit = np.array([1, 0], np.float32)
    write_bank(folder, {"house": [reference_row(0, "house", n, unit) for n in range(3)]})
    return folder


def test_functions_by_name(bank: Path) -> None:
    assert ask_all(bank, 1000, seed=0) > 30


@pytest.mark.stress
@pytest.mark.parametrize("seed", range(1, 5))
def test_functions_by_name_at_length(bank: Path, seed: int) -> None:
    assert ask_all(bank, 30_000, seed) > 1000
