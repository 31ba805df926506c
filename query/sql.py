"""Questions in SQL about a bank, and nothing but questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL

from query.sql_formats import FORMATS, format_result, plain_rows
from query.sql_limits import MEMORY, MEMORY_SHARE, THREADS, TIMEOUT, Worker, check_timeout
from query.sql_questions import MAX_STATEMENT, views_read
from query.sql_views import VIEW_PARTS, VIEWS, builds_table, categories_table
from schemas.errors import BankDamaged, RimError, SqlError
from schemas.printable import printable

if TYPE_CHECKING:
    from schemas.bank import Bank

__all__ = ["FORMATS", "TIMEOUT", "Answer", "BankConnection", "connect", "format_result", "run_sql"]

# Rows that are fetched at once: what an answer needs is looked at in between.
_BATCH = 1 << 13
# What DuckDB calls an error while it reads the bank's files, as opposed to one in the question.
_READING_FAILED = "reading the stream registered as"
# After these nothing more can be asked of the same DuckDB.
_BROKEN = ("INTERNAL Error", "FATAL Error")

_LONGEST_REASON = 2000

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Answer:
    """The answer to one question; it is worked out when it is fetched."""

    _connection: BankConnection
    _session: _Session
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
        return self._connection.run(self._session, lambda: _fetch(self._relation))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples; the same errors, and SqlError for a value that Python cannot hold."""
        return plain_rows(self.to_arrow_table())


class BankConnection:
    """A DuckDB in memory that sees one bank's views and nothing else.

    The bank's Parquet files are registered as Arrow datasets, whose pages are checked while they
    are read; then all access to files, network, extensions, settings and the caller's variables is
    closed for good. A statement is looked at before it runs: it must be one question over the views
    (`query.sql_questions`), and the files that it reads are compared with their SHA-256 once.
    It may take `timeout` seconds and `query.sql_limits.MEMORY`.
    """

    def __init__(self, bank: Bank, timeout: float | None = TIMEOUT) -> None:
        """timeout: seconds that a question may take; None or 0 for no limit.

        Raises BankDamaged if a file is missing or the verdicts are not what was written.
        """
        self._bank = bank
        self._timeout = check_timeout(timeout)
        self._session = _Session(bank)
        self._left: list[_Session] = []

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
    def stuck(self) -> bool:
        """Whether DuckDB still works on a question that was stopped, deaf to being interrupted.

        Another question gets a DuckDB of its own. A program that ends meanwhile does not wait, but
        DuckDB may complain, and `os._exit` is the quiet way.
        """
        return any(session.stuck for session in (*self._left, self._session))

    def ask(self, sql: str) -> Answer:
        """One question: SELECT, WITH, VALUES, DESCRIBE, SHOW or SUMMARIZE.

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
            self._session = _Session(self._bank)
        session = self._session
        with session.errors_explained():
            parsed = session.parse(sql)
        parts = {part for view in views_read(parsed) for part in VIEW_PARTS[view]}
        for part in sorted(parts):
            self._bank.check_part(part)
        return Answer(self, session, self.run(session, lambda: session.duckdb.sql(sql)))

    def run(self, session: _Session, work: Callable[[], _Result]) -> _Result:
        """Work for one DuckDB, within the time limit and with its errors explained."""
        with session.errors_explained():
            return session.run(work, self._timeout)


class _Session:
    """One DuckDB with the views of a bank, closed to everything else."""

    def __init__(self, bank: Bank) -> None:
        self.broken = False
        self._worker: Worker[Any] | None = None
        self._pictures = _Pictures(bank)
        self.duckdb = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "memory_limit": MEMORY_SHARE,
                "python_enable_replacements": "false",
                "temp_directory": "",
                "threads": str(THREADS),
            },
        )
        self._memory = self._limit_memory()
        self._create_views(bank)
        self.duckdb.execute("SET enable_progress_bar = false")
        self.duckdb.execute("SET enable_external_access = false")
        self.duckdb.execute("SET lock_configuration = true")

    @property
    def stuck(self) -> bool:
        """Whether it works on something that nobody waits for any more."""
        return self._worker is not None and self._worker.running

    def close(self) -> None:
        """Frees the memory, unless it is in use."""
        if not self.stuck:
            self.duckdb.close()

    def parse(self, sql: str) -> str:
        """The tree of one question, as JSON; nothing runs. Raises SqlError for other statements."""
        statements = self.duckdb.extract_statements(sql)
        if len(statements) != 1:
            raise SqlError(f"expected one question, found {len(statements)} statements")
        try:
            kind = statements[0].type.name
        except ValueError:  # a kind of statement that DuckDB has and its Python package does not
            kind = "another statement"
        if kind == "MULTI":
            raise SqlError("expected PIVOT with the values of its columns: PIVOT ... ON a IN (...)")
        if kind != "SELECT":
            raise SqlError(
                "expected a question (SELECT, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE),"
                f" found {kind}: a bank is not changed through SQL"
            )
        rows = self.duckdb.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
        return str(rows[0][0])

    def run(self, work: Callable[[], _Result], timeout: float | None) -> _Result:
        """Work on a thread of its own; see `Worker.result`."""
        worker = self._worker = Worker(work, self.duckdb.interrupt)
        return worker.result(timeout)

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turns DuckDB's errors into SqlError, or into BankDamaged where the bank is to blame."""
        self._pictures.failure = None
        try:
            yield
        # While Arrow fetches the rows, DuckDB's errors come as Arrow's, which are also OSError.
        except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as error:
            if self._pictures.failure is not None:
                raise self._pictures.failure from error
            raise self._explained(error) from error

    def _explained(self, error: BaseException) -> RimError:
        reason = _one_line(str(error))
        if _READING_FAILED in reason:
            # Prototypes are a cache, which can be made anew.
            repair = " --repair" if "'_prototypes'" in reason else ""
            return BankDamaged(
                f"the bank's files cannot be read as they were written ({reason}); run:"
                f" rim verify{repair}"
            )
        if isinstance(error, MemoryError) or reason.startswith("Out of Memory Error"):
            return SqlError(
                f"expected a question that needs at most {self._memory / 1e9:.1f} GB of memory,"
                f" found one that needs more: ask for fewer rows or columns, or add LIMIT"
            )
        if reason.startswith(_BROKEN):
            self.broken = True
            return SqlError(f"DuckDB failed at this question by a mistake of its own: {reason}")
        return SqlError(reason)

    def _limit_memory(self) -> int:
        """Bytes that DuckDB may use: its share of what the machine has, or MEMORY if that is less.

        DuckDB is asked, because it knows what a container is allowed.
        """
        question = "SELECT parse_formatted_bytes(current_setting('memory_limit'))"
        share = int(self.duckdb.execute(question).fetchall()[0][0])
        if share < MEMORY:
            return share
        self.duckdb.execute(f"SET memory_limit = '{MEMORY} B'")
        return MEMORY

    def _create_views(self, bank: Bank) -> None:
        try:
            datasets = bank.datasets()
        except OSError as error:
            raise BankDamaged(
                f"a file of the bank is missing ({_one_line(str(error))}); run: rim verify"
            ) from error
        self.duckdb.register("_images", datasets.images)
        self.duckdb.register("_features", datasets.features)
        self.duckdb.register("_prototypes", datasets.prototypes)
        self.duckdb.register("_verdicts", datasets.verdicts)
        self.duckdb.register("_categories", categories_table(bank))
        self.duckdb.register("_builds", builds_table(bank))
        for name, read in (("_png", self._pictures.png), ("_attention", self._pictures.attention)):
            # A function instead of a join: it is called for the rows of the answer only, so a
            # question that does not ask for pictures does not even open their files.
            self.duckdb.create_function(
                name, read, ["BIGINT"], "BLOB", type=ARROW, null_handling=SPECIAL
            )
        self.duckdb.execute(VIEWS)


