"""What Python's logging and warnings have to say: one line each on standard error, and in the log.

Left to themselves, warnings are printed with their source, over several lines and through the
progress bar; and messages of loggers come without a name and with whatever characters they hold.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rim.cli.options import say
from rim.cli.run_log import emit
from schemas.text import printable

_OURS = ("schemas", "foundation", "bank_builder", "query", "rim", "miniature")
_LONGEST = 2000
_PYTHON_WARNINGS = "py.warnings"
# torch's words for an operation that Apple's GPUs lack; it says so of the first one only.
_NOT_ON_MPS = re.compile(r"The operator '([^']+)' is not currently supported on the MPS backend")


@contextmanager
def told_in_lines() -> Iterator[None]:
    """Within it warnings, and what loggers say from WARNING on, are told in lines."""
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


def warn(message: str) -> None:
    """A warning of a command's own."""
    emit("warning", logger="rim", message=message)
    say(f"rim: warning: {message}")


class _OneLine(logging.Handler):
    """`rim: warning: ...`; of another library's logger with its name."""

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
    """Takes the place of `warnings.showwarning`: without the source, which is nobody's here."""
    lacking = _NOT_ON_MPS.search(str(message))
    if lacking:
        logging.getLogger(_PYTHON_WARNINGS).warning(
            "MPS lacks %s: this and other such operations run on the CPU, slower", lacking[1]
        )
        return
    logging.getLogger(_PYTHON_WARNINGS).warning("%s: %s", category.__name__, message)
