"""The report folder of `rim check`: a page, the same as JSON, and images; nothing private in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from foundation.images.reading import encode_png
from rim.check.anonymous import anonymous, private_words
from rim.check.findings import StepResult, Verdict
from rim.html import Safe, html_table
from schemas.errors import OutputError, WriteFailed
from schemas.settings import Settings
from schemas.store.files import make_folder, temporary_path

FACTS: Final = "rim-check.json"
"""The file by which an earlier report is known."""
_ENTRIES = frozenset({FACTS, "index.html", "images"})

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .2em .8em .2em 0; text-align: left;
vertical-align: top } tr { border-bottom: 1px solid #ccc } figure { display: inline-block; margin:
0 1em 1em 0 } img { max-width: 100%; max-height: 480px } figcaption { color: #555 } pre {
background: #f4f4f4; overflow-x: auto; padding: 1em }
"""


@dataclass(frozen=True)
class Machine:
    """Where the check ran. libraries: versions, None for one that is not installed."""

    rim: str
    python: str
    system: str
    device: str
    libraries: dict[str, str | None]


def check_out(out: Path) -> None:
    """Raises OutputError if `out` is a file, or a folder that holds anything but a report."""
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out}: expected a folder, found a file; choose another --out")
    found = {entry.name for entry in os.scandir(out)}
    foreign = sorted(found - _ENTRIES) if FACTS in found else sorted(found)
    if foreign:
        raise OutputError(
            f"{out}: expected an empty folder or an earlier report, found {foreign[0]!r} in it; "
            "choose another --out"
        )


def facts(
    settings: Settings,
    machine: Machine,
    results: Sequence[StepResult],
    verdict: Verdict,
    seconds: float,
) -> dict[str, Any]:
    """Everything but the images as plain data, private words replaced: what `--json` prints."""
    return dict(
        anonymous(
            {
                "verdict": verdict.result,
                "text": verdict.text,
                "exit_status": verdict.exit_status,
                "preset": settings.preset,
                "seconds": round(seconds, 1),
                "machine": vars(machine),
                "steps": [_plain(one) for one in results],
                "settings": settings.model_dump(mode="json"),
            },
            private_words(),
        )
    )


def write_report(out: Path, told: dict[str, Any], results: Sequence[StepResult]) -> Path:
    """Writes the folder, in place of an earlier report, and returns its page.

    Args:
        out: as `check_out` allows.
        told: of `facts`.
        results: with the images.

    Raises:
        WriteFailed: the disk does not take it; an earlier report is still there.
    """
    work = temporary_path(out.absolute().parent, out.name)
    try:
        make_folder(work / "images")
        for one in results:
            for image in one.images:
                (work / "images" / f"{image.name}.png").write_bytes(encode_png(image.pixels))
        text = json.dumps(told, indent=1, ensure_ascii=False)
        (work / FACTS).write_text(text + "\n", encoding="utf-8")
        (work / "index.html").write_text(_page(told), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        os.rename(work, out)
    except OSError as error:
        raise WriteFailed(
            f"cannot write the report {out}: {error.strerror or error}; choose another --out"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out / "index.html"


def _plain(result: StepResult) -> dict[str, Any]:
    return {
        "name": result.name,
        "result": result.result,
        "found": result.found,
        "expected": result.expected,
        "seconds": round(result.seconds, 2),
        "memory": result.memory,
        "numbers": {name: round(float(value), 4) for name, value in result.numbers.items()},
        "images": [
            {"file": f"images/{one.name}.png", "caption": one.caption} for one in result.images
        ],
        "traceback": result.traceback,
    }


def _page(told: dict[str, Any]) -> str:
    machine = told["machine"]
    rows = [
        (one["name"], one["result"], one["found"], one["expected"], *_cost(one))
        for one in told["steps"]
    ]
    head = ("step", "result", "found", "expected", "seconds", "memory")
    title = f"rim check --preset {told['preset']}"
    versions = ", ".join(f"{name} {found}" for name, found in machine["libraries"].items())
    where = f"rim {machine['rim']}, Python {machine['python']}, {machine['system']}"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>",
        f"<p><b>{escape(told['text'])}</b></p>",
        f"<p>{escape(where)}<br>{escape(machine['device'])}<br>{escape(versions)}</p>",
        html_table(head, rows),
    ]
    for one in told["steps"]:
        if one["images"] or one["traceback"]:
            parts.append(f"<h2>{escape(one['name'])}</h2>")
        if one["traceback"]:
            parts.append(f"<pre>{escape(one['traceback'])}</pre>")
        parts += [_figure(image["file"], image["caption"]) for image in one["images"]]
    settings = escape(json.dumps(told["settings"], indent=1, ensure_ascii=False))
    parts.append(f"<details><summary>Settings</summary><pre>{settings}</pre></details></html>")
    return "\n".join(parts) + "\n"


def _cost(one: dict[str, Any]) -> tuple[str, str]:
    return f"{one['seconds']:.1f}", f"{one['memory'] / 1e9:.2f} GB"


def _figure(file: str, caption: str) -> Safe:
    return Safe(
        f'<figure><img src="{escape(file, quote=True)}" alt=""><figcaption>{escape(caption)}'
        "</figcaption></figure>"
    )
