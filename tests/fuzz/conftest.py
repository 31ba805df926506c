"""A small finished bank, made of rows alone, to be damaged."""

from tests.schemas.conftest import bank_path, settings

__all__ = ["bank_path", "settings"]
