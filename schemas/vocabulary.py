"""Vocabulary: the list of category names, read from text.

One category a line, `name, synonym, synonym`; `#` starts a comment; UTF-8. The line `background`
is no category: it says that there is a background, and is never generated.
"""

from __future__ import annotations

import difflib
import os
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import VocabularyError
from schemas.resources import vocabulary_names, vocabulary_path

BACKGROUND_NAME = "background"
MAX_BYTES = 16 * 1024 * 1024
_BYTE_ORDER_MARK = "\ufeff"
_JOINERS = "\u200c\u200d"  # invisible, but Persian and Indic scripts and emoji need them


@dataclass(frozen=True)
class Category:
    """One category: its name as it stands in the vocabulary, and other names for it."""

    name: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """The categories in the order of their lines.

    background: whether the line `background` is among them (it is not in `categories`).
    warnings: what was dropped while reading, one sentence each.
    """

    categories: tuple[Category, ...]
    background: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The categories' names, in order."""
        return tuple(category.name for category in self.categories)


@dataclass(frozen=True)
class _Entry:
    """One line that names a category, and where it stands ("line 3")."""

    place: str
    names: tuple[str, ...]


def name_key(name: str) -> str:
    """What two spellings of one name have in common: NFC, case-folded, whitespace collapsed."""
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def parse_vocabulary(text: str, where: str) -> Vocabulary:
    """Reads a vocabulary's text; `where` names it in messages.

    Raises VocabularyError, with line numbers, for a name that stands twice, an empty name, a
    control character, or a text without any category.
    """
    entries = []
    for number, line in enumerate(text.removeprefix(_BYTE_ORDER_MARK).split("\n"), start=1):
        place = f"line {number}"
        line = line.removesuffix("\r").partition("#")[0]
        if line.strip():
            entries.append(_Entry(place, _split_names(line, f"{where}, {place}")))
    return _vocabulary(entries, where)


def vocabulary_from_names(names: Iterable[str]) -> Vocabulary:
    """A vocabulary of names given one by one; each may be "name, synonym, synonym".

    Raises VocabularyError as `parse_vocabulary` does, with "entry 2" in place of a line.
    """
    where = "the list of categories"
    if isinstance(names, str):
        raise VocabularyError(
            f"expected a list of category names, found the single text {names!r}; write [{names!r}]"
        )
    entries = []
    for number, name in enumerate(names, start=1):
        place = f"entry {number}"
        if not isinstance(name, str):
            raise VocabularyError(f"{where}, {place}: expected a name, found {name!r}")
        if "#" in name:
            raise VocabularyError(
                f"{where}, {place}: {name!r} contains '#', which starts a comment in a "
                "vocabulary; spell the name without it"
            )
        entries.append(_Entry(place, _split_names(name, f"{where}, {place}")))
    return _vocabulary(entries, where)


def load_vocabulary(source: str) -> Vocabulary:
    """Reads a vocabulary from a file, from standard input ("-"), or by its shipped name ("voc20").

    Raises VocabularyError as `parse_vocabulary` does, and for bytes that are no UTF-8, a file
    that cannot be read, and an unknown name (the message lists the known ones).
    """
    if source == "-":
        return parse_vocabulary(
            _decode(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input"), "standard input"
        )
    path = Path(source)
    # A folder is no vocabulary: a bank's own folder may be called voc20. (os.path.exists, unlike
    # Path.exists, also answers for a name that is too long to be one.)
    if not os.path.exists(path) or path.is_dir():
        path = _shipped_path(source)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise VocabularyError(f"cannot read the vocabulary {path}: {error.strerror}") from error
    return parse_vocabulary(_decode(content, str(path)), str(path))


def _shipped_path(name: str) -> Path:
    shipped = vocabulary_names()
    if name in shipped:
        return vocabulary_path(name)
    close = difflib.get_close_matches(name, shipped, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    raise VocabularyError(
        f"expected a vocabulary file, '-' or a shipped name, found {name!r}{guess}; "
        f"shipped: {', '.join(shipped)}"
    )


def _decode(content: bytes, where: str) -> str:
    if len(content) > MAX_BYTES:
        raise VocabularyError(
            f"{where}: expected a list of names, found more than {MAX_BYTES >> 20} MiB; "
            "is this the right file?"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise VocabularyError(
            f"{where}, line {line}: expected UTF-8, found the byte 0x{content[error.start]:02x} "
            f"at position {error.start}; save the file as UTF-8"
        ) from error


def _split_names(line: str, place: str) -> tuple[str, ...]:
    """The line's names, stripped; the first one is the category's and is not empty."""
    for character in line:
        kind = unicodedata.category(character)
        invisible = kind == "Cf" and character not in _JOINERS
        if (kind in ("Cc", "Cs", "Zl", "Zp") or invisible) and character != "\t":
            raise VocabularyError(
                f"{place}: found the control character U+{ord(character):04X}; remove it"
            )
    name, *synonyms = (" ".join(part.split()) for part in line.split(","))
    if not name:
        raise VocabularyError(f"{place}: expected 'name, synonym, ...', found no name: {line!r}")
    return (name, *(synonym for synonym in synonyms if synonym))


def _vocabulary(entries: list[_Entry], where: str) -> Vocabulary:
    first: dict[str, _Entry] = {}
    for entry in entries:
        key = name_key(entry.names[0])
        if key in first:
            raise VocabularyError(
                f"{where}: {entry.names[0]!r} stands twice, on {first[key].place} and on "
                f"{entry.place}; remove one of them"
            )
        first[key] = entry
    categories = []
    warnings: list[str] = []
    for key, entry in first.items():
        if key == BACKGROUND_NAME:
            if len(entry.names) > 1:
                warnings.append(f"{where}, {entry.place}: synonyms of background are not used")
            continue
        synonyms, dropped = _keep_synonyms(entry, first)
        warnings.extend(f"{where}, {entry.place}: {sentence}" for sentence in dropped)
        categories.append(Category(entry.names[0], synonyms))
    if not categories:
        raise VocabularyError(
            f"{where}: expected at least one category, found none; write one name a line"
        )
    return Vocabulary(tuple(categories), BACKGROUND_NAME in first, tuple(warnings))


def _keep_synonyms(entry: _Entry, names: dict[str, _Entry]) -> tuple[tuple[str, ...], list[str]]:
    """The synonyms that are nobody's name and stand once, and a sentence for each dropped one."""
    own_name, *synonyms = entry.names
    kept: dict[str, str] = {}
    dropped = []
    for synonym in synonyms:
        key = name_key(synonym)
        if key == name_key(own_name) or key in kept:
            dropped.append(f"dropped {synonym!r}, which {own_name!r} has already")
        elif key in names:
            dropped.append(
                f"dropped the synonym {synonym!r} of {own_name!r}: it is the name of the category "
                f"on {names[key].place}"
            )
        else:
            kept[key] = synonym
    return tuple(kept.values()), dropped
