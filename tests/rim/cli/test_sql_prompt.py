"""The prompt of `rim sql`: examples, commands with a dot, completion, history, a real terminal."""

from __future__ import annotations

import io
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import rim
from rim.cli.sql_keyboard import SqlCompleter, edited_questions, open_history
from rim.cli.sql_prompt import Names
from rim.inspection.sql.examples import EXAMPLES, Example
from tests.rim.conftest import NAMES, Run

COLUMNS = {
    "Coverage": "category images accepted percent features",
    "Rejected": "status decided_by reason images categories",
    "Confusable": "category other similarity",
    "Outliers": "image_id category similarity",
    "Nearest": "image_id category similarity source prompt",
    "Duplicates": "category image_id other similarity",
    "What": "version time stage seconds percent",
    "Weakest": "category references astray mostly_to similarity",
    "Disagreement": "image_id category status attention_agreement sam_score mask_area reason",
    "Photos": "source images categories accepted_percent mask_area sam_score",
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title.split()[0])
def test_every_example_has_an_answer(opened: rim.Bank, example: Example) -> None:
    answer = opened.sql(example.sql)
    assert " ".join(answer.columns) == COLUMNS[re.split(r"\W", example.title)[0]]
    rows = answer.to_arrow_table().to_pylist()
    # A bank may have no rejected image; all else there is always something to say about.
    assert rows or example.title.startswith("Rejected")


def test_what_took_so_long_adds_up(opened: rim.Bank) -> None:
    (example,) = (one for one in EXAMPLES if one.title.startswith("What took so long"))
    rows = opened.sql(example.sql).to_arrow_table().to_pylist()
    assert {row["stage"]: row["seconds"] for row in rows} == opened.manifest.seconds
    assert {row["stage"] for row in rows} == {
        *("generate", "localise", "segment", "pool", "write", "index")
    }


def test_nearest_is_what_numpy_finds(opened: rim.Bank) -> None:
    rows = opened.sql(
        "SELECT image_id, embedding FROM features WHERE role = 'foreground' ORDER BY image_id"
    ).fetchall()
    chosen, vector = rows[0]
    cosine = {i: sum(a * b for a, b in zip(vector, other, strict=True)) for i, other in rows[1:]}
    expected = sorted(cosine, key=lambda i: -cosine[i])[:3]
    found = opened.sql(f"FROM nearest({chosen}, k := 3)").fetchall()
    assert [row[0] for row in found] == expected
    assert [row[2] for row in found] == pytest.approx([cosine[i] for i in expected], abs=1e-5)


def test_a_question_cannot_change_what_nearest_reads(opened: rim.Bank) -> None:
    (first,) = opened.sql("SELECT min(image_id) FROM features").fetchall()[0]
    forged = "WITH features AS (SELECT 1 AS image_id, 'foreground' AS role, [1.0] AS embedding) "
    question = f"FROM nearest({first})"
    assert opened.sql(forged + question).fetchall() == opened.sql(question).fetchall()


def test_examples_are_listed_and_asked(run: Run, built: Path) -> None:
    listed = run("sql", built, "--examples").out
    assert [int(n) for n in re.findall(r"^ ?(\d+)  ", listed, re.MULTILINE)] == [*range(1, 11)]
    assert EXAMPLES[0].sql.splitlines()[0] in listed
    rows = run("sql", built, "--example", 1, "--format", "json").json()
    assert {row["category"] for row in rows} == set(NAMES)
    wrong = run("sql", built, "--example", 11)
    assert (wrong.status, wrong.err) == (2, "rim: expected an example from 1 to 10, found 11\n")
    assert run("sql", built, "SELECT 1", "--example", 1).status == 2


