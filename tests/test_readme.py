"""Every command, question and program in the README and the site runs as it stands there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

import rim
from miniature.world import draw_scene
from rim.cli.main import main
from tests.documents import REPOSITORY, blocks, commands, furnish, read, run_command, run_program
from tests.rim.hub_preset import serve_miniature
from tests.stand_in_hub import StandInHub

README = read("README.md")
PAGES = (
    "README.md",
    *(f"docs/{name}.md" for name in ("quickstart", "recipes", "settings", "sql", "api")),
)
BUILD = "rim build words.txt --out bank -k 8 --steps 20"


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank that the README builds, by the README's command."""
    assert BUILD in commands(README)
    folder = tmp_path_factory.mktemp("bank")
    furnish(folder)
    run_command(BUILD, folder)
    return folder / "bank"


@pytest.fixture(scope="module", params=PAGES)
def page(request: pytest.FixtureRequest) -> str:
    """The name of a document."""
    return str(request.param)


@pytest.fixture(scope="module")
def workplace(page: str, bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a document's commands were run one after the other. The bank that most of
    them build or use is there: building it, they find it up to date.
    """
    folder = tmp_path_factory.mktemp(Path(page).stem)
    furnish(folder)
    shutil.copytree(bank, folder / "bank")
    for line in commands(read(page)):
        run_command(line, folder)
    return folder


@pytest.mark.slow
def test_commands_and_what_they_promise(page: str, workplace: Path) -> None:
    assert list((workplace / "bank" / "manifests").glob("*.json"))
    for text, made in PROMISED.get(page, {}).items():
        assert text in read(page)
        for pattern in made:
            assert list(workplace.glob(pattern)), f"{text}: {pattern}"
    if page == "docs/recipes.md":
        assert json.loads((workplace / "scores" / "results.json").read_text())["miou"] == 1
        sources = rim.open(workplace / "bank").sql("SELECT DISTINCT source FROM images ORDER BY 1")
        assert sources.fetchall() == [("diffusion",), ("folder",)]


PROMISED = {
    "README.md": {
        "rim query bank photo.png --out labels": (
            "labels/photo.labels.png",
            "labels/photo.overlay.png",
            "labels/photo.json",
        ),
        "rim report bank --out report": ("report/index.html",),
    },
    "docs/quickstart.md": {"`labels/regions.parquet`": ("labels/regions.parquet",)},
    "docs/recipes.md": {
        "`NAME.labelme.json`": ("labels/1.labelme.json",),
        "`coco-instances.json`": ("labels/coco-instances.json",),
        "`panoptic/NAME.png`": ("labels/panoptic/1.png",),
        "`audit/per_class.parquet`": ("audit/per_class.parquet",),
        "`audit-pictures`": ("audit-pictures/*.png",),
        "--pictures figures": ("figures/*.png",),
    },
}
"""Files that a page says there are, by the words that say it."""


@pytest.mark.slow
def test_programs(page: str, workplace: Path) -> None:
    for program in blocks(read(page), "python"):
        run_program(program, workplace)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/sql.md"])
def test_questions_in_sql(name: str, bank: Path, capfd: pytest.CaptureFixture[str]) -> None:
    questions = blocks(read(name), "sql")
    assert len(questions) >= 3
    for question in questions:
        with pytest.raises(SystemExit) as leaving:
            main(["sql", str(bank), question])
        assert not leaving.value.code, capfd.readouterr().err


@pytest.mark.slow
def test_columns_are_those_that_the_page_lists(bank: Path) -> None:
    text = read("docs/sql.md")
    found: dict[str, set[str]] = {}
    for view, column in (
        rim.open(bank)
        .sql(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT table_name LIKE '\\_%' "
            "ESCAPE '\\'"
        )
        .fetchall()
    ):
        found.setdefault(view, set()).add(column)
    listed = {}
    for part in re.split(r"^(?=\*\*`)", text.partition("## Questions")[0], flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\|([^|]*)\|", part, re.MULTILINE)
        listed[part.split("`")[1]] = {word for row in rows for word in re.findall(r"`(\w+)`", row)}
    assert listed == {view: found[view] for view in listed}
    assert set(listed) == {"categories", "images", "features", "prototypes", "builds"}


@pytest.mark.parametrize(
    "target",
    [
        "setup",
        "install-cpu",
        "demo",
        "test",
        "test-slow",
        "test-all",
        "lint",
        "bench",
        "stress",
        "docs",
    ],
)
def test_make_has_the_targets_that_the_documents_name(target: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", target], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


@pytest.mark.slow
def test_full_size_rehearsed(hub: StandInHub, tmp_path: Path) -> None:
    """The page's commands one after the other, with the miniature's weights from a hub."""
    serve_miniature(hub, tmp_path)
    (tmp_path / "words.txt").write_text("house\nfish\n", encoding="utf-8")
    Image.fromarray(draw_scene(3, (96, 96), things=("fish",)).image).save(tmp_path / "photo.jpg")
    told = commands(read("docs/full-size.md"))
    assert [line.split()[1] for line in told] == ["build", "fetch", "build", "query"]
    for line in told:
        line = line.replace("--preset paper", "--preset hub.toml").replace("voc20", "words.txt")
        if line.startswith("rim build"):
            line += " -k 2 --steps 4"
        run_command(line, tmp_path)
    assert (tmp_path / "labels" / "photo.labels.png").exists()


def test_full_size_without_weights_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "`rim build voc20 --out voc --preset paper --offline`" in README
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    arguments = ["build", "voc20", "--out", str(tmp_path / "bank"), "--preset", "paper"]
    with pytest.raises(SystemExit) as leaving:
        main([*arguments, "--offline"])
    assert leaving.value.code == 2
    error = capfd.readouterr().err
    assert "models.text_to_image" in error
    assert "run `rim fetch --preset paper --for build`" in error
    assert "`rim fetch --preset paper --for build`" in README
    assert not (tmp_path / "bank").exists()


def test_images_and_links_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (REPOSITORY / target).exists(), target


def test_readme_is_short() -> None:
    assert len(README.splitlines()) < 200
