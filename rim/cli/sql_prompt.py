"""The prompt of `rim sql`: lines become questions, words with a dot in front become commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import click

from rim.cli.options import say
from rim.inspection.sql.examples import EXAMPLES, example
from rim.inspection.sql.formats import FORMATS
from schemas.errors import RimError, UsageError
from schemas.text import did_you_mean, printable, printable_lines

PROMPT, MORE = "rim> ", "...> "
HELP = """\
Views: categories, images, features, prototypes, builds. End a question with ; or an empty line.
For example: SELECT reason, count(*) FROM images WHERE status = 'rejected' GROUP BY 1;
cosine(a, b) of two embeddings; FROM nearest(IMAGE_ID, k := 10): the references most like one.
.examples lists questions worth asking, .examples 3 asks the third; .views lists the columns;
.format csv changes how answers look (table, csv, json); .help shows this, .quit leaves."""
COLUMNS = """\
SELECT table_name AS view, string_agg(column_name, ', ' ORDER BY column_index) AS columns
FROM duckdb_columns()
WHERE table_name IN ('categories', 'images', 'features', 'prototypes', 'builds')
GROUP BY 1 ORDER BY 1"""
COMMANDS = (".examples", ".views", ".format", ".help", ".quit", ".exit")
_TEXT_FORMATS = tuple(one for one in FORMATS if one != "parquet")


def list_examples(*, with_sql: bool) -> str:
    """The questions worth asking, numbered from 1, for a person to read."""
    lines = []
    for number, one in enumerate(EXAMPLES, start=1):
        lines.append(f"{number:2}  {one.title}")
        if with_sql:
            lines += [*(f"      {line}" for line in one.sql.splitlines()), ""]
    return "\n".join(lines).rstrip()


def is_whole(text: str) -> bool:
    """Whether what was typed can be asked: a command, or a question that has been ended."""
    word = text.strip()
    return not word or word in ("quit", "exit") or word.startswith(".") or word.endswith(";")


@dataclass
class Prompt:
    """A conversation with a bank.

    Attributes:
        answer: writes the answer to one question to standard output in the format given; may raise
            RimError, and KeyboardInterrupt at Ctrl-C.
        style: the format.
        forgiving: whether a person sits here: Ctrl-C then ends a question, not the conversation.
    """

    answer: Callable[[str, str], None]
    style: str
    forgiving: bool
    _lines: list[str] = field(default_factory=list)

    def converse(self, inputs: Iterator[str | None]) -> None:
        """Takes what is typed, in lines or whole questions, until it ends or says .quit.

        None stands for Ctrl-C: what was typed of a question is forgotten.
        """
        for text in inputs:
            if text is None:
                self._lines = []
            elif not self._take(text):
                return
        self._ask_pending()

    @property
    def pending(self) -> bool:
        """Whether a question has been begun and not ended."""
        return bool(self._lines)

    def _take(self, text: str) -> bool:
        word = text.strip()
        if not self._lines and (word.startswith(".") or word in ("quit", "exit")):
            return self._command(word)
        if word:
            self._lines.append(text)
        if not word or word.endswith(";"):
            self._ask_pending()
        return True

    def _command(self, text: str) -> bool:
        """Does what a command says; False if it says to leave."""
        name, *words = text.split()
        argument = " ".join(words)
        if name in (".quit", ".exit", "quit", "exit"):
            return False
        try:
            if name == ".help":
                say(HELP)
            elif name == ".views":
                self._try(COLUMNS)
            elif name == ".examples":
                self._examples(argument)
            elif name == ".format":
                self._format(argument)
            else:
                raise UsageError(
                    f"expected a command out of {', '.join(COMMANDS)}, found {printable(name)!r}"
                    f"{did_you_mean(name, COMMANDS)}"
                )
        except UsageError as error:
            _complain(error)
        return True

    def _examples(self, argument: str) -> None:
        if not argument:
            say(f"{list_examples(with_sql=False)}\n.examples NUMBER asks one")
            return
        if not argument.isdecimal():
            raise UsageError(f"expected .examples NUMBER, found {printable(argument)!r}")
        chosen = example(int(argument))
        say(chosen.sql)
        self._try(chosen.sql)

    def _format(self, argument: str) -> None:
        if argument not in _TEXT_FORMATS:
            raise UsageError(
                f"expected .format {'|'.join(_TEXT_FORMATS)}, found {printable(argument)!r}"
                f"{did_you_mean(argument, _TEXT_FORMATS)}"
            )
        self.style = argument

    def _ask_pending(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            self._try("\n".join(lines))

    def _try(self, sql: str) -> None:
        """Answers a question; a mistake in it is told and forgiven."""
        try:
            self.answer(sql, self.style)
        except RimError as error:
            _complain(error)
        except KeyboardInterrupt:
            if not self.forgiving:
                raise
            say("rim: interrupted")


def plain_lines(prompt: Prompt) -> Iterator[str | None]:
    """The lines of standard input, where it is not a terminal from which to where one can edit."""
    asking = sys.stdin.isatty()
    while True:
        try:
            if asking:
                # Answers that go to a file have no prompts between them.
                click.echo(MORE if prompt.pending else PROMPT, nl=False, err=True)
            yield input()
        except KeyboardInterrupt:
            if not asking:
                raise
            say("")
            yield None
        except EOFError:
            return


def converse(answer: Callable[[str, str], None], style: str, names: Callable[[], Names]) -> None:
    """Questions from the keyboard, or from a file or pipe, until they end.

    answer: as of `Prompt`. names: what a keyboard's words are completed with; asked for once.
    """
    prompt = Prompt(answer, style, forgiving=sys.stdin.isatty())
    if not sys.stdin.isatty():
        prompt.converse(plain_lines(prompt))
        return
    say(HELP)
    if not sys.stdout.isatty():
        prompt.converse(plain_lines(prompt))
        return
    from rim.cli.sql_keyboard import edited_questions

    prompt.converse(edited_questions(names()))


@dataclass(frozen=True)
class Names:
    """What can be completed at the prompt. columns: of every view. categories: of the bank."""

    columns: dict[str, tuple[str, ...]]
    categories: tuple[str, ...]


def _complain(error: RimError) -> None:
    say(f"rim: {printable_lines(str(error))}")
