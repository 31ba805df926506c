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
from schemas.lfs import LFS_HINT, looks_like_lfs_pointer
from schemas.resources import vocabulary_names, vocabulary_path
from schemas.text import hidden_character

BACKGROUND_NAME = "background"
MAX_BYTES = 16 * 1024 * 1024
MAX_NAME = 200
"""Characters of one name: more than any benchmark has, and it still fits into a message."""

_BYTE_ORDER_MARK = "\ufeff"
_MAX_MARKS = 8  # in a row; no script needs more, and a tower of them covers the lines around it
_SHOWN = 60
_BLANK_LETTERS = "\u115f\u1160\u2800\u3164\uffa0"  # invisible letters and signs


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
    """The form that spellings of one name share: NFC, case-folded, whitespace collapsed."""
    return unicodedata.normalize("NFC", " ".join(name.split())).casefold()


def name_fault(name: str) -> str | None:
    """Why a text cannot be a category's name, in words for "found ..."; None if it can.

    A name has something to see, at most MAX_NAME characters, no line break or other hidden
    character (`schemas.text.hidden_character`), and no long run of combining marks. Everything
    else is allowed, also what looks like a path, a tag or SQL: a name is never made into one.
    """
    if not any(map(_is_seen, name)):
        return "no name" if not name.strip() else "a name without anything to see"
    if len(name) > MAX_NAME:
        return f"a name of {len(name):,} characters, more than {MAX_NAME}"
    hidden = hidden_character(name)
    if hidden is not None:
        return f"the control character U+{ord(hidden):04X}"
    marks = 0
    for character in unicodedata.normalize("NFC", name):
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks > _MAX_MARKS:
            return f"more than {_MAX_MARKS} combining marks on one letter"
    return None


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK_LETTERS


def parse_vocabulary(text: str, where: str) -> Vocabulary:
    """Reads a vocabulary's text; `where` names it in messages.

    Raises VocabularyError, with line numbers, for a name that stands twice, a name with a fault
    (see `name_fault`), or a text without any category.
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
            f"expected a list of category names, found the single text "
            f"{_quoted(names)}; write [{_quoted(names)}]"
        )
    entries = []
    for number, name in enumerate(names, start=1):
        place = f"entry {number}"
        if not isinstance(name, str):
            raise VocabularyError(f"{where}, {place}: expected a name, found {_quoted(name)}")
        if "#" in name:
            raise VocabularyError(
                f"{where}, {place}: {_quoted(name)} contains '#', which starts a comment in a "
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
    close = difflib.get_close_matches(name[:MAX_NAME], shipped, n=1)
    guess = f" (did you mean {close[0]}?)" if close else ""
    if os.path.isdir(name):
        guess = " (a folder; photos are named by --source folder:DIR)"
    elif "," in name:
        guess = " (names themselves are given as lines of a file, or of standard input with '-')"
    raise VocabularyError(
        f"expected a vocabulary file, '-' or a shipped name, found "
        f"{_quoted(name)}{guess}; "
        f"shipped: {', '.join(shipped)}"
    )


def _decode(content: bytes, where: str) -> str:
    if len(content) > MAX_BYTES:
        raise VocabularyError(
            f"{where}: expected a list of names, found more than {MAX_BYTES >> 20} MiB; "
            "is this the right file?"
        )
    if looks_like_lfs_pointer(content):
        raise VocabularyError(f"{where}: expected a list of names, found {LFS_HINT}")
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
    # Before it is split: several control characters count as white space there.
    hidden = hidden_character(line.replace("\t", " "))
    if hidden is not None:
        raise VocabularyError(
            f"{place}: found the control character U+{ord(hidden):04X}; remove it"
        )
    names = tuple(" ".join(part.split()) for part in line.split(","))
    if not names[0]:
        raise VocabularyError(
            f"{place}: expected 'name, synonym, ...', found no name: {_quoted(line)}"
        )
    for name in filter(None, names):
        fault = name_fault(name)
        if fault is not None:
            raise VocabularyError(f"{place}: found {fault}; correct it: {_quoted(name)}")
    return tuple(filter(None, names))


def _quoted(value: object) -> str:
    """A value in a message: quoted, hidden characters escaped, not longer than a line."""
    if isinstance(value, str) and len(value) > _SHOWN:
        value = value[:_SHOWN] + "..."
    return repr(value)[: 4 * _SHOWN]


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
    """The synonyms that are no category's name and stand once; a sentence for each dropped one."""
    own_name, *synonyms = entry.names
    found: dict[str, str] = {}
    dropped = []
    for synonym in synonyms:
        key = name_key(synonym)
        if key == name_key(own_name) or key in found:
            dropped.append(f"dropped {synonym!r}, which {own_name!r} has already")
        elif key in names:
            dropped.append(
                f"dropped the synonym {synonym!r} of {own_name!r}: it is the name of the category "
                f"on {names[key].place}"
            )
        else:
            found[key] = synonym
    return tuple(found.values()), dropped
