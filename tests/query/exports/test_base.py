"""JSON in pieces is JSON."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from query.exports.base import json_bytes, write_object
from tests.query.exports.results import region


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_json_has_what_json_does_not_know(value: float) -> None:
    mask = np.ones((1, 1), dtype=bool)
    with pytest.raises(ValueError, match="JSON"):
        json_bytes({"score": region(mask, 0, value).score})


def test_json_in_pieces_is_json() -> None:
    def write(**members: object) -> object:
        file = io.BytesIO()
        write_object(file, members)
        return json.loads(file.getvalue().decode("utf-8"))

    assert write() == {}
    assert write(a=iter([])) == {"a": []}
    assert write(a=1, b=iter([{"ä": [1]}, 2]), c="\udcff") == {
        "a": 1,
        "b": [{"ä": [1]}, 2],
        "c": "\udcff",
    }
