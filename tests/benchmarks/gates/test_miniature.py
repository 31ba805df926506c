"""The gates of the miniature stack: each number against one worked out by hand, and the sheets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from segment_anything.modeling import Sam
from transformers import Dinov2Config, Dinov2Model

import rim
from benchmarks.accuracy.references import judged_references, world_references
from benchmarks.gates import chain, clip, features, generator, miniature, sam
from benchmarks.gates.generator import (
    PromptedImage,
    generated_images,
    through_autoencoder,
)
from benchmarks.gates.sheet import Tile, TileRow, draw_sheet, enlarged, save_sheet
from foundation.images.preprocessing import IMAGENET
from foundation.images.reading import encode_png
from foundation.interfaces import GeneratedImage, Prompt
from foundation.patch_features import PatchFeatures
from foundation.sam import SamSegmenter
from foundation.sam_checkpoint import build_sam
from miniature.training.features_scores import FeatureScores
from miniature.training.judge import Judge, Judged, judge, save_judge
from miniature.world import CATEGORIES, STUFF, THINGS, draw_single, plain_caption
from schemas.ids import BACKGROUND, DIFFUSION, FOREGROUND, pack_image_id
from schemas.records import CategoryRecord
from schemas.settings import SamArchitecture, load_settings
from schemas.store.index import index_order

SMALL_SAM = SamArchitecture(
    image_size=64,
    patch_size=8,
    embed_dim=16,
    depth=1,
    num_heads=2,
    global_attn_indexes=(0,),
    window_size=4,
    out_chans=16,
    decoder_heads=2,
    decoder_mlp=16,
)


@pytest.fixture(scope="module")
def model() -> Judge:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Judge().eval()


@pytest.fixture(scope="module")
def small_sam() -> Sam:
    torch.manual_seed(0)
    return build_sam(SMALL_SAM)


@pytest.fixture(scope="module")
def small_dino() -> Dinov2Model:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Dinov2Model(Dinov2Config(image_size=32, patch_size=8, **sizes)).eval()


class Oracle:
    """A scorer that knows the images it was shown before: each is named as it was told."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert list(texts) == [plain_caption(name) for name in CATEGORIES]
        return np.eye(len(CATEGORIES), dtype=np.float32)

    def embed_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        told = [CATEGORIES.index(name) for name in self.names[: len(images)]]
        return np.eye(len(CATEGORIES), dtype=np.float32)[told]


