"""Draw the pictures of the pages in docs/images: a server of a home, and Chromium looking at it.

python benchmarks/draw_pages.py lithoscope-demo/data scans/Corwick/Corwick_02/Corwick_02.mha
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = {"width": 1440, "height": 1000}
LARGEST = 300_000
WAIT_MS = 120_000
_PLOTS = ".js-plotly-plot .main-svg"
_SEEN_COMPLETE = """[...document.images].every(image => {
    const place = image.getBoundingClientRect();
    return image.complete || place.top > innerHeight || place.left > innerWidth - 100;
})"""
"""Others are fetched only when they are scrolled to."""


def main() -> None:
    """Draw the answer, a hit looked at closely, and the three rows on dark ground."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("home", type=Path, help="LITHOSCOPE_HOME of an indexed library")
    asked.add_argument("scan", help="key of the indexed scan that is looked for")
    asked.add_argument("--out", type=Path, default=IMAGES)
    told = asked.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with serving(told.home) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        draw_answer(browser, address, scan=told.scan).save(told.out / "search.jpg")
        draw_hit(browser, address, scan=told.scan).save(told.out / "hit.jpg")
        draw_rows(browser, address, scan=told.scan).save(told.out / "three_rows.jpg")
        browser.close()


class Picture:
    """A picture of a page."""

    def __init__(self, page: Page) -> None:
        self.image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")

    def save(self, path: Path) -> None:
        """Write it as JPEG, at the best quality that is small enough for a repository."""
        for quality in (90, 85, 80, 70, 60):
            content = io.BytesIO()
            self.image.save(content, "JPEG", quality=quality, optimize=True)
            if len(content.getvalue()) < LARGEST:
                break
        path.write_bytes(content.getvalue())
        print(f"{path}: {len(content.getvalue()):,} bytes")


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Serve the pages of a home."""
    port = free_port()
    command = [sys.executable, "-m", "lithoscope", "ui", "--port", str(port)]
    child = subprocess.Popen(  # noqa: S603  our own command
        command, env={**os.environ, "LITHOSCOPE_HOME": str(home.absolute())}
    )
    address = f"http://localhost:{port}"
    try:
        until_alive(f"{address}/healthz", child)
        yield address
    finally:
        child.terminate()
        child.wait(timeout=60)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_alive(address: str, child: subprocess.Popen[bytes]) -> None:
    """Wait for a server."""
    end = time.monotonic() + WAIT_MS / 1000
    while time.monotonic() < end and child.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):  # noqa: S310  our own server
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise SystemExit("the pages' server does not answer")


def opened(browser: Browser, address: str, *, query: dict[str, str], scheme: str) -> Page:
    """Open the answer to a query, given as parameters of an address."""
    context = browser.new_context(viewport=SIZE, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{address}/?{urlencode({'v': '1', **query})}")
    page.wait_for_selector(".st-key-gallery_best img")
    return page


def settled(page: Page) -> Page:
    """Wait until all pictures and plots are there."""
    page.wait_for_timeout(500)  # what was clicked on begins
    page.wait_for_selector("[data-test-script-state=notRunning]")
    page.wait_for_selector(_PLOTS)
    page.wait_for_function(_SEEN_COMPLETE)
    page.wait_for_timeout(2500)  # plots move to their places
    return page


def draw_answer(browser: Browser, address: str, *, scan: str) -> Picture:
    """The cards, without the query's reservoir, said in words."""
    page = opened(browser, address, query={"q": scan}, scheme="light")
    page.get_by_label("Filter in your own words").fill(
        "not from this reservoir, at most 3 per sample"
    )
    page.get_by_role("button", name="Apply").click()
    page.wait_for_selector(".st-key-chips")
    return Picture(settled(page))


def draw_hit(browser: Browser, address: str, *, scan: str) -> Picture:
    """A hit beside the query."""
    page = opened(browser, address, query={"q": scan}, scheme="light")
    page.get_by_role("button", name="Open hit 1:").click()
    page.wait_for_selector(f"[role=dialog] {_PLOTS}")
    return Picture(settled(page))


def draw_rows(browser: Browser, address: str, *, scan: str) -> Picture:
    """The paper's three rows of a slice, the first one of its own scan, on dark ground."""
    page = opened(browser, address, query={"q": scan, "q.slice": "0"}, scheme="dark")
    page.get_by_text("Three rows").click()
    page.wait_for_selector(".st-key-gallery_other_reservoirs img")
    return Picture(settled(page))


if __name__ == "__main__":
    main()
