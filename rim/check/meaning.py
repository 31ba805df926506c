"""Steps that judge what the stack makes: a small bank, its attention, masks and features, photos.

The bounds are what a stack that works should pass with room to spare, by judgement: on the
miniature stack they were tried, with the weights of a full-size preset nobody has. So a miss means
"looks wrong", not "broken".
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.images.masks import decode_rle
from foundation.images.reading import decode_png
from rim.check.findings import Finding, NotApplicable, ReportImage
from rim.check.photos import PhotoEngine, draw_truth, score_photo
from rim.check.workbench import Workbench
from schemas.rle import Rle

MIN_ACCEPTED: Final = 0.5
"""Of all images; of each category at least one."""
MIN_LIFT: Final = 1.3
"""How much denser the attention is within the masks of things than over the whole image; median."""
MIN_AGREEMENT: Final = 0.3
"""IoU of SAM's mask and the binarised attention; median over things."""
MIN_OWN_NEIGHBOUR: Final = 0.7
"""Share of features whose nearest other one is of the same category."""
MIN_PHOTO_IOU: Final = 0.3
"""Mean over what the photographs show."""
LOW_PHOTO_IOU: Final = 0.15
"""What is below is listed."""
_TILE = 160  # pixels, of a reference in the report
_COLUMNS = [
    *("image_id", "category", "number", "status", "reason", "width", "height"),
    *("mask", "mask_area", "sam_score", "attention_agreement"),
]


def build(bench: Workbench) -> Finding:
    """Builds a bank of a few images a category, in a temporary folder."""
    from bank_builder.build import build_bank
    from rim.bank import Bank
    from schemas.vocabulary import vocabulary_from_names

    out = bench.folder / "bank"
    report = build_bank(
        vocabulary_from_names([one.name for one in bench.categories]),
        out,
        bench.settings,
        bench.stack,
        progress=lambda event: bench.progress(
            f"{event.stage}, image {event.done} of {event.total}"
        ),
    )
    bench.bank = Bank(out)
    rows = _rows(bench)
    accepted = Counter(row["category"] for row in rows if row["status"] == "accepted")
    reasons = Counter(row["reason"] for row in rows if row["status"] != "accepted")
    without = [one.name for one in bench.categories if not accepted[one.name]]
    share = accepted.total() / len(rows)
    words = [f"{accepted.total()} of {len(rows)} images accepted"]
    words += [f"none of {', '.join(without)}"] if without else []
    words += [f"{count} {reason}" for reason, count in reasons.most_common(3)]
    return Finding(
        "; ".join(words),
        share >= MIN_ACCEPTED and not without and report.failed == 0,
        {"accepted": share, "failed": report.failed},
        tuple(_sheet(bench, one.name, rows) for one in bench.categories),
    )


def attention(bench: Workbench) -> Finding:
    """Checks whether attention lies on the things, and SAM's masks agree with it."""
    rows = _of(bench, stuff=False)
    maps = bench.built().attention_png([row["image_id"] for row in rows])
    lifts = [_lift(maps[row["image_id"]], row) for row in rows]
    agreement = [float(row["attention_agreement"]) for row in rows]
    quality = [float(row["sam_score"]) for row in rows if row["sam_score"] is not None]
    if not quality:
        return Finding("SAM made no mask of any thing", fine=False)
    lift, agree, sure = (float(np.median(values)) for values in (lifts, agreement, quality))
    return Finding(
        f"attention {lift:.1f} times as dense on the object, IoU with SAM's mask {agree:.2f}, "
        f"SAM's own estimate {sure:.2f}",
        lift >= MIN_LIFT
        and agree >= MIN_AGREEMENT
        and sure >= bench.settings.reference.min_quality,
        {"lift": lift, "agreement": agree, "quality": sure},
    )


def stuff(bench: Workbench) -> Finding:
    """Checks whether masks of stuff are larger than masks of things."""
    areas = {}
    for kind in (True, False):
        found = [float(row["mask_area"]) for row in _of(bench, stuff=kind)]
        areas[kind] = float(np.median(found))
    return Finding(
        f"masks of stuff cover {areas[True]:.0%} of the image, of things {areas[False]:.0%}",
        areas[True] > areas[False],
        {"stuff": areas[True], "things": areas[False]},
    )


def structure(bench: Workbench) -> Finding:
    """Checks whether a feature's nearest other one is of its own category."""
    stored = bench.built().features()
    foreground = stored.role == 0
    vectors, ids = stored.embeddings[foreground], stored.category_id[foreground]
    counts = Counter(ids.tolist())
    several = np.array([counts[one] > 1 for one in ids.tolist()], bool)
    if len(counts) < 2 or not several.any():
        raise NotApplicable("too few features to compare")
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    own = ids[similarity.argmax(axis=1)] == ids
    share = float(own[several].mean())
    same = ids[:, None] == ids[None, :]
    off = ~np.eye(len(ids), dtype=bool)
    within, between = similarity[same & off].mean(), similarity[~same].mean()
    return Finding(
        f"nearest other feature of the same category: {share:.0%} (by chance "
        f"{_chance(ids):.0%}); cosine {within:.2f} within, {between:.2f} between",
        share >= MIN_OWN_NEIGHBOUR and within > between,
        {"own_neighbour": share, "within": float(within), "between": float(between)},
    )


