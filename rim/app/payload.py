"""The state as the browser gets it: plain JSON values, with pictures as data addresses.

Nothing here is HTML: the scripts of the page put every text into the document as text.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from query.overlay import category_colour
from rim.app.references import ReferenceCard
from rim.app.state import State
from rim.app.view import PhotoView
from schemas.ids import UNLABELLED
from schemas.text import printable

_JPEG_QUALITY = 92


def head_payload(state: State, notice: str, kind: str) -> dict[str, Any]:
    """What stands above: the bank, and one line about the last action.

    kind: of the line, "hint", "done" or "error".
    """
    bank = state.bank
    return {
        "bank": printable(Path(bank.path).resolve().name),
        "path": printable(bank.path),
        "version": bank.version,
        "preset": bank.preset,
        "categories": len(bank.categories),
        "references": bank.references,
        "notice": notice,
        "kind": kind,
    }


def viewer_payload(state: State) -> dict[str, Any]:
    """The photo with its labels.

    picture: JPEG. tint: PNG in the categories' colours, borders white, clear where unlabelled.
    spot_map: PNG whose red + 256 * green is 1 + the place in `spots`, 0 unlabelled. Shares and
    places are fractions.
    """
    view = state.view
    if view is None:
        return {"serial": state.serial, "photo": None}
    height, width = view.labels.shape
    return {
        "serial": state.serial,
        "photo": state.photo,
        "width": width,
        "height": height,
        "picture": _address(view.picture, "JPEG"),
        "tint": _address(tint(view), "PNG"),
        "spot_map": _address(spot_map(view), "PNG"),
        "spots": [
            {
                "category": spot.category,
                "colour": _colour(spot.category_id),
                "region": spot.region,
                "score": spot.score,
                "similarity": spot.similarity,
            }
            for spot in view.spots
        ],
        "shares": [
            {"category": one.category, "colour": _colour(one.category_id), "share": one.share}
            for one in view.shares
        ],
        "unlabelled": view.unlabelled,
        "plates": [
            {"category": one.category, "colour": _colour(one.category_id), "x": one.x, "y": one.y}
            for one in view.plates
        ],
        "selected": None if state.selection is None else state.selection.region,
    }


def why_payload(state: State) -> dict[str, Any]:
    """The clicked region with its references, and what was rejected here."""
    chosen = state.selection
    selection = None
    if chosen is not None:
        selection = {
            "category": chosen.category,
            "colour": _colour(chosen.category_id),
            "score": chosen.score,
            "similarity": chosen.similarity,
            "area": chosen.area,
            "was": None
            if chosen.was is None
            else {"category": chosen.was[0], "score": chosen.was[1]},
            "references": [_card(card) for card in chosen.references],
        }
    return {
        "serial": state.serial,
        "photo": state.photo,
        "selection": selection,
        "rejected": [_card(card) for card in state.rejected],
    }


def trials_payload(state: State) -> dict[str, Any]:
    """The categories on trial. images: how many each gets if it is kept."""
    return {"names": list(state.trials), "images": state.bank.images_per_category}


def tint(view: PhotoView) -> NDArray[np.uint8]:
    """uint8 (h, w, 4): each pixel's category colour, borders between labels white."""
    ids, inverse = np.unique(view.labels, return_inverse=True)
    colours = [
        (0, 0, 0, 0) if i == UNLABELLED else (*category_colour(i), 255) for i in ids.tolist()
    ]
    picture = np.array(colours, np.uint8)[inverse].reshape(*view.labels.shape, 4)
    border = np.zeros(view.labels.shape, bool)
    border[:, :-1] |= view.labels[:, :-1] != view.labels[:, 1:]
    border[:-1] |= view.labels[:-1] != view.labels[1:]
    picture[border] = 255
    return picture


def spot_map(view: PhotoView) -> NDArray[np.uint8]:
    """uint8 (h, w, 3): low byte, high byte, 0."""
    spots = view.spot_of
    return np.stack([spots & 255, spots >> 8, np.zeros_like(spots)], axis=2).astype(np.uint8)


def _card(card: ReferenceCard) -> dict[str, Any]:
    png = card.png
    return {
        "image_id": str(card.image_id),  # as text: the browser's numbers end at 53 bits
        "category": card.category,
        "colour": _colour(card.category_id),
        "number": card.number,
        "similarity": card.similarity,
        "status": card.status,
        "reason": card.reason,
        "on_trial": card.on_trial,
        "picture": None if png is None else _data_address(png, "image/png"),
    }


def _colour(category_id: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*category_colour(category_id))


def _address(array: NDArray[np.uint8], kind: str) -> str:
    buffer = io.BytesIO()
    options = {"quality": _JPEG_QUALITY} if kind == "JPEG" else {}
    Image.fromarray(array).save(buffer, kind, **options)
    return _data_address(buffer.getvalue(), f"image/{kind.lower()}")


def _data_address(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
