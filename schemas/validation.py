"""Validation of settings against their models, and changing a value by "section.key=value"."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.errors import SettingsError
from schemas.text import did_you_mean, is_unicode, printable

_SHOWN = 100

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], data: dict[str, Any], where: str) -> Model:
    """The model of plain data such as TOML's.

    Raises SettingsError, one line that names `where` and the dotted key of one mistake.
    """
    try:
        # JSON mode keeps the strict models from casting, but takes arrays for tuples.
        return model.model_validate_json(json.dumps(data, default=str))
    except RecursionError as error:
        raise SettingsError(
            f"{where}: expected sections with keys, found nests too deep"
        ) from error
    except ValidationError as error:
        # Of a union's errors the deepest is about the member that was meant.
        details = max(error.errors(), key=lambda one: len(_path(model, one)))
        raise SettingsError(f"{where}: {_explain(model, details)}") from error


def set_value(model: type[BaseModel], data: dict[str, Any], override: str) -> None:
    """Changes one value in `data`, the plain form of the model, by "section.key=value".

    The value is read as TOML, else as a text; `none` is None where that is allowed. Raises
    SettingsError if there is no such key; the value is for `validate` to check.
    """
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or len(path) < 2 or not is_unicode(override):
        raise SettingsError(
            f"expected section.key=value, found {_shown(override)}{_with_section(model, path)}"
        )
    for depth, section in enumerate(path[:-1]):
        field = model.model_fields.get(section)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            if field:
                raise SettingsError(f"{'.'.join(path[: depth + 1])} has no keys inside it")
            raise SettingsError(_unknown_key(model, path[: depth + 1]))
        model = inner
        if not isinstance(data.get(section), dict):
            data[section] = {}
        data = data[section]
    if path[-1] not in model.model_fields:
        raise SettingsError(_unknown_key(model, path))
    data[path[-1]] = _parse_value(text.strip(), model.model_fields[path[-1]].annotation)


def _with_section(model: type[BaseModel], path: Sequence[str]) -> str:
    """A hint for a key that was given without its section, if there is one of that name."""
    for section, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        if len(path) == 1 and inner is not None and path[0] in inner.model_fields:
            return f" (did you mean {section}.{path[0]}=...?)"
    return ""


def _parse_value(text: str, annotation: Any) -> Any:
    types = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if text == "none" and NoneType in types:
        return None
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # a number of thousands of digits is no TOML error
        return text
    if parsed.keys() != {"value"} or (str in types and not isinstance(parsed["value"], str)):
        return text  # a commit of digits alone is a text all the same
    return parsed["value"]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, also if it may hold something else instead."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _path(model: type[BaseModel], details: ErrorDetails) -> list[str]:
    """The keys of an error's place, without the names that pydantic gives to a union's members."""
    path: list[str] = []
    current: type[BaseModel] | None = model
    for element in details["loc"]:
        if current is None or not isinstance(element, str):
            break
        if element in current.model_fields:
            path.append(element)
            current = _model_in(current.model_fields[element].annotation)
        elif details["type"] == "extra_forbidden" and element == details["loc"][-1]:
            path.append(element)
    return path


def _explain(model: type[BaseModel], details: ErrorDetails) -> str:
    path = _path(model, details)
    key = ".".join(path)
    if details["type"] == "extra_forbidden":
        for section in path[:-1]:
            model = _model_in(model.model_fields[section].annotation) or model
        return _unknown_key(model, path)
    if details["type"] == "missing":
        return f"{key} is missing"
    message = details["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{key}: {message}, found {_shown(details['input'])}"


def _shown(value: object) -> str:
    """A value in a message: hidden characters escaped, not longer than a line."""
    return printable(repr(value), most=_SHOWN)


def _unknown_key(model: type[BaseModel], path: Sequence[str]) -> str:
    """Says that the last key of the path is none of the model's, and which there are."""
    known = sorted(model.model_fields)
    guess = did_you_mean(path[-1], known)
    if len(path) == 1:
        section = printable(path[0], most=_SHOWN)
        return f"{section} is no section{guess}; expected one of {', '.join(known)}"
    key = printable(".".join(path), most=_SHOWN)
    return f"{key} is no setting{guess}; {'.'.join(path[:-1])} has {', '.join(known)}"
