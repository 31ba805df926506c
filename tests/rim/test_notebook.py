"""The quickstart notebook runs from top to bottom and shows what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "quickstart.ipynb"


def read() -> Any:
    return pytest.importorskip("nbformat").read(NOTEBOOK, as_version=4)


def test_it_is_committed_without_outputs() -> None:
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert len(cells) >= 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


# The notebook's own process and this one talk over a local socket that nobody closes in time.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[2]))
    notebook = read()
    place = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources=place
    ).execute()
    results = [
        output.data
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "execute_result"
    ]
    assert [set(data) - {"text/plain"} for data in results] == [
        {"text/html"},  # the bank
        {"image/png"},  # the overlay
        *([{"text/html"}] * 4),  # the references, two answers, the scores
    ]
    assert results[0]["text/html"].count("<img") == 12
    assert results[2]["text/html"].count("<img") == 4
    assert "house" in results[3]["text/html"]
