"""`rim sql`: questions to a bank."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from query.sql_limits import TIMEOUT
from rim.options import say
from schemas.errors import OutputError, RimError
from schemas.printable import printable_lines

if TYPE_CHECKING:
    from query.sql import BankConnection

_PROMPT, _MORE = "rim> ", "...> "
_HELP = """\
Views: categories, images, features, prototypes, builds. End a question with ; or an empty line.
For example: SELECT reason, count(*) FROM images WHERE status = 'rejected' GROUP BY 1;
.views lists the columns, .help shows this, .quit leaves."""
_COLUMNS = """\
SELECT table_name AS view, string_agg(column_name, ', ' ORDER BY column_index) AS columns
FROM duckdb_columns()
WHERE table_name IN ('categories', 'images', 'features', 'prototypes', 'builds')
GROUP BY 1 ORDER BY 1"""


@click.command(
    "sql",
    # A question may begin with a comment, which looks like an option.
    context_settings={"ignore_unknown_options": True},
    epilog='Example: rim sql bank "SELECT category, accepted FROM categories ORDER BY accepted"',
)
@click.argument("bank", type=click.Path(path_type=Path))
@click.argument("sql", required=False)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
)
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=TIMEOUT,
    show_default=f"{TIMEOUT:g}",
    help="Stop a question after this long; 0 is no limit.",
)
def command(bank: Path, sql: str | None, style: str, output: Path | None, timeout: float) -> int:
    """Ask BANK a question in SQL, or open a prompt.

    Views: categories, images, features, prototypes, builds. Questions only: nothing else can be
    read, and nothing written. Ctrl-C ends a question, at the prompt no more than that.
    """
    from query.sql import connect
    from rim.bank import Bank

    if sql is None and (output is not None or style == "parquet"):
        raise click.UsageError("--output and --format parquet want a question: rim sql BANK SQL")
    if style == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("--format parquet wants --output FILE or a pipe")
    with connect(Bank(bank), timeout) as connection:
        try:
            if sql is None:
                _prompt(connection, style)
            else:
                _answer(connection, sql, style, output)
        except RimError as error:
            if connection.stuck:
                _leave(error.exit_status, str(error))
            raise
        except KeyboardInterrupt:
            if connection.stuck:
                _leave(130, "interrupted")
            raise
        if connection.stuck:
            _leave(0)
    return 0


def _leave(status: int, complaint: str | None = None) -> NoReturn:
    """Ends the process now: DuckDB cannot be torn down while it works on a question."""
    if complaint is not None:
        say(f"rim: {printable_lines(complaint)}")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _answer(connection: BankConnection, sql: str, style: str, output: Path | None) -> None:
    from query.sql_formats import for_terminal, format_result

    data = format_result(connection.ask(sql).to_arrow_table(), style)
    if output is None:
        if style in ("csv", "json") and sys.stdout.isatty():
            data = for_terminal(data, style)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from schemas.files import write_atomic

    try:
        write_atomic(output, data)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror or error})") from error


def _prompt(connection: BankConnection, style: str) -> None:
    interactive = sys.stdin.isatty()
    if interactive:
        import readline  # noqa: F401  (gives the prompt line editing and history)

        say(_HELP)
    lines: list[str] = []
    while True:
        try:
            line = _line(_MORE if lines else _PROMPT) if interactive else input()
        except KeyboardInterrupt:
            say("")
            lines = []
            continue
        except EOFError:
            _try(connection, lines, style)
            return
        word = line.strip()
        if not lines and word in (".quit", ".exit", "quit", "exit"):
            return
        if not lines and word == ".help":
            say(_HELP)
        elif not lines and word == ".views":
            _try(connection, [_COLUMNS], style)
        else:
            if word:
                lines.append(line)
            if not word or word.endswith(";"):
                _try(connection, lines, style)
                lines = []


def _line(prompt: str) -> str:
    """What a person types; answers that go to a file have no prompts between them."""
    if sys.stdout.isatty():
        return input(prompt)
    click.echo(prompt, nl=False, err=True)
    return input()


def _try(connection: BankConnection, lines: list[str], style: str) -> None:
    """Answers a question of the prompt; a mistake in it is told and forgiven.

    Ctrl-C ends the question where a person asks, and the command where a file does.
    """
    if not lines:
        return
    try:
        _answer(connection, "\n".join(lines), style, None)
    except RimError as error:
        say(f"rim: {printable_lines(str(error))}")
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        say("rim: interrupted")
