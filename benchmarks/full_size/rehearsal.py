"""Time and peak memory of every command at full size on a CPU, with random weights.

    python -m benchmarks.full_size.rehearsal DIR [--json FILE]

Writes the snapshot into DIR if it is not there (see `snapshot`), then runs the commands as a user
would, each in a process of its own: build (two categories, one image each, two steps at 512x512),
query on a photo, sql, verify. Ends with 1 at the first command that fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table
from skimage.data import astronaut

from benchmarks.command import environment, parser_of, result_table, write_json
from benchmarks.full_size.snapshot import PRESET

_KIB_PER_GIB = 1024 * 1024
_WORDS = "house\ntraffic light\n"


@dataclass(frozen=True)
class Stage:
    """One command: how long it took, and the most memory that it held at once."""

    name: str
    seconds: float
    peak_gib: float


class StageFailed(RuntimeError):
    """A command of the rehearsal ended with another status than 0."""


def run(name: str, *arguments: str) -> Stage:
    """Runs a Python command in a process of its own, as an offline user."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], env=environment(HF_HUB_OFFLINE="1"))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise StageFailed(f"{name}: exit status {process.returncode}")
    return Stage(name, time.monotonic() - started, usage.ru_maxrss / _KIB_PER_GIB)


def rehearse(folder: Path) -> list[Stage]:
    """Runs all stages; that of the snapshot only if it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    preset, bank, labels = folder / PRESET, folder / "bank", folder / "labels"
    words, photo = folder / "words.txt", folder / "photo.png"
    words.write_text(_WORDS, encoding="utf-8")
    Image.fromarray(astronaut()).save(photo)
    for old in (bank, labels):
        shutil.rmtree(old, ignore_errors=True)
    rim = ("-m", "rim")
    offline = ("--offline", "--device", "cpu")
    build = ("build", str(words), "--out", str(bank), "--preset", str(preset), *offline)
    query = ("query", str(bank), str(photo), "--out", str(labels), *offline)
    ask = "SELECT category, status, width, height, mask_area FROM images"
    stages = []
    if not preset.exists():
        stages.append(run("snapshot", "-m", "benchmarks.full_size.snapshot", str(folder)))
    stages.append(run("build", *rim, *build))
    stages.append(run("query", *rim, *query))
    stages.append(run("sql", *rim, "sql", str(bank), ask))
    stages.append(run("verify", *rim, "verify", str(bank)))
    return stages


def stages_table(stages: Sequence[Stage]) -> Table:
    """The stages as a table for a terminal, one a row."""
    rows = [(stage.name, f"{stage.seconds:.1f}", f"{stage.peak_gib:.1f}") for stage in stages]
    return result_table("Full-size rehearsal", ("stage", "seconds", "peak GiB"), rows)


def main() -> None:
    """Rehearses in the folder that the command line names."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        stages = rehearse(options.folder)
    except StageFailed as error:
        sys.exit(str(error))
    Console().print(stages_table(stages))
    write_json(options.json, stages)


if __name__ == "__main__":
    main()
