"""Writes docs/settings.md, the page of every setting, from the models in schemas/sections.py.

python -m docs.generate_settings
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.sections import (
    Build,
    Features,
    Generation,
    Localisation,
    Matching,
    Models,
    ModelSource,
    Proposals,
    Reference,
    SamArchitecture,
    Section,
    SegmenterSource,
)
from schemas.settings import Settings, load_settings
from schemas.store.files import write_atomic

PAGE = Path(__file__).resolve().with_name("settings.md")
PRESETS = ("miniature", "paper", "fast")
SECTIONS: Mapping[str, type[Section]] = {
    "generation": Generation,
    "localisation": Localisation,
    "reference": Reference,
    "features": Features,
    "build": Build,
    "proposals": Proposals,
    "matching": Matching,
}
_INTRODUCTION = """\
<!-- Made by `python -m docs.generate_settings` from schemas/sections.py; change it there. -->

# Every setting

A preset is a TOML file with these sections; `--preset NAME` takes a shipped one, `--preset
FILE.toml` one of your own. `--set section.key=value` changes one value, and may be given several
times:

```
rim build words.txt --out other --set localisation.points=8 --set reference.min_area=0.01 --dry-run
```

A value is written as in TOML; a bare word is a text, and `none` switches off what can be off. An
unknown key, or a value out of its range, is refused in one line before any work. Models and lists
are easier to set in a file: copy `data/presets/paper.toml`.

`models`, `generation`, `localisation`, `reference`, `features` and `build` are settled when a bank
is built, and stored in it. `proposals` and `matching` may be set for every `rim query` and
`rim eval`. Areas are fractions of the image's, sizes are pixels. Values that differ from the
default are **bold**.
"""
_MODELS = """\
## models

{text}

| key | |
|---|---|
{keys}

{tables}

### A SAM of other sizes

{architecture}

| `models.segmenter.architecture` | | range |
|---|---|---|
{sizes}
"""


def page() -> str:
    """The page as Markdown."""
    settings = {name: load_settings(name) for name in PRESETS}
    parts = [_INTRODUCTION, _top_level(settings), _models(settings)]
    parts += [_section(name, model, settings) for name, model in SECTIONS.items()]
    return "\n".join(parts)


def described(model: type[Section]) -> tuple[str, dict[str, str]]:
    """A model's docstring before `Attributes:`, and the description of each of its own fields.

    Raises ValueError for a field that is not described, and for a description without a field.
    """
    text, _, attributes = (inspect.getdoc(model) or "").partition("\nAttributes:\n")
    entries = re.split(r"^    (?=\S)", attributes, flags=re.MULTILINE)[1:]
    found: dict[str, str] = {}
    for entry in entries:
        names, _, meaning = " ".join(entry.split()).partition(": ")
        found |= dict.fromkeys(names.split(", "), meaning)
    own = set(model.__annotations__) - {"model_config"}
    if found.keys() != own:
        raise ValueError(f"{model.__name__}: {sorted(found.keys() ^ own)} described or a field")
    return " ".join(text.split()), found


def allowed(schema: Mapping[str, Any]) -> str:
    """What a value may be, in words, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(allowed(one) for one in schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "$ref" in schema:
        return "[sizes](#a-sam-of-other-sizes)"
    kind = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true`, `false`",
        "null": "`none`",
        "array": "list",
    }[schema["type"]]
    bounds = [
        f"{sign} {_number(schema[key])}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in schema
    ]
    if "multipleOf" in schema:
        bounds.append(f"a multiple of {schema['multipleOf']}")
    return ", ".join([kind, *bounds])


def _number(value: float) -> str:
    return "2^63" if value == 2**63 else f"{value:,}"


def shown(value: Any) -> str:
    """A setting's value as it is written after `=`; a long list only by its length."""
    if value is None:
        return "`none`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"{len(value)} names" if value else "`[]`"
    return f"`{value}`"


def _section(name: str, model: type[Section], settings: Mapping[str, Settings]) -> str:
    text, meanings = described(model)
    schema = model.model_json_schema()["properties"]
    defaults = model()
    presets = " | ".join(PRESETS)
    lines = [f"## {name}", "", text, "", f"| key | | may be | default | {presets} |"]
    lines.append("|---|---|---|---|" + "---|" * len(PRESETS))
    for key, meaning in meanings.items():
        default = shown(getattr(defaults, key))
        values = [shown(getattr(getattr(settings[preset], name), key)) for preset in PRESETS]
        cells = [value if value == default else f"**{value}**" for value in values]
        row = [f"`{key}`", _cell(meaning), allowed(schema[key]), default, *cells]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


def _top_level(settings: Mapping[str, Settings]) -> str:
    _, meanings = described(Settings)
    lines = ["## At the top of the file", "", "| key | | " + " | ".join(PRESETS) + " |"]
    lines.append("|---|---|" + "---|" * len(PRESETS))
    for key in ("description", "known_categories"):
        values = [getattr(settings[preset], key) for preset in PRESETS]
        cells = [value if isinstance(value, str) else shown(value) for value in values]
        lines.append(f"| `{key}` | {_cell(meanings[key])} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _models(settings: Mapping[str, Settings]) -> str:
    text, roles = described(Models)
    _, keys = described(ModelSource)
    _, extra = described(SegmenterSource)
    architecture, sizes = described(SamArchitecture)
    schema = SamArchitecture.model_json_schema()["properties"]
    rows = [f"| `{key}` | {_cell(meaning)} |" for key, meaning in keys.items()]
    rows += [f"| `{key}` (segmenter) | {_cell(meaning)} |" for key, meaning in extra.items()]
    tables = []
    for role, meaning in roles.items():
        tables += [f"### models.{role}", "", f"{meaning[:1].upper()}{meaning[1:]}", ""]
        tables += ["| preset | location | licence | size |", "|---|---|---|---|"]
        for preset in PRESETS:
            source = getattr(settings[preset].models, role)
            there = source.download_bytes
            size = f"{there / 1e9:.3g} GB" if there else "in the repository"
            # Of an address the file's name: the page tells which weights, the preset where from.
            location = (
                source.location.rpartition("/")[2] if ":" in source.location else (source.location)
            )
            tables.append(f"| {preset} | `{location}` | {source.licence} | {size} |")
        tables.append("")
    return _MODELS.format(
        text=text,
        keys="\n".join(rows),
        tables="\n".join(tables).rstrip(),
        architecture=architecture,
        sizes="\n".join(
            f"| `{key}` | {_cell(meaning)} | {allowed(schema[key])} |"
            for key, meaning in sizes.items()
        ),
    )


def _cell(text: str) -> str:
    """A description as a table's cell holds it."""
    return text.removesuffix(".").replace("|", "\\|")


if __name__ == "__main__":
    write_atomic(PAGE, page().encode("utf-8"))
