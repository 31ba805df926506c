"""Answers questions in SQL about a bank; other statements are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from rim.inspection.sql.formats import MAX_HTML_ROWS, answer_html, plain_rows
from rim.inspection.sql.limits import TIMEOUT, check_timeout
from rim.inspection.sql.session import Session
from rim.inspection.sql.statement_check import MAX_STATEMENT, views_read
from rim.inspection.sql.views import VIEW_PARTS
from schemas.errors import SqlError
from schemas.text import printable

if TYPE_CHECKING:
    from schemas.store.bank import StoredBank

_Result = TypeVar("_Result")


@dataclass(frozen=True, repr=False)
class Answer:
    """The answer to one question; it is worked out when it is fetched.

    bank.sql("SELECT category, accepted FROM categories").fetchall()
    """

    _connection: BankConnection
    _session: Session
    _relation: duckdb.DuckDBPyRelation

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._relation.columns)

    def to_arrow_table(self) -> pa.Table:
        """All rows.

        Raises SqlError if DuckDB cannot work them out, or not within the connection's time and
        memory; BankDamaged if the bank is.
        """
        return self._connection.run(self._session, lambda: self._session.fetch(self._relation))

    def __repr__(self) -> str:
        return f"Answer({', '.join(map(printable, self.columns))})"

    def _repr_html_(self) -> str:
        """The first rows, for a notebook; raises as `to_arrow_table` does."""
        session = self._session
        first = self._connection.run(
            session, lambda: session.fetch(self._relation.limit(MAX_HTML_ROWS + 1))
        )
        return answer_html(first)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples; the same errors, and SqlError for a value that Python cannot hold."""
        return plain_rows(self.to_arrow_table())


class BankConnection:
    """A DuckDB in memory that sees one bank's views and nothing else.

    The bank's Parquet files are registered as Arrow datasets, whose pages are checked while they
    are read; then all access to files, network, extensions, settings and the caller's variables is
    closed for good. A statement is checked before it runs: it must be one question over the views
    (`rim.inspection.sql.statement_check`), and the files that it reads are compared with their
    SHA-256 once. It may take `timeout` seconds and `rim.inspection.sql.limits.MEMORY`.
    """

    def __init__(self, bank: StoredBank, timeout: float | None = TIMEOUT) -> None:
        """timeout: seconds that a question may take; None or 0 for no limit.

        Raises BankDamaged if a file is missing or the verdicts are not what was written.
        """
        self._bank = bank
        self._timeout = check_timeout(timeout)
        self._session = Session(bank)
        self._left: list[Session] = []

    def __enter__(self) -> BankConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees the memory; answers that were not fetched yet are lost."""
        self._session.close()

    @property
    def bank(self) -> StoredBank:
        """The bank that is asked."""
        return self._bank

    @property
    def stuck(self) -> bool:
        """Whether DuckDB still works on a question that was stopped: it does not always react.

        Another question gets a DuckDB of its own. A program that ends meanwhile does not wait, but
        DuckDB may complain, and `os._exit` is the quiet way.
        """
        return any(session.stuck for session in (*self._left, self._session))

    def ask(self, sql: str) -> Answer:
        """Asks one question: SELECT, WITH, VALUES, DESCRIBE, SHOW or SUMMARIZE.

        Raises SqlError, in one line, for anything else and for what DuckDB does not understand;
        BankDamaged if a file that it reads is not the one that was written.
        """
        if len(sql) > MAX_STATEMENT:
            raise SqlError(
                f"expected a question of at most {MAX_STATEMENT} characters, found {len(sql)}"
            )
        if self._session.stuck or self._session.broken:
            self._session.close()
            self._left = [session for session in (*self._left, self._session) if session.stuck]
            self._session = Session(self._bank)
        session = self._session
        with session.errors_explained():
            parsed = session.parse(sql)
        parts = {part for view in views_read(parsed) for part in VIEW_PARTS[view]}
        for part in sorted(parts):
            self._bank.check_part(part)
        return Answer(self, session, self.run(session, lambda: session.duckdb.sql(sql)))

    def run(self, session: Session, work: Callable[[], _Result]) -> _Result:
        """Does work for one DuckDB, within the time limit and with its errors explained."""
        with session.errors_explained():
            return session.run(work, self._timeout)


def connect(bank: StoredBank, timeout: float | None = TIMEOUT) -> BankConnection:
    """A connection for many questions; see `BankConnection`."""
    return BankConnection(bank, timeout)


def run_sql(bank: StoredBank, sql: str, timeout: float | None = TIMEOUT) -> Answer:
    """Asks one question about a bank, over the views of `rim.inspection.sql.views`.

    Raises SqlError, in one line, for anything but one question that DuckDB understands.
    """
    return connect(bank, timeout).ask(sql)
