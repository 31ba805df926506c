"""`rim sql`, `rim info`: questions to a bank."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import rim
from tests.rim.conftest import NAMES, Run, files_of


def test_sql_formats(run: Run, built: Path, tmp_path: Path) -> None:
    question = "SELECT category, images FROM categories ORDER BY category_id"
    rows = run("sql", built, question, "--format", "json").json()
    assert rows == [{"category": name, "images": 4} for name in NAMES]
    csv = run("sql", built, question, "--format", "csv").out.splitlines()
    assert csv[:2] == ["category,images", "house,4"]
    table = run("sql", built, question).out
    assert "category" in table
    assert "house" in table
    target = tmp_path / "answer.parquet"
    assert run("sql", built, question, "--format", "parquet", "--output", target).status == 0
    assert pq.read_table(target).to_pylist() == rows


def test_sql_has_the_promised_columns(opened: rim.Bank) -> None:
    promised = {
        "categories": "category_id category synonyms images accepted features",
        "images": "image_id category number source prompt seed status reason width height mask"
        " mask_area sam_score attention_agreement points attention png",
        "features": "feature_id image_id category role embedding",
        "builds": "version time settings",
    }
    for view, columns in promised.items():
        found = opened.sql(f"SELECT * FROM {view} LIMIT 1").columns
        assert set(columns.split()) <= set(found)


def test_vector_functions_work_on_embeddings(opened: rim.Bank) -> None:
    rows = opened.sql(
        "SELECT max(array_cosine_similarity(a.embedding, a.embedding)) FROM features a"
    ).fetchall()
    assert rows[0][0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM nothing",
        "SELEC 1",
        "",
        "SELECT 1; SELECT 2",
        "CREATE TABLE x AS SELECT 1",
        "COPY (SELECT 1) TO 'out.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "ATTACH 'x.db'",
        "SET memory_limit = '1GB'",
    ],
)
def test_sql_refuses_anything_but_a_question(
    run: Run, bank_copy: Path, question: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files_of(tmp_path)
    outcome = run("sql", bank_copy, question)
    assert outcome.status == 2
    assert outcome.err.startswith("rim: ")
    assert len(outcome.err.splitlines()) <= 2
    assert files_of(tmp_path) == before


def test_sql_prompt_reads_several_questions(
    run: Run, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "SELECT 1 AS one;\nSELECT nonsense;\n.views\nSELECT count(*) AS n\nFROM images;\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    outcome = run("sql", built, "--format", "json")
    assert outcome.status == 0
    answers = [json.loads(line) for line in outcome.out.splitlines()]
    assert answers[0] == [{"one": 1}]
    views = {"categories", "images", "features", "prototypes", "builds"}
    assert {row["view"] for row in answers[1]} == views
    assert answers[2] == [{"n": 4 * len(NAMES)}]
    assert "nonsense" in outcome.err


def test_info(run: Run, built: Path) -> None:
    facts = run("info", built, "--json").json()
    assert facts["images"] == 4 * len(NAMES)
    assert facts["accepted"] + facts["rejected"] + facts["failed"] == facts["images"]
    assert [category["name"] for category in facts["categories"]] == list(NAMES)
    assert set(facts["models"]) == {"text_to_image", "segmenter", "features"}
    assert facts["seconds"]
    text = run("info", built).out
    assert "preset miniature" in text
    assert "house" in text
