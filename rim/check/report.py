"""Writes the report folder of `rim check`: a page, the same as JSON, and images.

No text in it has the name of the machine or of its user, or the path of the home folder.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from foundation.images.reading import encode_png
from rim.check.findings import CheckVerdict, StepResult
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
    verdict: CheckVerdict,
    seconds: float,
) -> dict[str, Any]:
    """Returns all but the images as plain data, private words replaced: what `--json` prints."""
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


_SHORTEST = 3  # letters; a shorter name would be found in many other words


def private_words() -> dict[str, str]:
    """Returns the words that are replaced in the report, and by what; longest first."""
    folders = {str(Path.home()): "~", tempfile.gettempdir(): "TMP"}
    found = {path: word for path, word in folders.items() if len(path) > 1}
    found |= {str(Path(path).resolve()): word for path, word in found.items()}
    host = socket.gethostname()
    names = {host: "HOST", host.partition(".")[0]: "HOST"}
    with contextlib.suppress(KeyError, OSError):  # a user without a name
        names[getpass.getuser()] = "USER"
    names[Path.home().name] = "USER"
    found |= {name: word for name, word in names.items() if name}
    return dict(sorted(found.items(), key=lambda pair: -len(pair[0])))


def anonymous(value: Any, private: Mapping[str, str]) -> Any:
    """Returns the same plain data (dicts, lists, texts, numbers), private words in texts replaced.

    Paths are replaced wherever they stand, names as whole words, and within paths and addresses
    as a part of a word too.
    """
    if isinstance(value, str):
        return _replaced(value, private)
    if isinstance(value, Mapping):
        return {key: anonymous(one, private) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [anonymous(one, private) for one in value]
    return value


def _replaced(text: str, private: Mapping[str, str]) -> str:
    for word, stand_in in private.items():
        if "/" in word or "\\" in word:
            text = text.replace(word, stand_in)
            continue
        inside = re.compile(re.escape(word), re.IGNORECASE)

        def in_path(
            match: re.Match[str], inside: re.Pattern[str] = inside, by: str = stand_in
        ) -> str:
            return inside.sub(by, match[0])

        if len(word) >= _SHORTEST:
            text = re.sub(r"\S*[/\\@]\S*", in_path, text)
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", stand_in, text)
        else:
            text = re.sub(rf"(?<=[/\\@]){re.escape(word)}(?=[/\\@]|$)", stand_in, text)
    return text
