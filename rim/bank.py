"""Bank: what `rim.open` returns, one version of a bank with questions in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import schemas.store.bank
from rim.inspection.sql.limits import TIMEOUT
from schemas.settings import Settings, apply_overrides

if TYPE_CHECKING:
    from foundation.stack import ModelStack
    from query.segmentation import QueryEngine
    from rim.inspection.sql.connection import Answer


class Bank(schemas.store.bank.StoredBank):
    """One version of a bank on disk, by default the latest.

    Beside what `schemas.store.bank.StoredBank` reads, it answers SQL and keeps the query engines
    that were used with it, so that models are loaded once.
    """

    def __init__(self, path: Path | str, version: int | None = None) -> None:
        super().__init__(path, version)
        self._stacks: dict[tuple[str, str, bool], ModelStack] = {}
        self._engines: dict[tuple[str, str, bool], QueryEngine] = {}

    def __repr__(self) -> str:
        return f"Bank({str(self.path)!r}, version={self.version})"

    def _repr_html_(self) -> str:
        """What it holds, with a few pictures, for a notebook."""
        from rim.display import bank_html

        return bank_html(self)

    def sql(self, statement: str, *, timeout: float | None = TIMEOUT) -> Answer:
        """The answer to one question over the views that `rim sql` lists.

        Fetch it with `.to_arrow_table()` or `.fetchall()`, which may take `timeout` seconds each;
        None or 0 is no limit.

        Raises SqlError if it is no question, more than one, or DuckDB refuses it; BankDamaged if a
        file that it reads is not the one that was written.
        """
        from rim.inspection.sql.connection import run_sql

        return run_sql(self, statement, timeout)

    def engine(
        self,
        *,
        overrides: tuple[str, ...] = (),
        preset: str | None = None,
        device: str = "auto",
        offline: bool = False,
    ) -> QueryEngine:
        """The query engine of this bank, its models loaded when they are first used.

        overrides: "section.key=value" for the settings of proposals and matching. preset: where to
        find the bank's models, by default where its settings say.

        Raises SettingsError for a bad override, ModelError if models are missing or not the bank's.
        """
        from foundation.weights.roles import query_purposes
        from query.segmentation import QueryEngine

        settings = self.query_settings(preset, overrides)
        key = (settings.model_dump_json(), device, offline)
        if key not in self._engines:
            purposes = query_purposes(settings)
            stack = self.model_stack(settings, device, offline, purposes, preset)
            self._engines[key] = QueryEngine(self, stack, settings)
        return self._engines[key]

    def model_stack(
        self,
        settings: Settings,
        device: str,
        offline: bool,
        purposes: tuple[str, ...] = ("query",),
        preset: str | None = None,
    ) -> ModelStack:
        """The bank's models, from where `query_settings` says; kept, and loaded when first used.

        purposes: what they are for, see `foundation.weights.roles`; with the preset, if one was
        named,
        for the error where one is missing.
        """
        from foundation.stack import ModelStack
        from foundation.weights.missing import Caller

        place = (settings.models.model_dump_json(), device, offline)
        if place not in self._stacks:
            bank = self.path if preset is None else None
            caller = Caller(preset or "", bank, purposes)
            self._stacks[place] = ModelStack(settings, device, offline, caller=caller)
        return self._stacks[place]

    def share_models(self, other: Bank) -> None:
        """Has the models in common with another version of the same bank."""
        self._stacks = other._stacks

    def query_settings(self, preset: str | None, overrides: tuple[str, ...]) -> Settings:
        """The bank's settings with another place for the models and with overrides of the query's
        own sections.
        """
        from schemas.errors import SettingsError
        from schemas.settings import load_settings

        settings = self.settings
        if preset is not None:
            settings = settings.model_copy(update={"models": load_settings(preset).models})
        for override in overrides:
            section = override.partition(".")[0]
            if section not in ("proposals", "matching"):
                raise SettingsError(
                    f"expected a setting of proposals or matching, found {override!r}: the others "
                    "were settled when the bank was built"
                )
        return apply_overrides(settings, overrides)

    def info(self) -> dict[str, Any]:
        """What the bank holds and how it was made, as plain data; the content of `rim info
        --json`.
        """
        from rim.inspection.summary import summary

        return summary(self)
