"""`rim add`, `remove`, `reject`, `accept` with the miniature stack, and the same in Python."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import rim
from miniature.world import draw_single
from schemas.ids import pack_image_id
from schemas.resources import data_folder
from schemas.store.bank import StoredBank
from schemas.store.manifests import list_versions
from tests.bank_builder.equal import assert_equal, shard_files
from tests.rim.conftest import NAMES, Run, files_of

HOUSE_0, FISH_2 = pack_image_id(0, "diffusion", 0), pack_image_id(1, "diffusion", 2)


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Puts a text on standard input."""
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", stream)


@pytest.mark.slow
def test_removed_and_added_again_it_equals_the_bank_built_at_once(
    run: Run, bank_copy: Path, built: Path
) -> None:
    before = shard_files(bank_copy)

    removed = run("remove", bank_copy, "Fish", "--json")
    assert removed.status == 0, removed.err
    assert removed.json()["removed"] == ["fish"]
    assert (removed.json()["version"], removed.json()["images"]) == (2, 12)
    assert [record.name for record in StoredBank(bank_copy).categories] == ["house", "grass", "sky"]

    added = run("add", bank_copy, "fish", "--device", "cpu", "--json")
    assert added.status == 0, added.err
    assert (added.json()["version"], added.json()["images"]) == (3, 16)
    assert_equal(StoredBank(bank_copy), StoredBank(built))
    assert StoredBank(bank_copy).categories[-1].category_id == 4
    assert before.items() <= shard_files(bank_copy).items()
    verified = run("verify", bank_copy)
    assert verified.status == 0, verified.err


@pytest.mark.slow
def test_the_banks_models_may_lie_elsewhere_now(run: Run, bank_copy: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(data_folder() / "miniature", moved / "miniature", copy_function=os.link)
    preset = moved / "moved.toml"
    preset.write_text((data_folder() / "presets" / "miniature.toml").read_text())
    settings = StoredBank(bank_copy).settings

    outcome = run("add", bank_copy, "boat", "--preset", preset, "--offline")

    assert outcome.status == 0, outcome.err
    assert StoredBank(bank_copy).settings == settings
    # Other weights under those names are not the bank's.
    config = moved / "miniature" / "features" / "config.json"
    content = config.read_text()
    config.unlink()
    config.write_text(content + "\n")
    refused = run("add", bank_copy, "mushroom", "--preset", preset, "--offline")
    assert refused.status == 2
    assert "models.features: expected the weights that made the bank" in refused.err
    assert list_versions(bank_copy) == [1, 2]


def test_photos_are_added_with_a_warning_for_a_dropped_synonym(
    run: Run, bank_copy: Path, tmp_path: Path
) -> None:
    for number in range(2):
        path = tmp_path / "photos" / "--zebra" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_single(number, "snail", (72, 96)).image).save(path)
    source = f"folder:{tmp_path / 'photos'}"

    outcome = run("add", bank_copy, "--source", source, "--", "--zebra, sky")

    assert outcome.status == 0, outcome.err
    assert "warning: the list of categories, entry 1: dropped the synonym 'sky'" in outcome.err
    assert "version 2, 1 category added; 18 images" in outcome.err
    assert "images 2/2" in outcome.err
    assert rim.open(bank_copy).categories[-1].name == "--zebra"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("add", "house"), "it has the category 'house' already"),
        (("add", "zebra"), "does not know zebra; it knows house"),
        (("add", "boat", "--source", "photos"), "expected diffusion or folder:DIR"),
        (("add", "boat", "--preset", "minature"), "did you mean miniature?"),
        (("add",), "Missing argument"),
        (("remove", "hose"), "did you mean house?"),
        (("remove", *NAMES), "at least one category"),
        (("remove",), "Missing argument"),
        (("reject", "7"), "expected image_ids of the bank, found 7"),
        (("reject", "one"), "expected an image_id, a whole number, found 'one'"),
        (("reject", "0", "--reason", "a\tb"), "control character U+0009"),
        (("reject", "0", "--reason", "x", "--undo"), "--undo takes no --reason"),
        (("reject",), "Missing argument"),
        (("accept", "-"), "standard input, line 2: expected an image_id"),
        (("accept", "1_0"), "found '1_0'"),
        (("accept", "0", "--reason", "x"), "No such option"),
    ],
)
def test_refuses_a_bad_call_and_changes_nothing(
    run: Run,
    built: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    type_in(monkeypatch, "0\nzero\n")
    before = files_of(built)

    outcome = run(arguments[0], built, *arguments[1:])

    assert outcome.status == 2
    assert expected in outcome.err
    assert len(outcome.err.splitlines()) <= 2
    assert files_of(built) == before


@pytest.mark.parametrize("command", ["add", "remove", "reject", "accept"])
def test_wants_a_bank(run: Run, tmp_path: Path, command: str) -> None:
    outcome = run(command, tmp_path / "nowhere", "7")
    assert outcome.status == 2
    assert "found nothing there; rim build makes one" in outcome.err
    assert not list(tmp_path.iterdir())


def test_a_verdict_and_back(run: Run, bank_copy: Path, built: Path) -> None:
    first = run("reject", bank_copy, FISH_2, HOUSE_0, "--reason", "a drawing")
    assert first.status == 0, first.err
    assert "version 2, 2 images rejected; 14 of 16 accepted" in first.err
    asked = "SELECT image_id, reason FROM images WHERE status = 'rejected' ORDER BY 1"
    assert rim.open(bank_copy).sql(asked).fetchall() == [
        (HOUSE_0, "a drawing"),
        (FISH_2, "a drawing"),
    ]

    again = run("reject", bank_copy, FISH_2, HOUSE_0)
    assert (again.status, list_versions(bank_copy)) == (0, [1, 2])
    assert "nothing to change in 2 images; version 2" in again.err

    accepted = run("accept", bank_copy, FISH_2, "--json").json()
    assert (accepted["changed_images"], accepted["version"]) == ([FISH_2], 3)
    assert run("accept", bank_copy, FISH_2, "--undo").status == 0
    undone = run("reject", bank_copy, HOUSE_0, FISH_2, "--undo", "--json").json()
    assert (undone["changed_images"], undone["unchanged_images"]) == ([HOUSE_0], [FISH_2])
    assert_equal(StoredBank(bank_copy), StoredBank(built))


def test_a_category_left_without_a_feature_gives_status_3(run: Run, bank_copy: Path) -> None:
    skies = [pack_image_id(3, "diffusion", number) for number in range(4)]
    outcome = run("reject", bank_copy, *skies)
    assert outcome.status == 3
    assert "no usable reference image left of: sky" in outcome.err
    outcome = run("reject", bank_copy, FISH_2, "--json")
    assert (outcome.status, outcome.json()["emptied"]) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["| tail -n +2", ""])
