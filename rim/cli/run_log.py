"""`--log-json FILE`: what a command does, as lines of JSON that a program can follow."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from schemas.errors import OutputError
from schemas.text import is_unicode

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
