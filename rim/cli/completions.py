"""Completes words on the command line: presets, vocabularies, categories, settings, formats.

Each function has the signature that click's `shell_complete` asks for. Where no name fits, the
shell goes on with files. Nothing here may fail or write: the user is in the middle of a line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from click import Context, Parameter
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    split_arg_string,
)

from schemas.errors import RimError

Items = list[CompletionItem[str]]

_FILES = "file"


def presets(context: Context, parameter: Parameter, begun: str) -> Items:
    """Shipped presets, else files."""
    from schemas.resources import preset_names

    return _or_files(begun, preset_names())


def vocabularies(context: Context, parameter: Parameter, begun: str) -> Items:
    """Shipped vocabularies, else files."""
    from schemas.resources import vocabulary_names

    return _or_files(begun, vocabulary_names())


def sources(context: Context, parameter: Parameter, begun: str) -> Items:
    """`diffusion`, or `folder:` and the folders that fit."""
    kind, colon, place = begun.partition(":")
    if kind == "folder" and colon:
        given = Path(place).expanduser()
        parent, last = (given, "") if place.endswith("/") else (given.parent, given.name)
        head = place[: len(place) - len(last)]
        try:
            folders = sorted(one.name for one in parent.iterdir() if one.is_dir())
        except OSError:
            return []
        return _items(f"folder:{head}{one}/" for one in folders if one.startswith(last))
    return _items(one for one in ("diffusion", "folder:") if one.startswith(begun))


def devices(context: Context, parameter: Parameter, begun: str) -> Items:
    """Where models run."""
    return _items(one for one in ("auto", "cpu", "cuda", "cuda:0", "mps") if one.startswith(begun))


def backgrounds(context: Context, parameter: Parameter, begun: str) -> Items:
    """`--background`, where it is no number."""
    return _items(one for one in ("auto", "off") if one.startswith(begun))


def settings(context: Context, parameter: Parameter, begun: str) -> Items:
    """`section.key=` of every setting, and the words that a setting can be."""
    from typing import Literal, get_args, get_origin

    from schemas.settings import Settings

    found: list[str] = []
    for section, field in Settings.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        for key, one in keys.items():
            found.append(f"{section}.{key}=")
            if get_origin(one.annotation) is Literal:
                found += [f"{section}.{key}={value}" for value in get_args(one.annotation)]
    fitting = [one for one in found if one.startswith(begun)]
    # Words only when the key is there: otherwise they hide the keys.
    return _items(one for one in fitting if one.endswith("=") != ("=" in begun))


def categories(context: Context, parameter: Parameter, begun: str) -> Items:
    """Names of the bank's categories, of the command's argument `bank`."""
    return _items(name for name in _categories(context) if name.startswith(begun))


def category_list(context: Context, parameter: Parameter, begun: str) -> Items:
    """The same, the last of several with commas between them."""
    return _in_list(begun, _categories(context))


def formats(context: Context, parameter: Parameter, begun: str) -> Items:
    """Formats of results, the last of several with commas between them."""
    from query.exports.formats import FORMATS

    return _in_list(begun, FORMATS)


def _in_list(begun: str, names: Iterable[str]) -> Items:
    head, comma, last = begun.rpartition(",")
    chosen = set(head.split(","))
    return _items(
        f"{head}{comma}{name}" for name in names if name.startswith(last) and name not in chosen
    )


def _categories(context: Context) -> list[str]:
    # Where the line ends in an option, click leaves the arguments before it as they are.
    bank = context.params.get("bank") or next(iter(context.args), None)
    if bank is None:
        return []
    from schemas.store.manifests import read_manifest

    try:
        vocabulary = read_manifest(Path(bank)).vocabulary
    except (RimError, OSError):
        return []
    return [one.name for one in vocabulary if not one.removed]


def _or_files(begun: str, names: Iterable[str]) -> Items:
    found = _items(name for name in names if name.startswith(begun))
    return found or [CompletionItem(begun, type=_FILES)]


def _items(values: Iterable[str]) -> Items:
    return [CompletionItem(value) for value in values]


_SCRIPT = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(env RIM_LINE="${COMP_LINE:0:COMP_POINT}" RIM_WORD="${COMP_WORDS[COMP_CWORD]}" \\
        %(complete_var)s=bash_complete "$1")
    COMPREPLY=()
    for completion in $response; do
        type="${completion%%%%,*}"
        value="${completion#*,}"
        if [[ $type == dir ]]; then
            compopt -o dirnames
        elif [[ $type == file ]]; then
            compopt -o default
        else
            COMPREPLY+=("$value")
            [[ $value == *[=:/,] ]] && compopt -o nospace
        fi
    done
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
_SPECIAL = re.compile(r"([\s'\"\\$`!&|;<>()*?\[\]#~{}])")
_ESCAPED = r"\\\1"


class Bash(BashComplete):
    """Completes the line up to the cursor, and answers with what replaces bash's word.

    click's own class takes bash's words, which also end at `=` and `:`, so that it cannot complete
    `--set matching.matcher=kn` or `--source folder:ph`; it escapes no space in a name, and puts one
    after `section.key=`.
    """

    source_template = _SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one."""
        line = os.environ.get("RIM_LINE", "")
        words = split_arg_string(line)[1:]
        if not words or line.endswith((" ", "\t")):
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """What follows the last `=` or `:` where bash has cut the word there."""
        _, begun = self.get_completion_args()
        word = os.environ.get("RIM_WORD", "")
        word = "" if word in ("=", ":") else word
        value = item.value
        cut = len(begun) - len(word)
        if cut > 0 and begun[cut - 1] in "=:" and begun.endswith(word):
            value = value[cut:]
        quoted = word.startswith(("'", '"'))
        return f"{item.type},{value if quoted else _SPECIAL.sub(_ESCAPED, value)}"


add_completion_class(Bash)
