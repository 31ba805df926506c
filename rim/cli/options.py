"""Command line options and arguments that several commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from rim.cli import completions
from schemas.errors import UsageError
from schemas.text import cut

_STANDARD_INPUT = "-"
_HEADER = "image_id"
_NUMBER = re.compile(r"[0-9]{1,19}")
_SHOWN = 43  # characters of what is no image_id

_Function = TypeVar("_Function", bound=Callable[..., Any])


class SuggestingChoice(click.Choice[str]):
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


def bank_argument(function: _Function) -> _Function:
    """`BANK`: the bank's folder."""
    return click.argument("bank", type=click.Path(path_type=Path))(function)


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


def named_preset_option(default: str, help: str) -> Callable[[_Function], _Function]:
    """`--preset` of a command that takes models and settings from a preset."""
    return click.option(
        "--preset",
        default=default,
        show_default=True,
        metavar="NAME|FILE.toml",
        help=help,
        shell_complete=completions.presets,
    )


def source_option(help: str) -> Callable[[_Function], _Function]:
    """`--source`: where reference images come from."""
    return click.option(
        "--source",
        default="diffusion",
        show_default=True,
        metavar="diffusion|folder:DIR",
        shell_complete=completions.sources,
        help=help,
    )


def categories_option(help: str) -> Callable[[_Function], _Function]:
    """`--categories A,B,C`: some of the bank's categories; see `listed`."""
    return click.option(
        "--categories", metavar="A,B,C", help=help, shell_complete=completions.category_list
    )


def matcher_option(help: str) -> Callable[[_Function], _Function]:
    """`--matcher`: how regions are classified."""
    return click.option(
        "--matcher", type=SuggestingChoice(["prototype", "knn", "ranking"]), help=help
    )


def background_option(help: str) -> Callable[[_Function], _Function]:
    """`--background`, whose value `parse_background` reads."""
    return click.option(
        "--background",
        metavar="COSINE|auto|off",
        shell_complete=completions.backgrounds,
        help=help,
    )


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


def listed(text: str | None) -> list[str] | None:
    """The names in the value of `--categories`; None if it is not given."""
    return None if text is None else text.split(",")


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


def read_image_ids(words: tuple[str, ...]) -> list[int]:
    """The image_ids of a command's arguments; "-" stands for the lines of standard input.

    Empty lines are skipped there, and so is a first line `image_id`, the heading that `rim sql
    --format csv` writes.

    Raises UsageError, naming argument or line, for what is no image_id.
    """
    ids: list[int] = []
    for word in words:
        if word == _STANDARD_INPUT:
            ids += [_image_id(line, place) for place, line in _lines()]
        else:
            ids.append(_image_id(word, "the arguments"))
    return ids


def _lines() -> Iterator[tuple[str, str]]:
    """The lines of standard input that say something, with their places."""
    content = sys.stdin.buffer.read().decode("utf-8", "replace")
    for number, line in enumerate(content.removeprefix("\ufeff").splitlines(), start=1):
        text = line.strip()
        if text and not (number == 1 and text == _HEADER):
            yield f"standard input, line {number}", text


def _image_id(text: str, place: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        found = repr(cut(text, _SHOWN))
        raise UsageError(
            f"{place}: expected an image_id, a whole number, found {found}; nothing was changed"
        )
    return int(text)
