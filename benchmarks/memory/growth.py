"""Memory of building and of querying, over few and many categories and photos.

    python -m benchmarks.memory.growth [--categories 10 200] [--photos 10 500] [--work DIR] [--json FILE]

Builds a bank of each number of categories and labels the fewest photos with it, with the largest
bank also the others. Each is a process of its own (see `benchmarks.memory.worker`), whose memory is
read 200 times a second (Linux alone).

- "anonymous" is what a process must have: nothing can take it back while it runs. Its growth with
  categories and photos is what counts.
- "mapped" are pages of files. The system drops them when it needs the memory, and reads them again:
  a bank's vectors may be there whole and still keep nobody out.

Both are peaks. "kept" is the least that is anonymous in the last quarter of the time, as between
two photos. All are less what a process had when its imports were done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

_KIB = 1024
_MIB = 1024 * 1024
_EVERY = 0.005
_FLOAT = 4
_ROLES = 2


@dataclass(frozen=True)
class Memory:
    """Memory of one process at one moment, in bytes."""

    anonymous: int
    mapped: int


@dataclass(frozen=True)
class Run:
    """One process: what it did, its memory in bytes above what it had when its imports were done.

    anonymous, mapped: peaks. kept: the least that is anonymous in the last quarter of the time, as
    between two photos.
    """

    doing: str
    categories: int
    photos: int
    anonymous: int
    mapped: int
    kept: int
    seconds: float


@dataclass(frozen=True)
class Growth:
    """Anonymous bytes for one more of something, and what its vectors are on the disk."""

    doing: str
    per: str
    bytes: float
    vectors: int


class ProcessFailed(RuntimeError):
    """A process that was watched ended with another status than 0."""


def memory_of(pid: int) -> Memory | None:
    """What a process has now; None once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines)
    if "RssAnon" not in fields:  # ended, and not yet waited for
        return None
    anonymous, file, shared = (
        int(fields[name].split()[0]) * _KIB for name in ("RssAnon", "RssFile", "RssShmem")
    )
    return Memory(anonymous, file + shared)


class Worker:
    """A process that forks for each thing to do, so that all begin with the same imports.

    Used with `with`. What the forks say goes into a file of the folder.
    """

    def __init__(self, folder: Path, module: str = "benchmarks.memory.worker") -> None:
        self._module = module
        self._log = folder / "log.txt"

    def __enter__(self) -> Worker:
        # Its module search path begins here, wherever the benchmark was started from.
        root = str(Path(__file__).resolve().parents[2])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.kill()

    def watch(self, *words: object) -> tuple[list[Memory], float]:
        """Does one thing; the memory of its process from time to time, and its seconds.

        Raises ProcessFailed with the end of what it said.
        """
        asked, answers = self._process.stdin, self._process.stdout
        if asked is None or answers is None:
            raise ProcessFailed(f"{self._module} has no pipes")
        with contextlib.suppress(BrokenPipeError):
            asked.write(json.dumps(words, default=str).encode() + b"\n")
        pid, started, samples = answers.readline(), time.monotonic(), []
        while pid and not select.select([answers], [], [], _EVERY)[0]:
            now = memory_of(int(pid))
            if now is not None:
                samples.append(now)
        if answers.readline() != b"0\n":
            said = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise ProcessFailed(f"{self._module} failed at {words}:\n{said}")
        return samples, time.monotonic() - started


def measure(arguments: argparse.Namespace, work: Path) -> list[Run]:
    """All runs; one bank is on the disk at a time."""
    from benchmarks.memory.worker import START, Sizes

    photos = {count: _photos(work / f"photos-{count}", count, arguments.pixels)
              for count in arguments.photos}  # fmt: skip
    runs = []
    with Worker(work) as worker:
        for categories in arguments.categories:
            sizes = Sizes(
                categories, arguments.images, arguments.dimension, arguments.pixels, arguments.grid
            )
            few, largest = min(photos), categories == max(arguments.categories)
            todo = [("build", 0, work)]
            todo += [
                ("query", count, folder)
                for count, folder in photos.items()
                if largest or count == few
            ]
            for doing, count, folder in todo:
                samples, seconds = worker.watch(doing, work, asdict(sizes), folder)
                start = Memory(**json.loads((work / START).read_text(encoding="utf-8")))
                runs.append(described((doing, categories, count), start, samples, seconds))
                shutil.rmtree(work / "labels", ignore_errors=True)
            shutil.rmtree(work / "bank")
    return runs


