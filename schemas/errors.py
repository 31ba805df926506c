"""The one exception tree. Each class knows the exit status that the command `rim` gives it.

A message is one or two lines that say what was expected, what was found, where, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class RimError(Exception):
    """Anything that went wrong and that a message can explain; the work has failed."""

    exit_status: ClassVar[int] = 1


class UsageError(RimError):
    """A wrong call, or nothing usable in the input; nothing was changed."""

    exit_status: ClassVar[int] = 2


class VocabularyError(UsageError):
    """A vocabulary that cannot be read; the message names the line."""


class SettingsError(UsageError):
    """An unknown preset, section or key, or a value outside its range."""


class ImageError(UsageError):
    """A picture that cannot be read; the message names the file."""


class OutputError(UsageError):
    """A place that cannot be written to, or that holds something else already."""


class WriteFailed(RimError):
    """A disk that did not take what was written to it; what was finished before is kept."""

    exit_status: ClassVar[int] = 1


class BankError(RimError):
    """A folder that is no bank, or a bank that differs from what was asked for."""

    exit_status: ClassVar[int] = 2


class BankDamaged(RimError):
    """Bytes of a bank that are missing or not the ones that were written."""

    exit_status: ClassVar[int] = 3


class ModelError(RimError):
    """Weights that are missing, cannot be used, or are not the bank's."""

    exit_status: ClassVar[int] = 2


class MemoryShort(ModelError):
    """A device whose memory does not suffice for a model; the message names ways out."""


class SqlError(RimError):
    """A statement that is no question, or that DuckDB refuses."""

    exit_status: ClassVar[int] = 2


class BuildFailed(RimError):
    """A build that could not go on; what was finished stays and is resumed."""

    exit_status: ClassVar[int] = 1
