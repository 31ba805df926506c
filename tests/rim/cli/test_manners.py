"""Manners of the command line: help in groups, examples, guesses, plain output, wrong calls."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import numpy as np
import pytest

from rim.cli.main import _COMMANDS, cli
from tests.query.examples import reference_row, write_bank
from tests.rim.conftest import Run

COMMANDS = sorted(_COMMANDS)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manners") / "bank"
    unit = np.array([1, 0], np.float32)
    write_bank(folder, {"house": [reference_row(0, "house", n, unit) for n in range(3)]})
    return folder


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with what a person may name by mistake."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "words.txt").write_text("house\nfish\n")
    (tmp_path / "typo.txt").write_text("hose\nfish\n")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_help_is_in_groups(run: Run) -> None:
    text = run("--help").out
    groups = re.findall(r"^(\S.*):\n", text, re.MULTILINE)
    assert groups[1:5] == [
        *("Build a bank", "Label photos", "Look into a bank", "Models and this machine")
    ]
    listed = re.findall(r"^  ([a-z][a-z-]+)  ", text, re.MULTILINE)
    assert sorted(listed) == COMMANDS
    modules = Path(__file__).parents[3] / "rim" / "cli" / "commands"
    files = {path.stem.replace("_", "-") for path in modules.glob("*.py")} - {"--init--"}
    assert files == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples_that_are_right(name: str, run: Run) -> None:
    outcome = run(name, "--help")
    assert outcome.status == 0
    assert run("help", name).out == outcome.out
    examples = outcome.out.partition("\n  Example")[2].splitlines()[1:]
    assert any(f"rim {name} " in line or line.strip() == f"rim {name}" for line in examples)
    command: click.Command = import_module(f"rim.cli.commands.{name.replace('-', '_')}").command
    known = {option for parameter in command.params for option in parameter.opts}
    for line in examples:
        for call in re.findall(rf"rim {name} [^|>]*", line):
            options = re.findall(r"(?<= )--?[a-z][a-z-]*", re.sub(r'"[^"]*"|#.*', "", call))
            assert set(options) <= known, line


def test_help_is_as_wide_as_the_terminal_up_to_100(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def widest(columns: int) -> int:
        monkeypatch.setenv("COLUMNS", str(columns))
        text = run("build", "--help").out.partition("\n  Example")[0]
        return max(map(len, text.splitlines()))

    assert widest(60) <= 60
    assert 80 < widest(300) <= 100


def test_help_without_a_command(run: Run) -> None:
    assert run("help").out == run("--help").out
    assert run("-h").out == run("--help").out
    nothing = run()
    assert nothing.status == 2
    assert "Build a bank:" in nothing.err
    assert re.fullmatch(r"rim, version \d+\.\d+\.\d+\n", run("--version").out)


WRONG = [
    ("bild", "no command 'bild' (did you mean build?)"),
    ("help sqll", "no command 'sqll' (did you mean sql?)"),
    ("--versoin", "No such option '--versoin' (did you mean --version?)"),
    ("build", "Missing argument 'VOCABULARY'; for example: rim build words.txt --out bank"),
    ("build words.txt", "Missing option '--out'; for example: rim build"),
    ("build words.txt --out x --stpes 3", "No such option '--stpes' (did you mean --steps?)"),
    ("build words.txt --out x --steps three", "--steps: 'three' is no whole number"),
    ("build words.txt --out x -k 0", "-k / --images-per-category: 0 is not in the range x>=1"),
    ("build words.txt --out x --set steps=3", "'steps=3' (did you mean generation.steps=...?)"),
    ("build words.txt --out x --set generation.stpes=3", "(did you mean steps?)"),
    ("build words.txt --out x --preset papre", "found 'papre' (did you mean paper?)"),
    ("build words.txt --out file", "expected a folder for the bank, found a file: file"),
    ("build words.txt --out x more", "Got unexpected extra argument (more)"),
    ("build vco20 --out x", "found 'vco20' (did you mean voc20?)"),
    ("build empty --out x", "'empty' (a folder; photos are named by --source folder:DIR)"),
    ("build typo.txt --out x", "does not know hose (did you mean house?); it knows house"),
    ("build house,fish --out x", "(names themselves are given as lines of a file"),
    ("build words.txt --out x --source foldr:a", "expected diffusion or folder:DIR"),
    ("build words.txt --out x --source folder:none", "expected a folder of photos, found nothing"),
    ("add BANK", "Missing argument '\"NAME, SYNONYM\"...'; for example: rim add bank boat"),
    ("remove BANK huose", "found 'huose' (did you mean house?)"),
    ("query BANK broken.png", "Missing option '--out'"),
    ("query BANK none.png --out x", "none.png: expected an image file or a folder of images"),
    ("query BANK empty --out x", "empty: expected images"),
    ("query BANK broken.png --out file", "file: expected a folder for the results, found a file"),
    ("query BANK broken.png --out x --matcher kn", "--matcher: expected one of prototype, knn"),
    ("query BANK broken.png --out x --format jsn", "found jsn (did you mean json?)"),
    ("query BANK broken.png --out x --categories huose", "'huose' (did you mean house?)"),
    ("query BANK broken.png --out x --text-weight a", "--text-weight: 'a' is no number"),
    ("sql file", "expected a bank, which is a folder, found no folder at file"),
    ("sql none", "expected a bank at none, found nothing there; rim build makes one"),
    ("sql empty", "expected a bank, found no manifest in empty"),
    ("sql BANK SELECT 1", "expected one question, found 2 words; put it in quotes"),
    ("sql BANK --format prquet", "found 'prquet' (did you mean parquet?)"),
    ("info BANK/shards", "found no manifest in BANK/shards; did you mean BANK?"),
    ("eval BANK", "Missing option '--dataset'; for example: rim eval"),
    ("eval BANK --dataset minature", "found 'minature' (did you mean miniature?)"),
    ("completion tcsh", "expected one of bash, zsh, fish, found 'tcsh'"),
    ("check --preset papre", "found 'papre' (did you mean paper?)"),
    ("check --out file", "file: expected a folder, found a file; choose another --out"),
    ("check --device cpuu", "expected a device that torch has here"),
    ("fetch --preset papre", "found 'papre' (did you mean paper?)"),
    ("compare-labels voc20 ade15O", "found 'ade15O' (did you mean ade150?)"),
]


@pytest.mark.parametrize(("call", "said"), WRONG, ids=[call for call, _ in WRONG])
def test_a_wrong_call_is_told_what_to_do(
    call: str, said: str, run: Run, bank: Path, place: Path
) -> None:
    before = sorted(place.iterdir())
    outcome = run(*(word.replace("BANK", str(bank)) for word in call.split()))
    assert outcome.status == 2
    assert outcome.out == ""
    assert said.replace("BANK", str(bank)) in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert outcome.err.startswith("rim: ")
    assert sorted(place.iterdir()) == before


def test_tables_in_a_pipe_are_not_broken(run: Run, bank: Path) -> None:
    lines = run("info", bank).out.splitlines()
    assert any(line.endswith("MB") and "accepted" in line for line in lines)
    assert all("\x1b" not in line for line in lines)


def test_no_color(bank: Path, place: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    for variables, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        terminal = pexpect.spawn(
            sys.executable,
            ["-m", "rim", "doctor"],
            env={"TERM": "xterm-256color", "PATH": "", **variables},
            cwd=Path(__file__).parents[3],
            timeout=300,
            encoding="utf-8",
        )
        terminal.expect(pexpect.EOF)
        assert ("\x1b[32m" in terminal.before) == coloured


def test_the_reader_of_a_pipe_may_leave(bank: Path) -> None:
    rim = f"{sys.executable} -m rim"
    question = "SELECT repeat('x', 100) FROM range(100000)"
    ended = subprocess.run(
        ["/bin/sh", "-c", f'{rim} sql {bank} "{question}" --format csv | head -n 1'],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stderr == ""


def test_commands_are_known_to_the_group() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == list(_COMMANDS)
    assert cli.get_command(context, "no-such") is None
