"""The options and the targets of the speed benchmarks, and their output: a table, a JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import diffusers
import torch
import transformers
from rich.console import Console

from benchmarks.gate import Gate, gates_table
from benchmarks.speed.timing import Seconds
from foundation.stack import choose_device
from schemas.settings import Settings, load_settings


def parser_of(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """A parser that knows --rounds, --device, --threads and --json."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rounds", type=int, default=rounds, help=f"timed runs of each way (default {rounds})")
    add("--device", default="auto")
    add("--threads", type=int, default=0, help="torch threads on the CPU (0: all cores)")
    add("--json", type=Path, help="also write everything here")
    return parser


def add_preset(parser: argparse.ArgumentParser) -> None:
    """Lets a parser know --preset and --set."""
    add = parser.add_argument
    add("--preset", default="miniature", help="the stack: a preset, or a .toml file")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change a setting")


def settings_of(options: argparse.Namespace) -> Settings:
    """The preset that was asked for, with its changes."""
    return load_settings(options.preset, options.set)


def target(
    settings: Settings, device: torch.device, *, miniature: float, full_size: float
) -> float | None:
    """The wanted ratio: of the miniature stack on two cores, of a full-size one on a GPU."""
    is_miniature = settings.known_categories is not None
    if device.type == "cpu":
        return miniature if is_miniature else None
    return None if is_miniature else full_size


def device_of(options: argparse.Namespace) -> torch.device:
    """The device that was asked for, its number of threads set."""
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    return choose_device(options.device)


def quiet_libraries() -> None:
    """No progress bars of models that are loaded."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def where(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, threads: {torch.get_num_threads()}"


def report(title: str, gates: Sequence[Gate], seconds: Seconds, path: Path | None) -> None:
    """Print the gates as a table; write them with the seconds of every round if a path is given."""
    table = gates_table(gates)
    table.title = title
    Console().print(table)
    if path is not None:
        document = {
            "title": title,
            "gates": [gate.as_dict() for gate in gates],
            "seconds": {name: [round(one, 6) for one in times] for name, times in seconds.items()},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
