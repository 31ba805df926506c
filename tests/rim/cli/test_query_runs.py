"""`rim query` over many photos: what is done is kept, whatever happens, and nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools.coco import COCO

import rim
from foundation.images.masks import encode_rle, mask_box
from foundation.images.reading import read_image
from foundation.interfaces import ImageEmbedding
from foundation.sam import SamSegmenter
from miniature.world import draw_scene
from query.exports.formats import FORMATS
from query.result import NearReference, Region
from query.segmentation import QueryEngine, Segmentation
from rim.photo_queries import FolderResult, PhotoFailed
from schemas.errors import OutputError, UsageError, WriteFailed
from schemas.ids import pack_image_id
from schemas.settings import Matching
from schemas.store.files import write_atomic
from schemas.store.lock import build_lock
from tests.rim.conftest import NAMES, Run, files_of, read_labels

EVERYTHING = tuple(FORMATS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four photos of noise."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        colours = np.random.default_rng(number).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(colours).save(folder / f"p{number}.png")
    return folder


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A stand-in labels by brightness; the names of the photos that it has labelled."""
    seen: list[str] = []

    def segment(self: QueryEngine, image: Path, *, categories: object = None) -> Segmentation:
        pixels = read_image(image)
        seen.append(Path(image).stem)
        bands = pixels.sum(axis=2) // 256
        names = {record.category_id: record.name for record in self.categories}
        regions = tuple(
            Region(name, i, 0.9 - i / 10, 0.5, int(mask.sum()), mask_box(mask), encode_rle(mask),
                   (NearReference(pack_image_id(i, "diffusion", 0), name, 0.5),))
            for i, name in names.items() if (mask := bands == i).any()
        )  # fmt: skip
        labels = np.where(np.isin(bands, list(names)), bands, -1).astype(np.int32)
        return Segmentation(pixels, labels, regions, names, 1)

    monkeypatch.setattr(QueryEngine, "segment", segment)
    return seen


Query = Callable[..., FolderResult]


@pytest.fixture
def query(opened: rim.Bank, photos: Path, tmp_path: Path) -> Query:
    """`rim.query_folder` of those photos into one folder."""

    def call(formats: Sequence[str] = ("labels", "json"), **options: object) -> FolderResult:
        return rim.query_folder(opened, photos, tmp_path / "out", formats=formats, **options)

    return call


def results_of(folder: Path) -> dict[str, bytes]:
    """All files without the run's own."""
    return {name: data for name, data in files_of(folder).items() if ".rim-query" not in name}


def test_the_same_command_again_labels_nothing(
    query: Query, labelled: list[str], tmp_path: Path
) -> None:
    first = query(EVERYTHING)
    assert [one.image.name for one in first.images] == ["p0.png", "p1.png", "p2.png", "p3.png"]
    assert not any(one.reused for one in first.images)
    files = results_of(tmp_path / "out")
    of_photos = {str(path.relative_to(tmp_path / "out")) for one in first.images
                 for path in one.files}  # fmt: skip
    of_all = {str(path.relative_to(tmp_path / "out")) for path in first.files}
    assert of_photos | of_all == files.keys()
    again = query(EVERYTHING)
    assert labelled == ["p0", "p1", "p2", "p3"]
    assert all(one.reused for one in again.images)
    assert [one.files for one in again.images] == [one.files for one in first.images]
    assert results_of(tmp_path / "out") == files


def test_a_call_tells_what_it_does(query: Query, labelled: list[str], photos: Path) -> None:
    (photos / "p1.png").write_bytes(b"no photo")
    stages: list[str] = []
    steps: list[tuple[int, int]] = []
    failures: list[PhotoFailed] = []
    result = query(
        on_stage=stages.append,
        progress=lambda done, total: steps.append((done, total)),
        on_failure=failures.append,
    )
    assert stages[-1] == "first photo"
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert tuple(failures) == result.failed
    assert [one.image.name for one in failures] == ["p1.png"]


