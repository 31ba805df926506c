"""The classes of a dataset, in the order of their labels."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import VocabularyError
from schemas.resources import vocabulary_path
from schemas.vocabulary import BACKGROUND_NAME, Category, name_key, parse_vocabulary

BACKGROUND = Category(BACKGROUND_NAME)


def shipped_classes(name: str) -> tuple[Category, ...]:
    """The classes of a shipped vocabulary, line by line."""
    return read_classes(vocabulary_path(name))


def read_classes(path: Path) -> tuple[Category, ...]:
    """The classes in a file of the form of a vocabulary: `name, synonym, ...`, one a line.

    Label n is the nth line that is neither empty nor a comment, from 0. Unlike in a vocabulary the
    line `background` is a class and keeps its place.

    Raises VocabularyError as `schemas.vocabulary.parse_vocabulary` does, and if the file cannot be
    read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise VocabularyError(f"cannot read the classes {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise VocabularyError(f"{path}: expected UTF-8, found something else") from error
    vocabulary = parse_vocabulary(text, str(path))
    classes = list(vocabulary.categories)
    if vocabulary.background:
        lines = (line.partition("#")[0] for line in text.split("\n"))
        names = [name_key(line.partition(",")[0]) for line in lines if line.strip()]
        classes.insert(names.index(BACKGROUND_NAME), BACKGROUND)
    return tuple(classes)
