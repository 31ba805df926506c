"""The site: built without a warning or a network, whole, and as current as what it describes."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

from query.exports.formats import FORMATS
from rim.cli.main import cli
from schemas.sections import Matching
from tests.documents import REPOSITORY, commands, read

pytest.importorskip("mkdocs", reason="mkdocs is not installed: make setup")
pytest.importorskip("material", reason="mkdocs-material is not installed: make setup")

from docs import generate_architecture, generate_examples, generate_settings, hooks

# A resolver and proxies that lead nowhere: what would ask the network fails.
OFFLINE = """
import socket
def refuse(*arguments, **options):
    raise OSError("the network was asked")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli()
"""


class Links(HTMLParser):
    """What a page loads by itself, what it links to, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        if "src" in values:
            self.loaded.append(values["src"])
        if "href" in values:
            (self.linked if tag == "a" else self.loaded).append(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built in a process that cannot reach anything."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [sys.executable, "-c", OFFLINE, "build", "--strict", "--site-dir", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    """Every page of the site."""
    return {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path, pages: dict[Path, Links]) -> None:
    assert len(pages) > 15
    for path, links in pages.items():
        for address in links.loaded:
            parts = urlsplit(address)
            assert not parts.netloc, f"{path.name}: {address}"
            assert parts.scheme in ("", "data"), f"{path.name}: {address}"
    for style in site.rglob("*.css"):
        addresses = re.findall(r"(?:url\(|@import\s*)[\"']?([^\"')]+)", style.read_text("utf-8"))
        assert not [one for one in addresses if urlsplit(one).netloc], style.name


@pytest.mark.slow
def test_internal_links_lead_somewhere(site: Path, pages: dict[Path, Links]) -> None:
    followed = 0
    for path, links in pages.items():
        for address in {*links.linked, *links.loaded}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else path.parent / unquote(parts.path)
            if path.name == "404.html":  # its links are absolute, wherever it is shown
                target = site / unquote(parts.path).lstrip("/")
            target = target.resolve()
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.relative_to(site)}: {address}"
            if parts.fragment and target in pages:
                anchors = pages[target].anchors | {"__top", "__nav"}
                assert unquote(parts.fragment) in anchors, f"{path.name}: {address}"
            followed += 1
    assert followed > 300


@pytest.mark.slow
def test_pages_of_files_elsewhere_are_there(site: Path) -> None:
    for source, page in hooks.PUBLISHED.items():
        html = (site / page).with_suffix(".html").read_text(encoding="utf-8")
        (title,) = re.findall(r"^# (.*)", read(source), re.MULTILINE)[:1]
        assert title.partition(":")[0].split()[-1] in html, source


@pytest.mark.slow
def test_nothing_but_the_site_is_published(site: Path) -> None:
    assert not list(site.rglob("*.py"))


def test_every_image_of_the_pages_is_described() -> None:
    for path in (REPOSITORY / "docs").glob("*.md"):
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text("utf-8")):
            assert len(words) > 10, f"{path.name}: {target}"


def test_the_page_of_settings_is_current() -> None:
    assert generate_settings.PAGE.read_text(encoding="utf-8") == generate_settings.page(), (
        "run `python -m docs.generate_settings`"
    )


def test_the_examples_in_sql_are_current() -> None:
    text = generate_examples.PAGE.read_text(encoding="utf-8")
    assert text == generate_examples.page(text), "run `python -m docs.generate_examples`"


def test_the_rooms_and_their_drawing_are_current() -> None:
    """Sizes may lag behind: a line more somewhere is no reason to draw the house again."""

    def without_numbers(text: str) -> str:
        return re.sub(r"\d[\d,]*", "0", text)

    text = generate_architecture.PAGE.read_text(encoding="utf-8")
    command = "run `python -m docs.generate_architecture`"
    assert without_numbers(text) == without_numbers(generate_architecture.page(text)), command
    drawing = generate_architecture.DRAWING.read_text(encoding="utf-8")
    assert drawing == generate_architecture.drawing(), command


def test_an_arrow_that_others_stand_for_is_left_out_and_rows_follow_arrows() -> None:
    arrows = {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert generate_architecture.reduced(arrows) == arrows | {"a": {"b"}}
    assert generate_architecture.rows_of(arrows) == {"a": 2, "b": 1, "c": 0, "d": 1}


def test_the_walks_name_what_exists() -> None:
    walks = re.findall(r"`([\w/]+\.py)`\s`([\w.]+)`", read("docs/architecture.md"))
    assert len(walks) > 35
    for path, name in walks:
        found: ast.AST = ast.parse(read(path))
        for part in name.split("."):
            parts = {getattr(one, "name", ""): one for one in ast.iter_child_nodes(found)}
            assert part in parts, f"{path}: {name}"
            found = parts[part]


def test_the_page_of_settings_says_what_holds() -> None:
    rows = {
        row[1].strip(" `"): [cell.strip() for cell in row[2:-1]]
        for row in (line.split("|") for line in read("docs/settings.md").splitlines())
        if len(row) == 9
    }
    assert rows["fuse"] == [
        "threshold of Eq. 1; at 1 nothing is fused",
        "number, ≥ 0, ≤ 1",
        *("`0.9`", "**`1.0`**", "`0.9`", "`0.9`"),
    ]
    assert rows["guidance_scale"][2:] == ["`7.5`", "**`4.0`**", "`7.5`", "**`1.0`**"]
    assert rows["background"][1] == "number, ≥ -1, ≤ 1 or `auto` or `none`"
    assert set(Matching.model_fields) <= set(rows)


@pytest.mark.parametrize(
    ("markdown", "there"),
    [
        ("[a](sam.md)", "[a](sam.md)"),
        ("![a](../../../docs/images/x.png)", "![a](../images/x.png)"),
        ("[a](../../../CONTRIBUTING.md#style)", "[a](../contributing.md#style)"),
        ("[a](../../../schemas/sections.py)", "a (`schemas/sections.py`)"),
        ("[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
        ("[a](#here)", "[a](#here)"),
    ],
)
def test_links_of_a_file_elsewhere_lead_to_pages(markdown: str, there: str) -> None:
    source = "data/miniature/cards/clip.md"
    assert hooks.relinked(markdown, source, hooks.PUBLISHED[source]) == there


def test_the_readme_has_the_numbers_of_the_page() -> None:
    summary = read("README.md").partition("## Numbers")[2].partition("## Limits")[0]
    rows = [line for line in summary.splitlines() if line.startswith("| mIoU")]
    assert len(rows) == 4
    page = read("docs/numbers.md")
    assert set(rows) <= set(page.splitlines())
    numbers = set(re.findall(r"\d[\d,]*\.?\d*", summary))
    assert numbers <= set(re.findall(r"\d[\d,]*\.?\d*", page)), "a number that the page has not"


def test_extras_that_the_documents_name_exist() -> None:
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    named = {
        name
        for path in (REPOSITORY / "docs").glob("*.md")
        for name in re.findall(r"'\.\[(\w+)\]'", path.read_text(encoding="utf-8"))
    }
    assert "app" in named
    assert named <= set(extras)


def test_commands_and_formats_that_the_documents_name_exist() -> None:
    known = set(cli.list_commands(click.Context(cli)))
    for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"`rim ([a-z][a-z-]*)", text))
        named |= {line.split()[1] for line in commands(text) if line.startswith("rim ")}
        assert named <= known, path.name
    table = read("docs/recipes.md").partition("| format |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(FORMATS)
