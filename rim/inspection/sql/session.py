"""Opens one DuckDB over a bank's files, closed to everything else, with errors in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa
from duckdb.func import ARROW, SPECIAL

from rim.inspection.sql.limits import MEMORY, MEMORY_SHARE, THREADS, Worker
from rim.inspection.sql.views import VIEWS, builds_table, categories_table
from schemas.errors import BankDamaged, RimError, SqlError
from schemas.text import printable

if TYPE_CHECKING:
    from schemas.store.bank import StoredBank

# Rows that are fetched at once, with images hundreds of MB: what an answer needs is looked at in
# between.
_BATCH = 1 << 12
# What DuckDB calls an error while it reads the bank's files, as opposed to one in the question.
_READING_FAILED = "reading the stream registered as"
# After these nothing more can be asked of the same DuckDB.
_BROKEN = ("INTERNAL Error", "FATAL Error")
_LONGEST_REASON = 2000

_Result = TypeVar("_Result")


class Session:
    """One DuckDB with the views of a bank, closed to everything else."""

    def __init__(self, bank: StoredBank) -> None:
        self.broken = False
        self._worker: Worker[Any] | None = None
        self._images = _Images(bank)
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
        # In a notebook without ipywidgets it is off, and may not even be set.
        if self.duckdb.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]:
            self.duckdb.execute("SET enable_progress_bar = false")
        self.duckdb.execute("SET enable_external_access = false")
        self.duckdb.execute("SET lock_configuration = true")

    @property
    def stuck(self) -> bool:
        """Whether it still works on a question that no caller waits for any more."""
        return self._worker is not None and self._worker.running

    def close(self) -> None:
        """Closes DuckDB and frees its memory, unless it still works."""
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
        """Does the work on a thread of its own; see `Worker.result`."""
        worker = Worker(work, self.duckdb.interrupt)
        self._worker = worker
        return worker.result(timeout)

    def fetch(self, relation: duckdb.DuckDBPyRelation) -> pa.Table:
        """All rows; MemoryError if they need as much again as DuckDB may use to work them out."""
        batches, size = [], 0
        with relation.to_arrow_reader(_BATCH) as reader:
            for batch in reader:
                size += batch.nbytes
                if size > self._memory:
                    raise MemoryError
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema)

    @contextmanager
    def errors_explained(self) -> Iterator[None]:
        """Turns DuckDB's errors into SqlError, or into BankDamaged where the bank is to blame."""
        self._images.failure = None
        try:
            yield
        # While Arrow fetches the rows, DuckDB's errors come as Arrow's, which are also OSError.
        except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as error:
            if self._images.failure is not None:
                raise self._images.failure from error
            raise self._explained(error) from error

    def _explained(self, error: BaseException) -> RimError:
        reason = _one_line(str(error))
        if _READING_FAILED in reason:
            # Prototypes are a cache, which can be made again.
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

    def _create_views(self, bank: StoredBank) -> None:
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
        for name, read in (("_png", self._images.png), ("_attention", self._images.attention)):
            # A function instead of a join: it is called for the rows of the answer only, so a
            # question that does not ask for images does not even open their files.
            self.duckdb.create_function(
                name, read, ["BIGINT"], "BLOB", type=ARROW, null_handling=SPECIAL
            )
        self.duckdb.execute(VIEWS)


class _Images:
    """Reads images for DuckDB and remembers why one could not be read.

    It does not know the connection, which holds it: a circle through DuckDB is never freed.
    """

    def __init__(self, bank: StoredBank) -> None:
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
            pngs = read({image_id for image_id in ids if image_id is not None})
        except RimError as error:
            self.failure = error
            raise
        return pa.array([pngs.get(image_id) for image_id in ids], pa.binary())


def _one_line(message: str) -> str:
    """The first line of DuckDB's message, and its guess at what was meant if there is one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    hints = [line for line in lines[1:] if line.startswith(("Candidate", "Did you mean"))]
    return printable("; ".join([*lines[:1], *hints]) or "DuckDB gave no reason", _LONGEST_REASON)
