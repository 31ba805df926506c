"""The keyboard of `rim sql`: line editing, history, completion of names (prompt_toolkit)."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.filters import completion_is_selected
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from rim.cli.sql_prompt import COMMANDS, MORE, PROMPT, is_whole
from rim.inspection.sql.examples import EXAMPLES

if TYPE_CHECKING:
    from prompt_toolkit.document import Document

    from rim.cli.sql_prompt import Names

_KEYWORDS = (
    *("SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "HAVING", "QUALIFY", "WITH"),
    *("JOIN", "LEFT JOIN", "CROSS JOIN", "USING", "ON", "AS", "AND", "OR", "NOT", "IN", "IS NULL"),
    *("IS NOT NULL", "LIKE", "ILIKE", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "END", "DISTINCT"),
    *("DESC", "ASC", "ALL", "UNION ALL", "EXCEPT", "EXCLUDE", "OVER", "PARTITION BY", "FILTER"),
    *("DESCRIBE", "SUMMARIZE", "SHOW", "VALUES"),
)
_FUNCTIONS = (
    *("cosine(", "array_cosine_similarity(", "count(", "avg(", "sum(", "min(", "max(", "median("),
    *("round(", "arg_max(", "arg_min(", "mode(", "list(", "coalesce(", "octet_length(", "unnest("),
    *("stddev(", "quantile_cont(", "row_number()"),
)
_TABLES = ("nearest(",)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
_QUALIFIED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)?$")
_BEFORE_A_TABLE = re.compile(r"\b(?:from|join|describe|summarize)\s+\w*$", re.IGNORECASE)
_QUOTED = re.compile(r"'[^']*'")


def edited_questions(names: Names) -> Iterator[str | None]:
    """What a person types, whole questions and commands; None for Ctrl-C; ends at Ctrl-D.

    Enter ends what `is_whole`, and an empty line any question; Alt-Enter ends it as it is.
    """
    session: PromptSession[str] = PromptSession(
        PROMPT,
        history=open_history(),
        completer=SqlCompleter(names),
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        lexer=PygmentsLexer(SqlLexer),
        multiline=True,
        prompt_continuation=MORE,
        key_bindings=_keys(),
        enable_open_in_editor=False,
    )
    while True:
        try:
            text = session.prompt()
        except KeyboardInterrupt:
            yield None
        except EOFError:
            return
        else:
            yield text
            if not is_whole(text):
                yield ""  # it was ended by an empty line


class SqlCompleter(Completer):
    """Completes commands, views after FROM, columns, functions, keywords, and, within quotes, the
    names of the bank's categories.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._views = tuple(names.columns)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """What may stand at the cursor, likeliest first."""
        before = document.text_before_cursor
        if before.startswith("."):
            return _of_command(before)
        if _QUOTED.sub("", before).count("'") == 1:
            return self._of_text(before)
        qualified = _QUALIFIED.search(before)
        if qualified is not None:
            return _matching(qualified[2] or "", self._columns_of(qualified[1], document.text))
        found = _WORD.search(before)
        word = found[0] if found else ""
        if _BEFORE_A_TABLE.search(before):
            return _matching(word, (*self._views, *_TABLES))
        named = [view for view in self._views if re.search(rf"\b{view}\b", document.text)]
        columns = [c for view in named or self._views for c in self._names.columns[view]]
        keywords = (k.lower() if word.islower() else k for k in _KEYWORDS if word)
        return _matching(word, dict.fromkeys((*columns, *_FUNCTIONS, *self._views, *keywords)))

    def _columns_of(self, alias: str, text: str) -> tuple[str, ...]:
        """The columns of the view that an alias, or its own name, stands for."""
        for view, columns in self._names.columns.items():
            alias_of = rf"\b{view}\s+(?:as\s+)?{alias}\b"
            if alias.lower() == view or re.search(alias_of, text, re.IGNORECASE):
                return columns
        return ()

    def _of_text(self, before: str) -> Iterator[Completion]:
        begun = before.rsplit("'", 1)[1]
        for name in (*self._names.categories, "accepted", "rejected", "failed"):
            if name.lower().startswith(begun.lower()):
                yield Completion(name.replace("'", "''") + "'", -len(begun), display=name)


def _of_command(before: str) -> Iterator[Completion]:
    name, space, argument = before.partition(" ")
    if not space:
        yield from (Completion(one, -len(name)) for one in COMMANDS if one.startswith(name))
    elif name == ".examples":
        for number, one in enumerate(EXAMPLES, start=1):
            if str(number).startswith(argument):
                yield Completion(str(number), -len(argument), display_meta=one.title)
    elif name == ".format":
        for style in ("table", "csv", "json"):
            if style.startswith(argument):
                yield Completion(style, -len(argument))


def _matching(word: str, candidates: Iterable[str]) -> Iterator[Completion]:
    for one in candidates:
        if one.lower().startswith(word.lower()):
            yield Completion(one, -len(word))


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=~completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        last = buffer.document.current_line
        if is_whole(buffer.text) or (buffer.document.is_cursor_at_the_end and not last.strip()):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys


def open_history() -> History:
    """What was typed before: the user's own file, which nobody else may read; none if it cannot be
    written.
    """
    path = history_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        path.chmod(0o600)
    except OSError:
        return InMemoryHistory()
    return _ForgivingHistory(path)


def history_path() -> Path:
    """The file of the history: `rim/sql_history` in the folder for a user's state."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # [XDG base directories] a relative path is to be ignored.
    folder = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return folder / "rim" / "sql_history"


class _ForgivingHistory(FileHistory):
    """A full disk costs the line in the file, not the question."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)
