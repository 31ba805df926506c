"""The command `rim app` before its page is there: refusals, and what is loaded for them."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

import rim.app.server
from rim.app.server import HOST
from tests.rim.conftest import Run


def test_without_gradio_it_says_how_to_get_it(
    run: Run, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rim.app.server, "find_spec", lambda name: None)
    outcome = run("app", built)
    assert outcome.status == 2
    assert len(outcome.err.splitlines()) == 1
    assert "rim-bank[app]" in outcome.err


@pytest.fixture
def _with_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rim.app.server, "check_gradio", lambda: None)


@pytest.mark.usefixtures("_with_gradio")
def test_a_port_that_is_taken(run: Run, built: Path) -> None:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        outcome = run("app", built, "--port", port)
    assert outcome.status == 2
    assert f"port {port} cannot be used" in outcome.err
    assert "--port 0" in outcome.err


@pytest.mark.usefixtures("_with_gradio")
def test_a_folder_that_is_no_bank(run: Run, tmp_path: Path) -> None:
    outcome = run("app", tmp_path / "nothing", "--port", 0)
    assert outcome.status == 2
    assert "expected a bank" in outcome.err


def test_help_and_the_session_need_no_gradio() -> None:
    code = (
        "import sys; from rim.cli.main import main\n"
        "try: main(['app', '--help'])\n"
        "except SystemExit: pass\n"
        "print('LOADED', sorted({'torch', 'gradio', 'numpy', 'pyarrow'} & set(sys.modules)))\n"
        "import rim.app.actions, rim.app.server\n"
        "print('LATER', sorted({'torch', 'gradio', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "rim app bank" in done.stdout
    assert "LOADED []" in done.stdout
    assert "LATER []" in done.stdout
