"""Checks that a statement is a question about a bank, by DuckDB's own parse, before it runs.

Everything is refused that is not known to be harmless, also what a newer DuckDB may add: the
relations are the bank's views and those that the question itself names, functions that give
tables are those of a short list. The check comes in addition to DuckDB's own settings:
those close files and network, but leave settings, paths and DuckDB's inner functions open, some of
which end the whole process when they are called with other arguments than DuckDB itself does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rim.inspection.sql.views import FUNCTION_VIEWS, VIEW_PARTS
from schemas.errors import SqlError
from schemas.text import did_you_mean, printable

MAX_STATEMENT = 1 << 16
_CATALOG = {("information_schema", name) for name in ("tables", "columns", "views", "schemata")}
_SCHEMAS = {(), ("main",), ("memory",), ("memory", "main")}
_SHOWN = {'"tables"', "__show_tables_expanded"}
_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_RELATIONS = {
    "BASE_TABLE",
    "EMPTY",
    "EXPRESSION_LIST",
    "JOIN",
    "PIVOT",
    "SHOW_REF",
    "SUBQUERY",
    "TABLE_FUNCTION",
}
_TABLE_FUNCTIONS = {
    "duckdb_columns",
    "duckdb_functions",
    "duckdb_keywords",
    "duckdb_types",
    "duckdb_views",
    "generate_series",
    "json_each",
    "json_tree",
    "pg_timezone_names",
    "pragma_version",
    "range",
    "repeat",
    "repeat_row",
    "unnest",
}
# They tell of the process and its settings, write a log, or take a statement as text.
_CLOSED_FUNCTIONS = {"current_setting", "getenv", "json_serialize_plan", "write_log"}
# A comparison that is written as one is none of the functions, which check no types.
_COMPARISONS = {"=", "==", "!=", "<>", "<", ">", "<=", ">="}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def views_read(parsed: str) -> frozenset[str]:
    """The names of the bank's views that one question reads.

    parsed: what DuckDB's json_serialize_sql says of the statement. Raises SqlError if it is more
    than a question about those views.
    """
    try:
        tree = json.loads(parsed)
        if tree["error"]:
            raise SqlError(f"expected a question, found: {printable(tree['error_message'])}")
        return frozenset(_read(tree["statements"], frozenset()))
    except RecursionError as error:
        raise SqlError("expected a question, found one that is nested too deeply") from error
    except (KeyError, TypeError, ValueError) as error:
        raise SqlError(
            f"expected a question, found one whose parts are not told in a known way ({error!r}):"
            " is this a newer DuckDB?"
        ) from error


def _read(part: Any, named: frozenset[str]) -> Iterator[str]:
    """The views under a part of the tree. named: what WITH has named for it, in lower case."""
    if isinstance(part, list):
        for one in part:
            yield from _read(one, named)
    elif isinstance(part, dict):
        if "cte_map" in part:
            yield from _read_node(part, named)
            return
        if "class" in part:
            _check_expression(part)
        elif "sample" in part:
            yield from _read_relation(part, named)
        for one in part.values():
            yield from _read(one, named)


def _read_node(node: dict[str, Any], named: frozenset[str]) -> Iterator[str]:
    """A SELECT or the like, whose WITH names one relation after the other."""
    if node["type"] not in _NODES:
        found = node["type"].removesuffix("_NODE").removesuffix("_QUERY")
        raise SqlError(
            f"expected a question, found {found} within it: a bank is not changed through SQL"
        )
    if node["type"] == "RECURSIVE_CTE_NODE":
        named |= {_folded(node["cte_name"])}
    for one in node["cte_map"]["map"]:
        yield from _read(one["value"], named)
        named |= {_folded(one["key"])}
    for key, one in node.items():
        if key != "cte_map":
            yield from _read(one, named)


def _read_relation(relation: dict[str, Any], named: frozenset[str]) -> Iterator[str]:
    kind = relation["type"]
    if kind not in _RELATIONS:
        raise SqlError(f"expected a question about the bank's views, found {kind} in it")
    if kind == "BASE_TABLE":
        yield from _view(relation["qualified_name"]["path"], named)
    elif kind == "TABLE_FUNCTION":
        yield from _table_function(relation["function"])
    elif kind == "SHOW_REF" and relation["query"] is None:
        special = relation["show_type"] == "SHOW_SPECIAL" and relation["table_name"] in _SHOWN
        if not special:
            yield from _view(relation["qualified_name"]["path"], frozenset())


def _view(path: list[str], named: frozenset[str]) -> Iterator[str]:
    *schema, name = (_folded(one) for one in path)
    place = tuple(schema)
    if name in named and place in ((), ("recurring",)):
        return
    if name in VIEW_PARTS and place in _SCHEMAS:
        yield name
    elif (*place, name) not in _CATALOG:
        found = ".".join(path)
        raise SqlError(
            f"expected a view ({', '.join(VIEW_PARTS)}), found {printable(found)!r}"
            f"{did_you_mean(name, VIEW_PARTS)}: nothing else can be read"
        )


def _table_function(function: dict[str, Any]) -> Iterator[str]:
    """The views that a function reads which gives a table; its arguments are looked at after it."""
    path = function.get("qualified_name", {}).get("path", [])
    if len(path) == 1 and _folded(path[0]) in FUNCTION_VIEWS:
        yield from FUNCTION_VIEWS[_folded(path[0])]
    elif len(path) != 1 or _folded(path[0]) not in _TABLE_FUNCTIONS:
        name = ".".join(path) or "a function"
        raise SqlError(
            f"expected a view ({', '.join(VIEW_PARTS)}), found {printable(name)}(...): files,"
            " settings and DuckDB's own tables are closed"
        )


def _check_expression(expression: dict[str, Any]) -> None:
    if "function_name" not in expression:
        return
    name = expression["qualified_name"]["path"][-1]
    if expression.get("is_operator"):
        allowed = name not in _COMPARISONS
    else:
        allowed = bool(_WORD.fullmatch(name)) and _folded(name) not in _CLOSED_FUNCTIONS
    if not allowed:
        raise SqlError(f"expected functions for questions, found {printable(name)}: it is closed")


def _folded(name: str) -> str:
    """The name as DuckDB compares it: without regard to the case of ASCII letters only."""
    return "".join(one.lower() if one.isascii() else one for one in name)
