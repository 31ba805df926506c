"""The limits of one question in time and memory, and the thread on which it can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from schemas.errors import SqlError

__all__ = ["MEMORY", "THREADS", "TIMEOUT", "Worker", "check_timeout"]

# Bytes for what DuckDB works with, and again for the answer; less where that is above the share.
MEMORY = 4 * 10**9
MEMORY_SHARE = "40%"
THREADS = 4
# Seconds.
TIMEOUT = 300.0
# DuckDB looks at an interrupt between two pieces of work; how long a piece may go on after it.
_GRACE = 5.0
_POLL = 0.1

_Result = TypeVar("_Result")


def check_timeout(seconds: float | None) -> float | None:
    """The time limit in seconds, None for 0 and None; SqlError for numbers that are no limit."""
    if seconds is None or seconds == 0:
        return None
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise SqlError(f"expected a time limit in seconds, or 0 for none, found {seconds}")
    return float(seconds)


class Worker(Generic[_Result]):
    """One piece of work for DuckDB on a thread of its own, so that the caller can stop it.

    DuckDB's code hears Ctrl-C on Python's main thread only now and then, and not in its midst.
    """

    def __init__(self, work: Callable[[], _Result], interrupt: Callable[[], None]) -> None:
        self._work, self._interrupt = work, interrupt
        self._done = threading.Event()
        self._results: list[_Result] = []
        self._error: BaseException | None = None

    @property
    def running(self) -> bool:
        """Whether the work goes on, also if no caller waits for it any more."""
        return not self._done.is_set()

    def result(self, timeout: float | None) -> _Result:
        """The work's result or error, within so many seconds (None: however long it takes).

        Raises SqlError after that, and KeyboardInterrupt at Ctrl-C. The work is interrupted then,
        and mostly ends at once; if it does not, it is left alone.
        """
        threading.Thread(target=self._run, name="rim-sql", daemon=True).start()
        try:
            if not self._wait(timeout):
                self._stop()
                raise SqlError(
                    f"expected an answer within {timeout:g} s, found none: ask for less, or allow"
                    " more time (--timeout SECONDS, timeout=SECONDS; 0 is no limit)"
                )
        except KeyboardInterrupt:
            self._stop()
            raise
        error, self._error = self._error, None
        if error is None:
            return self._results.pop()
        try:
            raise error
        finally:
            del error  # it knows this frame, and a circle through DuckDB is never freed

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self._done.set()

    def _wait(self, seconds: float | None) -> bool:
        """Whether it was done in time; short sleeps, because not every system wakes for Ctrl-C."""
        end = None if seconds is None else time.monotonic() + seconds
        while not self._done.wait(_POLL if end is None else min(_POLL, end - time.monotonic())):
            if end is not None and time.monotonic() >= end:
                return False
        return True

    def _stop(self) -> None:
        """Interrupts again and again: DuckDB forgets one that comes before it has begun."""
        end = time.monotonic() + _GRACE
        while self.running and time.monotonic() < end:
            self._interrupt()
            self._done.wait(_POLL)
