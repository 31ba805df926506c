"""Questions in SQL about a bank, and nothing but questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL

from query.sql_formats import FORMATS, format_result
from query.sql_views import VIEWS, builds_table, categories_table
from schemas.errors import BankDamaged, RimError, SqlError

if TYPE_CHECKING:
    from schemas.bank import Bank

__all__ = ["FORMATS", "Answer", "BankConnection", "connect", "format_result", "run_sql"]

MEMORY_LIMIT = "4GB"
THREADS = 4

# What DuckDB calls an error while it reads the bank's files, as opposed to one in the question.
_READING_FAILED = "reading the stream registered as"


@dataclass(frozen=True)
class Answer:
    """The answer to one question; it is worked out when it is fetched."""

    _connection: BankConnection
    _relation: duckdb.DuckDBPyRelation

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._relation.columns)

    def to_arrow_table(self) -> pa.Table:
        """All rows. Raises SqlError if DuckDB cannot work them out, BankDamaged if the bank is."""
        with self._connection.errors_explained():
            return self._relation.to_arrow_table()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples; the same errors."""
        columns = [column.to_pylist() for column in self.to_arrow_table().columns]
        return list(zip(*columns, strict=True))


class BankConnection:
    """An in-memory DuckDB that sees one bank's views and nothing else.

    Before the first question the bank's Parquet files are registered as Arrow datasets, whose
    pages are checked while they are read; then all access to files, network, extensions, settings
    and the caller's variables is closed for good, and of statements only questions are taken.
    DuckDB calls such settings a defence in depth, not a sandbox.
    """

    def __init__(self, bank: Bank) -> None:
        """Raises BankDamaged if a file is missing or the verdicts are not what was written."""
        self._pictures = _Pictures(bank)
        self._duckdb = duckdb.connect(
            ":memory:",
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "memory_limit": MEMORY_LIMIT,
                "python_enable_replacements": "false",
                "temp_directory": "",
                "threads": str(THREADS),
            },
        )
        self._create_views(bank)
        self._duckdb.execute("SET enable_progress_bar = false")
        self._duckdb.execute("SET enable_external_access = false")
        self._duckdb.execute("SET lock_configuration = true")

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
        self._duckdb.close()

    def ask(self, sql: str) -> Answer:
        """One question: SELECT, WITH, VALUES, DESCRIBE, SHOW or SUMMARIZE.

        Raises SqlError, in one line, for anything else and for what DuckDB does not understand.
        """
        with self.errors_explained():
            statements = self._duckdb.extract_statements(sql)
            if len(statements) != 1:
                raise SqlError(f"expected one question, found {len(statements)} statements")
            kind = statements[0].type
            if kind != duckdb.StatementType.SELECT:
                raise SqlError(
                    "expected a question (SELECT, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE),"
                    f" found {kind.name}: a bank is not changed through SQL"
                )
            return Answer(self, self._duckdb.sql(sql))

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turns DuckDB's errors into SqlError, or into BankDamaged where the bank is to blame."""
        self._pictures.failure = None
        try:
            yield
        except duckdb.Error as error:
            if self._pictures.failure is not None:
                raise self._pictures.failure from error
            reason = _one_line(str(error))
            if _READING_FAILED in reason:
                # Prototypes are a cache, which can be made anew.
                repair = " --repair" if "'_prototypes'" in reason else ""
                raise BankDamaged(
                    f"the bank's files cannot be read as they were written ({reason}); run:"
                    f" rim verify{repair}"
                ) from error
            raise SqlError(reason) from error

    def _create_views(self, bank: Bank) -> None:
        try:
            datasets = bank.datasets()
        except OSError as error:
            raise BankDamaged(
                f"a file of the bank is missing ({_one_line(str(error))}); run: rim verify"
            ) from error
        self._duckdb.register("_images", datasets.images)
        self._duckdb.register("_features", datasets.features)
        self._duckdb.register("_prototypes", datasets.prototypes)
        self._duckdb.register("_verdicts", datasets.verdicts)
        self._duckdb.register("_categories", categories_table(bank))
        self._duckdb.register("_builds", builds_table(bank))
        for name, read in (("_png", self._pictures.png), ("_attention", self._pictures.attention)):
            # A function instead of a join: it is called for the rows of the answer only, so a
            # question that does not ask for pictures does not even open their files.
            self._duckdb.create_function(
                name, read, ["BIGINT"], "BLOB", type=ARROW, null_handling=SPECIAL
            )
        self._duckdb.execute(VIEWS)


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


def connect(bank: Bank) -> BankConnection:
    """A connection for many questions; see `BankConnection`."""
    return BankConnection(bank)


def run_sql(bank: Bank, sql: str) -> Answer:
    """One question about a bank, over the views of `query.sql_views`.

    Raises SqlError, in one line, for anything but one question that DuckDB understands.
    """
    return connect(bank).ask(sql)


def _one_line(message: str) -> str:
    """The first line of DuckDB's message, and its guess at what was meant if there is one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    hints = [line for line in lines[1:] if line.startswith(("Candidate", "Did you mean"))]
    return "; ".join([*lines[:1], *hints]) or "DuckDB gave no reason"