class Drawn:
    """A generator that draws with the world itself, attention in the left half."""

    def generate(self, prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[GeneratedImage]:
        attention = np.zeros((16, 16), np.float32)
        attention[:, :8] = 1
        return [
            GeneratedImage(draw_single(seed % 1000, prompt.name).image, attention, False)
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> rim.Bank:
    """A bank of things and stuff that accepts whatever its two steps make."""
    gates = ("min_quality", "min_agreement", "min_area")
    settings = [f"reference.{gate}=0" for gate in gates] + ["reference.outlier_mads=1000"]
    folder = tmp_path_factory.mktemp("banks") / "bank"
    names = ("house", "fish", "bird", "grass", "sky")
    return rim.build(names, folder, images_per_category=1, steps=2, settings=settings)


@pytest.fixture(scope="module")
def images() -> list[PromptedImage]:
    return generated_images(Drawn(), load_settings("miniature"), 2)


def test_mean_cosine_distance_by_hand() -> None:
    rows = np.array([[1, 0], [0, 2], [-3, 0]], np.float32)  # cosines 0, -1, 0
    assert generator.mean_cosine_distance(rows) == pytest.approx((1 + 2 + 1) / 3)
    assert np.isnan(generator.mean_cosine_distance(rows[:1]))


def test_diversity_is_one_for_the_same_images_and_less_for_copies() -> None:
    rows = np.random.default_rng(0).random((6, 8), np.float32)
    assert generator.diversity_ratio(rows, rows) == pytest.approx(1)
    assert generator.diversity_ratio(rows[[0, 0, 1, 1]], rows) < 1
    assert generator.diversity_ratio(rows[[0, 0, 0]], rows) == pytest.approx(0, abs=1e-6)


def test_attention_iou_by_hand_and_of_things_alone() -> None:
    attention = np.zeros((64, 64), bool)
    attention[:, :32] = True
    mask = np.zeros((64, 64), bool)
    mask[:32] = True  # overlap a quarter, union three quarters
    judged = Judged(np.array([0, 16]), np.stack([mask, mask]), np.zeros((2, 192), np.float32))
    image = np.zeros((64, 64, 3), np.uint8)
    shown = [PromptedImage("house", image, attention), PromptedImage("grass", image, attention)]
    ((name, iou),) = generator.attention_ious(shown, judged)
    assert name == "house"
    assert iou == pytest.approx(1 / 3)


def test_images_are_those_of_a_bank_with_their_attention_binarised(
    images: list[PromptedImage],
) -> None:
    assert [image.category for image in images] == [n for n in CATEGORIES for _ in range(2)]
    assert all(image.attention.shape == (64, 64) for image in images)
    assert images[0].attention[:, :30].all()
    assert not images[0].attention[:, 34:].any()


def test_images_of_a_bank_are_the_first_of_each_category_with_their_attention() -> None:
    """A bank's maps are stretched to 0..255: that one is flat is known by its contrast alone."""
    stretched = np.zeros((16, 16), np.uint8)
    stretched[:, :8] = 255
    ids = [pack_image_id(category, DIFFUSION, number) for category in (0, 1) for number in (0, 1)]
    rows = [
        {"image_id": one, "status": "rejected", "contrast": contrast}
        for one, contrast in zip(ids, (0.9, 0.9, 0.001, None), strict=True)
    ]

    class Bank:
        settings = load_settings("miniature")
        categories = (
            CategoryRecord(category_id=0, name="house", synonyms=()),
            CategoryRecord(category_id=1, name="grass", synonyms=()),
        )

        def images_table(self, columns: Sequence[str]) -> pa.Table:
            return pa.Table.from_pylist(rows).select(columns)

        def png(self, image_ids: Iterable[int]) -> dict[int, bytes]:
            return {one: encode_png(np.zeros((64, 64, 3), np.uint8)) for one in image_ids}

        def attention_png(self, image_ids: Iterable[int]) -> dict[int, bytes]:
            return dict.fromkeys(image_ids, encode_png(stretched))

    clear, flat = generator.bank_images(cast(rim.Bank, Bank()), 1)
    assert (clear.category, flat.category) == ("house", "grass")
    assert clear.attention[:, :30].all()
    assert not clear.attention[:, 34:].any()
    assert flat.attention.all()
    assert len(generator.bank_images(cast(rim.Bank, Bank()), 2)) == 3  # one has no attention map


def test_generator_gates_count_what_the_judge_says(
    images: list[PromptedImage], model: Judge
) -> None:
    said = judge(model, [one.image for one in images])
    labels = np.array([CATEGORIES.index(image.category) for image in images])
    labels[:2] = CATEGORIES.index("fish")  # both houses
    measured = generator.generator_gates(
        images, Judged(labels, said.masks, said.features), model, lambda same: same, drawn=2
    )
    found = {gate.name: gate.measured for gate in measured.gates}
    assert found["recognised, all"] == pytest.approx(42 / 44)
    assert found["recognised, novel"] == found["recognised, stuff"] == 1
    assert measured.per_category["recognised"]["house"] == 0
    # An autoencoder that loses nothing changes nothing.
    assert found["diversity of decoded world"] == pytest.approx(1)
    assert found["diversity to decoded world"] == found["diversity ratio"]
    assert set(measured.per_category["attention IoU"]) == set(THINGS)


def test_the_autoencoder_gives_back_what_the_images_show() -> None:
    images = [draw_single(seed, "house").image for seed in range(2)]
    stack = miniature.ModelStack(load_settings("miniature"), "cpu", offline=True)
    back = through_autoencoder(stack.path("text_to_image"), images)
    for image, other in zip(images, back, strict=True):
        assert other.shape == image.shape
        assert other.dtype == np.uint8
        assert np.abs(other.astype(int) - image).mean() < 25


def test_sam_gates(small_sam: Sam) -> None:
    measured = sam.sam_gates(small_sam, scenes=2, grid=6)
    assert [gate.least for gate in measured.gates] == [0.8, 0.7, 0.9, 0.6]
    assert measured.gates[0].measured == pytest.approx(
        measured.per_category["scores"]["familiar"], abs=1e-4
    )


def test_features_gates(small_dino: Dinov2Model, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = FeatureScores(0.96, 0.84, 1.0, dict.fromkeys(CATEGORIES, 0.9))
    monkeypatch.setattr(features, "score_features", lambda model, scenes: scores)
    measured = features.features_gates(small_dino)
    assert [gate.reached for gate in measured.gates] == [True, False, None]
    assert measured.per_category["accuracy on true regions"] == scores.per_category


def test_clip_gates_count_right_names() -> None:
    names = [name for name, _ in clip.unseen_singles(1)]
    assert names == list(CATEGORIES)
    measured = clip.clip_gates(Oracle(names), per_category=1, scenes=3)
    singles, crops = measured.gates
    assert singles.measured == 1
    shown = [name for name, _ in clip.unseen_crops(3)]
    right = [a == b for a, b in zip(shown, names, strict=False)]
    assert crops.measured == pytest.approx(np.mean(right))


@pytest.mark.slow
def test_other_references_stand_in_for_the_accepted_ones(bank: rim.Bank, model: Judge) -> None:
    stack = miniature.ModelStack(bank.settings, "cpu", offline=True)
    stored = bank.features()
    for references in (judged_references(bank, stack, model), world_references(bank, stack)):
        order = index_order(references.feature_id)
        assert np.array_equal(order, np.arange(len(order)))
        foreground = references.role == FOREGROUND
        assert np.allclose(np.linalg.norm(references.embeddings, axis=1), 1, atol=1e-5)
        ids = stored.image_id[stored.role == FOREGROUND]
        assert np.isin(references.image_id[foreground], ids).all()
    # Stuff fills its image, so it has no background; a thing of the world always has one.
    stuff = [record.category_id for record in bank.categories if record.name in STUFF]
    behind = references.category_id[references.role == BACKGROUND]
    assert set(references.category_id.tolist()) - set(behind.tolist()) == set(stuff)


@pytest.mark.slow
def test_the_whole_chain_is_what_rim_eval_scores(bank: rim.Bank, model: Judge) -> None:
    scenes = []
    measured = chain.chain_gates(
        bank, model, scenes=2, seed=5, on_scene=lambda: scenes.append(None)
    )
    values = {gate.name: gate.measured for gate in measured.gates}
    scored = rim.evaluate(bank, "miniature", scenes=2, seed=5)
    assert values[f"mIoU, {chain.WHOLE}"] == pytest.approx(scored.miou)
    assert len(values) == len(chain.ROWS) + 1
    baseline = max(values[f"mIoU, {row}"] for row in (chain.CUT_OUT, chain.SQUARE))
    lead = values[f"mIoU, {chain.WHOLE}"] - baseline
    assert values["lead over CLIP's text"] == pytest.approx(lead)
    assert len(scenes) == 2


def test_enlarging_repeats_pixels_where_it_can() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    assert np.array_equal(enlarged(image, 12)[::3, ::3], image)
    assert enlarged(image, 10).shape == (10, 10, 3)


def test_a_sheet_is_kept_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    sheet = draw_sheet("noise", [[TileRow([Tile(noise, "one"), Tile(noise, "two")], "heading")]])
    save_sheet(sheet, tmp_path / "large.png")
    save_sheet(sheet, tmp_path / "small.png", most_bytes=1)
    with Image.open(tmp_path / "large.png") as full, Image.open(tmp_path / "small.png") as reduced:
        assert (full.mode, reduced.mode) == ("RGB", "P")
    sizes = [(tmp_path / name).stat().st_size for name in ("large.png", "small.png")]
    assert sizes[1] < sizes[0]


@pytest.mark.slow
def test_every_model_has_a_sheet(
    images: list[PromptedImage],
    model: Judge,
    small_sam: Sam,
    small_dino: Dinov2Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bank: rim.Bank,
) -> None:
    monkeypatch.setattr(features, "_REFERENCES", 1)
    judged = judge(model, [one.image for one in images])
    sheets = {
        "generator": generator.generator_sheet(images, judged),
        "sam": sam.sam_sheet(SamSegmenter(small_sam)),
        "features": features.features_sheet(PatchFeatures(small_dino, 32, IMAGENET)),
        "clip": clip.clip_sheet(Oracle(["house"] * 24)),
        "chain": chain.chain_sheet(bank, scenes=3),
    }
    assert set(sheets) == set(miniature.MODELS)
    for name, sheet in sheets.items():
        save_sheet(sheet, tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            image.load()
            assert min(image.size) > 400


@pytest.mark.slow
def test_the_command_reports_and_writes(
    tmp_path: Path,
    model: Judge,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_judge(model, tmp_path / "judge" / "judge.safetensors")
    monkeypatch.setattr(miniature.ModelStack, "text_to_image", Drawn())
    few = miniature.generator_gates
    monkeypatch.setattr(miniature, "generator_gates", lambda *given: few(*given, drawn=1))
    arguments = ["--work", str(tmp_path), "--only", "generator", "--images", "1"]
    miniature.main(
        [*arguments, "--json", str(tmp_path / "gates.json"), "--sheets", str(tmp_path / "sheets")]
    )
    assert "recognised, all" in capsys.readouterr().out
    written = json.loads((tmp_path / "gates.json").read_text(encoding="utf-8"))
    assert written["gates"][0]["gate"] == "recognised, all"
    assert written["detail"]["generator"]["diversity ratio"]["house"] is None  # of one image
    assert (tmp_path / "sheets" / "generator.png").exists()


def test_unknown_models_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        miniature.main(["--work", "w", "--only", "sam,dino"])
    assert "found dino" in capsys.readouterr().err
