"""A photo's results to take away, and how much two results differ."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from schemas.ids import UNLABELLED

if TYPE_CHECKING:
    from query.segmentation import Segmentation

_LONGEST_NAME = 60  # characters of a photo's name in the names of its results
_NO_ID_BEFORE = UNLABELLED - 1


def zipped_results(result: Segmentation, photo: str, folder: Path) -> tuple[str, bytes]:
    """The label map, overlay and JSON of a photo, as `rim query` writes them, in a ZIP; its name.

    photo: its file's name or any other. folder: where files may stand for a moment.
    """
    name = _file_name(Path(photo).stem)
    data = io.BytesIO()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        files = result.save(place, name)
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.name)
    return f"{name}.zip", data.getvalue()


def share_changed(before: Segmentation, after: Segmentation) -> float:
    """The share of a photo's pixels whose category has another name; ids may have changed."""
    own = {name: category_id for category_id, name in before.category_names.items()}
    ids, inverse = np.unique(after.label_map, return_inverse=True)
    same_name = [
        UNLABELLED if one == UNLABELLED else own.get(after.category_names[one], _NO_ID_BEFORE)
        for one in ids.tolist()
    ]
    translated = np.array(same_name)[inverse].reshape(before.label_map.shape)
    return float(np.mean(translated != before.label_map))


def _file_name(name: str) -> str:
    """A photo's name as it may stand in an archive: letters, digits and a few signs."""
    kept = "".join(one if one.isalnum() or one in "-_ " else "_" for one in name)
    return kept[:_LONGEST_NAME].strip() or "photo"
