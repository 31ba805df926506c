"""Texts that leave this machine: without its name, its user's, and where the home folder is."""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SHORTEST = 3  # letters; a shorter name would be found in many other words


def private_words() -> dict[str, str]:
    """What must not leave, and what stands for it; longest first."""
    folders = {str(Path.home()): "~", tempfile.gettempdir(): "TMP"}
    found = {path: word for path, word in folders.items() if len(path) > 1}
    found |= {str(Path(path).resolve()): word for path, word in found.items()}
    host = socket.gethostname()
    names = {host: "HOST", host.partition(".")[0]: "HOST"}
    with contextlib.suppress(KeyError, OSError):  # a user without a name
        names[getpass.getuser()] = "USER"
    names[Path.home().name] = "USER"
    found |= {name: word for name, word in names.items() if name}
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def anonymous(value: Any, private: Mapping[str, str]) -> Any:
    """The same plain data (dicts, lists, texts, numbers) with private words replaced in all texts.

    Paths are replaced wherever they stand, names as whole words, and within paths and addresses
    as a part of a word too.
    """
    if isinstance(value, str):
        return _replaced(value, private)
    if isinstance(value, Mapping):
        return {key: anonymous(one, private) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [anonymous(one, private) for one in value]
    return value


def _replaced(text: str, private: Mapping[str, str]) -> str:
    for word, stand_in in private.items():
        if "/" in word or "\\" in word:
            text = text.replace(word, stand_in)
            continue
        inside = re.compile(re.escape(word), re.IGNORECASE)

        def in_path(
            match: re.Match[str], inside: re.Pattern[str] = inside, by: str = stand_in
        ) -> str:
            return inside.sub(by, match[0])

        if len(word) >= _SHORTEST:
            text = re.sub(r"\S*[/\\@]\S*", in_path, text)
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", stand_in, text)
        else:
            text = re.sub(rf"(?<=[/\\@]){re.escape(word)}(?=[/\\@]|$)", stand_in, text)
    return text
