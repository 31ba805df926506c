"""What a bank's shards say about masks, for comparing images with each other."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bank_builder.large_masks import Masks
from schemas.errors import BankDamaged
from schemas.ids import FOLDER, SOURCES, unpack_image_ids
from schemas.records import ShardRecord
from schemas.store.parquet import read_table
from schemas.store.shards import shard_folder
from schemas.tables import IMAGES

_COLUMNS = ("image_id", "mask_area", "sam_score")


def read_masks(bank: Path, shards: Iterable[ShardRecord], image_id: NDArray[np.int64]) -> Masks:
    """The masks of images that have one, in the order of `image_id`; reads no pixels.

    Memory is that of one shard's facts, and some numbers an image.

    Args:
        bank: its folder.
        shards: that have the images.
        image_id: (n,), ascending.

    Raises:
        BankDamaged: a shard's file is not what was written, or an image is in none.
    """
    schema = pa.schema([IMAGES.field(name) for name in _COLUMNS])
    area = np.full(len(image_id), np.nan)
    score = np.full(len(image_id), np.nan)
    for shard in shards:
        path = shard_folder(bank, shard) / shard.images.name
        table = read_table(path, _COLUMNS, schema=schema)
        own = table["image_id"].to_numpy()
        row = np.searchsorted(image_id, own)
        found = row < len(image_id)
        found[found] = image_id[row[found]] == own[found]
        area[row[found]] = table["mask_area"].to_numpy()[found]
        score[row[found]] = table["sam_score"].to_numpy()[found]
    if np.isnan(area).any():
        missing = int(image_id[np.isnan(area)][0])
        raise BankDamaged(f"{bank}: expected the area of image {missing}'s mask in its shard")
    from_folder = unpack_image_ids(image_id).source_code == SOURCES.index(FOLDER)
    # A photo's mask is a person's or SAM's, and SAM's has a score.
    return Masks(area, from_folder & np.isnan(score))