@pytest.mark.parametrize("happens", ["changed", "touched", "deleted", "damaged", "new"])
def test_only_what_has_changed_is_labelled_again(
    query: Query, labelled: list[str], photos: Path, tmp_path: Path, happens: str
) -> None:
    query()
    labelled.clear()
    photo, out = photos / "p2.png", tmp_path / "out"
    before = results_of(out)
    if happens == "changed":
        shutil.copy(photos / "p0.png", photo)
    elif happens == "touched":
        os.utime(photo, ns=(1, 1))
    elif happens == "deleted":
        (out / "p2.labels.png").unlink()
        (out / "p1.json").write_text("{}")  # by another query, of this photo alone
    elif happens == "damaged":
        kept = out / ".rim-query" / "photos" / "p2.json.gz"
        kept.write_bytes(kept.read_bytes()[:-9])
    else:
        shutil.copy(photo, photos / "p9.png")
    query()
    assert labelled == {"changed": ["p2"], "damaged": ["p2"], "new": ["p9"]}.get(happens, [])
    after = results_of(out)
    if happens in ("touched", "deleted", "damaged"):
        assert after == before
    assert np.array_equal(
        read_labels(out / "p0.labels.png"), read_labels(out / "p2.labels.png")
    ) == (happens == "changed")


def test_further_formats_are_made_without_labelling_and_kept_up_to_date(
    query: Query, labelled: list[str], photos: Path, tmp_path: Path
) -> None:
    query(["labels"])
    result = query(["coco", "overlay"])
    assert labelled == ["p0", "p1", "p2", "p3"]
    assert all(one.reused for one in result.images)
    rim_files = results_of(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    query(["overlay", "coco", "labels"])
    assert results_of(tmp_path / "out") == rim_files
    shutil.copy(photos / "p0.png", photos / "p2.png")
    query(["labels"])
    coco = COCO(tmp_path / "out" / "coco-instances.json")
    areas = [[one["area"] for one in coco.loadAnns(coco.getAnnIds(imgIds=i))] for i in (1, 3)]
    assert areas[0] == areas[1]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_run_goes_on(
    query: Query,
    labelled: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    stop: type[BaseException],
) -> None:
    """In the midst of writing the third photo's files."""
    query(EVERYTHING)
    whole = results_of(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    labelled.clear()

    def interrupted(path: Path, data: bytes) -> None:
        if path.name == "p2.json":
            raise stop
        write_atomic(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("query.exports.formats.write_atomic", interrupted)
        with pytest.raises(stop):
            query(EVERYTHING)
    assert labelled == ["p0", "p1", "p2"]
    assert not (tmp_path / "out" / "regions.parquet").exists()
    query(EVERYTHING)
    assert labelled == ["p0", "p1", "p2", "p2", "p3"]
    assert results_of(tmp_path / "out") == whole


def test_a_full_disk_keeps_what_is_done(
    query: Query, labelled: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, data: bytes) -> None:
        if path.name.startswith("p1"):
            raise OSError(28, "No space left on device")
        write_atomic(path, data)

    with monkeypatch.context() as patch:
        patch.setattr("query.exports.formats.write_atomic", full)
        with pytest.raises(WriteFailed, match="No space left on device; what was finished is kept"):
            query()
    query()
    assert labelled == ["p0", "p1", "p1", "p2", "p3"]


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"matcher": "ranking"}, r'matching\.matcher = "knn", not "ranking"'),
        ({"background": "off"}, r'matching\.background = "auto", not null'),
        ({"settings": ["proposals.grid=9"]}, r"proposals\.grid = \d+, not 9"),
        ({"categories": ["fish", "house"]}, "categories all, not house, fish"),
    ],
)
def test_other_settings_are_refused_and_named(
    query: Query,
    labelled: list[str],
    tmp_path: Path,
    options: dict[str, object],
    difference: str,
) -> None:
    query()
    before = files_of(tmp_path / "out")
    with pytest.raises(OutputError, match=f"{difference}; choose another --out, or --overwrite"):
        query(**options)
    assert files_of(tmp_path / "out") == before
    assert len(labelled) == 4
    result = query(**options, overwrite=True)
    assert not any(one.reused for one in result.images)
    assert len(labelled) == 8


