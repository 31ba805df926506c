"""The stand-in hub for all tests that download, a cache folder of the tests' own, and how tests
run: together, and of many examples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.stand_in_hub import StandInHub, running_hub, use_hub

# Processes that test in parallel share the CPUs; more threads than those would wait for each other.
# Set before torch is imported, and passed on to the commands that tests start.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _share)))

# How long an example takes is nothing that a test asserts, nor how long it takes to draw on a busy
# machine. CI tries as many as hypothesis would.
hypothesis.settings.register_profile(
    "rim",
    deadline=None,
    max_examples=100 if "CI" in os.environ else 40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("rim")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What rim remembers of files, also in processes that tests start, stays out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIM_CACHE", str(tmp_path_factory.mktemp("rim-cache")))
        yield


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    """A hub of its own, and caches of this test's own that are empty."""
    with running_hub() as server:
        use_hub(server, tmp_path / "caches", monkeypatch)
        yield server
