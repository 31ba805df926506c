"""Answers as table, CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import datetime
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rim.inspection.sql.formats import (
    FORMATS,
    MAX_CELL_WIDTH,
    MAX_TABLE_ROWS,
    for_terminal,
    format_result,
)
from schemas.errors import SqlError, UsageError

TABLE = pa.table(
    {
        "name": ["häuser, große", None],
        "n": pa.array([7, None], pa.int32()),
        "score": [0.5, float("nan")],
        "png": [b"\x00\xff", None],
        "size": pa.array([[4, 6], []], pa.list_(pa.int32())),
        "mask": pa.array([{"size": [1], "png": b"\x01"}, None],
                         pa.struct([("size", pa.list_(pa.int32())), ("png", pa.binary())])),
        "seconds": pa.array([[("a", 1.5)], None], pa.map_(pa.string(), pa.float64())),
        "time": pa.array([datetime.datetime(2024, 5, 1, 12), None], pa.timestamp("us")),
    }
)  # fmt: skip
EMPTY = TABLE.slice(0, 0)


def test_json_is_an_array_of_row_objects() -> None:
    assert json.loads(format_result(TABLE, "json")) == [
        {
            "name": "häuser, große",
            "n": 7,
            "score": 0.5,
            "png": "AP8=",
            "size": [4, 6],
            "mask": {"size": [1], "png": "AQ=="},
            "seconds": {"a": 1.5},
            "time": "2024-05-01T12:00:00",
        },
        dict.fromkeys(TABLE.column_names) | {"size": []},
    ]
    assert json.loads(format_result(EMPTY, "json")) == []


def test_json_refuses_to_lose_a_column() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(SqlError, match="rename them with AS"):
        format_result(twice, "json")
    assert format_result(twice, "csv") == b"a,a\n1,2\n"


def test_csv() -> None:
    rows = list(csv.reader(io.StringIO(format_result(TABLE, "csv").decode())))
    assert rows == [
        TABLE.column_names,
        ["häuser, große", "7", "0.5", "AP8=", "[4, 6]", '{"size": [1], "png": "AQ=="}',
         '{"a": 1.5}', "2024-05-01T12:00:00"],
        ["", "", "", "", "[]", "", "", ""],
    ]  # fmt: skip
    assert format_result(EMPTY.select(["name", "n"]), "csv") == b"name,n\n"


def test_parquet_can_be_read_back() -> None:
    assert pq.read_table(io.BytesIO(format_result(TABLE.drop(["score"]), "parquet"))).equals(
        TABLE.drop(["score"])
    )


def test_a_table_for_people() -> None:
    table = pa.table({"category": ["fish", "日本"], "images": [50, 7], "png": [b"abc", None]})
    assert format_result(table, "table").decode() == (
        "category  images  png\n"
        "--------  ------  ---------\n"
        "fish          50  <3 bytes>\n"
        "日本           7  NULL\n"
    )
    assert format_result(EMPTY.select(["name"]), "table") == b"name\n----\n"


def test_a_table_is_cut_where_a_person_stops_reading() -> None:
    long = pa.table({"a": list(range(MAX_TABLE_ROWS + 5)), "b": ["x" * 500] * (MAX_TABLE_ROWS + 5)})
    lines = format_result(long, "table").decode().splitlines()
    assert len(lines) == 2 + MAX_TABLE_ROWS + 1
    assert lines[-1] == "(200 of 205 rows; the other formats have all)"
    assert max(map(len, lines)) < 60
    assert len(json.loads(format_result(long, "json"))) == MAX_TABLE_ROWS + 5


def test_a_table_does_not_steer_the_terminal() -> None:
    table = pa.table({"a": ["\x1b[2Jhello\nworld"]})
    assert "\\x1b[2Jhello\\nworld" in format_result(table, "table").decode()


HOSTILE = "\x1b[2J\x9b1m \u202egnp.exe\u2028\U000e0041\x7f"


def test_hidden_characters_are_escaped_in_every_text_of_a_table() -> None:
    table = pa.table({HOSTILE: [HOSTILE], "list": [[HOSTILE]], "struct": [{"a": HOSTILE}]})
    assert all(line.isprintable() for line in format_result(table, "table").decode().splitlines())


def test_a_long_text_is_cut_after_it_was_escaped() -> None:
    text = format_result(pa.table({"a": ["\x1b" * 1_000_000]}), "table").decode().splitlines()[2]
    assert text == ("\\x1b" * 20)[: MAX_CELL_WIDTH - 1] + "…"


def test_a_terminal_gets_json_that_says_the_same() -> None:
    table = pa.table({"a": [HOSTILE, "é\n"]})
    shown = for_terminal(format_result(table, "json"), "json").decode()
    assert shown.removesuffix("\n").isprintable()
    assert "é" in shown
    assert json.loads(shown) == table.to_pylist()


def test_a_terminal_gets_csv_without_hidden_characters() -> None:
    data = format_result(pa.table({"a": [HOSTILE, "é"]}), "csv")
    assert HOSTILE in data.decode()
    shown = for_terminal(data, "csv").decode().split("\n")
    assert shown == [
        "a", r"\x1b[2J\x9b1m \u202egnp.exe\u2028\U000e0041\x7f", "é", ""
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_values_that_python_does_not_have(kind: str) -> None:
    late = pa.table({"a": pa.array([2**62], pa.timestamp("s"))})
    with pytest.raises(SqlError, match="column 'a'"):
        format_result(late, kind)


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(UsageError, match="table, csv, json, parquet, found 'xml'"):
        format_result(TABLE, "xml")
    assert FORMATS == ("table", "csv", "json", "parquet")
