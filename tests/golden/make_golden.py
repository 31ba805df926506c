"""Makes a golden bank: `python -m tests.golden.make_golden data/golden/v1`.

Run once for every version of the format, never again: what it made is what later versions of rim
must still be able to read. It goes through everything that a bank can hold: generated pictures and
photos, rejected and failed images, verdicts by comparison and by a person, several versions, a
category that was removed and one that was added.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import rim
from miniature.world import draw_scene
from schemas.digests import sha256_bytes
from schemas.ids import pack_image_id
from schemas.store.bank import StoredBank

SETTINGS = {"images_per_category": 3, "steps": 20, "seed": 3}


def make(out: Path) -> None:
    """Builds the bank in five steps, and writes what it holds beside it."""
    rim.build(["house, cottage", "fish", "boat"], out, **SETTINGS)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        photos(Path(folder))
        source = f"folder:{folder}"
        rim.build(["house, cottage", "fish", "boat"], out, source=source, **SETTINGS)  # type: ignore[arg-type]
    rim.reject(out, [pack_image_id(0, "diffusion", 1)], reason="two houses in one picture")
    rim.remove(out, ["boat"])
    rim.add(out, ["grass, meadow"])
    expected = json.dumps(describe(StoredBank(out)), indent=1, ensure_ascii=False)
    (out.parent / f"{out.name}.json").write_text(expected + "\n", encoding="utf-8")


def photos(folder: Path) -> None:
    """Two photos of fish, one of which is none, and one of a house with a mask."""
    for category in ("fish", "house"):
        (folder / category).mkdir()
        scene = draw_scene(5, (96, 128), things=(category,))
        Image.fromarray(scene.image).save(folder / category / "a.png")
    (folder / "fish" / "b.jpg").write_bytes(b"no picture")
    mask = np.zeros((96, 128), np.uint8)
    mask[20:70, 30:100] = 255
    Image.fromarray(mask).save(folder / "house" / "a.mask.png")


def describe(bank: StoredBank) -> dict[str, Any]:
    """What the golden test compares."""
    facts = bank.images_table(["image_id", "category", "number", "source", "status", "reason"])
    features = bank.features()
    similarity, ids = bank.index().search(features.embeddings[:1], 4)
    return {
        "version": bank.version,
        "categories": [[one.category_id, one.name, *one.synonyms] for one in bank.categories],
        "images": [list(row.values()) for row in facts.to_pylist()],
        "feature_ids": features.feature_id.tolist(),
        "embeddings_sha256": sha256_bytes(features.embeddings.astype("<f4").tobytes()),
        "nearest": {"feature_ids": ids[0].tolist(), "cosines": similarity[0].tolist()},
    }


if __name__ == "__main__":
    make(Path(sys.argv[1]))
