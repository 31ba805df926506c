"""`rim compare-labels` with the miniature CLIP, from end to end."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

import rim
from foundation.stack import ModelStack
from rim.evaluation.label_similarity import LabelComparison
from schemas.settings import load_settings
from tests.rim.conftest import Run

THINGS = ["house", "fish", "key"]
MIXED = ["background", "fish", "grass, lawn"]


@pytest.fixture(scope="module")
def compared() -> LabelComparison:
    """Three things against a fish and grass."""
    return rim.compare_labels(THINGS, MIXED, preset="miniature", offline=True)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The same as vocabulary files."""
    paths = tmp_path / "things.txt", tmp_path / "mixed.txt"
    for path, lines in zip(paths, (THINGS, MIXED), strict=True):
        path.write_text("\n".join(lines))
    return paths


def test_the_numbers_are_those_of_the_prompts_embeddings(compared: LabelComparison) -> None:
    scorer = ModelStack(load_settings("miniature")).text_image
    a = scorer.embed_texts(["a photo of a house", "a photo of a fish", "a photo of a key"])
    b = scorer.embed_texts(["a photo of a fish", "a photo of grass"])
    cosine = a @ b.T

    found = compared.similarity
    assert found.a_to_b.hausdorff == pytest.approx(cosine.max(1).min(), abs=1e-5)
    assert found.a_to_b.mean == pytest.approx(cosine.max(1).mean(), abs=1e-5)
    assert found.b_to_a.hausdorff == pytest.approx(cosine.max(0).min(), abs=1e-5)
    assert found.hausdorff == pytest.approx(min(cosine.max(1).min(), cosine.max(0).min()), abs=1e-5)
    assert found.a_to_b.matches[-1].match == "fish"
    assert found.a_to_b.matches[-1].similarity == pytest.approx(1, abs=1e-6)


def test_background_and_synonyms_do_not_count(compared: LabelComparison) -> None:
    assert (compared.categories_a, compared.categories_b) == (3, 2)
    assert {one.category for one in compared.similarity.b_to_a.matches} == {"fish", "grass"}


def test_json_is_what_the_function_returns(
    run: Run, files: tuple[Path, Path], compared: LabelComparison
) -> None:
    outcome = run("compare-labels", *files, "--preset", "miniature", "--offline", "--json")

    result = outcome.json()
    assert outcome.status == 0
    assert (result["a"], result["b"]) == (str(files[0]), str(files[1]))
    assert (result["preset"], result["template"]) == ("miniature", "a photo of {category}")
    assert "h(A->B)" in result["definition"]
    assert result["hausdorff"] == pytest.approx(compared.similarity.hausdorff, abs=1e-6)
    for key, direction in (
        ("a_to_b", compared.similarity.a_to_b),
        ("b_to_a", compared.similarity.b_to_a),
    ):
        assert result[key]["mean"] == pytest.approx(direction.mean, abs=1e-6)
        assert [one["category"] for one in result[key]["matches"]] == [
            one.category for one in direction.matches
        ]


def test_the_table_shows_the_worst_categories(run: Run, files: tuple[Path, Path]) -> None:
    arguments = ("compare-labels", *files, "--preset", "miniature")
    shown = run(*arguments, "--top", 1).out

    assert "3 categories" in shown
    assert "'a photo of {category}'" in shown
    assert "A -> B" in shown
    assert "worst, B -> A" in shown
    assert "grass" in shown  # the worst of B
    assert "worst, " not in run(*arguments, "--top", 0).out


def test_another_template_gives_other_numbers(compared: LabelComparison) -> None:
    other = rim.compare_labels(
        THINGS, MIXED, preset="miniature", template="{category}", offline=True
    )

    assert other.template == "{category}"
    assert other.similarity.a_to_b.mean != compared.similarity.a_to_b.mean


def test_shipped_names_and_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"sky\nsand\n")))

    result = run("compare-labels", "-", "miniature", "--preset", "miniature", "--json").json()

    assert (result["categories_a"], result["categories_b"]) == (2, 22)
    assert result["a_to_b"]["hausdorff"] == pytest.approx(1, abs=1e-6)


def test_words_that_the_miniature_clip_never_learned_are_pointed_out(run: Run) -> None:
    outcome = run("compare-labels", "voc20", "miniature", "--preset", "miniature", "--json")

    (warning,) = outcome.json()["warnings"]
    assert "has learned 22 words; 16 of these names are not among them" in warning
    assert "--preset paper" in warning
    assert warning in outcome.err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("voc20", "voc2"), 2, "expected a vocabulary file, '-' or a shipped name"),
        (("-", "-"), 2, "expected one vocabulary from standard input, found two"),
        (("voc20", "voc21", "--template", "photo"), 2, "expected {category} once"),
        (("voc20", "voc21", "--preset", "papre"), 2, "did you mean paper?"),
        (("voc20", "voc21", "--offline"), 2, "rim fetch --preset paper"),
    ],
)
def test_errors_are_one_line_and_say_what_to_do(
    run: Run,
    arguments: tuple[str, ...],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    outcome = run("compare-labels", *arguments)

    assert (outcome.status, outcome.out) == (status, "")
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 1


def test_equal_names_are_embedded_once_and_match_exactly() -> None:
    found = rim.compare_labels(["fish", "owl"], ["owl", "fish"], preset="miniature")

    assert found.similarity.hausdorff == pytest.approx(1, abs=1e-6)
    assert {(one.category, one.match) for one in found.similarity.a_to_b.matches} == {
        ("fish", "fish"),
        ("owl", "owl"),
    }
    assert np.isfinite(found.similarity.a_to_b.mean)
