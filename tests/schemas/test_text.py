"""Text in messages: escaped, cut, and lists shortened."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.text import cut, hidden_character, is_unicode, printable, printable_lines, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photo 1.png", "photo 1.png"),
        ("caf\u00e9 \u05e9\u05dc\u05d5\u05dd \U0001f469\u200d\U0001f680", None),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
        ("\udcff.png", r"\udcff.png"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\U000e0067", r"\U000e0067"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_what_is_hidden_is_written_out(text: str, shown: str | None) -> None:
    assert printable(text) == (text if shown is None else shown)
    assert (hidden_character(text) is None) == (printable(text) == text)
    assert hidden_character(printable(text)) is None


def test_long_text_keeps_its_ends() -> None:
    text = "/folder/" + "x" * 1000 + "/name.png"
    shown = printable(Path(text), most=50)
    assert len(shown) <= 50
    assert shown.startswith("/folder/xxx")
    assert shown.endswith("x/name.png")
    assert "..." in shown


def test_a_message_keeps_its_lines() -> None:
    assert printable_lines("one\x07\ntwo\r\n" + "x" * 999) == "one\\x07\ntwo\\r\n" + "x" * 999


def test_names_that_are_not_in_utf8_are_told() -> None:
    assert is_unicode("\u202e\0")
    assert not is_unicode("\udcff")


@pytest.mark.parametrize(
    ("items", "options", "text"),
    [
        ([], {}, ""),
        (["a", 2], {}, "a, 2"),
        (list("abcdefgh"), {}, "a, b, c, d, e, f, g, h"),
        (list("abcdefghij"), {}, "a, b, c, d, e, f, g, h and 2 more"),
        (list("abcd"), {"most": 3}, "a, b, c and 1 more"),
        (list("abc"), {"most": 2, "separator": "; "}, "a; b and 1 more"),
        (list("abc"), {"most": 2, "rest": ", ..."}, "a, b, ..."),
    ],
)
def test_a_shortened_list_says_how_many_there_are_beside_the_first(items, options, text):
    assert shortened(items, **options) == text


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [("abc", 60, "abc"), ("a" * 60, 60, "a" * 60), ("a" * 61, 60, "a" * 57 + "...")],
)
def test_a_text_is_cut_to_the_length(text, most, shown):
    assert cut(text, most) == shown
