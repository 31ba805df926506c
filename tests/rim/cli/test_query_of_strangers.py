"""`rim query` over folders of damaged, hostile and odd pictures: the others are done as always."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rim
from miniature.world import draw_scene
from tests.attacks.hostile_pictures import BOMBS, gif, png
from tests.fuzz.mutations import mutated
from tests.fuzz.pictures import good_pictures
from tests.rim.conftest import Run, read_labels

EXTREME = ((1, 1), (2, 3), (1, 5000), (5000, 1), (30_000, 1), (1, 30_000), (3000, 2), (40, 9000))


@pytest.mark.parametrize("size", EXTREME, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_thinnest_photos_are_labelled(
    run: Run, built: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Height x width; whatever becomes of it within the models, every pixel has its label."""
    colours = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "thin.png")
    outcome = run("query", built, tmp_path / "thin.png", "--out", tmp_path / "out")
    assert outcome.status == 0, outcome.err
    assert read_labels(tmp_path / "out" / "thin.labels.png").shape == size
    with Image.open(tmp_path / "out" / "thin.overlay.png") as overlay:
        assert overlay.size == size[::-1]


def query_a_folder(run: Run, bank: Path, folder: Path, out: Path) -> tuple[set[str], dict]:
    """Queries a folder in which a good photo comes last; returns the names done, and errors."""
    photo = draw_scene(11, (48, 64)).image
    Image.fromarray(photo).save(folder / "zz-good.png")
    outcome = run("query", bank, folder, "--out", out, "--json")
    result = json.loads(outcome.out)
    done = {Path(one["image"]).name for one in result["images"]}
    failed = {Path(one["image"]).name: one["error"] for one in result["failed"]}
    assert outcome.status == (3 if failed else 0), outcome.err
    assert "zz-good.png" in done
    for name in done:
        labels = read_labels(out / f"{Path(name).stem}.labels.png")
        assert labels.size > 0
    of_all = {".rim-query", "regions.parquet"} if done | failed.keys() > {"zz-good.png"} else set()
    assert {path.name for path in out.iterdir()} == of_all | {
        f"{Path(name).stem}{ending}"
        for name in done
        for ending in (".labels.png", ".overlay.png", ".json")
    }
    # On a terminal: how far it is, one line a failure, and nothing by a decoder.
    lines = [line for line in outcome.err.splitlines() if not line.startswith("labelling ")]
    told = [line for line in lines if "EXIF data ignored" not in line]
    assert told == [f"rim: {error}" for error in failed.values()]
    assert all(name in error for name, error in failed.items())
    assert outcome.err.replace("\n", "").isprintable()
    return done, failed


def test_bombs_in_a_folder_are_named(run: Run, built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = ("png-claims-60000x60000", "tiff-of-many-strips", "jpeg-of-many-scans", "png-is-a-line")
    for name in names:
        (folder / f"{name}.png").write_bytes(BOMBS[name]())
    (folder / "pointer.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid x\n")
    (folder / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    (folder / "frames.gif").write_bytes(gif(20, 30, frames=50_000))
    (folder / "cut.png").write_bytes(png(64, 64))
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    done, failed = query_a_folder(run, built, folder, tmp_path / "out")
    assert done == {"zz-good.png", "frames.gif"}
    assert failed.keys() == {*(f"{name}.png" for name in names), "pointer.jpg", "script.png",
                             "cut.png"}  # fmt: skip
    assert "git lfs pull" in failed["pointer.jpg"]


def test_a_file_that_is_no_regular_one_is_named(run: Run, built: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        outcome = run("query", built, path, "--out", tmp_path / "out")
        assert outcome.status == 2
        assert f"rim: {path}: expected a picture file, found no regular file" in outcome.err
    assert not (tmp_path / "out").exists()


def test_names_that_are_not_in_utf8_or_hold_codes(run: Run, built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(draw_scene(11, (48, 64)).image).save(folder / "zz-good.png")
    good = (folder / "zz-good.png").read_bytes()
    for name, data in ((b"\xff\x1b[31m.png", good), (b"\xfe\nrim: done\x1b]0;x\x07.png", b"x")):
        Path(os.fsdecode(bytes(folder) + b"/" + name)).write_bytes(data)
    outcome = run("query", built, folder, "--out", tmp_path / "out", "--json")
    assert outcome.status == 3, outcome.err
    assert outcome.err.replace("\n", "").isprintable()
    result = json.loads(outcome.out)
    names = {Path(one["image"]).name for one in result["images"]}
    assert names == {"zz-good.png", "\udcff\x1b[31m.png"}
    for one in result["images"]:
        assert all(Path(file).is_file() for file in one["files"])
    (failed,) = result["failed"]
    assert r"\udcfe\nrim: done\x1b]0;x\x07.png: expected a picture" in failed["error"]


def damaged(folder: Path, count: int, seed: int) -> None:
    """Writes damaged pictures of every kind, as large as the undamaged ones or refused."""
    good = good_pictures()
    names = sorted(good)
    for number in range(count):
        chance = random.Random(seed + number)
        name = names[(seed + number) % len(names)]
        data = mutated(good[name], chance, list(good.values()))
        (folder / f"{seed + number}-{name.replace('.', '-')}.png").write_bytes(data)


@pytest.mark.parametrize(
    ("folders", "each"), [(1, 8), pytest.param(10, 20, marks=pytest.mark.stress)]
)
def test_folders_of_damaged_pictures(
    run: Run, built: Path, tmp_path: Path, folders: int, each: int
) -> None:
    done, failed = 0, 0
    for number in range(folders):
        folder = tmp_path / f"photos{number}"
        folder.mkdir()
        damaged(folder, each, seed=1000 + number * each)
        some, others = query_a_folder(run, built, folder, tmp_path / f"out{number}")
        assert len(some) + len(others) == each + 1
        done, failed = done + len(some), failed + len(others)
    assert done > folders
    assert failed > 0


@pytest.mark.stress
def test_the_largest_photo_is_labelled(opened: rim.Bank) -> None:
    """100 megapixels of a scene, scaled up."""
    scene = Image.fromarray(draw_scene(11, (100, 100)).image)
    photo = np.asarray(scene.resize((10_000, 10_000), Image.Resampling.NEAREST))
    assert rim.query(opened, photo).label_map.shape == (10_000, 10_000)
