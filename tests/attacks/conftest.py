"""The command line for the attacks on it."""

from tests.rim.conftest import run

__all__ = ["run"]