def test_overwrite_removes_what_the_run_had_written_and_nothing_else(
    query: Query, labelled: list[str], tmp_path: Path
) -> None:
    query(EVERYTHING)
    out = tmp_path / "out"
    (out / "notes.txt").write_text("mine")
    (out / "p1.overlay.png").write_bytes(b"mine now")
    query(["json"], overwrite=True)
    assert results_of(out).keys() == {
        *(f"p{number}.json" for number in range(4)),
        "regions.parquet",
        "notes.txt",
        "p1.overlay.png",
    }


def test_another_version_of_the_bank_is_refused(
    bank_copy: Path, photos: Path, labelled: list[str], tmp_path: Path
) -> None:
    rim.query_folder(bank_copy, photos, tmp_path / "out")
    rim.remove(bank_copy, ["grass"])
    with pytest.raises(OutputError, match="of version 1 of the bank, not 2"):
        rim.query_folder(bank_copy, photos, tmp_path / "out")


def test_a_damaged_state_is_named(query: Query, labelled: list[str], tmp_path: Path) -> None:
    query()
    state = tmp_path / "out" / ".rim-query" / "run.json"
    state.write_bytes(state.read_bytes().replace(b"knn", b"kmm"))
    with pytest.raises(OutputError, match=r"run\.json: .* damaged \(.*digest.*--overwrite"):
        query()
    query(overwrite=True)


def test_two_at_the_same_time_are_refused(
    query: Query, labelled: list[str], tmp_path: Path
) -> None:
    query()
    with (
        build_lock(tmp_path / "out" / ".rim-query"),
        pytest.raises(OutputError, match="another process is writing"),
    ):
        query()


