"""What the benchmarks' commands share: options, tables, and the files that they write."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from foundation.stack import choose_device
from schemas.settings import Settings, load_settings
from schemas.store.files import write_atomic

# Options


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is a module's docstring as it stands; it knows --json."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="also write everything here")
    return parser


def add_rounds(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Lets a parser know --rounds."""
    words = f"timed runs of each way (default {rounds})"
    parser.add_argument("--rounds", type=int, default=rounds, help=words)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Lets a parser know --device and --threads, see `device_of`."""
    parser.add_argument("--device", default="auto")
    words = "torch threads on the CPU (0: all cores)"
    parser.add_argument("--threads", type=int, default=0, help=words)


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Lets a parser know --preset and --set, see `settings_of`."""
    add = parser.add_argument
    add("--preset", default="miniature", help="the stack: a preset, or a .toml file")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a setting")


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings of the preset that was asked for, with its changes."""
    return load_settings(options.preset, options.set)


def device_of(options: argparse.Namespace) -> torch.device:
    """The device that was asked for; sets the number of threads."""
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    return choose_device(options.device)


def quiet_libraries() -> None:
    """Switches off the progress bars of models that are loaded."""
    import diffusers
    import transformers

    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def environment(**more: str) -> dict[str, str]:
    """Environment variables for a Python process of this checkout, wherever it is started."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])} | more


# Results


def result_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> Table:
    """A table for a terminal: the first column to the left, all others to the right."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A table for a document, without a newline at its end.

    align: of each column "l" or "r"; columns without a letter are to the left.
    """
    ruler = ["---:" if one == "r" else "---" for one in align.ljust(len(columns), "l")]
    lines = [f"| {' | '.join(columns)} |", f"|{'|'.join(ruler)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def plain(value: Any, digits: int | None = None) -> Any:
    """Dataclasses, mappings and sequences as JSON has them; what is not a number is None.

    digits: to which floats are rounded; None: not at all.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value), digits)
    if isinstance(value, Mapping):
        return {key: plain(inner, digits) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, digits) for inner in value]
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if digits is None else round(value, digits)
    return value


def write_json(path: Path | None, document: Any) -> None:
    """Writes a document, see `plain`, if a path is given; OSError if it cannot."""
    write_text(path, json.dumps(plain(document), indent=2, allow_nan=False) + "\n")


def write_text(path: Path | None, text: str) -> None:
    """Writes a file, and folders for it, if a path is given; OSError if it cannot."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode("utf-8"))
