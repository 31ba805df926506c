"""Writes warnings in one line each to standard error, and what a run does to `--log-json FILE`.

Left to themselves, warnings are printed with their source, over several lines and through the
progress bar; and messages of loggers come without a name and with whatever characters they hold.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from rim.cli.output import say
from schemas.errors import OutputError
from schemas.text import is_unicode, printable

_OURS = ("schemas", "foundation", "bank_builder", "query", "rim", "miniature")
_LONGEST = 2000
_PYTHON_WARNINGS = "py.warnings"
# torch's words for an operation that Apple's GPUs lack; it says so of the first one only.
_NOT_ON_MPS = re.compile(r"The operator '([^']+)' is not currently supported on the MPS backend")


@contextmanager
def told_in_lines() -> Iterator[None]:
    """While it is open, warnings and what loggers say from WARNING on are written in lines."""
    handler = _OneLine(logging.WARNING)
    root = logging.getLogger()
    show = warnings.showwarning
    root.addHandler(handler)
    warnings.showwarning = _show
    try:
        yield
    finally:
        warnings.showwarning = show
        root.removeHandler(handler)


class _OneLine(logging.Handler):
    """Writes `rim: warning: ...`; of another library's logger with its name."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = " ".join(record.getMessage().split())
            if record.exc_info and record.exc_info[1] is not None:
                error = record.exc_info[1]
                message += f" ({type(error).__name__}: {' '.join(str(error).split())})"
            level = "error" if record.levelno >= logging.ERROR else "warning"
            # First, so that it is there even if standard error is not.
            emit(level, logger=record.name, message=message)
            ours = record.name.partition(".")[0] in (*_OURS, _PYTHON_WARNINGS.partition(".")[0])
            source = "" if ours else f"{record.name}: "
            say(f"rim: {level}: {source}{printable(message, most=_LONGEST)}")
        except Exception:
            self.handleError(record)


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Takes the place of `warnings.showwarning`; leaves out the line of source."""
    lacking = _NOT_ON_MPS.search(str(message))
    if lacking:
        logging.getLogger(_PYTHON_WARNINGS).warning(
            "MPS lacks %s: this and other such operations run on the CPU, slower", lacking[1]
        )
        return
    logging.getLogger(_PYTHON_WARNINGS).warning("%s: %s", category.__name__, message)


__all__ = ["RunLog", "close_log", "emit", "log_json_option", "open_log"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
logger = logging.getLogger(__name__)


class RunLog:
    """A file to which events are appended, each a line that is there as soon as it is written.

    A line is `{"time": ISO 8601 in UTC with milliseconds, "event": name, ...}`. Several commands
    may write into one file, also at once: a line is written in a single piece.
    """

    def __init__(self, path: Path) -> None:
        """Raises OutputError if the file can be neither made nor opened."""
        self._path = path
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._descriptor: int | None = os.open(path, flags, 0o666)
        except OSError as error:
            raise OutputError(
                f"--log-json: expected a file that can be written, found {path} "
                f"({error.strerror or error})"
            ) from error

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Appends an event; a disk that does not take it ends the log, and not the work."""
        if self._descriptor is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": now, "event": event, **fields}
        text = json.dumps(line, ensure_ascii=False, default=str)
        if not is_unicode(text):
            text = json.dumps(line, default=str)
        data = f"{text}\n".encode()
        try:
            # A pipe or a full disk may take a part: the rest goes after it.
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self.close()
            logger.warning("%s: the log ends here (%s)", self._path, error.strerror or error)

    def close(self) -> None:
        """Closes the file; what is written after that is lost."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


_log: RunLog | None = None
_started = 0.0


def log_json_option(function: _Function) -> _Function:
    """`--log-json FILE`: opened when the arguments are read, before any work is begun."""

    def open_for(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
        if path is not None and not context.resilient_parsing:
            open_log(path, context.info_name or "")

    return click.option(
        "--log-json",
        metavar="FILE",
        type=click.Path(path_type=Path),
        expose_value=False,
        callback=open_for,
        help="Append what happens to this file, a JSON object a line.",
    )(function)


def open_log(path: Path, command: str) -> None:
    """Opens the log of this process and says which command has begun; OutputError if it cannot."""
    import rim

    global _log, _started
    close_log()
    _log, _started = RunLog(path), time.monotonic()
    emit("start", command=command, rim=rim.__version__, process=os.getpid())


def emit(event: str, **fields: Any) -> None:
    """Appends an event to the log, if one is open. fields: what JSON has; others become text."""
    if _log is not None:
        _log.write(event, fields)


def close_log(status: int | None = None) -> None:
    """Closes the log, if one is open; with a status it says first how the command ended."""
    global _log
    if _log is None:
        return
    if status is not None:
        emit("end", status=status, seconds=round(time.monotonic() - _started, 3))
    log, _log = _log, None
    log.close()
