"""The demo: builds the miniature bank, labels and scores fresh scenes, asks three questions in SQL.

    python -m benchmarks.demo

Is `make demo`. Writes demo/bank, demo/labels and demo/index.html.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import rim
from benchmarks.demo_page import DemoPage, ReferenceView, SceneView, enlarged, outlined
from foundation.images.masks import Rle, decode_rle
from foundation.images.reading import decode_png, encode_png
from miniature.world import CATEGORIES, draw_scene
from query.overlay import draw_overlay
from rim.bank import Bank
from rim.cli.progress import build_progress, counter
from rim.evaluation.datasets.miniature import evaluation_seed
from rim.inspection.sql.formats import format_result

FOLDER = Path("demo")
IMAGES_PER_CATEGORY = 8
STEPS = 20
SHOWN, SCORED = 12, 60
SHOWN_SEED, SCORED_SEED = 2024, 7
SCENE_SIZE = (192, 192)

QUESTIONS = (
    "SELECT category, images, accepted FROM categories ORDER BY accepted, category LIMIT 5",
    "SELECT coalesce(reason, status) AS outcome, count(*) AS images FROM images"
    " GROUP BY 1 ORDER BY 2 DESC LIMIT 5",
    "WITH v AS (SELECT category, embedding FROM features WHERE role = 'foreground')"
    " SELECT a.category, b.category AS looks_like,"
    " round(avg(array_cosine_similarity(a.embedding, b.embedding)), 3) AS cosine"
    " FROM v a JOIN v b ON a.category < b.category GROUP BY ALL ORDER BY cosine DESC LIMIT 5",
)


def main() -> None:
    started = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    bank_folder = FOLDER / "bank"
    _say(f"rim build miniature --out {bank_folder} -k {IMAGES_PER_CATEGORY} --steps {STEPS}")
    with build_progress() as progress:
        bank = rim.build(
            "miniature",
            bank_folder,
            images_per_category=IMAGES_PER_CATEGORY,
            steps=STEPS,
            overwrite=_has_other_settings(bank_folder),
            progress=progress,
        )
    _say(f"rim query {bank_folder} demo/scenes --out demo/labels --background off")
    scenes = _label_scenes(bank)
    _say(f"rim eval {bank_folder} --dataset miniature --scenes {SCORED} --seed {SCORED_SEED}")
    with counter("scoring", SCORED) as advance:
        scores = rim.evaluate(
            bank, "miniature", scenes=SCORED, seed=SCORED_SEED, progress=lambda *_: advance()
        )
    print(f"mIoU {scores.miou:.3f}, pixel accuracy {scores.pixel_accuracy:.3f}, {SCORED} scenes\n")
    answers = []
    for question in QUESTIONS:
        answer = format_result(bank.sql(question).to_arrow_table(), "table").decode()
        print(f'rim sql {bank_folder} "{question}"\n{answer}')
        answers.append((question, answer))

    facts = bank.info()
    page = DemoPage(
        miou=scores.miou,
        scored=SCORED,
        bank_summary=f"The bank holds {facts['accepted']} accepted and {facts['rejected']} rejected"
        f" images of {len(facts['categories'])} categories, {facts['bytes'] / 1e6:.1f} MB.",
        seconds=time.monotonic() - started,
        scenes=scenes,
        images=_images(bank, scenes),
        gallery=_gallery(bank),
        answers=answers,
    )
    (FOLDER / "index.html").write_text(page.html(), encoding="utf-8")
    (FOLDER / "scenes.png").write_bytes(encode_png(_sheet(scenes[:4])))
    _say(f"{time.monotonic() - started:.0f} s; open {FOLDER / 'index.html'}")


def _has_other_settings(folder: Path) -> bool:
    """Whether an older demo bank, made with other settings or weights, is in the way."""
    from schemas.errors import RimError

    try:
        old = rim.open(folder)
        wanted = rim.api.choose_settings("miniature", IMAGES_PER_CATEGORY, STEPS, None, ())
        from foundation.stack import ModelStack

        found = ModelStack(wanted, "auto", True).fingerprints(tuple(old.manifest.models))
        return old.settings != wanted or old.manifest.models != found
    except RimError:
        return folder.exists()


def _label_scenes(bank: Bank) -> list[SceneView]:
    images, labels = FOLDER / "scenes", FOLDER / "labels"
    images.mkdir(exist_ok=True)
    ids = {record.name: record.category_id for record in bank.categories}
    names = {record.category_id: record.name for record in bank.categories}
    to_id = np.array([ids[name] for name in CATEGORIES], np.int32)
    views = []
    with counter("labelling", SHOWN) as advance:
        for number in range(SHOWN):
            scene = draw_scene(evaluation_seed(SHOWN_SEED, number), SCENE_SIZE)
            path = images / f"scene{number:02d}.png"
            Image.fromarray(scene.image).save(path)
            result = rim.query(bank, path, background="off")
            result.save(labels, path.stem)
            truth = to_id[scene.labels]
            views.append(
                SceneView(
                    name=scene.caption.removeprefix("a photo of "),
                    image=scene.image,
                    truth=draw_overlay(scene.image, truth, names),
                    prediction=result.overlay(),
                    regions=result.regions,
                    correct=float((result.label_map == truth).mean()),
                )
            )
            advance()
    return views


def _sheet(scenes: list[SceneView]) -> NDArray[np.uint8]:
    """Scenes above their truth above the prediction, side by side."""
    columns = [
        np.concatenate([enlarged(p, 256) for p in (s.image, s.truth, s.prediction)]) for s in scenes
    ]
    return np.concatenate(columns, axis=1)


def _images(bank: Bank, scenes: list[SceneView]) -> dict[int, bytes]:
    return bank.png({one.image_id for s in scenes for r in s.regions for one in r.references})


def _gallery(bank: Bank) -> dict[str, list[ReferenceView]]:
    columns = ["image_id", "category", "status", "reason", "prompt", "mask", "points"]
    rows = bank.images_table(columns).to_pylist()
    pngs = bank.png([row["image_id"] for row in rows])
    gallery: dict[str, list[ReferenceView]] = {}
    for row in rows:
        if row["image_id"] not in pngs:
            continue
        mask = row["mask"] and decode_rle(Rle(tuple(row["mask"]["size"]), row["mask"]["counts"]))
        points = [(point["x"], point["y"]) for point in row["points"] or ()]
        view = ReferenceView(
            png=outlined(np.asarray(decode_png(pngs[row["image_id"]]), np.uint8), mask, points),
            title=f"{row['image_id']}: {row['reason'] or row['prompt']}",
            accepted=row["status"] == "accepted",
        )
        gallery.setdefault(row["category"], []).append(view)
    return gallery


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