def described(
    what: tuple[str, int, int], start: Memory, samples: Sequence[Memory], seconds: float
) -> Run:
    """A run of what it did (doing, categories, photos) and its samples."""
    return Run(
        *what,
        anonymous=max(one.anonymous for one in samples) - start.anonymous,
        mapped=max(one.mapped for one in samples) - start.mapped,
        kept=min(one.anonymous for one in samples[-len(samples) // 4 :]) - start.anonymous,
        seconds=seconds,
    )


def growth(runs: Sequence[Run], images: int, dimension: int) -> list[Growth]:
    """Of the peak from the smallest to the largest bank and, if there are two numbers, of what is
    kept from the fewest to the most photos.

    (From photo to photo the peak goes up and down by some MiB, whatever their number.)
    """
    vectors = images * _ROLES * dimension * _FLOAT
    found = []
    for doing in ("build", "query"):
        own = [run for run in runs if run.doing == doing]
        count = min(run.photos for run in own)
        own = [run for run in own if run.photos == count]
        few, many = (pick(own, key=lambda run: run.categories) for pick in (min, max))
        more = many.categories - few.categories
        found.append(Growth(doing, "category", (many.anonymous - few.anonymous) / more, vectors))
    largest = max(run.categories for run in runs)
    queries = [run for run in runs if (run.doing, run.categories) == ("query", largest)]
    few, many = (pick(queries, key=lambda run: run.photos) for pick in (min, max))
    if few != many:
        each = (many.kept - few.kept) / (many.photos - few.photos)
        found.append(Growth("query", "photo", each, 0))
    return found


def show(runs: Sequence[Run], growths: Sequence[Growth], console: Console) -> None:
    """Two tables."""
    table = Table(title="MiB")
    for name in ("", "categories", "photos", "anonymous", "kept", "mapped", "seconds"):
        table.add_column(name, justify="right" if name else "left")
    for run in runs:
        table.add_row(
            run.doing,
            str(run.categories),
            str(run.photos or ""),
            f"{run.anonymous / _MIB:.0f}",
            f"{run.kept / _MIB:.0f}",
            f"{run.mapped / _MIB:.0f}",
            f"{run.seconds:.0f}",
        )
    console.print(table)
    table = Table(title="KiB")
    for name in ("growth", "anonymous", "vectors on the disk"):
        table.add_column(name, justify="left" if name == "growth" else "right")
    for one in growths:
        table.add_row(
            f"{one.doing}, each {one.per}",
            f"{one.bytes / _KIB:.1f}",
            f"{one.vectors / _KIB:.0f}" if one.vectors else "",
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--categories", type=int, nargs="+", default=[10, 200])
    parser.add_argument("--photos", type=int, nargs="+", default=[10, 500])
    parser.add_argument("--images", type=int, default=50, help="of each category")
    parser.add_argument("--dimension", type=int, default=1024, help="of a feature")
    parser.add_argument("--pixels", type=int, default=512, help="a side, of pictures and photos")
    parser.add_argument("--grid", type=int, default=8, help="prompt points a side of a photo")
    parser.add_argument(
        "--work", type=Path, help="a folder on a disk with room for the largest bank"
    )
    parser.add_argument("--json", type=Path, help="write runs and growths to this file")
    arguments = parser.parse_args()
    if len(set(arguments.categories)) < 2:
        parser.error("expected two numbers of categories at least, to see growth")
    if arguments.work is not None:
        arguments.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        runs = measure(arguments, Path(folder))
    growths = growth(runs, arguments.images, arguments.dimension)
    show(runs, growths, Console())
    if arguments.json is not None:
        rows = {"runs": [asdict(run) for run in runs], "growth": [asdict(one) for one in growths]}
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _photos(folder: Path, count: int, side: int) -> Path:
    """So many photos of noise; only a few are different files."""
    from benchmarks.memory.worker import POOL, noise
    from foundation.images.reading import encode_png

    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number < POOL:
            path.write_bytes(encode_png(noise(1000 + number, side)))
        else:
            os.link(folder / f"{number % POOL:05d}.png", path)
    return folder


if __name__ == "__main__":
    main()
