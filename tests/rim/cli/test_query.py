"""`rim query`: labels in the photo's own size, for photos of every kind, and clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rim
from foundation.images.masks import Rle, decode_rle
from schemas.errors import BankError
from tests.rim.conftest import NAMES, Run, files_of, read_labels


def test_writes_labels_overlay_and_json(run: Run, built: Path, scene: Path, tmp_path: Path) -> None:
    outcome = run("query", built, scene, "--out", tmp_path / "labels")
    assert outcome.status == 0, outcome.err
    assert outcome.err.splitlines()[:3] == [
        "labelling loading features",
        "labelling loading segmenter",
        "labelling first photo",
    ]
    labels = read_labels(tmp_path / "labels" / "scene.labels.png")
    assert labels.shape == (96, 128)
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) <= set(range(len(NAMES) + 1))
    with Image.open(tmp_path / "labels" / "scene.overlay.png") as overlay:
        assert overlay.size == (128, 96)
    result = json.loads((tmp_path / "labels" / "scene.json").read_text())
    assert result["regions"]
    bank_images = set(rim.open(built).images_table(["image_id"])["image_id"].to_pylist())
    for region in result["regions"]:
        assert region["category"] in NAMES
        assert 0 <= region["score"] <= 1
        mask = decode_rle(Rle(tuple(region["rle"]["size"]), region["rle"]["counts"]))
        assert mask.shape == (96, 128)
        assert mask.sum() == region["area"]
        assert {one["image_id"] for one in region["references"]} <= bank_images


def test_python_gives_the_same_labels(
    run: Run, built: Path, opened: rim.Bank, scene: Path, tmp_path: Path
) -> None:
    run("query", built, scene, "--out", tmp_path, "--matcher", "prototype")
    result = rim.query(opened, scene, matcher="prototype")
    assert result.label_map.dtype == np.int32
    assert np.array_equal(read_labels(tmp_path / "scene.labels.png"), result.label_map + 1)
    assert result.overlay().shape == (96, 128, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "I;16", "1", "CMYK"])
def test_photos_of_every_mode(opened: rim.Bank, scene: Path, tmp_path: Path, mode: str) -> None:
    with Image.open(scene) as file:
        picture = file.convert("RGB")
    if mode == "I;16":
        grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
        converted = Image.fromarray(grey)
    else:
        converted = picture.convert(mode)
    path = tmp_path / ("photo.tif" if mode == "CMYK" else "photo.png")
    converted.save(path)
    assert rim.query(opened, path).label_map.shape == (96, 128)


def test_a_rotated_photo_is_labelled_upright(opened: rim.Bank, scene: Path, tmp_path: Path) -> None:
    with Image.open(scene) as file:
        picture = file.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying down: turn by 90 degrees clockwise to look at it
    path = tmp_path / "turned.png"
    picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    turned = rim.query(opened, path).label_map
    assert np.array_equal(turned, rim.query(opened, scene).label_map)


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (300, 5), (33, 47)])
def test_odd_sizes(opened: rim.Bank, size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 120, np.uint8)
    assert rim.query(opened, picture).label_map.shape == size


def test_only_the_chosen_categories(opened: rim.Bank, scene: Path) -> None:
    result = rim.query(opened, scene, categories=["fish", "SKY"])
    names = {record.category_id: record.name for record in opened.categories}
    assert {names[i] for i in np.unique(result.label_map) if i >= 0} <= {"fish", "sky"}


def test_background_threshold_leaves_everything_unlabelled(opened: rim.Bank, scene: Path) -> None:
    assert (rim.query(opened, scene, background=1.0).label_map == -1).all()


def test_what_is_in_no_vocabulary_is_left_unlabelled_unless_asked_otherwise(
    opened: rim.Bank, scene: Path
) -> None:
    """Grass and sky are named; a house and a fish are not, for lack of the words."""
    words = ["grass", "sky"]
    open_world = rim.query(opened, scene, categories=words).label_map
    everything = rim.query(opened, scene, categories=words, background="off", settings=NO_VETO)
    assert (open_world == -1).any()
    assert (everything.label_map >= 0).all()


NO_VETO = ("matching.negatives=false",)


def test_short_options_are_settings(
    run: Run, built: Path, opened: rim.Bank, scene: Path, tmp_path: Path
) -> None:
    options = ("--matcher", "ranking", "--background", "off", "--filter", "--text-weight", "0.25",
               "--source-weight", "folder=2")  # fmt: skip
    outcome = run("query", built, scene, "--out", tmp_path, *options)
    assert outcome.status == 0, outcome.err
    settings = (
        "matching.matcher=ranking",
        "matching.background=none",
        "matching.filter=0.01",
        "matching.text_weight=0.25",
        "matching.folder_weight=2",
    )
    same = rim.query(opened, scene, settings=settings).label_map
    np.testing.assert_array_equal(read_labels(tmp_path / "scene.labels.png"), same + 1)


def test_without_its_pictures_a_bank_has_no_references(opened: rim.Bank, scene: Path) -> None:
    with pytest.raises(BankError, match="found none"):
        rim.query(opened, scene, source_weight={"diffusion": 0})


def test_a_folder_with_a_broken_photo(run: Run, built: Path, scene: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "good.png").write_bytes(scene.read_bytes())
    (photos / "broken.png").write_bytes(scene.read_bytes()[:200])
    outcome = run("query", built, photos, "--out", tmp_path / "out", "--json")
    assert outcome.status == 3
    assert "broken.png" in outcome.err
    result = outcome.json()
    assert [Path(one["image"]).name for one in result["images"]] == ["good.png"]
    assert [Path(one["image"]).name for one in result["failed"]] == ["broken.png"]
    assert (tmp_path / "out" / "good.labels.png").exists()
    assert not (tmp_path / "out" / "broken.labels.png").exists()


def test_two_photos_of_one_name_are_refused_before_work(
    run: Run, built: Path, scene: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "scene.jpg"
    with Image.open(scene) as picture:
        picture.save(twin)
    outcome = run("query", built, scene, twin, "--out", tmp_path / "out")
    assert outcome.status == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--format", "labels,gif"), "gif"),
        (("--categories", "hause"), "did you mean house?"),
        (("--background", "2"), "background"),
        (("--background", "low"), "--background"),
        (("--source-weight", "photos=2"), "out of diffusion, folder, found 'photos'"),
        (("--source-weight", "folder"), "SOURCE=WEIGHT"),
        (("--source-weight", "folder=-1"), "folder_weight"),
        (("--text-weight", "2"), "--text-weight"),
        (("--matcher", "best"), "ranking"),
        (("--set", "matching.patch_smoothing=2"), "odd number"),
        (("--set", "generation.steps=3"), "proposals or matching"),
        (("--set", "proposals.grid=0"), "proposals.grid"),
        (("--device", "abacus"), "device"),
    ],
)
def test_refuses_a_bad_call(
    run: Run, built: Path, scene: Path, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    outcome = run("query", built, scene, "--out", tmp_path / "out", *arguments)
    assert outcome.status == 2
    assert expected in outcome.err
    assert not (tmp_path / "out").exists()


def test_refuses_what_is_no_bank_or_no_photo(
    run: Run, built: Path, scene: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, expected in (
        ((empty, scene), "bank"),
        ((tmp_path / "nowhere", scene), "bank"),
        ((built, tmp_path / "nowhere.png"), "nowhere.png"),
        ((built, empty), "empty"),
        ((built, text), "notes.txt"),
    ):
        outcome = run("query", *arguments, "--out", out)
        assert outcome.status == 2, outcome.err
        assert expected in outcome.err
    file = tmp_path / "file"
    file.write_text("x")
    assert run("query", built, scene, "--out", file).status == 2


def test_other_models_than_the_banks_are_an_error(
    run: Run, built: Path, scene: Path, tmp_path: Path
) -> None:
    import shutil

    from schemas.resources import data_folder

    shutil.copytree(data_folder() / "miniature", tmp_path / "miniature")
    config = tmp_path / "miniature" / "features" / "config.json"
    config.write_text(config.read_text() + "\n")
    preset = tmp_path / "other.toml"
    preset.write_text((data_folder() / "presets" / "miniature.toml").read_text())
    outcome = run("query", built, scene, "--out", tmp_path / "out", "--preset", preset)
    assert outcome.status == 2
    assert "features" in outcome.err
    assert not (tmp_path / "out").exists()
    assert files_of(built)
