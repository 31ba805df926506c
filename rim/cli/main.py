"""The command `rim`: its group, and what becomes of errors.

Exit status: 0 done, 1 failed, 2 wrong call or unusable input, 3 done except for named items, 130
interrupted.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

import rim
from rim.cli.logs import told_in_lines
from rim.cli.options import examples
from rim.cli.run_log import close_log, emit
from rim.cli.usage import explained
from schemas.errors import RimError
from schemas.text import printable_lines

_SECTIONS = {
    "Build a bank": {
        "build": "Build or resume a bank for a vocabulary.",
        "add": "Add categories to a bank.",
        "remove": "Take categories out of a bank.",
        "reject": "Reject reference images by hand.",
        "accept": "Accept reference images by hand.",
    },
    "Label photos": {
        "query": "Label photos with the categories of a bank.",
        "app": "Open a local page: drop a photo, see its labels and why.",
        "eval": "Score a bank's labels against ground truth.",
        "compare-labels": "Say how alike two vocabularies are.",
    },
    "Look into a bank": {
        "info": "Say what a bank holds and how it was made.",
        "sql": "Ask a bank questions in SQL.",
        "report": "Write static HTML pages about a bank.",
        "verify": "Check every byte of a bank.",
    },
    "Models and this machine": {
        "fetch": "Download and check the weights of a preset for offline use.",
        "check": "Check that a preset's models work here, and how well.",
        "doctor": "Say what is installed, found and missing on this machine.",
        "completion": "Print the script by which a shell completes rim's commands.",
    },
}
_COMMANDS = {name: what for section in _SECTIONS.values() for name, what in section.items()}
COMPLETION_VARIABLE = "_RIM_COMPLETE"


class _Commands(click.Group):
    """Loads a command's module only when it is called; help lists all from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"rim.cli.commands.{name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        column = max(map(len, _COMMANDS))
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                # The same column in all sections.
                formatter.write_dl([(f"{name:{column}}", what) for name, what in commands.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args == ["help"]:
            click.echo(ctx.get_help())
            ctx.exit()
        if args[:1] == ["help"]:
            args = [*args[1:2], "--help"]
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            from schemas.text import did_you_mean

            hint = did_you_mean(args[0], list(_COMMANDS))
            raise click.UsageError(
                f"no command {args[0]!r}{hint}; commands: {', '.join(_COMMANDS)}", ctx
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "rim build vocabulary.txt --out bank",
        "rim query bank photo.png --out labels",
        'rim sql bank "SELECT category, accepted FROM categories"',
    ),
)
@click.version_option(rim.__version__, "--version", prog_name="rim")
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def cli(debug: bool) -> None:
    """Image banks for open-vocabulary segmentation: build one, query it, look into it."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit status."""
    if COMPLETION_VARIABLE in os.environ:
        import rim.cli.bash_completion  # noqa: F401  (known to click from then on)
    # `--debug` may stand anywhere, also after the command's own arguments.
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    with told_in_lines():
        status = 1
        try:
            status = _run(given, debug)
        finally:
            close_log(status)
    sys.exit(status)


def _run(arguments: list[str], debug: bool) -> int:
    try:
        status: Any = cli.main(
            arguments,
            prog_name="rim",
            complete_var=COMPLETION_VARIABLE,
            standalone_mode=False,
        )
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        _complain(explained(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; what was finished is kept")
        return 130
    except RimError as error:
        if debug:
            raise
        _complain(str(error))
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output went away (`rim sql ... | head`): nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        _complain(
            f"unexpected {type(error).__name__}: {_one_line(error)}; "
            "--debug shows where it happened"
        )
        return 1
    return status if isinstance(status, int) else 0


def _one_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _complain(message: str) -> None:
    emit("error", message=message)
    click.echo(f"rim: {printable_lines(message)}", err=True)
