"""Command line options that several commands share, and how results leave."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rim.cli import completions
from schemas.text import is_unicode, printable_lines

if TYPE_CHECKING:
    from rich.console import Console

_UNBROKEN = 100_000  # columns
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Choice(click.Choice[str]):
    """One of several words; an error says which may have been meant."""

    def get_invalid_choice_message(self, value: str, ctx: click.Context | None) -> str:
        """Of what was found instead."""
        from schemas.text import did_you_mean

        known = [str(one) for one in self.choices]
        return f"expected one of {', '.join(known)}, found {value!r}{did_you_mean(value, known)}"


def examples(*lines: str) -> str:
    """The end of a command's help: lines that can be copied, so none is wrapped."""
    title = "Example" if len(lines) == 1 else "Examples"
    return "\n".join(["\b", f"{title}:", *(f"  {line}" for line in lines)])


def device_option(function: _Function) -> _Function:
    """`--device`: where the models run."""
    return click.option(
        "--device",
        metavar="NAME",
        default="auto",
        show_default=True,
        help="auto, cpu, cuda, cuda:1, mps, ...",
        shell_complete=completions.devices,
    )(function)


def offline_option(function: _Function) -> _Function:
    """`--offline`: no downloads."""
    return click.option(
        "--offline", is_flag=True, help="Use only weights that are on this machine."
    )(function)


def preset_option(function: _Function) -> _Function:
    """`--preset` of a command on a bank that is there: it says where the models are."""
    return click.option(
        "--preset",
        metavar="NAME|FILE.toml",
        help="Where to find the bank's models, if not where it was built.",
        shell_complete=completions.presets,
    )(function)


def settings_option(function: _Function) -> _Function:
    """`--set section.key=value`, as often as one likes; the argument `settings`."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Any setting.",
        shell_complete=completions.settings,
    )(function)


def json_option(function: _Function) -> _Function:
    """`--json`: one JSON object on standard output."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as one JSON object."
    )(function)


def parse_background(text: str | None) -> float | str | None:
    """The value of `--background`: a cosine, "auto" or "off"; None if it is not given.

    Raises click.BadParameter for anything else.
    """
    if text is None or text in ("auto", "off"):
        return text
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(
            f"expected a cosine between -1 and 1, auto or off, found {text!r}",
            param_hint="--background",
        ) from None


def counted(number: int, what: str) -> str:
    """A number of things: "1 image", "2 images"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def stdout_console() -> Console:
    """Standard output for tables: as wide as the terminal; in a file or pipe no line is broken."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _UNBROKEN)


def say(message: str) -> None:
    """A line for the person at the keyboard, on standard error."""
    click.echo(printable_lines(message), err=True)


def print_json(result: Any) -> None:
    """The result for a program, on standard output.

    Names that are not in UTF-8 are written with escapes, by which a program finds their files.
    """
    text = json.dumps(result, ensure_ascii=False)
    click.echo(text if is_unicode(text) else json.dumps(result))
