"""What is under the pointer, against masks that are decoded one by one."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

import rim
from foundation.images.masks import decode_rle
from query.overlay import category_colour
from rim.app.references import card_image
from rim.app.session import AppSession
from rim.app.state import viewer_payload, why_payload
from rim.app.view import view_photo
from schemas.rle import Rle


def test_a_pixel_belongs_to_the_region_that_weighs_most_for_its_label(
    opened: rim.Bank, scene: Path
) -> None:
    engine = opened.engine()
    photo = engine.cut(scene)
    result = engine.label(photo)
    view = view_photo(photo, result)
    masks = [decode_rle(region.rle) for region in result.regions]
    assert len({spot.region for spot in view.spots}) > 2
    for y in range(0, 96, 5):
        for x in range(0, 128, 5):
            label = result.label_map[y, x]
            over = [
                (region.score / region.area, -number)
                for number, region in enumerate(result.regions)
                if masks[number][y, x] and region.category_id == label
            ]
            place = int(view.spot_of[y, x])
            if label < 0:
                assert place == 0
            elif over:
                assert view.spots[place - 1].region == -max(over)[1]
            else:
                spot = view.spots[place - 1]
                assert (spot.region, spot.category_id) == (None, label)


def test_a_large_photo_is_shown_smaller(opened: rim.Bank, scene: Path) -> None:
    engine = opened.engine()
    photo = engine.cut(scene)
    result = engine.label(photo)
    view = view_photo(photo, result, side=64)
    assert view.image.shape == (48, 64, 3)
    assert np.array_equal(view.labels, result.label_map[1::2, 1::2])
    whole = view_photo(photo, result)
    assert np.array_equal(view.spot_of, whole.spot_of[1::2, 1::2])
    assert view.shares == whole.shares, "shares are the photo's own"


def test_the_browser_gets_plain_json_from_which_the_spots_can_be_read(
    session: AppSession, scene: Path
) -> None:
    session.open_photo(scene, "<img src=x>.png")
    state = session.select(0)
    assert state.view is not None
    value = json.loads(json.dumps(viewer_payload(state), allow_nan=False))
    json.dumps(why_payload(state), allow_nan=False)
    assert value["photo"] == "<img src=x>.png"
    assert value["selected"] == 0
    spots = decoded(value["spot_map"]).astype(int)
    assert np.array_equal(spots[:, :, 0] + 256 * spots[:, :, 1], state.view.spot_of)
    tint = decoded(value["tint"])
    y, x = np.argwhere(state.view.labels == state.view.shares[0].category_id)[0]
    assert tuple(tint[y, x]) in {
        (*category_colour(state.view.shares[0].category_id), 255),
        (255, 255, 255, 255),
    }
    assert (tint[state.view.labels < 0][:, 3] < 255).any()


def test_a_card_is_dark_outside_the_mask() -> None:
    picture = np.full((4, 6, 3), 200, np.uint8)
    shown = card_image(picture, Rle((4, 6), "08`0"))  # the left two columns
    assert (shown[:, :2] == 200).all()
    assert (shown[:, 2:] == 70).all()
    assert np.array_equal(card_image(picture, None), picture)


def decoded(address: str) -> np.ndarray:
    """The pixels of a data address."""
    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image)
