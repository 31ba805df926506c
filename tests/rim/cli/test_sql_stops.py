"""`rim sql`: Ctrl-C and the time limit, on real processes with real signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.query.examples import reference_row, write_bank

REPOSITORY = Path(__file__).parents[3]
ENDLESS = "SELECT count(*) FROM range(100000000000) a, range(100000000000) b"
# A single call of a function, in which DuckDB looks at no interrupt.
DEAF = "SELECT levenshtein(repeat('a', 600000), repeat('b', 600000))"
# The command, which gets one SIGINT as soon as it waits for the answer to a question.
RIM = """
import os, signal, sys, threading, time
import rim.inspection.sql.limits
from rim.cli.main import main

waiting = threading.Event()
wait = rim.inspection.sql.limits.Worker._wait

def told(self, seconds):
    waiting.set()
    return wait(self, seconds)

def interrupt():
    waiting.wait()
    time.sleep(0.3)  # mostly in the midst of DuckDB's work; at any moment it must do the same
    os.kill(os.getpid(), signal.SIGINT)

rim.inspection.sql.limits.Worker._wait = told
signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.argv.pop(1) == "interrupt":
    threading.Thread(target=interrupt, daemon=True).start()
    rim.inspection.sql.limits._GRACE = 120
else:
    rim.inspection.sql.limits._GRACE = 0.5
main(["sql", *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stops") / "bank"
    unit = np.array([1, 0], np.float32)
    write_bank(folder, {"house": [reference_row(0, "house", n, unit) for n in range(3)]})
    return folder


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A keyboard: what is written to the first is read from the second."""
    pty = pytest.importorskip("pty")
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def rim_sql(*arguments: object, stdin: int = subprocess.DEVNULL) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-c", RIM, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_ctrl_c_ends_the_command(bank: Path) -> None:
    status, out, err = rim_sql("interrupt", bank, ENDLESS)
    assert (status, out) == (130, "")
    assert err.strip() == "rim: interrupted; what was finished is kept"


def test_ctrl_c_ends_the_question_and_the_prompt_goes_on(
    bank: Path, terminal: tuple[int, int]
) -> None:
    keyboard, stdin = terminal
    os.write(keyboard, f"{ENDLESS};\nSELECT count(*) AS n FROM images;\n.quit\n".encode())
    status, out, err = rim_sql("interrupt", bank, "--format", "csv", stdin=stdin)
    assert status == 0
    assert out == "n\n3\n"
    assert "rim: interrupted\n" in err
    assert "Traceback" not in err


def test_a_question_that_hears_no_interrupt_is_left_alone(
    bank: Path, terminal: tuple[int, int]
) -> None:
    keyboard, stdin = terminal
    os.write(keyboard, f"{DEAF};\nSELECT count(*) AS n FROM images;\n.quit\n".encode())
    status, out, err = rim_sql("leave", bank, "--timeout", 4, "--format", "csv", stdin=stdin)
    assert status == 0
    assert out == "n\n3\n"
    assert err.count("rim: expected an answer within 4 s") == 1
    assert "leaked" not in err


def test_the_time_limit_of_the_command(bank: Path) -> None:
    status, out, err = rim_sql("leave", bank, ENDLESS, "--timeout", 0.2)
    assert (status, out) == (2, "")
    assert err.startswith("rim: expected an answer within 0.2 s")
    assert len(err.splitlines()) == 1
    assert rim_sql("leave", bank, "SELECT 1 AS a", "--timeout", 0, "--format", "csv")[1] == "a\n1\n"
