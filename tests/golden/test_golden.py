"""The golden banks are read for ever, by rim and by a foreign reader; no weights are needed."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
import pytest
from PIL import Image

import rim
from schemas.store.bank import StoredBank
from schemas.store.verify import inspect_bank
from tests.golden.make_golden import describe
from tests.golden.reader import ForeignBank

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "golden"
VERSIONS = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest) -> Path:
    """The folder of one golden bank; tests only read it."""
    return GOLDEN / str(request.param)


def expected(golden: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(golden.with_suffix(".json").read_bytes())
    return content


def test_there_is_one_of_this_version() -> None:
    assert "v1" in VERSIONS


def test_rim_reads_what_was_written(golden: Path) -> None:
    found, wanted = describe(StoredBank(golden)), expected(golden)
    cosines = found["nearest"].pop("cosines")
    assert cosines == pytest.approx(wanted["nearest"].pop("cosines"), abs=1e-6)
    assert found == wanted
    assert inspect_bank(golden).damages == ()


def test_every_older_version_opens(golden: Path) -> None:
    latest = expected(golden)["version"]
    for version in range(1, latest + 1):
        bank = StoredBank(golden, version)
        assert bank.images_table().num_rows > 0
        assert bank.index().count == len(bank.features().feature_id)


def test_sql_answers(golden: Path) -> None:
    bank = rim.open(golden)
    images = expected(golden)["images"]
    rows = bank.sql("SELECT status, count(*) FROM images GROUP BY 1 ORDER BY 1").fetchall()
    counts = dict(rows)
    assert counts == {
        status: sum(row[4] == status for row in images) for status in {row[4] for row in images}
    }
    (count,) = bank.sql("SELECT count(*) FROM features").fetchall()
    assert count == (len(expected(golden)["feature_ids"]),)
    builds = bank.sql("SELECT count(*) FROM builds").fetchall()
    assert builds == [(expected(golden)["version"],)]
    assert len(bank.sql("SELECT png, attention FROM images").fetchall()) == len(images)


def test_it_can_still_be_added_to(golden: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(golden, tmp_path / "bank"))
    accepted = next(row[0] for row in expected(golden)["images"] if row[4] == "accepted")
    bank = rim.reject(copy, [accepted])
    assert bank.version == expected(golden)["version"] + 1
    assert inspect_bank(copy).damages == ()


class TestForeignReader:
    """`schemas/FORMAT.md` is enough."""

    def test_facts(self, golden: Path) -> None:
        bank = ForeignBank.open(golden)
        names = ("image_id", "category", "number", "source", "status", "reason")
        assert [[row[name] for name in names] for row in bank.images()] == expected(golden)[
            "images"
        ]
        categories = [[key, *names] for key, names in sorted(bank.categories().items())]
        assert categories == expected(golden)["categories"]

    def test_ids(self, golden: Path) -> None:
        bank = ForeignBank.open(golden)
        codes = {"diffusion": 0, "folder": 1}
        for row in bank.images():
            packed = row["category_id"] << 24 | codes[row["source"]] << 20 | row["number"]
            assert row["image_id"] == packed
        for row in bank.rows("features"):
            assert row["feature_id"] == row["image_id"] << 1 | (row["role"] == "background")

    def test_features_and_index_agree(self, golden: Path) -> None:
        bank = ForeignBank.open(golden)
        ids, embeddings = bank.features()
        indexed_ids, indexed = bank.index()
        assert ids.tolist() == indexed_ids.tolist() == expected(golden)["feature_ids"]
        np.testing.assert_array_equal(embeddings, indexed)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
        cosines = embeddings[0] @ embeddings.T
        nearest = expected(golden)["nearest"]
        np.testing.assert_allclose(np.sort(cosines)[::-1][:4], nearest["cosines"], atol=1e-5)

    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
    def test_masks_lie_on_the_images(self, golden: Path) -> None:
        bank = ForeignBank.open(golden)
        facts = {row["image_id"]: row for row in bank.images()}
        for row in bank.rows("pixels"):
            fact = facts[row["image_id"]]
            if row["png"] is None:
                assert fact["status"] == "failed"
                continue
            with Image.open(io.BytesIO(row["png"])) as image:
                assert (image.mode, image.size) == ("RGB", (fact["width"], fact["height"]))
            if fact["mask"] is not None:
                mask = pycocotools.mask.decode(fact["mask"])
                assert mask.shape == (fact["height"], fact["width"])
                assert mask.mean() == pytest.approx(fact["mask_area"])
