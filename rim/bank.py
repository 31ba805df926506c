"""One version of a bank with questions in SQL and its models: what `rim.open` returns."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import schemas.store.bank
from bank_builder.report import BuildReport, describe_bank
from foundation.weights.missing import Caller
from foundation.weights.roles import query_purposes
from rim.display import bank_html
from rim.inspection.sql.limits import TIMEOUT
from rim.inspection.summary import summary
from schemas.errors import SettingsError
from schemas.settings import Settings, apply_overrides, load_settings

if TYPE_CHECKING:
    from foundation.stack import ModelStack
    from query.segmentation import QueryEngine
    from rim.inspection.sql.connection import Answer


class Bank(schemas.store.bank.StoredBank):
    """One version of a bank on disk, by default the latest.

        bank = rim.open("bank")
        bank.sql("SELECT category, accepted FROM categories").fetchall()

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
        """What it holds, with a few images, for a notebook."""
        return bank_html(self.info(), self._first_images)

    def _first_images(self, category_id: int, most: int) -> dict[int, bytes]:
        """The PNG files of the first accepted images of a category, by image_id."""
        facts = self.images_table(["image_id", "status"], category_id).to_pylist()
        accepted = [row["image_id"] for row in facts if row["status"] == "accepted"]
        return self.png(accepted[:most])

    @cached_property
    def build_report(self) -> BuildReport:
        """What the bank holds after a build.

            rim.build(["house", "fish"], out="bank").build_report.categories_without_feature

        `changed` and `reused_shards` are of the `rim.build` or `rim.add` that returned this bank.
        """
        return describe_bank(self, changed=False, reused_shards=len(self.shards))

    def sql(self, statement: str, *, timeout: float | None = TIMEOUT) -> Answer:
        """Returns the answer to one question over the views that `rim sql` lists.

            bank.sql("SELECT reason, count(*) FROM images GROUP BY 1").to_arrow_table()

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
        """Returns the query engine of this bank; its models are loaded when they are first used.

            engine = bank.engine(overrides=("matching.matcher=prototype",))
            labels = [engine.segment(photo).label_map for photo in photos]

        overrides: "section.key=value" for the settings of proposals and matching. preset: where to
        find the bank's models, by default where its settings say.

        Raises SettingsError for a bad override, ModelError if models are missing or not the bank's.
        """
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
        """Returns the bank's models, from where `query_settings` says; held, and loaded when they
        are first used.

        purposes: what they are for, see `foundation.weights.roles`; with the preset, if one was
        named, for the error where one is missing.
        """
        from foundation.stack import ModelStack

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
        """Returns the bank's settings with another place for the models and with overrides of the
        query's own sections.
        """
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
        """Returns what the bank holds and how it was made, as plain data; the content of `rim info
        --json`.

            bank.info()["accepted"]
        """
        return summary(self)
