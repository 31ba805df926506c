"""`rim build --source folder:DIR` with the miniature stack: drawn photos as references."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rim
from bank_builder.points import centre_points
from bank_builder.reference_mask import segment_photo
from foundation.images.masks import decode_rle, mask_iou
from foundation.stack import ModelStack
from miniature.world import CATEGORIES, draw_scene, draw_single
from schemas.rle import Rle
from tests.rim.conftest import NAMES, Run, files_of

SIZE = (72, 96)


def photo(folder: Path, category: str, number: int, label: str | None = None) -> np.ndarray:
    """Draws one thing, or stuff, as folder/label/NUMBER.png; returns where it is."""
    scene = draw_single(900 + number, category, SIZE)
    path = folder / (label or category) / f"{number}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene.image).save(path)
    truth: np.ndarray = scene.labels == CATEGORIES.index(category)
    return truth


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photos of each category; the first of each has its mask."""
    folder = tmp_path_factory.mktemp("photos")
    for category in NAMES:
        truths = [photo(folder, category, number) for number in range(3)]
        Image.fromarray(truths[0]).save(folder / category / "0.mask.png")
    return folder


@pytest.fixture(scope="module")
def of_photos(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> rim.Bank:
    """A bank of these photos alone."""
    out = tmp_path_factory.mktemp("banks") / "photos"
    return rim.build(NAMES, out, source=f"folder:{photos}", device="cpu")


def test_masks_are_the_drawn_ones_or_close_to_them(of_photos: rim.Bank) -> None:
    columns = ["category", "number", "status", "mask", "sam_score", "file"]
    for row in of_photos.images_table(columns).to_pylist():
        assert row["status"] == "accepted"
        assert row["file"] == f"{row['category']}/{row['number']}.png"
        truth = draw_single(900 + row["number"], row["category"], SIZE).labels
        mask = decode_rle(Rle(tuple(row["mask"]["size"]), row["mask"]["counts"]))
        overlap = mask_iou(mask, truth == CATEGORIES.index(row["category"]))
        if row["number"] == 0:
            assert (overlap, row["sam_score"]) == (1.0, None)
        else:
            assert overlap > 0.7
            assert row["sam_score"] >= 0.4


def test_a_feature_is_the_mean_of_its_masks_patches(of_photos: rim.Bank) -> None:
    scene = draw_single(900, "house", SIZE)
    tokens = ModelStack(of_photos.settings, "cpu").features.extract([scene.image])[0]
    rows, columns, _ = tokens.shape
    # Every pixel of the mask, cut fine enough that each piece lies in one patch.
    mask = np.kron(scene.labels == CATEGORIES.index("house"), np.ones((rows, columns)))
    weights = mask.reshape(rows, SIZE[0], columns, SIZE[1]).mean(axis=(1, 3))
    mean = (tokens.astype(np.float64) * weights[:, :, None]).sum(axis=(0, 1))

    stored = of_photos.features().embeddings[0]

    assert stored == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_a_bank_of_photos_answers(of_photos: rim.Bank) -> None:
    scene = draw_scene(11, (96, 128), things=("house", "fish"))

    result = rim.query(of_photos, scene.image)

    truth = np.full(scene.labels.shape, -1)
    for index, name in enumerate(NAMES):
        truth[scene.labels == CATEGORIES.index(name)] = index
    known = truth >= 0
    assert (result.label_map == truth)[known].mean() > 0.6
    nearest = {match.image_id for region in result.regions for match in region.references}
    assert nearest <= set(of_photos.images_table(["image_id"])["image_id"].to_pylist())
    assert nearest


def test_a_photo_that_fills_is_right_in_stuff_and_wrong_in_a_thing(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    for number in range(6):
        photo(folder, "fish", number)
    photo(folder, "water", 6, label="fish")  # the fish has swum away
    for number in range(5):
        photo(folder, "water", number)
    photo(folder, "brick", 0)  # alone

    bank = rim.build(
        ["fish", "water", "brick"], tmp_path / "bank", source=f"folder:{folder}", device="cpu"
    )

    rows = bank.images_table(["category", "number", "status", "reason", "mask_area"]).to_pylist()
    rejected = [row for row in rows if row["status"] != "accepted"]
    assert [(row["category"], row["number"]) for row in rejected] == [("fish", 6)]
    assert rejected[0]["reason"].startswith("mask too large for its category (above 0.75 of the")
    stuff = [row["mask_area"] for row in rows if row["category"] != "fish"]
    assert (len(stuff), min(stuff)) == (6, pytest.approx(1, abs=0.05))


def test_of_a_things_photo_the_mask_of_all_there_is_is_not_chosen(of_photos: rim.Bank) -> None:
    scene = draw_single(1001, "key", (128, 128))
    segmenter = ModelStack(of_photos.settings, "cpu").segmenter
    points = centre_points((128, 128), of_photos.settings.localisation.points)
    embedding = segmenter.embed(scene.image)
    candidates = segmenter.predict(embedding, points[None].astype(np.float32))
    areas = segmenter.upsample(embedding, candidates.logits[0]).mean(axis=(1, 2))
    assert areas[int(candidates.predicted_iou[0].argmax())] > 0.9  # the one SAM rates best

    found = segment_photo(segmenter, scene.image, points, of_photos.settings.reference)

    assert mask_iou(found.mask, scene.labels == CATEGORIES.index("key")) > 0.8


def test_photos_join_the_generated_images(
    run: Run, bank_copy: Path, built: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    for number in range(2):
        photo(folder, "house", number, label="House")
        photo(folder, "snail", number, label="zebra")  # what the generator does not know
    words = tmp_path / "words.txt"
    words.write_text("\n".join((*NAMES, "zebra")), encoding="utf-8")
    before = files_of(built / "shards")

    outcome = run("build", words, "--out", bank_copy, "--source", f"folder:{folder}", "--json")

    assert outcome.status == 0, outcome.err
    report = outcome.json()
    assert (report["version"], report["images"]) == (2, 4 * len(NAMES) + 4)
    assert before.items() <= files_of(bank_copy / "shards").items()
    bank = rim.open(bank_copy)
    asked = "SELECT category, source, count(*), count(file) FROM images GROUP BY ALL ORDER BY ALL"
    counts = bank.sql(asked).fetchall()
    assert counts == [
        *((name, "diffusion", 4, 0) for name in ("fish", "grass", "house")),
        ("house", "folder", 2, 2),
        ("sky", "diffusion", 4, 0),
        ("zebra", "folder", 2, 2),
    ]
    assert run("info", bank_copy, "--json").json()["sources"] == {"diffusion": 16, "folder": 4}
    assert "20 images (16 diffusion, 4 folder)" in run("info", bank_copy).out
    assert run("verify", bank_copy).status == 0


def test_a_photo_that_cannot_be_read_gives_exit_status_3(run: Run, tmp_path: Path) -> None:
    photo(tmp_path / "mine", "house", 0)
    (tmp_path / "mine" / "house" / "1.jpg").write_bytes(b"no picture")
    (tmp_path / "words.txt").write_text("house\n", encoding="utf-8")
    source = f"folder:{tmp_path / 'mine'}"
    command = ("build", tmp_path / "words.txt", "--out", tmp_path / "bank", "--source", source)

    outcome = run(*command)

    assert outcome.status == 3
    assert "1 image failed" in outcome.err
    photo(tmp_path / "mine", "house", 0)
    Image.fromarray(draw_single(1, "house", SIZE).image).save(tmp_path / "mine" / "house" / "0.png")
    before = files_of(tmp_path / "bank")
    changed = run(*command)
    assert changed.status == 2
    assert "another content of house/0.png" in changed.err
    assert len(changed.err.splitlines()) == 1
    assert files_of(tmp_path / "bank") == before


def test_dry_run_times_the_photos(run: Run, photos: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("\n".join(NAMES), encoding="utf-8")
    command = ("build", words, "--out", tmp_path / "bank", "--source", f"folder:{photos}")

    estimate = run(*command, "--dry-run", "--json").json()

    assert (estimate["images"], estimate["to_make"]) == (12, 12)
    assert set(estimate["per_image"]) == {"read", "segment", "pool", "write"}
    assert estimate["seconds"] == pytest.approx(12 * sum(estimate["per_image"].values()))
    assert not (tmp_path / "bank").exists()


def test_refusing_a_build_loads_no_model_library(tmp_path: Path) -> None:
    source = f"--source=folder:{tmp_path}"
    arguments = ["build", "voc20", "--out", str(tmp_path / "bank"), source]
    code = (
        "import sys; from rim.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as leaving: print(leaving.code, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "2 False\n"
    assert "found none of aeroplane" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("voc20", "--source", "folder:."), "found none of aeroplane"),
        (("miniature", "--source", "folder:nowhere"), "expected a folder of photos, found nothing"),
        (("miniature", "--source", "folder:"), "expected diffusion or folder:DIR"),
        (("miniature", "--source", "photos"), "expected diffusion or folder:DIR"),
        (("voc20",), "--source folder:DIR"),
    ],
)
def test_refuses_a_source_without_pictures(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("build", *arguments, "--out", "bank")
    assert outcome.status == 2
    assert expected in outcome.err
    assert len(outcome.err.splitlines()) <= 2
    assert not list(tmp_path.iterdir())