def test_photos_of_earlier_runs_stay_and_are_not_in_the_files_about_all(
    opened: rim.Bank, photos: Path, labelled: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    rim.query_folder(opened, [photos / "p0.png", photos / "p1.png"], out)
    result = rim.query_folder(opened, [photos / "p1.png", photos / "p2.png"], out)
    assert result.others == 1
    assert (out / "p0.labels.png").exists()
    names = pq.read_table(out / "regions.parquet")["photo"].to_pylist()
    assert set(names) == {"p1.png", "p2.png"}
    rim.query_folder(opened, photos, out)
    assert labelled == ["p0", "p1", "p2", "p3"]


def test_photos_of_several_folders_are_told_apart(
    opened: rim.Bank, photos: Path, labelled: list[str], tmp_path: Path
) -> None:
    other = tmp_path / "other" / "deep"
    other.mkdir(parents=True)
    shutil.move(photos / "p3.png", other / "p3.png")
    given = [photos / ".." / "photos", other]
    rim.query_folder(opened, given, tmp_path / "out", formats=["coco"])
    coco = COCO(tmp_path / "out" / "coco-instances.json")
    names = [one["file_name"] for one in coco.loadImgs(coco.getImgIds())]
    assert names == ["photos/p0.png", "photos/p1.png", "photos/p2.png", "other/deep/p3.png"]


def test_a_photo_of_another_kind_leaves_no_copy_behind(
    query: Query, labelled: list[str], photos: Path, tmp_path: Path
) -> None:
    query(["dataset"])
    with Image.open(photos / "p1.png") as image:
        image.convert("RGB").save(photos / "p1.png", "JPEG")
    query(["dataset"])
    copies = sorted(path.name for path in (tmp_path / "out" / "dataset" / "images").iterdir())
    assert copies == ["p0.png", "p1.jpg", "p2.png", "p3.png"]


def test_odd_names_in_every_format(
    run: Run, built: Path, photos: Path, labelled: list[str], tmp_path: Path
) -> None:
    """Not UTF-8, of two lines, with a backslash."""
    photo = (photos / "p0.png").read_bytes()
    shutil.rmtree(photos)
    names = {os.fsdecode(name) for name in (b"\xff.png", b"two\nlines.png", b"a\\b.png")}
    photos.mkdir()
    for name in names:
        (photos / name).write_bytes(photo)
    out = tmp_path / "out"
    for reused in (False, True):
        outcome = run("query", built, photos, "--out", out, "--format", ",".join(FORMATS), "--json")
        assert outcome.status == 0, outcome.err
        assert [one["reused"] for one in outcome.json()["images"]] == [reused] * 3
    coco = COCO(out / "coco-instances.json")
    assert {one["file_name"] for one in coco.loadImgs(coco.getImgIds())} == names
    for line in (out / "dataset" / "metadata.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        assert row["photo"] in names
        assert (out / "dataset" / row["file_name"]).read_bytes() == photo
    for name in names:
        found = json.loads((out / name.replace(".png", ".labelme.json")).read_text("utf-8"))
        assert (out / found["imagePath"]).resolve() == photos / name


def test_a_photo_that_cannot_be_read_is_tried_again(
    query: Query, labelled: list[str], photos: Path, tmp_path: Path
) -> None:
    whole = (photos / "p1.png").read_bytes()
    (photos / "p1.png").write_bytes(whole[:100])
    result = query(["coco"])
    assert [one.image.name for one in result.failed] == ["p1.png"]
    coco = COCO(tmp_path / "out" / "coco-instances.json")
    names = [one["file_name"] for one in coco.loadImgs(coco.getImgIds())]
    assert names == ["p0.png", "p2.png", "p3.png"]
    (photos / "p1.png").write_bytes(whole)
    result = query(["coco"])
    assert not result.failed
    assert labelled == ["p0", "p2", "p3", "p1"]


def test_a_single_photo_keeps_nothing_but_its_files(
    run: Run, built: Path, photos: Path, labelled: list[str], tmp_path: Path
) -> None:
    """Again with other settings, and beside those of another one."""
    out = tmp_path / "out"
    for photo, matcher in (("p0", "knn"), ("p1", "knn"), ("p0", "ranking")):
        outcome = run("query", built, photos / f"{photo}.png", "--out", out, "--matcher", matcher,
                      "--format", "labels,labelme,palette")  # fmt: skip
        assert outcome.status == 0, outcome.err
    assert labelled == ["p0", "p1", "p0"]
    assert (
        results_of(out).keys()
        == files_of(out).keys()
        == {"classes.txt"}
        | {
            f"p{number}.{ending}"
            for number in (0, 1)
            for ending in ("labels.png", "labelme.json", "palette.png")
        }
    )
    found = json.loads((out / "p0.labelme.json").read_text("utf-8"))
    assert (out / found["imagePath"]).resolve() == photos / "p0.png"


def test_the_command_says_what_it_has_done(
    run: Run, built: Path, photos: Path, labelled: list[str], tmp_path: Path
) -> None:
    arguments = ("query", built, photos, "--out", tmp_path / "out", "--format", "json,coco")
    first = run(*arguments)
    assert first.status == 0, first.err
    assert re.search(
        r"4 of 4 images labelled, results in .*out; of all photos: coco-instances\.json, "
        r"coco-panoptic\.json, regions\.parquet$",
        first.err.strip(),
    )
    assert "4 of 4 images labelled (4 of them by an earlier run)" in run(*arguments).err
    as_json = run(*arguments, "--json").json()
    assert [one["reused"] for one in as_json["images"]] == [True] * 4
    assert [Path(one).name for one in as_json["files"]] == [
        "coco-instances.json",
        "coco-panoptic.json",
        "regions.parquet",
    ]
    other = run(*arguments, "--matcher", "ranking")
    assert other.status == 2
    assert 'matching.matcher = "knn", not "ranking"' in other.err
    assert run(*arguments, "--matcher", "ranking", "--overwrite").status == 0


@pytest.mark.parametrize(
    ("names", "formats", "message"),
    [
        (("a.png", "a.labelme.png"), "json,labelme", r"a\.labelme\.json"),
        (("coco-instances.png",), "json,coco", r"coco-instances\.json"),
    ],
)
def test_results_of_one_name_are_refused_before_work(
    opened: rim.Bank, photos: Path, tmp_path: Path, names: Sequence[str], formats: str, message: str
) -> None:
    given = [shutil.copy(photos / "p0.png", tmp_path / name) for name in names]
    with pytest.raises(UsageError, match=f"different names, found .*{message}"):
        rim.query_folder(opened, given, tmp_path / "out", formats=formats.split(","))
    assert not (tmp_path / "out").exists()


def test_the_settings_of_matching_are_all_part_of_a_run(
    opened: rim.Bank, photos: Path, labelled: list[str], tmp_path: Path
) -> None:
    rim.query_folder(opened, photos, tmp_path / "out")
    state = json.loads((tmp_path / "out" / ".rim-query" / "run.json").read_bytes())
    assert state["identity"]["settings"]["matching"].keys() == Matching.model_fields.keys()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two drawn scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    for seed in (3, 4):
        scene = draw_scene(seed, (64, 80), things=("house", "fish"))
        Image.fromarray(scene.image).save(folder / f"s{seed}.png")
    return folder


@pytest.mark.slow
def test_real_results_agree_in_every_format(opened: rim.Bank, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rim.query_folder(opened, scenes, out, formats=EVERYTHING)
    for name in ("s3", "s4"):
        labels = read_labels(out / f"{name}.labels.png")
        np.testing.assert_array_equal(
            labels, rim.query(opened, scenes / f"{name}.png").label_map + 1
        )
        np.testing.assert_array_equal(labels, read_labels(out / f"{name}.palette.png"))
        np.testing.assert_array_equal(
            labels, read_labels(out / "dataset" / "labels" / f"{name}.png")
        )
        np.testing.assert_array_equal(labels, read_labels(out / "panoptic" / f"{name}.png")[..., 0])
    coco = COCO(out / "coco-instances.json")
    rows = pq.read_table(out / "regions.parquet").to_pylist()
    regions = [one for name in ("s3", "s4")
               for one in json.loads((out / f"{name}.json").read_bytes())["regions"]]  # fmt: skip
    annotations = coco.loadAnns(coco.getAnnIds())
    assert len(rows) == len(regions) == len(annotations) > 0
    for row, one, annotation in zip(rows, regions, annotations, strict=True):
        assert row["category"] == one["category"] in NAMES
        assert row["rle"]["counts"] == one["rle"]["counts"] == annotation["segmentation"]["counts"]
        assert row["area"] == one["area"] == annotation["area"]
        assert [one["image_id"] for one in row["references"]] == [
            near["image_id"] for near in one["references"]
        ]


@pytest.mark.slow
def test_a_photo_that_the_memory_does_not_suffice_for_is_named_and_the_others_are_done(
    built: Path, scene: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long photos run out of memory in SAM, whatever it is given."""
    embed = SamSegmenter.embed

    def short(self: SamSegmenter, image: np.ndarray) -> ImageEmbedding:
        if image.shape[1] == 200:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return embed(self, image)

    monkeypatch.setattr(SamSegmenter, "embed", short)
    large = tmp_path / "large.png"
    Image.new("RGB", (200, 60)).save(large)
    outcome = run("query", built, large, scene, "--out", tmp_path / "out")
    assert outcome.status == 3
    assert "large.png: models.segmenter: the memory of cpu does not suffice" in outcome.err
    assert "CUDNN_STATUS_ALLOC_FAILED" in outcome.err
    assert (tmp_path / "out" / "scene.labels.png").exists()
