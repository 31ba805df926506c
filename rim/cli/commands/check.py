"""`rim check`: does a preset's stack work on this machine?"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rim.cli import completions
from rim.cli.options import device_option, examples, json_option, offline_option, print_json, say
from schemas.text import printable

if TYPE_CHECKING:
    from rim.check.findings import StepResult
    from rim.check.report import Machine

_WIDTHS = (30, 8, 9, 12)
_SILENCE = 10.0  # seconds between lines about one step


@click.command(
    "check",
    epilog=examples("rim check", "rim check --preset paper --out report", "rim check --json"),
)
@click.option(
    "--preset",
    default="miniature",
    show_default=True,
    metavar="NAME|FILE.toml",
    help="Whose models are checked.",
    shell_complete=completions.presets,
)
@click.option(
    "--out",
    default="rim-check",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The report; an earlier one there is replaced.",
)
@device_option
@offline_option
@json_option
def command(preset: str, out: Path, device: str, offline: bool, as_json: bool) -> int:
    """Check that the models of a preset work on this machine, and how well.

    Every model is compared with what its own library makes of the same weights. A small bank is
    built and looked at, and photographs that scikit-image ships are labelled with it and compared
    with masks drawn by hand. The report is a folder to attach to a bug report: it holds no
    path of yours, no user's and no machine's name.

    Exit status: 0 all well, 3 it works but something looks wrong, 1 something does not work.
    """
    from rim.check.workbench import check_settings

    settings = check_settings(preset)

    from rim.check.findings import verdict
    from rim.check.report import check_out, facts, write_report
    from rim.check.steps import run_check

    check_out(out)
    show = _Lines(as_json)
    started = time.monotonic()
    results = run_check(
        settings,
        device=device,
        offline=offline,
        on_start=show.start,
        on_step=show.step,
        progress=show.progress,
    )
    found = verdict(results)
    told = facts(settings, _machine(device), results, found, time.monotonic() - started)
    page = write_report(out, told, results)
    if as_json:
        print_json(told)
    say(f"{page}: {found.text}")
    return found.exit_status


class _Lines:
    """The table, line by line as steps end; on standard error if standard output is for JSON."""

    def __init__(self, as_json: bool) -> None:
        self._to_error = as_json
        self._last = time.monotonic()
        self._step = ""

    def start(self, name: str) -> None:
        """On a terminal the step's name, until its line takes the place."""
        if not self._step:
            self._print(_row("step", "seconds", "memory", "result", "found (expected)"))
        self._step = name
        self._transient(f"{name} ...")

    def progress(self, what: str) -> None:
        """On a terminal in place, elsewhere a line now and then."""
        if sys.stderr.isatty():
            self._transient(f"{self._step}: {what}")
        elif time.monotonic() - self._last > _SILENCE:
            self._last = time.monotonic()
            say(f"{self._step}: {printable(what)}")

    def step(self, result: StepResult) -> None:
        """The step's line."""
        self._transient("")
        self._last = time.monotonic()
        memory = f"{result.memory / 1e9:.2f} GB"
        words = f"{result.found} ({result.expected})"
        self._print(_row(result.name, f"{result.seconds:.1f}", memory, result.result, words))

    def _print(self, line: str) -> None:
        click.echo(printable(line, most=2000), err=self._to_error)

    def _transient(self, text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{printable(text, most=78)}", nl=False, err=True)


def _row(name: str, seconds: str, memory: str, result: str, words: str) -> str:
    columns = zip((name, seconds, memory, result), _WIDTHS, strict=True)
    return "".join(f"{text:{width}}" for text, width in columns) + words


def _machine(device: str) -> Machine:
    """What the report says about where it ran."""
    from foundation.stack import choose_device
    from foundation.weights.missing import gigabytes
    from rim.check.report import Machine
    from rim.cli.diagnosis import diagnose

    found = diagnose()
    chosen = choose_device(device)
    name = "cpu" if chosen.type == "cpu" else f"{chosen.type}:{chosen.index or 0}"
    model = next((one for one in found.devices if one.name == name), None)
    about = f", {model.model}, {gigabytes(model.memory or 0)}" if model else ""
    return Machine(found.rim, found.python, found.system, f"{name}{about}", found.versions)