def test_what_rim_sql_finds_can_be_piped(bank_copy: Path, cut: str) -> None:
    command = f"""
        rim() {{ "{sys.executable}" -m rim "$@"; }}
        rim sql "$BANK" "SELECT image_id FROM images WHERE category = 'fish' AND number > 1" \
            --format csv {cut} | rim reject "$BANK" - --reason "not needed" --json
    """
    ended = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "BANK": str(bank_copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    bank = rim.open(bank_copy)
    asked = "SELECT category, number FROM images WHERE reason = 'not needed' ORDER BY 2"
    assert bank.sql(asked).fetchall() == [("fish", 2), ("fish", 3)]


def test_nothing_piped_is_nothing_to_do(
    run: Run, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "image_id\r\n\r\n")
    outcome = run("reject", built, "-")
    assert outcome.status == 2
    assert "expected at least one image_id, found none; nothing was changed" in outcome.err


def test_windows_lines_and_arguments_go_together(
    run: Run, bank_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, f"\ufeff{HOUSE_0}\r\n\r\n {HOUSE_0} \r\n")
    outcome = run("accept", bank_copy, FISH_2, "-", "--json")
    assert outcome.status == 0, outcome.err
    assert outcome.json()["changed_images"] == [FISH_2, HOUSE_0]


def test_in_python(bank_copy: Path, built: Path) -> None:
    bank = rim.open(bank_copy)
    stack = bank.model_stack(bank.settings, "cpu", True)

    rejected = rim.reject(bank, [HOUSE_0], reason="a drawing")
    accepted = rim.accept(rejected, (image_id for image_id in [HOUSE_0, FISH_2]))
    smaller = rim.remove(str(bank_copy), ["sky"])
    larger = rim.add(accepted, iter(["sky"]), device="cpu", offline=True)

    versions = [one.manifest.version for one in (bank, rejected, accepted, smaller, larger)]
    assert versions == [1, 2, 3, 4, 5]
    assert isinstance(larger, rim.Bank)
    assert rejected.verdicts[0].reason == "a drawing"
    assert_equal(larger, StoredBank(built))
    # The models that were loaded for one version serve the next.
    assert larger.model_stack(larger.settings, "cpu", True) is stack
    undone = rim.reject(rim.accept(larger, [HOUSE_0, FISH_2], undo=True), [HOUSE_0], undo=True)
    assert (undone.manifest.version, undone.verdicts) == (6, ())
    with pytest.raises(rim.RimError, match="needs no reason"):
        rim.reject(undone, [HOUSE_0], reason="x", undo=True)
    with pytest.raises(rim.RimError, match="single text"):
        rim.add(undone, "boat")


@pytest.mark.parametrize(
    "arguments",
    [
        ["remove", "sky"],
        ["reject", "0"],
        ["accept", "0"],
        ["add", "zebra"],
        ["add", "boat", "--source", "folder:nowhere"],
    ],
)
def test_needs_no_model_library(bank_copy: Path, arguments: list[str]) -> None:
    words = [arguments[0], str(bank_copy), *arguments[1:]]
    code = (
        "import sys; from rim.cli.main import main\n"
        f"try: main({words!r})\n"
        "except SystemExit as leaving: print(leaving.code, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == f"{2 if arguments[0] == 'add' else 0} False\n", ended.stderr
