"""The pages: sound HTML, no dead link, nothing of a stranger's that is more than text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from rim.inspection.report.cards import draw
from rim.inspection.report.pages import POLICY
from rim.inspection.report.write import write_report
from rim.inspection.sql.connection import run_sql
from schemas.store.verdicts import Verdict
from tests.query.examples import reference_row, write_bank
from tests.rim.inspection.report.conftest import Written
from tests.rim.inspection.report.examples import (
    CLOSING,
    NAMES,
    RTL,
    TAG,
    Page,
    direction,
    example_bank,
)

HOUSE = "categories/category-00003.html"
TAGS = "categories/category-00005.html"
TURNED = "categories/category-00008.html"
LINKS = ("href", "src")


def links_of(page: Page) -> set[str]:
    return set(page.attributes(*LINKS))


def test_there_is_a_page_a_category_named_by_its_id(written: Written) -> None:
    assert set(written.pages) == {"index.html", "map.html", "similarity.html", HOUSE, TAGS, TURNED}


def test_every_tag_is_closed_in_its_place(written: Written) -> None:
    problems = {name: page.problems for name, page in written.pages.items() if page.problems}
    assert problems == {}


def test_every_link_and_file_is_there_and_relative(written: Written) -> None:
    for name, page in written.pages.items():
        for link in links_of(page):
            parts = urlsplit(link)
            assert not parts.scheme, (name, link)
            assert not parts.netloc, (name, link)
            target = (written.folder / name).parent / unquote(parts.path)
            assert not parts.path or target.is_file(), (name, link)
            assert written.folder in target.resolve().parents or not parts.path, (name, link)
            if parts.fragment:
                path = str(target.resolve().relative_to(written.folder)) if parts.path else name
                assert parts.fragment in set(written.pages[path].attributes("id")), (name, link)


def test_every_file_is_used_by_some_page(written: Written) -> None:
    used = {"rim-report.json"} | set(written.pages)
    for name, page in written.pages.items():
        here = (written.folder / name).parent
        used |= {
            str((here / link.partition("#")[0]).resolve().relative_to(written.folder))
            for link in links_of(page)
            if not link.startswith("#")
        }
    files = {
        str(path.relative_to(written.folder))
        for path in written.folder.rglob("*")
        if path.is_file()
    }
    assert files == used


def test_pages_forbid_the_network_and_hold_no_script_and_no_style(written: Written) -> None:
    for page in written.pages.values():
        (policy,) = (own["content"] for tag, own in page.tags if own.get("http-equiv"))
        assert policy == POLICY
        assert policy.startswith("default-src 'none'")
        assert not re.search(r"https?:|\*|unsafe|data:", policy)
        names = {name for _, attributes in page.tags for name in attributes}
        assert not {name for name in names if name.startswith("on") or name == "style"}
        assert all("src" in own for tag, own in page.tags if tag == "script")
        assert not any(tag == "style" for tag, _ in page.tags)


def test_hostile_texts_stay_texts(written: Written) -> None:
    for name, page in written.pages.items():
        # Ours are the fallback of the map, and scripts in the head.
        images = [own for tag, own in page.tags if tag == "img"]
        assert [own["src"] for own in images] == (
            ["pictures/map.png"] if name == "map.html" else []
        )
        assert "i" not in {tag for tag, own in page.tags if own}
        assert "u" not in {tag for tag, _ in page.tags}
        assert TAG in page.text
    house = written.pages[HOUSE].text
    assert "<u>hut</u>" in house
    assert "not a <b>house</b>" in house
    assert CLOSING.removesuffix("\u2028") in house
    assert "a photo of " + TAG in written.pages[TAGS].text
    assert "dino<i>" in written.pages["index.html"].text


def test_characters_that_turn_or_break_text_are_written_out(written: Written) -> None:
    for path in written.folder.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search("[\u2028\u2029\u202a-\u202e\u2066-\u2069]", text)
    house = written.pages[HOUSE].text
    assert "evil\\u202egnp.exe<i>" in house
    assert RTL in written.pages[TURNED].text


def test_data_scripts_hold_no_tag_and_say_the_names(written: Written) -> None:
    for name in ("map", "similarity"):
        text = (written.folder / "data" / f"{name}.js").read_text(encoding="utf-8")
        assert not re.search("[<>&\u2028\u2029]", text)
        data = json.loads(text.partition("=")[2].rstrip().removesuffix(";"))
        found = data["names"] if name == "similarity" else [c["name"] for c in data["categories"]]
        assert sorted(found) == sorted(NAMES.values())


def test_counts_agree_with_sql(written: Written) -> None:
    rows = run_sql(
        written.bank,
        "SELECT category_id, status, count(*) FROM images GROUP BY ALL ORDER BY ALL",
    ).fetchall()
    for category_id in NAMES:
        expected = {status: count for own, status, count in rows if own == category_id}
        page = written.pages[f"categories/category-{category_id:05d}.html"]
        shown = [own["class"].split()[1] for own in page.of_class("card")]
        assert {status: shown.count(status) for status in set(shown)} == expected
    totals = {}
    for _, status, count in rows:
        totals[status] = totals.get(status, 0) + count
    tiles = re.findall(r"(\d+) (accepted|rejected|failed)\n", written.pages["index.html"].text)
    assert {status: int(count) for count, status in tiles} == totals


def test_each_reference_has_one_card_that_map_and_person_find(written: Written) -> None:
    ids = run_sql(written.bank, "SELECT image_id FROM images WHERE category_id = 3").fetchall()
    page = written.pages[HOUSE]
    assert sorted(own["id"] for own in page.of_class("card")) == sorted(f"i{one}" for (one,) in ids)
    assert all(str(one) in page.text for (one,) in ids)


def test_verdicts_say_who_and_why(written: Written) -> None:
    page = written.pages[HOUSE]
    assert len(page.of_class("person")) == 2
    assert f"overruled: nearer to another category, {TAG}" in page.text
    reasons = re.findall(r"(\d+) × (mask too small [^)]*\))", page.text)  # noqa: RUF001
    assert reasons == [
        ("1", "mask too small (below 0.005 of the image)"),
        ("1", "mask too small (below 0.01 of the image)"),
    ]
    assert "not a <b>house</b>" in page.text


def test_images_that_cannot_be_shown_are_told(written: Written) -> None:
    page = written.pages[TURNED]
    assert "Its image cannot be shown" in page.text
    assert "Its mask or attention cannot be shown" in page.text
    assert len(page.of_class("missing")) == 1


def test_thumbnails_have_texts_and_switches_have_labels(written: Written) -> None:
    for page in written.pages.values():
        for tag, own in page.tags:
            if own.get("role") == "img":
                assert own["aria-label"]
            if tag == "img":
                assert own["alt"]
    switches = [own for tag, own in written.pages[HOUSE].tags if own.get("type") == "checkbox"]
    assert [own["id"] for own in switches] == [
        *("show-mask", "show-points", "show-attention", "show-large"),
    ]


def test_the_same_version_gives_the_same_bytes(written: Written, tmp_path: Path) -> None:
    again = write_report(written.bank, tmp_path / "again").index.parent
    first, second = (
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in (written.folder, again)
    )
    assert first == second
    assert sum(map(len, first.values())) == written.report.bytes
    assert len(first) == written.report.files


def test_some_categories_alone_have_no_links_to_the_others(
    written: Written, tmp_path: Path
) -> None:
    report = write_report(written.bank, tmp_path / "some", category_ids=[3, 8])
    folder = report.index.parent
    assert report.categories == 2
    assert {path.name for path in (folder / "categories").iterdir()} == {
        "category-00003.html",
        "category-00008.html",
    }
    for path in folder.rglob("*.html"):
        page = Page.read(path)
        assert page.problems == []
        for link in links_of(page):
            assert (path.parent / link.partition("#")[0]).exists(), (path, link)
    assert "2 of its 3 categories" in Page.read(report.index).text
    # Comparisons are still with all categories.
    assert TAG in Page.read(folder / "categories" / "category-00003.html").text


@pytest.mark.parametrize(
    "broken",
    [
        {"mask": {"size": None, "counts": "08`0"}},
        {"mask": {"size": [4, None], "counts": "08`0"}},
        {"mask": {"size": [4], "counts": "08`0"}},
        {"mask": {"size": [4, 6], "counts": None}},
        {"points": [None, {"x": None, "y": 2}]},
        {"width": 0, "height": None},
    ],
)
def test_facts_that_no_builder_writes_still_give_a_card(
    written: Written, broken: dict[str, object]
) -> None:
    row = written.bank.images_table(category_id=3).to_pylist()[0]
    png = written.bank.png([row["image_id"]])[row["image_id"]]

    drawn = draw({**row, **broken}, png, None)

    assert drawn.image is not None
    assert (drawn.note is not None) == ("mask" in broken)
    assert drawn.points == () or "mask" in broken


def test_progress_counts_categories(written: Written, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_report(written.bank, tmp_path / "out", progress=lambda *two: seen.append(two))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_an_older_version_without_index_or_verdicts(written: Written, tmp_path: Path) -> None:
    old = type(written.bank)(written.bank.path, 1)
    report = write_report(old, tmp_path / "old")
    page = Page.read(report.index.parent / HOUSE)
    assert page.of_class("person") == []
    assert report.version == 1


@pytest.mark.parametrize("name", ["index.html", "map.html", "similarity.html"])
def test_a_bank_without_any_accepted_image(tmp_path: Path, name: str) -> None:
    row = reference_row(3, "house", 0, direction(3, 0))
    verdict = Verdict(row.image_id, "rejected", "blurred", "person")
    bank = write_bank(tmp_path / "bank", {"house": [row]}, verdicts=[verdict])
    report = write_report(bank, tmp_path / "out")
    page = Page.read(report.index.parent / name)
    assert page.problems == []
    dead = [link for link in links_of(page) if not (report.index.parent / link).exists()]
    assert [link for link in dead if not link.startswith("#")] == []
    assert [one.reasons for one in report.weak] == [
        ("No accepted reference: no photo can be labelled with it.",)
    ]


def test_example_is_what_the_tests_think(tmp_path: Path) -> None:
    bank = example_bank(tmp_path / "bank")
    question = "SELECT number, status FROM images WHERE category = 'house' ORDER BY 1"
    statuses = dict(run_sql(bank, question).fetchall())
    assert [number for number, status in statuses.items() if status == "rejected"] == [1, 4, 7, 9]
    assert [number for number, status in statuses.items() if status == "failed"] == [2]
