"""The page of the demo: scenes with truth, prediction and the references behind each region."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation.images.masks import Rle, decode_rle
from foundation.images.reading import encode_png
from query.result import Region

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1080px; padding: 0 1rem;
       color: #222; background: #fcfcfa }
h1 { margin-bottom: .2rem } h2 { margin-top: 2.5rem }
.lead { font-size: 1.1rem; color: #555 } .number { font-size: 2.2rem; font-weight: 600 }
.scene { border-top: 1px solid #ddd; padding: 1.2rem 0 }
.row { display: flex; gap: 1rem; flex-wrap: wrap }
figure { margin: 0 } figcaption { color: #666; font-size: .85rem }
img { border-radius: 6px; display: block } .big { width: 320px }
.region { display: flex; gap: .5rem; align-items: center; margin: .35rem 0 }
.region img { width: 56px; height: 56px; object-fit: cover }
.region .name { width: 11rem } .faint { color: #777; font-size: .85rem }
.bank { display: flex; gap: .4rem; align-items: center; margin: .3rem 0 }
.bank .name { width: 6.5rem } .bank img { width: 76px }
.rejected img { opacity: .35 }
pre { background: #f1f1ec; padding: .6rem .8rem; border-radius: 6px; overflow-x: auto }
table { border-collapse: collapse } td, th { padding: .1rem .8rem .1rem 0; text-align: left }
"""


@dataclass(frozen=True)
class SceneView:
    """One labelled scene. Images are uint8 (H, W, 3); `correct` is the share of right pixels."""

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    regions: tuple[Region, ...]
    correct: float


@dataclass(frozen=True)
class ReferenceView:
    """One reference image: its image with the mask's outline and the prompt points drawn in."""

    png: bytes
    title: str
    accepted: bool


@dataclass(frozen=True)
class DemoPage:
    """Everything the page shows; `images` are the references' PNG files by image_id."""

    miou: float
    scored: int
    bank_summary: str
    seconds: float
    scenes: Sequence[SceneView]
    images: Mapping[int, bytes]
    gallery: Mapping[str, Sequence[ReferenceView]]
    answers: Sequence[tuple[str, str]]

    def html(self) -> str:
        """The page as one file; images stand in it as data."""
        parts = [
            f"<!doctype html><html lang=en><meta charset=utf-8><title>rim demo</title>"
            f"<style>{_STYLE}</style><h1>rim</h1>"
            "<p class=lead>A list of category names became a bank of generated reference images;"
            " the bank then labelled every region of drawn scenes that it had never seen.</p>"
            f"<p><span class=number>{self.miou:.3f}</span> mIoU over {self.scored} fresh scenes of"
            f" the miniature world. {html.escape(self.bank_summary)} Everything took"
            f" {self.seconds:.0f} seconds on this machine.</p>"
            "<p class=faint>What this proves: the code, file formats and steps that full size uses,"
            " from prompt, attention, points and masks to features, index and label map, work"
            " together, and every one of them can be measured against exact truth. What it does not"
            " prove: how good labels of photos are. These four models are small, and the drawn"
            " world that they know has 22 categories, clear outlines and six textures.</p>"
            "<h2>Scenes</h2>"
        ]
        parts += [self._scene(scene) for scene in self.scenes]
        parts.append(
            "<h2>The bank</h2><p>Generated images with SAM's mask outlined and its prompt points."
            " Faded ones were rejected; hover to see why.</p>"
        )
        parts += [_gallery_row(name, views) for name, views in self.gallery.items()]
        parts.append("<h2>Questions in SQL</h2>")
        for question, answer in self.answers:
            parts.append(f"<pre>{html.escape(question)}\n\n{html.escape(answer)}</pre>")
        return "\n".join([*parts, "</html>"])

    def _scene(self, scene: SceneView) -> str:
        figures = "".join(
            f"<figure>{_image(encode_png(enlarged(image)), 'big')}"
            f"<figcaption>{caption}</figcaption></figure>"
            for image, caption in (
                (scene.image, "scene"),
                (scene.truth, "truth"),
                (scene.prediction, f"prediction, {scene.correct:.0%} of pixels right"),
            )
        )
        largest = sorted(scene.regions, key=lambda region: -region.area)[:8]
        regions = "".join(self._region(scene.image, region) for region in largest)
        title = html.escape(scene.name)
        return f"<div class=scene><b>{title}</b><div class=row>{figures}</div>{regions}</div>"

    def _region(self, image: NDArray[np.uint8], region: Region) -> str:
        near = "".join(
            _image(
                self.images[one.image_id],
                title=f"{one.category}, image {one.image_id}, cosine {one.similarity:.3f}",
            )
            for one in region.references
            if one.image_id in self.images
        )
        return (
            f"<div class=region>{_image(encode_png(_cut_out(image, region.rle, region.box)))}"
            f"<span class=name>{html.escape(region.category)}"
            f" <span class=faint>{region.score:.2f}</span></span>"
            f"<span class=faint>because of</span>{near}</div>"
        )


def outlined(
    image: NDArray[np.uint8], mask: NDArray[np.bool_] | None, points: Sequence[tuple[int, int]]
) -> bytes:
    """The image three times enlarged with a mask's outline and prompt points (x, y), as PNG."""
    scale = 3
    large = image.repeat(scale, 0).repeat(scale, 1).copy()
    if mask is not None:
        inside = mask.repeat(scale, 0).repeat(scale, 1)
        core = inside.copy()
        core[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2]
        core[1:-1, 1:-1] &= inside[1:-1, 2:]
        core[[0, -1]] = core[:, [0, -1]] = False
        large[inside & ~core] = (255, 40, 120)
    for x, y in points:
        row, column = y * scale + 1, x * scale + 1
        large[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4] = 255
        large[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = (20, 20, 20)
    return encode_png(large)


def _gallery_row(name: str, views: Sequence[ReferenceView]) -> str:
    images = "".join(
        f"<span class={'accepted' if view.accepted else 'rejected'}>"
        f"{_image(view.png, '', view.title)}</span>"
        for view in views
    )
    return f"<div class=bank><span class=name>{html.escape(name)}</span>{images}</div>"


def _image(png: bytes, kind: str = "", title: str = "") -> str:
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<img class="{kind}" title="{html.escape(title, quote=True)}" alt=""'
        f' src="data:image/png;base64,{data}">'
    )


def enlarged(image: NDArray[np.uint8], side: int = 320) -> NDArray[np.uint8]:
    """The image with its longer side at `side` pixels."""
    factor = side / max(image.shape[:2])
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def _cut_out(
    image: NDArray[np.uint8], rle: Rle, box: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """Cuts out the region, on white."""
    alone = np.where(decode_rle(rle)[:, :, None], image, 255).astype(np.uint8)
    x, y, width, height = box
    return alone[y : y + height, x : x + width]