def test_commands_at_the_prompt(run: Run, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ".exampels\n.examples x\n.examples\n.format csv\n.examples 1\n.format yaml\n.quit\nno\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    outcome = run("sql", built)
    assert outcome.status == 0
    assert "found '.exampels' (did you mean .examples?)" in outcome.err
    assert "expected .examples NUMBER, found 'x'" in outcome.err
    assert "expected .format table|csv|json, found 'yaml'" in outcome.err
    assert all(one.title in outcome.err for one in EXAMPLES)
    assert outcome.out.splitlines()[0] == "category,images,accepted,percent,features"
    assert len(outcome.out.splitlines()) == 1 + len(NAMES)


VIEWS = Names(
    {"images": ("image_id", "category", "reason"), "builds": ("version", "seconds")},
    ("house", "a'b"),
)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("SELECT * FROM im", ["images"]),
        ("SELECT * FROM n", ["nearest("]),
        ("FROM images WHERE rea", ["reason"]),
        ("FROM images i WHERE i.", ["image_id", "category", "reason"]),
        ("FROM images AS i, builds b WHERE b.s", ["seconds"]),
        ("FROM images WHERE vers", []),  # of another view
        ("vers", ["version"]),
        ("sel", ["select"]),
        ("SEL", ["SELECT"]),
        ("FROM images WHERE category = 'ho", ["house'"]),
        ("FROM images WHERE category = 'a", ["a''b'", "accepted'"]),
        ("FROM images WHERE category = 'house' AND rea", ["reason"]),
        (".ex", [".examples", ".exit"]),
        (".examples 1", ["1", "10"]),
        (".format c", ["csv"]),
    ],
)
def test_completion(typed: str, expected: list[str]) -> None:
    found = SqlCompleter(VIEWS).get_completions(Document(typed), CompleteEvent())
    assert [one.text for one in found] == expected


@pytest.fixture
def keyboard(state: Path) -> Iterator[object]:
    """Keys that are typed are sent here."""
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        yield keys


def test_questions_are_edited_over_several_lines(keyboard: object) -> None:
    questions = edited_questions(VIEWS)
    keyboard.send_text("SELECT 1\rFROM images;\r")  # type: ignore[attr-defined]
    assert next(questions) == "SELECT 1\nFROM images;"
    keyboard.send_text("SELECT 2\r\r")  # type: ignore[attr-defined]
    assert [next(questions), next(questions)] == ["SELECT 2\n", ""]
    keyboard.send_text(".quit\r")  # type: ignore[attr-defined]
    assert next(questions) == ".quit"
    keyboard.send_text("abc\x03")  # type: ignore[attr-defined]
    assert next(questions) is None
    keyboard.send_text("\x04")  # type: ignore[attr-defined]
    assert list(questions) == []


def test_history_is_kept_and_private(keyboard: object, state: Path) -> None:
    keyboard.send_text("SELECT 1;\r")  # type: ignore[attr-defined]
    assert next(edited_questions(VIEWS)) == "SELECT 1;"
    path = state / "rim" / "sql_history"
    assert "SELECT 1;" in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keyboard.send_text("\x1b[A\r")  # type: ignore[attr-defined]
    assert next(edited_questions(VIEWS)) == "SELECT 1;", "the next prompt remembers it"


def test_a_history_that_others_could_read_is_closed(state: Path) -> None:
    (state / "rim").mkdir(parents=True)
    path = state / "rim" / "sql_history"
    path.touch(0o644)
    open_history()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_without_a_place_for_it_there_is_no_history(state: Path) -> None:
    state.write_text("a file")
    history = open_history()
    history.append_string("SELECT 1;")
    assert state.read_text() == "a file"


def test_on_a_terminal(built: Path, state: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    environment = {"XDG_STATE_HOME": str(state), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    command = f"{sys.executable} -m rim sql {built} --format csv"
    repository = Path(__file__).parents[3]
    terminal = pexpect.spawn(
        command, env={**environment, "PATH": ""}, cwd=repository, encoding="utf-8", timeout=300
    )
    terminal.expect("rim>")
    terminal.send("SELECT 40 + 2 AS answer;\r")
    terminal.expect("answer\r\n42\r\n")
    terminal.expect("rim>")
    terminal.send("SELECT count(*) AS n FROM ima\t")
    # The terminal may draw the word in pieces, with colours between the letters.
    colour = r"(\x1b\[[0-9;?]*[A-Za-z])*"
    terminal.expect(colour.join("ges"))
    terminal.send(";\r")
    terminal.expect(f"n\r\n{4 * len(NAMES)}\r\n")
    terminal.expect("rim>")
    terminal.send("nonsense;\r")
    terminal.expect("rim: Parser Error")
    terminal.expect("rim>")
    terminal.send(".quit\r")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
