"""`rim sql`: questions to a bank."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from rim.cli.options import Choice, examples, say
from rim.inspection.sql.limits import TIMEOUT
from schemas.errors import OutputError, RimError
from schemas.text import printable_lines

if TYPE_CHECKING:
    from rim.inspection.sql.connection import BankConnection


@click.command(
    "sql",
    # A question may begin with a comment, which looks like an option.
    context_settings={"ignore_unknown_options": True},
    epilog=examples(
        'rim sql bank "SELECT category, accepted FROM categories ORDER BY accepted"',
        "rim sql bank --example 7 --format csv",
    ),
)
@click.argument("bank", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, metavar="[SQL]")
@click.option(
    "--format",
    "style",
    type=Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
)
@click.option("--output", type=click.Path(path_type=Path), help="Write to this file.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=TIMEOUT,
    help=f"Stop a question after this long, {TIMEOUT:g} if nothing is said; 0 is no limit.",
)
@click.option("--examples", is_flag=True, help="List ten questions worth asking.")
@click.option("--example", type=int, metavar="N", help="Ask the one of that number.")
def command(
    bank: Path,
    words: tuple[str, ...],
    style: str,
    output: Path | None,
    timeout: float,
    examples: bool,
    example: int | None,
) -> int:
    """Ask BANK a question in SQL, or open a prompt with history and completion (Tab).

    Views: categories, images, features, prototypes, builds. cosine(a, b) compares two embeddings,
    FROM nearest(IMAGE_ID, k := 10) gives the references most like one. Questions only: nothing else
    can be read, and nothing written. Ctrl-C ends a question, at the prompt no more than that.
    """
    if len(words) > 1:
        raise click.UsageError(
            f"expected one question, found {len(words)} words; put it in quotes: rim sql {bank} "
            f'"{words[0]} ..."'
        )
    sql = words[0] if words else None
    if sum((sql is not None, examples, example is not None)) > 1:
        raise click.UsageError("expected one of a question, --examples and --example N")
    if example is not None:
        from rim.inspection.sql.examples import example as example_of

        sql = example_of(example).sql
    elif examples:
        from rim.cli.sql_prompt import list_examples

        click.echo(list_examples(with_sql=True))
        return 0
    from rim.bank import Bank
    from rim.inspection.sql.connection import connect

    if sql is None and (output is not None or style == "parquet"):
        raise click.UsageError("--output and --format parquet want a question: rim sql BANK SQL")
    if style == "parquet" and output is None and sys.stdout.isatty():
        raise click.UsageError("--format parquet wants --output FILE or a pipe")
    with connect(Bank(bank), timeout) as connection:
        try:
            if sql is None:
                _converse(connection, style)
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
    from rim.inspection.sql.formats import for_terminal, format_result

    data = format_result(connection.ask(sql).to_arrow_table(), style)
    if output is None:
        if style in ("csv", "json") and sys.stdout.isatty():
            data = for_terminal(data, style)
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from schemas.store.files import write_atomic

    try:
        write_atomic(output, data)
    except OSError as error:
        raise OutputError(f"{output}: cannot be written ({error.strerror or error})") from error


def _converse(connection: BankConnection, style: str) -> None:
    from rim.cli.sql_prompt import COLUMNS, Names, converse

    def names() -> Names:
        columns = connection.ask(COLUMNS).fetchall()
        return Names(
            {view: tuple(listed.split(", ")) for view, listed in columns},
            tuple(category.name for category in connection.bank.categories),
        )

    converse(lambda sql, chosen: _answer(connection, sql, chosen, None), style, names)