class _Pictures:
    """Reads pictures for DuckDB and remembers why one could not be read.

    It does not know the connection, which holds it: a circle through DuckDB is never freed.
    """

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.failure: RimError | None = None

    def png(self, image_ids: pa.ChunkedArray) -> pa.Array:
        return self._read(image_ids, self._bank.png)

    def attention(self, image_ids: pa.ChunkedArray) -> pa.Array:
        return self._read(image_ids, self._bank.attention_png)

    def _read(
        self, image_ids: pa.ChunkedArray, read: Callable[[Iterable[int]], dict[int, bytes]]
    ) -> pa.Array:
        ids = image_ids.to_pylist()
        try:
            pictures = read({image_id for image_id in ids if image_id is not None})
        except RimError as error:
            self.failure = error
            raise
        return pa.array([pictures.get(image_id) for image_id in ids], pa.binary())


def connect(bank: Bank, timeout: float | None = TIMEOUT) -> BankConnection:
    """A connection for many questions; see `BankConnection`."""
    return BankConnection(bank, timeout)


def run_sql(bank: Bank, sql: str, timeout: float | None = TIMEOUT) -> Answer:
    """One question about a bank, over the views of `query.sql_views`.

    Raises SqlError, in one line, for anything but one question that DuckDB understands.
    """
    return connect(bank, timeout).ask(sql)


def _fetch(relation: duckdb.DuckDBPyRelation) -> pa.Table:
    """All rows, as long as they need no more than MEMORY: DuckDB's own limit ends where they begin."""
    batches, size = [], 0
    with relation.to_arrow_reader(_BATCH) as reader:
        for batch in reader:
            size += batch.nbytes
            if size > MEMORY:
                raise MemoryError
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


def _one_line(message: str) -> str:
    """The first line of DuckDB's message, and its guess at what was meant if there is one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    hints = [line for line in lines[1:] if line.startswith(("Candidate", "Did you mean"))]
    return printable("; ".join([*lines[:1], *hints]) or "DuckDB gave no reason", _LONGEST_REASON)
