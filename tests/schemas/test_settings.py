"""Settings: presets, overrides with clear errors, and the hash of what makes a shard's bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.errors import SettingsError
from schemas.resources import preset_names
from schemas.settings import (
    Models,
    ModelSource,
    SamArchitecture,
    SegmenterSource,
    Settings,
    apply_overrides,
    load_settings,
)

MODELS = """
[models]
text_to_image = {location = "weights/sd"}
segmenter = {location = "weights/sam.pth", architecture = "vit_b"}
features = {location = "some/hub-id", revision = "abc"}
text_image = {location = "/absolute/clip"}
"""


def write_preset(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_valid(name: str) -> None:
    assert load_settings(name).preset == name


def test_the_paper_preset_has_the_papers_numbers() -> None:
    settings = load_settings("paper")
    assert settings.generation.images_per_category == 50
    assert settings.generation.steps == 50
    assert settings.proposals.fuse == 0.9
    assert settings.known_categories is None
    assert settings.models.segmenter.architecture == "vit_h"


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "weights" / "sd").mkdir(parents=True)
    settings = load_settings(
        write_preset(tmp_path, MODELS + '[generation]\nsteps = 4\nno_article = ["grass"]\n')
    )
    assert settings.preset == "mine"
    assert settings.generation.steps == 4
    assert settings.generation.no_article == ("grass",)
    # What lies beside the file becomes absolute; what does not stays as it is.
    assert settings.models.text_to_image.location == str(tmp_path / "weights" / "sd")
    assert settings.models.segmenter.location == "weights/sam.pth"
    assert settings.models.features.location == "some/hub-id"


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("generation.steps=4", "generation", "steps", 4),
        ("generation.guidance_scale=7", "generation", "guidance_scale", 7.0),
        ("matching.matcher=prototype", "matching", "matcher", "prototype"),
        ('matching.matcher="prototype"', "matching", "matcher", "prototype"),
        (" matching.background = 0.4 ", "matching", "background", 0.4),
        ("matching.background=none", "matching", "background", None),
        ('generation.no_article=["sky", "sea"]', "generation", "no_article", ("sky", "sea")),
        (
            "generation.template=one {category} = two",
            "generation",
            "template",
            "one {category} = two",
        ),
    ],
)
def test_overrides(override: str, section: str, key: str, value: object) -> None:
    settings = load_settings("paper", [override])
    assert getattr(getattr(settings, section), key) == value


def test_the_last_override_wins_and_the_rest_stays() -> None:
    settings = load_settings("paper")
    changed = apply_overrides(settings, ["generation.steps=4", "generation.steps=5"])
    assert changed == settings.model_copy(
        update={"generation": settings.generation.model_copy(update={"steps": 5})}
    )


def test_overriding_a_model() -> None:
    settings = load_settings(
        "paper",
        [
            "models.features.location=/models/dino",
            "models.features.revision=0123456",  # digits, but a revision is a text
            "models.segmenter.architecture=vit_b",
        ],
    )
    assert settings.models.features.location == "/models/dino"
    assert settings.models.features.revision == "0123456"
    assert settings.models.segmenter.architecture == "vit_b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generation.steps", "expected section.key=value, found 'generation.steps'"),
        ("steps=3", "expected section.key=value, found 'steps=3'"),
        ("=3", "expected section.key=value"),
        ("generation.stepz=4", r"generation.stepz is no setting \(did you mean steps\?\)"),
        ("generation.grid=4", "generation has batch_size, guidance_scale, height"),
        ("gen.steps=4", r"gen is no section \(did you mean generation\?\); expected one of"),
        ("preset.name=x", "preset has no keys inside it"),
        ("generation.steps.more=1", "generation.steps has no keys inside it"),
        ("generation.steps=0", "generation.steps: expected greater than 0, found 0"),
        ("generation.steps=four", "generation.steps: expected a valid integer, found 'four'"),
        ("generation.steps=true", "generation.steps: expected a valid integer, found True"),
        ("generation.steps=1979-05-27", "generation.steps: expected a valid integer"),
        ("generation.height=100", "generation.height: expected a multiple of 8, found 100"),
        ("generation.template=x", r"generation.template: expected a text with \{category\} in it"),
        ("localisation.threshold=1.5", "localisation.threshold: expected less than or equal to 1"),
        ("localisation.threshold=nan", "localisation.threshold: expected a finite number"),
        (
            "matching.matcher=nearest",
            "matching.matcher: expected 'prototype', 'knn' or 'ranking', found",
        ),
        ("models.features=x", "models.features: expected an object, found 'x'"),
        ("models.features.location=", "models.features.location: "),
        ("models.segmenter.architecture=vit_x", "models.segmenter.architecture: expected 'vit_b'"),
        ("models.segmenter.architecture.depth=2", "architecture.image_size is missing"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings("paper", [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[models", "mine.toml: expected TOML, found: "),
        ("", "mine.toml: models is missing"),
        (MODELS + "[generatoin]\nsteps = 4", r"generatoin is no section \(did you mean generation"),
        (MODELS + "[generation]\nstep = 4", r"generation.step is no setting \(did you mean steps"),
        (
            MODELS.replace(', architecture = "vit_b"', ""),
            "models.segmenter.architecture is missing",
        ),
        (
            MODELS.replace('"vit_b"', "{image_size = 64, dept = 2}"),
            "models.segmenter.architecture.",
        ),
    ],
)
def test_wrong_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(write_preset(tmp_path, text))


def test_unknown_presets(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"found 'papre' \(did you mean paper\?\); presets: "):
        load_settings("papre")
    with pytest.raises(SettingsError, match=r"cannot read the preset .*none.toml: No such file"):
        load_settings(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b"description = '\xe9'")
    with pytest.raises(SettingsError, match="expected UTF-8 at position 15"):
        load_settings(str(tmp_path / "latin.toml"))


@pytest.mark.parametrize(
    "override",
    [
        "generation.steps=4",
        "generation.seed=1",
        "generation.batch_size=1",
        "localisation.points=2",
        "reference.min_area=0.1",
        "features.size=224",
        "build.shard_images=10",
        "models.segmenter.architecture=vit_b",
        "models.features.revision=abc",
    ],
)
def test_what_changes_a_shards_bytes_changes_the_hash(override: str) -> None:
    settings, changed = load_settings("paper"), load_settings("paper", [override])
    assert settings.build_hash() != changed.build_hash()
    key, _, value = override.partition("=")
    (difference,) = changed.differences(settings)
    assert difference.startswith(f"{key}: {value} != ")


@pytest.mark.parametrize(
    "override",
    [
        "generation.images_per_category=5",
        "reference.outlier_mads=3",
        "reference.confusion_margin=0.3",
        "proposals.grid=8",
        "matching.matcher=prototype",
        "models.features.licence=MIT",
        "models.features.size_gb=3.5",
    ],
)
def test_what_does_not_change_them_is_out_of_the_hash(override: str) -> None:
    settings, changed = load_settings("paper"), load_settings("paper", [override])
    assert settings != changed
    assert settings.build_hash() == changed.build_hash()
    assert settings.differences(changed) == []


def test_settings_of_banks_from_before_sizes_were_told_are_the_same() -> None:
    settings = load_settings("paper")
    before = settings.model_dump(mode="json")
    for source in before["models"].values():
        del source["size_gb"]
    old = Settings.model_validate_json(json.dumps(before))
    assert old.build_hash() == settings.build_hash()
    assert old.differences(settings) == []


def test_the_hash_does_not_depend_on_how_a_number_is_written() -> None:
    written = load_settings("paper", ["generation.guidance_scale=8"])
    assert (
        written.build_hash()
        == load_settings("paper", ["generation.guidance_scale=8.0"]).build_hash()
    )


def test_a_sam_of_ones_own_survives_json() -> None:
    source = ModelSource(location="x")
    architecture = SamArchitecture(
        image_size=128,
        patch_size=8,
        embed_dim=64,
        depth=2,
        num_heads=2,
        global_attn_indexes=(0, 1),
        window_size=0,
        out_chans=32,
        decoder_heads=2,
        decoder_mlp=64,
    )
    settings = Settings(
        preset="own",
        models=Models(
            text_to_image=source,
            segmenter=SegmenterSource(location="x", architecture=architecture),
            features=source,
            text_image=source,
        ),
    )
    back = Settings.model_validate_json(settings.model_dump_json())
    assert back == settings
    assert back.build_hash() == settings.build_hash()
    deeper = apply_overrides(settings, ["models.segmenter.architecture.depth=3"])
    assert deeper.differences(settings) == ["models.segmenter.architecture.depth: 3 != 2"]


def test_notes_on_a_models_files_make_no_other_bank() -> None:
    settings = load_settings("paper")
    plain = [f"models.segmenter.{key}=none" for key in ("sha256", "size", "size_gb")]
    old = load_settings("paper", [*plain, "models.segmenter.licence=other"])
    assert old.models.segmenter.sha256 is None
    assert old.build_hash() == settings.build_hash()
    assert old.build_hash("folder") == settings.build_hash("folder")
    assert settings.differences(old) == []
    data = old.model_dump(mode="json")
    for source in data["models"].values():  # as a bank's settings were written before
        del source["sha256"], source["size"]
    assert Settings.model_validate_json(json.dumps(data)) == old


@pytest.mark.parametrize("value", ["4b8939", "A" * 64, "0" * 63, "0" * 65])
def test_a_sha256_is_one_in_full(value: str) -> None:
    with pytest.raises(SettingsError, match=r"models\.segmenter\.sha256"):
        load_settings("paper", [f"models.segmenter.sha256='{value}'"])


def test_about_how_much_there_is_to_download() -> None:
    assert ModelSource(location="x").download_bytes is None
    assert ModelSource(location="x", size_gb=1.5).download_bytes == 1_500_000_000
    assert ModelSource(location="x", size_gb=1.5, size=7).download_bytes == 7
