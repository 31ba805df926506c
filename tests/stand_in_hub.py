"""A small stand-in for the Hugging Face hub on 127.0.0.1, which can cut, slow and corrupt."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

_LARGE = (".safetensors", ".pth")  # what a repository keeps in LFS


@dataclass(frozen=True)
class Request:
    """One request as it came: method, path, and where a continued transfer begins."""

    method: str
    path: str
    start: int | None


@dataclass
class StandInHub:
    """What the server has and what it was asked.

    models: folders by hub id. files: single files by the path of their address. cuts: by the end of
    a path, after how many bytes of an answer the connection breaks, once for each entry. dies:
    after a cut the server is `broken`. corrupt: ends of paths whose first byte arrives wrong.
    broken: every answer is status 500. ranges: whether it can continue a file. pause: seconds after
    each 64 KiB. sent: how many bytes of files have left it, by the path of the request.
    """

    models: dict[str, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    broken: bool = False
    dies: bool = False
    ranges: bool = True
    pause: float = 0.0
    requests: list[Request] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    address: str = ""

    def commit(self, model: str) -> str:
        """Forty digits that depend on names and contents, as those of git do."""
        listing = json.dumps(self.siblings(model), sort_keys=True)
        return hashlib.sha1(listing.encode()).hexdigest()

    def siblings(self, model: str) -> list[dict[str, object]]:
        folder = self.models[model]
        found: list[dict[str, object]] = []
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                size = path.stat().st_size
                one: dict[str, object] = {
                    "rfilename": path.relative_to(folder).as_posix(),
                    "size": size,
                    "blobId": _digest(path),
                }
                if path.suffix in _LARGE:
                    one["lfs"] = {"sha256": _digest(path), "size": size, "pointerSize": 134}
                found.append(one)
        return found

    def tree(self, model: str) -> list[dict[str, object]]:
        """The files in the form of the hub's /tree."""
        entries: list[dict[str, object]] = []
        for one in self.siblings(model):
            entry = {"type": "file", "path": one["rfilename"], "size": one["size"]}
            entry["oid"] = one["blobId"]
            lfs = one.get("lfs")
            if isinstance(lfs, dict):
                entry["lfs"] = {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": 134}
            entries.append(entry)
        return entries

    def transfers(self, end: str) -> list[int | None]:
        """Where the transfers of a file began, None for its beginning."""
        return [
            one.start for one in self.requests if one.method == "GET" and one.path.endswith(end)
        ]


@contextmanager
def running_hub() -> Iterator[StandInHub]:
    """A server of its own, until the block ends."""
    hub = StandInHub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(hub: StandInHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points huggingface_hub and torch in this process at the server and at an empty cache."""
    import torch
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    template = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(cache / "torch"))
    monkeypatch.setenv("RIM_CACHE", str(cache / "rim"))


def hub_environment(hub: StandInHub, cache: Path) -> dict[str, str]:
    """The same for a process of its own."""
    return {
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(cache / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "TORCH_HOME": str(cache / "torch"),
        "RIM_CACHE": str(cache / "rim"),
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: StandInHub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else None
        self.state.requests.append(Request(self.command, path, start))
        if self.state.broken:
            self._status(500)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?", path):
            self._json(match[1], lambda hub, model: {"id": model, **_info(hub, model)})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/tree/[^/]+", path):
            self._json(match[1], lambda hub, model: hub.tree(model))
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            model = self.state.models.get(match[1])
            self._file(model / match[2] if model else None, start, match[1])
        else:
            self._file(self.state.files.get(path), start)

    def _json(self, model: str, content: object) -> None:
        if model not in self.state.models:
            self._status(404, {"X-Error-Code": "RepoNotFound"})
            return
        assert callable(content)
        body = json.dumps(content(self.state, model)).encode()
        self._status(200, {"Content-Type": "application/json"}, len(body))
        self.wfile.write(body)

    def _file(self, path: Path | None, start: int | None, model: str | None = None) -> None:
        if path is None or not path.is_file():
            self._status(404, {"X-Error-Code": "EntryNotFound"})
            return
        data = path.read_bytes()
        headers = {"ETag": f'"{_digest(path)}"', "Accept-Ranges": "bytes"}
        if model is not None:
            headers["X-Repo-Commit"] = self.state.commit(model)
        if any(self.path.endswith(end) for end in self.state.corrupt):
            data = bytes([data[0] ^ 1]) + data[1:]
        if not self.state.ranges:
            start = None
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data = data[start:]
        self._status(200 if start is None else 206, headers, len(data))
        if self.command == "GET":
            self._send(data)

    def _send(self, data: bytes) -> None:
        cuts = next((c for end, c in self.state.cuts.items() if self.path.endswith(end)), [])
        cut = cuts.pop(0) if cuts else None
        try:
            for begin in range(0, len(data), 1 << 16):
                end = begin + (1 << 16)
                if cut is not None and end > cut:
                    self._write(data[begin:cut])
                    self.close_connection = True
                    self.state.broken = self.state.dies
                    return
                self._write(data[begin:end])
                time.sleep(self.state.pause)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.state.sent[unquote(urlsplit(self.path).path)] += len(data)

    def _status(self, code: int, headers: dict[str, str] | None = None, length: int = 0) -> None:
        self.send_response(code)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def _digest(path: Path) -> str:
    """What the hub names a file by: SHA-256 in LFS, otherwise git's SHA-1 of a blob."""
    facts = path.stat()
    return _digest_once(path, facts.st_size, facts.st_mtime_ns)


@functools.cache
def _digest_once(path: Path, size: int, written: int) -> str:
    data = path.read_bytes()
    if path.suffix in _LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _info(hub: StandInHub, model: str) -> dict[str, object]:
    return {"sha": hub.commit(model), "siblings": hub.siblings(model)}
