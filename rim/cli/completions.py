"""What a shell may complete: names of presets, vocabularies, categories, settings, formats.

Each function has the signature that click's `shell_complete` asks for. Where no name fits, the
shell goes on with files. Nothing here may fail or write: a person is in the middle of a line.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from click import Context, Parameter
from click.shell_completion import CompletionItem

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
