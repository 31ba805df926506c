"""The page in a real browser: `rim app` is started as a person would, used, and interrupted."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import rim
from rim.app.server import HOST

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LACKING = [
    *(name for name in ("gradio", "playwright") if find_spec(name) is None),
    *([] if CHROMIUM else ["chromium"]),
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"needs {', '.join(LACKING)}"),
]

HOSTILE = '<img src=x onerror="document.title=1">.png'
_PATIENCE_MS = 60_000


@dataclass
class Running:
    """`rim app` in a process of its own, which the module's last test interrupts."""

    bank: Path
    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rstrip("/").rpartition(":")[2])


@dataclass
class Seen:
    """A page, and what its browser asked for and complained about."""

    page: Any
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def running(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("app")
    bank = Path(shutil.copytree(built, folder / "bank"))
    process = subprocess.Popen(
        [sys.executable, "-m", "rim", "app", str(bank), "--port", "0", "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    if not address:
        pytest.fail(process.communicate()[1])
    yield Running(bank, process, address)
    if process.poll() is None:
        process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def seen(running: Running) -> Iterator[Seen]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(_PATIENCE_MS)
        seen = Seen(page)
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.goto(running.address)
        yield seen
        browser.close()


def test_a_photo_is_labelled_and_a_region_explained(
    seen: Seen, running: Running, scene: Path, tmp_path: Path
) -> None:
    page = seen.page
    page.wait_for_selector(".rim-drop")
    upload = {"name": HOSTILE, "mimeType": "image/png", "buffer": scene.read_bytes()}
    page.set_input_files("#rim-file", files=[upload])
    page.wait_for_selector("#rim-stage[data-ready]")
    expected = rim.query(rim.open(running.bank), scene)

    # What the pointer shows, without asking the server.
    region = expected.regions[0]
    spots = page.locator("button.rim-chip").all_inner_texts()
    assert {text.split("\n")[0] for text in spots} >= {region.category}
    y, x = place_of(expected, 0)
    asked = len(seen.requests)
    box = page.locator("#rim-stage canvas").bounding_box()
    at = (box["x"] + (x + 0.5) / 128 * box["width"], box["y"] + (y + 0.5) / 96 * box["height"])
    page.mouse.move(*at)
    tip = page.locator("#rim-tip").inner_text().split()
    assert tip == [region.category, f"{region.score:.2f}"]
    assert seen.requests[asked:] == []

    page.mouse.click(*at)
    page.wait_for_selector("#rim-references")
    assert page.inner_text("#rim-chosen") == region.category
    shown = page.locator("#rim-references .rim-card").evaluate_all(
        "cards => cards.map(card => card.dataset.image)"
    )
    assert shown == [str(one.image_id) for one in region.references]
    page.screenshot(path=tmp_path / "page.png")
    with page.expect_download() as started:
        page.click("#rim-download")
    with zipfile.ZipFile(started.value.path()) as archive:
        assert sorted(name.partition(".")[2] for name in archive.namelist()) == [
            "json",
            "labels.png",
            "overlay.png",
        ]


def test_a_reference_is_rejected_and_taken_back(seen: Seen, running: Running) -> None:
    page = seen.page
    bad = page.locator("#rim-references .rim-card").first.get_attribute("data-image")
    page.locator("#rim-references button").first.click()
    page.wait_for_selector(f"#rim-rejected [data-image='{bad}']")
    assert page.inner_text("#rim-facts").startswith("version 2 ")
    assert page.locator(f"#rim-references [data-image='{bad}']").count() == 0
    assert rim.open(running.bank).version == 2
    page.click("#rim-rejected button")
    page.wait_for_selector("#rim-rejected", state="detached")
    assert page.inner_text("#rim-facts").startswith("version 3 ")


def test_choices_and_new_categories(seen: Seen, running: Running) -> None:
    page = seen.page
    page.click("#rim-matcher label:has-text('prototype')")
    page.wait_for_selector("#rim-notice:has-text('Classified again')")
    page.fill("#rim-new-name :is(input, textarea)", "zebra")
    page.click("#rim-attempt")
    page.wait_for_selector("#rim-notice.rim-is-error:has-text('does not know zebra')")
    page.fill("#rim-new-name :is(input, textarea)", "snow")
    page.click("#rim-attempt")
    page.wait_for_selector(".rim-trial:has-text('snow')")
    assert "5 categories" in page.inner_text("#rim-facts")
    assert rim.open(running.bank).version == 3
    page.click(".rim-trial button:has-text('Drop')")
    page.wait_for_selector(".rim-trial", state="detached")


def test_the_browser_asks_no_other_machine_and_runs_no_names(seen: Seen, running: Running) -> None:
    elsewhere = [
        url
        for url in seen.requests
        if not url.startswith((running.address, "data:", "blob:http://127.0.0.1"))
    ]
    assert elsewhere == []
    assert seen.errors == []
    assert seen.page.title() == "rim"
    assert seen.page.locator("img[src='x']").count() == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
def test_other_sites_get_no_answer(running: Running, headers: dict[str, str], status: int) -> None:
    connection = http.client.HTTPConnection(HOST, running.port, timeout=300)
    try:
        connection.request("GET", "/", headers=headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
        if status == 200:
            assert "default-src 'self'" in str(response.headers["Content-Security-Policy"])
    finally:
        connection.close()


def test_control_c_ends_it(running: Running) -> None:
    # Last, and with the browser still looking: its stream of events must not hold the server up.
    running.process.send_signal(signal.SIGINT)
    _, error = running.process.communicate(timeout=300)
    assert running.process.returncode == 130
    assert error.splitlines()[-1].startswith("rim: interrupted")
    assert "Traceback" not in error
    assert list(running.bank.parent.glob("rim-app-*")) == []


def place_of(result: rim.Segmentation, number: int) -> tuple[int, int]:
    """The most inner pixel (y, x) of a region where no other region has a say."""
    import numpy as np
    from scipy import ndimage

    from foundation.images.masks import decode_rle

    masks = [decode_rle(region.rle) for region in result.regions]
    own = masks[number] & (result.label_map == result.regions[number].category_id)
    for other, mask in enumerate(masks):
        if other != number:
            own &= ~mask
    y, x = np.unravel_index(
        np.argmax(ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]), own.shape
    )
    assert own[y, x]
    return int(y), int(x)
