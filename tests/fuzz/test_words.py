"""Any text as a vocabulary: read, or refused in one line; what is read survives being written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import VocabularyError
from schemas.text import hidden_character, printable, printable_lines
from schemas.vocabulary import (
    MAX_NAME,
    Vocabulary,
    load_vocabulary,
    name_fault,
    name_key,
    parse_vocabulary,
    vocabulary_from_names,
)

WORDS = st.text(
    st.sampled_from("ab \t,#\n\r\u0301\u00df\u200d\u202e\u3164\0\x1b\udc80"), max_size=30
)
ANY = st.one_of(st.text(max_size=60), WORDS, st.text("\u0301a\n", max_size=40))


def laws(vocabulary: Vocabulary) -> None:
    names = [name for one in vocabulary.categories for name in (one.name, *one.synonyms)]
    assert vocabulary.categories
    assert [name_fault(name) for name in names] == [None] * len(names)
    keys = [name_key(one.name) for one in vocabulary.categories]
    assert len(set(keys)) == len(keys)
    for one in vocabulary.categories:
        assert not {name_key(synonym) for synonym in one.synonyms} & set(keys)
    assert all(warning.isprintable() or hidden_character(warning) is None
               for warning in vocabulary.warnings)  # fmt: skip


def is_short_and_plain(error: VocabularyError) -> bool:
    message = str(error)
    return hidden_character(message) is None and len(message) < 600


@given(ANY)
def test_any_text(text: str) -> None:
    try:
        vocabulary = parse_vocabulary(text, "w.txt")
    except VocabularyError as error:
        plain = is_short_and_plain(error)
        assert plain
        return
    laws(vocabulary)
    lines = [", ".join((one.name, *one.synonyms)) for one in vocabulary.categories]
    again = parse_vocabulary("\r\n".join([*lines, *["background"] * vocabulary.background]), "x")
    assert again == Vocabulary(vocabulary.categories, vocabulary.background)


@given(st.lists(st.one_of(ANY, st.none(), st.integers()), max_size=5))
def test_any_list(names: list[str]) -> None:
    try:
        vocabulary = vocabulary_from_names(names)
    except VocabularyError as error:
        plain = is_short_and_plain(error)
        assert plain
    else:
        laws(vocabulary)


@given(st.one_of(st.binary(max_size=80), ANY.map(lambda text: text.encode("utf-8", "replace"))))
def test_any_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.txt"
    path.write_bytes(data)
    try:
        laws(load_vocabulary(str(path)))
    except VocabularyError as error:
        plain = is_short_and_plain(error)
        assert plain


@given(ANY)
def test_any_argument_that_names_no_file(name: str) -> None:
    if Path("/nowhere", name.replace("\0", "")).exists():
        return
    with pytest.raises(VocabularyError) as caught:
        load_vocabulary(f"/nowhere/{name}")
    assert is_short_and_plain(caught.value)


@given(ANY)
def test_a_name_is_one_alone_and_within_a_list(name: str) -> None:
    """The rule for names and the reader of vocabularies say the same."""
    clean = " ".join(name.split())
    if clean != name or {",", "#"} & {*name} or name_key(name) == "background":
        return
    if name_fault(name) is None:
        assert vocabulary_from_names([name]).names == (name,)
        assert len(name) <= MAX_NAME
    else:
        with pytest.raises(VocabularyError):
            vocabulary_from_names([name])


@given(st.text(max_size=100))
@settings(max_examples=200)
def test_printable_text_hides_nothing_and_keeps_what_is_plain(text: str) -> None:
    shown = printable(text)
    assert hidden_character(shown) is None
    shown.encode("utf-8")
    if hidden_character(text) is None:
        assert shown == text == printable_lines(text)
    lines = printable_lines(text)
    assert lines.count("\n") == text.count("\n")
    assert hidden_character(lines.replace("\n", "")) is None
    assert len(printable("x" * 1000 + text)) <= 300
