"""The memory of building and of querying, over few and many categories and photos.

    python -m benchmarks.memory.growth [--categories 10 200] [--photos 10 500] [--work DIR]
                                       [--json FILE]

Builds a bank of each number of categories and labels the fewest photos with it, with the largest
bank also the others. Each is a process of its own (see `benchmarks.memory.worker`), whose memory is
read 200 times a second (Linux alone).

- "anonymous" is what a process must have: nothing can take it back while it runs. Its growth with
  categories and photos is what counts.
- "mapped" are pages of files. The system drops them when it needs the memory, and reads them again:
  all of a bank's vectors may be there, and other programs still get the memory.

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

from benchmarks.command import environment, parser_of, result_table, write_json
from benchmarks.memory.process import Memory, memory_of
from benchmarks.memory.worker import IMAGE_POOL, START, Sizes, noise
from foundation.images.reading import encode_png

_KIB = 1024
_MIB = 1024 * 1024
_EVERY = 0.005
_FLOAT = 4
_ROLES = 2


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


class Worker:
    """A process that forks for each thing to do, so that all begin with the same imports.

    A context manager. What the forks print goes into a file of the folder.
    """

    def __init__(self, folder: Path, module: str = "benchmarks.memory.worker") -> None:
        self._module = module
        self._log = folder / "log.txt"

    def __enter__(self) -> Worker:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                env=environment(OMP_NUM_THREADS="1"),
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
        """Has one thing done; returns samples of its process's memory, and its seconds.

        Raises ProcessFailed with the end of what it printed.
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


def measure(options: argparse.Namespace, work: Path) -> list[Run]:
    """Measures all runs; one bank is on the disk at a time."""
    photos = {count: _photos(work / f"photos-{count}", count, options.pixels)
              for count in options.photos}  # fmt: skip
    runs = []
    with Worker(work) as worker:
        for categories in options.categories:
            sizes = Sizes(
                categories, options.images, options.dimension, options.pixels, options.grid
            )
            few, largest = min(photos), categories == max(options.categories)
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
    """The run of one process, of what it did (doing, categories, photos) and its samples."""
    return Run(
        *what,
        anonymous=max(one.anonymous for one in samples) - start.anonymous,
        mapped=max(one.mapped for one in samples) - start.mapped,
        kept=min(one.anonymous for one in samples[-len(samples) // 4 :]) - start.anonymous,
        seconds=seconds,
    )


def growth(runs: Sequence[Run], images: int, dimension: int) -> list[Growth]:
    """The growth of the peak with categories and, given two numbers of photos, of `kept` with them.

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
    """Prints two tables."""
    rows = [
        (
            run.doing,
            str(run.categories),
            str(run.photos or ""),
            f"{run.anonymous / _MIB:.0f}",
            f"{run.kept / _MIB:.0f}",
            f"{run.mapped / _MIB:.0f}",
            f"{run.seconds:.0f}",
        )
        for run in runs
    ]
    columns = ("", "categories", "photos", "anonymous", "kept", "mapped", "seconds")
    console.print(result_table("MiB", columns, rows))
    rates = [
        (
            f"{one.doing}, each {one.per}",
            f"{one.bytes / _KIB:.1f}",
            f"{one.vectors / _KIB:.0f}" if one.vectors else "",
        )
        for one in growths
    ]
    console.print(result_table("KiB", ("growth", "anonymous", "vectors on the disk"), rates))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the tables; `arguments` are the command line's."""
    parser = parser_of(__doc__)
    add = parser.add_argument
    add("--categories", type=int, nargs="+", default=[10, 200])
    add("--photos", type=int, nargs="+", default=[10, 500])
    add("--images", type=int, default=50, help="of each category")
    add("--dimension", type=int, default=1024, help="of a feature")
    add("--pixels", type=int, default=512, help="a side, of images and photos")
    add("--grid", type=int, default=8, help="prompt points a side of a photo")
    add("--work", type=Path, help="a folder on a disk with room for the largest bank")
    options = parser.parse_args(arguments)
    if len(set(options.categories)) < 2:
        parser.error("expected two numbers of categories at least, to see growth")
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        runs = measure(options, Path(folder))
    growths = growth(runs, options.images, options.dimension)
    show(runs, growths, Console())
    write_json(options.json, {"runs": runs, "growth": growths})


def _photos(folder: Path, count: int, side: int) -> Path:
    """Writes as many photos of noise; only a few are different files."""
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.png"
        if number < IMAGE_POOL:
            path.write_bytes(encode_png(noise(1000 + number, side)))
        else:
            os.link(folder / f"{number % IMAGE_POOL:05d}.png", path)
    return folder


if __name__ == "__main__":
    main()