def photographs(bench: Workbench) -> Finding:
    """Labels the photographs with the small bank and compares with masks drawn by hand."""
    wanted = {one.name for one in bench.data.categories}
    known = wanted & {one.name for one in bench.categories}
    if known != wanted:
        raise NotApplicable(
            f"the generator knows {len(known)} of the {len(wanted)} names that the photographs need"
        )
    from query.segmentation import QueryEngine

    engine = QueryEngine(bench.built(), bench.stack, bench.settings)
    return photographs_labelled_by(engine, bench)


def photographs_labelled_by(engine: PhotoEngine, bench: Workbench) -> Finding:
    """Does the same with anything that labels photos with the check's names."""
    ious: dict[str, float] = {}
    images = []
    for photo in bench.data.photos:
        bench.progress(photo.file)
        result = engine.segment(photo.check_file())
        scores = score_photo(photo, result.label_map, result.category_names)
        ious |= {f"{name} in {photo.file}": iou for name, iou in scores.items()}
        said = ", ".join(f"{name} {iou:.2f}" for name, iou in scores.items())
        stem = photo.file.partition(".")[0]
        truth = draw_truth(photo, result.category_names)
        both = np.concatenate([result.overlay(), truth], axis=1)
        images.append(
            ReportImage(f"photo-{stem}", f"{photo.file}, labels and truth: IoU {said}", both)
        )
    mean = float(np.mean(list(ious.values())))
    low = [name for name, iou in ious.items() if iou < LOW_PHOTO_IOU]
    return Finding(
        f"mean IoU {mean:.2f}" + (f"; below {LOW_PHOTO_IOU}: {', '.join(low)}" if low else ""),
        mean >= MIN_PHOTO_IOU,
        {"mean_iou": mean} | ious,
        tuple(images),
    )


def _rows(bench: Workbench) -> list[dict[str, Any]]:
    """The facts of the bank's images."""
    rows: list[dict[str, Any]] = bench.built().images_table(_COLUMNS).to_pylist()
    return rows


def _of(bench: Workbench, stuff: bool) -> list[dict[str, Any]]:
    """The images of stuff, or of things, that have a mask, accepted or not.

    Raises NotApplicable if there are none.
    """
    names = set(bench.names(stuff))
    found = [row for row in _rows(bench) if row["category"] in names and row["mask_area"]]
    if not found:
        raise NotApplicable(f"no image of {'stuff' if stuff else 'things'} has a mask")
    return found


def _lift(png: bytes, row: dict[str, Any]) -> float:
    """The attention's share within the mask over the mask's share of the image."""
    size = (row["width"], row["height"])
    scaled = Image.fromarray(decode_png(png)).resize(size, Image.Resampling.BILINEAR)
    values = np.asarray(scaled, np.float64)
    return float(values[_mask(row)].mean() / max(values.mean(), 1e-9))


def _mask(row: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask of an image that has one, bool (H, W)."""
    return decode_rle(Rle(tuple(row["mask"]["size"]), row["mask"]["counts"]))


def _chance(ids: NDArray[np.int32]) -> float:
    """Share of pairs of different features that are of one category."""
    counts = np.array(list(Counter(ids.tolist()).values()))
    return float((counts * (counts - 1)).sum() / (len(ids) * (len(ids) - 1)))


def _sheet(bench: Workbench, name: str, rows: list[dict[str, Any]]) -> ReportImage:
    """A category's images, below them their attention and the images darkened outside the masks."""
    own = sorted((row for row in rows if row["category"] == name), key=lambda row: row["number"])
    bank = bench.built()
    ids = [row["image_id"] for row in own]
    pixels, maps = bank.png(ids), bank.attention_png(ids)
    canvas = np.full((3 * _TILE, max(1, len(own)) * _TILE, 3), 255, np.uint8)
    for column, row in enumerate(own):
        place = slice(column * _TILE, (column + 1) * _TILE)
        if row["image_id"] in pixels:
            image = decode_png(pixels[row["image_id"]])
            canvas[:_TILE, place] = _tile(image)
            if row["mask_area"] is not None:
                masked = np.where(_mask(row)[:, :, None], image, image // 4)
                canvas[2 * _TILE :, place] = _tile(masked)
        if row["image_id"] in maps:
            canvas[_TILE : 2 * _TILE, place] = _tile(decode_png(maps[row["image_id"]]))
    verdicts = ", ".join(row["reason"] or row["status"] for row in own)
    return ReportImage(f"reference-{ids[0] if ids else 0}", f"{name}: {verdicts}", canvas)


def _tile(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """An image of the bank, RGB or grey, as a square tile."""
    image = Image.fromarray(pixels).convert("RGB").resize((_TILE, _TILE), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)
