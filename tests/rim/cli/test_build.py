"""`rim build`: what it makes, what it refuses, and that a refusal changes nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import rim
from tests.rim.conftest import NAMES, Run, files_of

CPU = ("--device", "cpu")
QUICK = ("-k", "2", "--steps", "4", "--device", "cpu")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("house, cottage\ngrass  # stuff\n", encoding="utf-8")
    return path


def test_builds_reports_and_then_has_nothing_to_do(run: Run, words: Path, tmp_path: Path) -> None:
    first = run("build", words, "--out", tmp_path / "bank", *QUICK, "--json")
    assert first.status in (0, 3), first.err
    report = first.json()
    assert report["images"] == 4
    assert report["accepted"] + report["rejected"] + report["failed"] == 4
    assert report["version"] == 1
    before = files_of(tmp_path / "bank")
    again = run("build", words, "--out", tmp_path / "bank", *QUICK)
    assert "up to date" in again.err
    assert files_of(tmp_path / "bank") == before


@pytest.mark.slow
def test_same_settings_same_bytes(words: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        rim.build(words, tmp_path / name, images_per_category=2, steps=4, device="cpu")
    first, second = (
        {
            name: data
            for name, data in files_of(tmp_path / bank).items()
            if name.endswith(".parquet")
        }
        for bank in ("one", "two")
    )
    assert first == second
    assert len(first) >= 6


@pytest.mark.slow
def test_more_images_and_categories_keep_the_old_shards(words: Path, tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    rim.build(words, bank, images_per_category=2, steps=4)
    old = {k: v for k, v in files_of(bank).items() if k.startswith("shards")}
    words.write_text("house, cottage\ngrass\nfish\n", encoding="utf-8")
    grown = rim.build(words, bank, images_per_category=3, steps=4)
    new = files_of(bank)
    assert grown.manifest.version == 2
    assert {k: new[k] for k in old} == old
    counts = grown.sql("SELECT category, images FROM categories ORDER BY 1").fetchall()
    assert counts == [("fish", 3), ("grass", 3), ("house", 3)]
    assert rim.open(bank, version=1).manifest.images_per_category == 2


def test_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"sand\n"), encoding="utf-8"))
    outcome = run("build", "-", "--out", tmp_path / "bank", "-k", "1", "--steps", "2")
    assert outcome.status in (0, 3), outcome.err
    assert rim.open(tmp_path / "bank").categories[0].name == "sand"


@pytest.mark.parametrize(
    ("vocabulary", "images", "megabytes"), [("voc20", 1000, 476), ("ade150", 7500, 3567)]
)
def test_dry_run_without_weights_counts_images_and_disk(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    vocabulary: str,
    images: int,
    megabytes: int,
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    command = ("build", vocabulary, "--out", tmp_path / "bank", "--preset", "paper", "--dry-run")
    outcome = run(*command)
    assert outcome.status == 0
    assert f"{images} of {images} images" in outcome.err
    assert f"about {megabytes} MB; no time without the weights" in outcome.err
    assert "rim fetch --preset paper" in outcome.err
    estimate = run(*command, "--json").json()
    assert (estimate["to_make"], estimate["seconds"], estimate["per_image"]) == (images, None, {})
    assert not (tmp_path / "bank").exists()


def test_dry_run_estimates_and_builds_nothing(run: Run, words: Path, tmp_path: Path) -> None:
    outcome = run(
        "build", words, "--out", tmp_path / "bank", "-k", "3", "--dry-run", "--json", *CPU
    )
    assert outcome.status == 0, outcome.err
    estimate = outcome.json()
    assert (estimate["images"], estimate["to_make"], estimate["categories"]) == (6, 6, 2)
    assert estimate["seconds"] > 0
    assert estimate["bytes"] > 1000
    assert not (tmp_path / "bank").exists()
    told = [line for line in outcome.err.splitlines() if line.startswith("estimate ")]
    assert told == [
        "estimate loading text_to_image",
        "estimate loading segmenter",
        "estimate loading features",
        "estimate timing generate: a few short runs on cpu",
        "estimate timing segmenter",
        "estimate timing features",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "at least one category"),
        (b"# only a comment\n", "at least one category"),
        (b"house\nfish\nHouse\n", "line 1 and on line 3"),
        (b"house\nzebra\n", "does not know zebra; it knows house"),
        (b"house\n\xff\n", "UTF-8"),
    ],
)
def test_refuses_a_bad_vocabulary(run: Run, tmp_path: Path, text: bytes, expected: str) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(text)
    outcome = run("build", path, "--out", tmp_path / "bank", *QUICK)
    assert outcome.status == 2
    assert expected in outcome.err
    assert len(outcome.err.splitlines()) <= 2
    assert not (tmp_path / "bank").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("voc20",), "--preset paper"),
        (("nowhere.txt",), "expected a vocabulary file"),
        (("miniature", "--preset", "minature"), "did you mean miniature?"),
        (("miniature", "--set", "generation.stps=3"), "did you mean steps?"),
        (("miniature", "--set", "generation.steps=0"), "generation.steps"),
        (("miniature", "--set", "nonsense"), "section.key=value"),
        (("miniature", "--device", "abacus"), "device"),
        (("miniature", "-k", "0"), "-k"),
        (("miniature", "--source", "photos"), "expected diffusion or folder:DIR"),
    ],
)
def test_refuses_a_bad_call(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    outcome = run("build", *arguments, "--out", tmp_path / "bank")
    assert outcome.status == 2
    assert expected in outcome.err
    assert not (tmp_path / "bank").exists()


def test_refuses_a_place_that_holds_something_else(run: Run, words: Path, tmp_path: Path) -> None:
    occupied = tmp_path / "photos"
    occupied.mkdir()
    (occupied / "cat.jpg").write_bytes(b"x")
    before = files_of(occupied)
    for place in (occupied, words):
        outcome = run("build", words, "--out", place, *QUICK)
        assert outcome.status == 2, outcome.err
    assert files_of(occupied) == before


def test_refuses_other_settings_on_an_existing_bank(run: Run, bank_copy: Path) -> None:
    before = files_of(bank_copy)
    words = bank_copy.parent / "names.txt"
    words.write_text("\n".join(NAMES), encoding="utf-8")
    outcome = run("build", words, "--out", bank_copy, "-k", "4", "--steps", "9", "--seed", "1")
    assert outcome.status == 2
    assert "generation.steps" in outcome.err
    assert files_of(bank_copy) == before


@pytest.mark.slow
def test_python_and_command_agree(run: Run, words: Path, tmp_path: Path) -> None:
    run("build", words, "--out", tmp_path / "one", *QUICK)
    rim.build(["house, cottage", "grass"], tmp_path / "two", images_per_category=2, steps=4)
    rows = [
        rim.open(tmp_path / name).images_table(["image_id", "category", "seed", "mask_area"])
        for name in ("one", "two")
    ]
    assert rows[0].equals(rows[1])


def test_the_bank_has_the_report_of_its_build(words: Path, tmp_path: Path) -> None:
    options = {"images_per_category": 2, "steps": 4}
    first = rim.build(words, tmp_path / "bank", **options)
    again = rim.build(words, tmp_path / "bank", **options)
    assert (first.build_report.changed, again.build_report.changed) == (True, False)
    assert first.build_report.images == 4
    assert rim.open(tmp_path / "bank").build_report == again.build_report


def test_what_is_dropped_from_a_vocabulary_is_told(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = ["house, fish", "fish"]
    rim.build(names, tmp_path / "one", images_per_category=1, steps=2)
    (told,) = caplog.messages
    assert "fish" in told
    path = tmp_path / "words.txt"
    path.write_text("\n".join(names), encoding="utf-8")
    outcome = run("build", path, "--out", tmp_path / "two", "-k", "1", "--steps", "2", *CPU)
    assert outcome.err.splitlines()[0].startswith("rim: warning: ")
    assert outcome.err.count("rim: warning: ") == 1
