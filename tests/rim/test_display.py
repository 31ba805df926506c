"""Results show themselves in a notebook, and users' type checkers know their types."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rim
from foundation.images.masks import encode_rle
from query.overlay import draw_overlay
from query.segmentation import SHOWN_SIDE
from rim.evaluation.scores import ConfusionMatrix
from schemas.errors import BankDamaged, SqlError
from tests.query.examples import reference_row, write_bank

REPOSITORY = Path(__file__).parents[2]
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser makes of HTML: the elements, the pictures' sources, the table's rows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.pictures: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "img":
            self.pictures.append(dict(attributes)["src"] or "")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def unit() -> np.ndarray:
    return np.array([1, 0], np.float32)


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> rim.Bank:
    folder = tmp_path_factory.mktemp("display") / "bank"
    names = {0: "house", 1: HOSTILE}
    rows = {
        name: [reference_row(c, name, n, unit()) for n in range(6)] for c, name in names.items()
    }
    write_bank(folder, rows)
    return rim.open(folder)


def test_a_bank_shows_its_categories_and_a_few_pictures(bank: rim.Bank) -> None:
    page = Page(bank._repr_html_())
    assert [row[:4] for row in page.rows[1:]] == [
        *(["house", "", "6", "6"], [HOSTILE, "", "6", "6"])
    ]
    assert "script" not in page.elements
    assert len(page.pictures) == 8, "four of each category"
    assert all(src.startswith("data:image/png;base64,") for src in page.pictures)
    assert repr(bank) == f"Bank({str(bank.path)!r}, version={bank.version})"


def test_pictures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    write_bank(tmp_path, {"house": [reference_row(0, "house", 0, unit())]})
    (pixels,) = tmp_path.glob("shards/*/pixels.parquet")
    bank = rim.open(tmp_path)
    data = pixels.read_bytes()
    pixels.write_bytes(bytes(len(data)))
    with pytest.raises(BankDamaged):
        bank.png([0])
    page = Page(bank._repr_html_())
    assert page.pictures == []
    assert page.rows[1][:4] == ["house", "", "1", "1"]


def test_an_answer_shows_its_first_rows(bank: rim.Bank) -> None:
    page = Page(bank.sql("SELECT range AS n, range / 3 AS part FROM range(50)")._repr_html_())
    assert page.rows[0] == ["n", "part"]
    assert page.rows[2] == ["1", "0.333333"]
    assert len(page.rows) == 1 + 20
    few = bank.sql("SELECT 1 AS one")
    assert Page(few._repr_html_()).rows == [["one"], ["1"]]
    assert repr(few) == "Answer(one)"
    assert few.fetchall() == [(1,)], "it can be fetched after it was shown"
    assert len(Page(bank.sql("DESCRIBE images")._repr_html_()).rows) > 15


def test_an_answer_is_escaped_and_its_pictures_are_seen(bank: rim.Bank) -> None:
    question = (
        f"SELECT DISTINCT category, '\u202e' || chr(27) AS \"<b>\", NULL AS nothing, png,"
        f" 'abc'::BLOB AS bytes FROM images WHERE category = '{HOSTILE}' LIMIT 1"
    )
    page = Page(bank.sql(question)._repr_html_())
    assert page.rows[0] == ["category", "<b>", "nothing", "png", "bytes"]
    assert page.rows[1] == [HOSTILE, "\\u202e\\x1b", "NULL", "", "<3 bytes>"]
    assert len(page.pictures) == 1
    assert {"script", "b"}.isdisjoint(page.elements)


@pytest.mark.parametrize("value", ["repeat(chr(0), 10)", "'\\x89PNG\\r\\n'"])
def test_bytes_that_are_no_picture_are_none(bank: rim.Bank, value: str) -> None:
    # A picture of 65536 pixels a side in a few bytes is what a browser would choke on.
    huge = (b"\x89PNG\r\n\x1a\n" + bytes(8) + (1 << 16).to_bytes(4) * 2).hex()
    question = f"SELECT encode({value}) AS a, unhex('{huge}') AS b"
    assert Page(bank.sql(question)._repr_html_()).pictures == []


def test_a_wrong_answer_says_why(bank: rim.Bank) -> None:
    with pytest.raises(SqlError, match="Conversion Error"):
        bank.sql("SELECT CAST(category AS INT) FROM images")._repr_html_()


def segmentation(height: int, width: int) -> rim.Segmentation:
    labels = np.full((height, width), -1, np.int32)
    labels[: height // 2] = 0
    region = rim.Region("house", 0, 0.9, 0.8, 1, (0, 0, 1, 1), encode_rle(labels == 0), ())
    image = np.zeros((height, width, 3), np.uint8)
    return rim.Segmentation(image, labels, (region,), {0: "house"}, 1)


def test_a_segmentation_shows_its_overlay_and_nothing_else() -> None:
    result = segmentation(40, 60)
    shown = np.asarray(Image.open(io.BytesIO(result._repr_png_())))
    assert np.array_equal(shown, draw_overlay(result.image, result.label_map, {0: "house"}))
    assert not hasattr(result, "_repr_html_"), "a notebook would show that instead"
    assert repr(result) == "Segmentation(60 x 40, 1 regions of 1 categories, 50% unlabelled)"
    assert "counts" not in repr(result.regions[0])


def test_a_large_one_is_shown_smaller() -> None:
    shown = Image.open(io.BytesIO(segmentation(1500, 3000)._repr_png_()))
    assert shown.size == (SHOWN_SIDE, SHOWN_SIDE // 2)


def test_scores_are_a_table() -> None:
    counts = ConfusionMatrix(2)
    counts.update([0, 0, 0, 1], [0, 0, 1, 1])
    scores = counts.scores(["house", "<i>grass"], missing=["<i>grass"])
    page = Page(scores._repr_html_())
    assert page.rows[1] == [*("0.583", "0.750", "0.750", "0.583", "1")]
    assert page.rows[3] == ["house", "0.667", "1.000", "2", "3"]
    assert page.rows[4] == ["<i>grass (missing)", "0.500", "0.500", "2", "1"]
    assert "i" not in page.elements


USER = """
import rim
bank: rim.Bank = rim.build(["house"], "out", images_per_category=4)
bank = rim.open("out")
result: rim.Segmentation = rim.query(bank, "photo.png", categories=["house"])
for region in result.regions:
    score: float = region.score
    print(region.category, score, region.references[0].similarity)
rows: list[tuple[object, ...]] = bank.sql("SELECT 1").fetchall()
scores: rim.Scores = rim.evaluate(bank, "miniature", scenes=1)
try:
    rim.reject(rim.remove(rim.add(bank, ["fish"]), ["fish"]), [1])
except rim.RimError as error:
    print(error)
reveal_type(result.overlay())
wrong: str = scores.miou
"""


@pytest.mark.slow
def test_a_user_s_strict_type_checker_knows_the_types(tmp_path: Path) -> None:
    (tmp_path / "user.py").write_text(USER)
    # Nothing of the repository's own configuration: the package as it is installed.
    cache = str(REPOSITORY / ".mypy_cache" / "as-a-user")
    options = ["--strict", "--config-file=", "--cache-dir", cache]
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "user.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    errors = re.findall(r"user\.py:(\d+): error: (.*)", checked.stdout)
    assert len(errors) == 1, checked.stdout + checked.stderr
    assert errors[0][0] == str(USER.splitlines().index("wrong: str = scores.miou") + 1)
    assert "numpy.unsignedinteger" in checked.stdout or "uint8" in checked.stdout


def test_every_package_that_is_shipped_says_that_it_is_typed() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (REPOSITORY / package / "py.typed").is_file(), package
