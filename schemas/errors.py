"""The one exception tree. Each class knows the exit status that the command `rim` gives it.

A message is one or two lines that say what was expected, what was found, where, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class RimError(Exception):
    """The base of all errors of rim: something failed, and the message explains it."""

    exit_status: ClassVar[int] = 1


class UsageError(RimError):
    """Raised for a wrong call, or if the input holds nothing usable; nothing was changed."""

    exit_status: ClassVar[int] = 2


class VocabularyError(UsageError):
    """Raised for a vocabulary that cannot be read; the message names the line."""


class SettingsError(UsageError):
    """Raised for an unknown preset, section or key, or a value outside its range."""


class ImageError(UsageError):
    """Raised for an image that cannot be read; the message names the file."""


class OutputError(UsageError):
    """Raised if an output cannot be written to, is in use, or holds something else already."""


class WriteFailed(RimError):
    """Raised if the disk refuses what is written to it; what was finished before stays."""

    exit_status: ClassVar[int] = 1


class BankError(RimError):
    """Raised for a folder that is no bank, or a bank that differs from what was asked for."""

    exit_status: ClassVar[int] = 2


class BankDamaged(RimError):
    """Raised if bytes of a bank are missing or are not the ones that were written."""

    exit_status: ClassVar[int] = 3


class ModelError(RimError):
    """Raised if weights are missing, cannot be used, or are not the bank's."""

    exit_status: ClassVar[int] = 2


class MemoryShort(ModelError):
    """Raised if a device has too little memory for a model; the message names ways out."""


class SqlError(RimError):
    """Raised for a statement that is no question, or that DuckDB refuses."""

    exit_status: ClassVar[int] = 2


class BuildFailed(RimError):
    """Raised if a build cannot go on; what was finished stays and is resumed."""

    exit_status: ClassVar[int] = 1
