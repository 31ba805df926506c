"""Command line options that several commands share, and how results leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from schemas.printable import is_unicode, printable_lines

_Function = TypeVar("_Function", bound=Callable[..., Any])


def device_option(function: _Function) -> _Function:
    """`--device`: where the models run."""
    return click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ..."
    )(function)


def offline_option(function: _Function) -> _Function:
    """`--offline`: no downloads."""
    return click.option(
        "--offline", is_flag=True, help="Use only weights that are on this machine."
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


def say(message: str) -> None:
    """A line for the person at the keyboard, on standard error."""
    click.echo(printable_lines(message), err=True)


def print_json(result: Any) -> None:
    """The result for a program, on standard output.

    Names that are not in UTF-8 are written with escapes, by which a program finds their files.
    """
    text = json.dumps(result, ensure_ascii=False)
    click.echo(text if is_unicode(text) else json.dumps(result))
