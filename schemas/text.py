"""Text in messages: hidden characters escaped, long texts cut, long lists shortened."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence

_JOINERS = "\u200c\u200d"
_CUT = 300
_COMPARED = 100  # characters: difflib takes long for long texts


def hidden_character(text: str) -> str | None:
    """The first character that is invisible but has an effect; None if there is none.

    Control characters (also tab and line breaks), lone surrogates, and format characters such as
    those that turn the direction of writing. The two joiners do not count: Persian, Indic scripts
    and emoji need them.
    """
    if text.isascii() and text.isprintable():
        return None
    return next((character for character in text if _is_hidden(character)), None)


def printable(text: object, most: int = _CUT) -> str:
    """A text, such as a path, as it may stand within one line: hidden characters as `\\x1b`.

    Longer than `most` characters, it is cut in the middle.
    """
    shown = "".join(_escaped(one) if _is_hidden(one) else one for one in str(text))
    if len(shown) <= most:
        return shown
    half = (most - 3) // 2
    return f"{shown[:half]}...{shown[-half:]}"


def printable_lines(text: str) -> str:
    """A message fit for a terminal: hidden characters as `\\x1b`, line breaks as they are."""
    return "\n".join(printable(line, most=len(line) * 10) for line in text.split("\n"))


def shortened(
    items: Sequence[object], most: int = 8, *, separator: str = ", ", rest: str = " and {} more"
) -> str:
    """The first `most` items in words, and how many there are beside them: "a, b and 3 more".

    rest: stands at the end if there are more; `{}` in it is how many.
    """
    shown = separator.join(map(str, items[:most]))
    return shown + rest.format(len(items) - most) if len(items) > most else shown


def cut(text: str, most: int = 60) -> str:
    """A text of at most `most` characters; the end of a longer one becomes three dots."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """The words " (did you mean ...?)" with the known name nearest to the one found, or nothing."""
    names, found = list(known), found[:_COMPARED]
    beginning = [name for name in names if found and name.startswith(found)]
    close = beginning or difflib.get_close_matches(found, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: file names that are not in UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_hidden(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and character not in _JOINERS)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
