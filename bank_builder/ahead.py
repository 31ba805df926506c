"""Making the next items while the present one is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class _End:
    """The last entry of the queue: the maker is done, or what it raised."""

    error: BaseException | None


@contextmanager
def ahead(items: Iterator[Item], depth: int = 1) -> Iterator[Iterator[Item]]:
    """The same items in the same order, made in a thread of their own, at most `depth` ahead.

    What the maker raises is raised where its next item would have been. Leaving the block stops
    the maker after the item that it is at.

        with ahead(batches) as made:
            for batch in made:
                ...
    """
    entries: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(entry: Item | _End) -> None:
        while not stopped.is_set():
            try:
                entries.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as raised:
            error = raised
        put(_End(error))

    def taken() -> Iterator[Item]:
        while not isinstance(entry := entries.get(), _End):
            yield entry
        if entry.error is not None:
            raise entry.error

    maker = threading.Thread(target=make, name="ahead", daemon=True)
    maker.start()
    try:
        yield taken()
    finally:
        stopped.set()
        maker.join()
