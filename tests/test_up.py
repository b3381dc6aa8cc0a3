"""``lithoscope up``: pages and watcher in one command, as a person uses them in a real browser."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import psutil  # type: ignore[import-untyped]  # ships no types
import pytest
from PIL import Image

from encoder.bundle import save_bundle
from encoder.encoders import build_encoder
from infra.index_server import find_server, stop_server
from infra.settings import Settings
from infra.site import Site, open_site
from ingest_worker.models import open_target
from ui_server import SECONDS, Running, free_port, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytest_plugins = ("ui_server",)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small encoders that were not trained."""
    folder = tmp_path_factory.mktemp("bundles")
    for seed in range(2):
        save_bundle(folder / str(seed), build_encoder("resnet18-imagenet", f"seed:{seed}"))
    return [folder / str(seed) for seed in range(2)]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    (home / "bucket").mkdir(parents=True)
    yield home
    stop_server(home / "index")


def begin_with(home: Path, *bundles: Path) -> None:
    """Publish models, of which the first becomes live."""
    with open_site(Settings(home=home)) as site:
        for bundle in bundles:
            open_target(site, site.models.publish(bundle))


def scans(site: Site) -> set[str]:
    name = site.index.live()
    return set() if name is None else {it.object_key for it in site.index.open(name).records()}


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 40, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def opened(chromium: Browser, server: Running, path: str) -> Page:
    page = chromium.new_context().new_page()
    page.set_default_timeout(SECONDS * 1000)
    page.goto(server.address + path)
    return page


def add_scan(page: Page, path: Path, *, reservoir: str, sample: str) -> None:
    page.get_by_role("tab", name="Add scans").click()
    page.locator("input[type=file]").first.set_input_files(path)
    for label, name in (("Reservoir", reservoir), ("Sample", sample)):
        field = page.get_by_label(label, exact=True).and_(page.locator("input"))
        field.fill(name)
        field.press("Enter")
    page.get_by_role("button", name="Add to the library").click()
    page.get_by_text(f"{path.name} stored").wait_for()


def test_what_is_added_in_the_browser_or_put_into_the_folder_is_indexed(
    home: Path, bundles: list[Path], chromium: Browser
) -> None:
    begin_with(home, *bundles)
    picture(home / "bucket" / "scans" / "E1" / "S1" / "a.png", 1)
    with running(home, "up", "--no-browser") as server, open_site(Settings(home=home)) as site:
        until(lambda: scans(site) == {"scans/E1/S1/a.png"})
        page = opened(chromium, server, "/library")
        add_scan(page, picture(home.parent / "b.png", 2), reservoir="E2", sample="<i>S2</i>")
        key = "scans/E2/%3Ci%3ES2%3C%2Fi%3E/b.png"
        until(lambda: key in scans(site))
        page.get_by_role("tab", name="Indexing").click()
        page.get_by_text("Everything that can be read is indexed").wait_for()
        change_model(page, site)
        children = psutil.Process(server.child.pid).children(recursive=True)
        assert len(children) >= 2
        assert server.end(signal.SIGINT) == 0
        assert not any(map(lives, children))
        assert "Traceback" not in server.log.read_text()


def change_model(page: Page, site: Site) -> None:
    """Make the other model live, as an operator does, and see it told."""
    first, second = site.models.survey().versions
    page.get_by_role("link", name="Model").click()
    choose(page, "Or another one", second.bundle_id)
    page.get_by_role("button", name="Make it live").click()
    page.get_by_role("dialog").get_by_role("button", name="Make it live").click()
    page.get_by_text(f"{second.bundle_id} is live").wait_for()
    assert site.index.live() == second.collection
    page.get_by_role("button", name=f"Roll back to {first.bundle_id}").click()
    page.get_by_role("dialog").get_by_role("button", name="Make it live").click()
    page.get_by_text(f"{first.bundle_id} is live").wait_for()
    assert site.index.live() == first.collection


def choose(page: Page, label: str, name: str) -> None:
    """Open a list and take something of it: a page that is still drawn closes it again."""
    option = page.get_by_role("option", name=name)

    def is_open() -> bool:
        page.get_by_label(label).and_(page.locator("input")).press("ArrowDown")
        page.wait_for_timeout(500)
        return option.is_visible()

    until(is_open, SECONDS)
    option.click()


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_it_waits_for_a_model_and_ends_with_all_that_it_began(
    home: Path, bundles: list[Path]
) -> None:
    picture(home / "bucket" / "scans" / "E1" / "S1" / "a.png", 1)
    with running(home, "up", "--no-browser") as server:
        until(lambda: "no model is live yet" in server.log.read_text())
        begin_with(home, bundles[0])
        with open_site(Settings(home=home)) as site:
            until(lambda: bool(scans(site)))
        assert server.end(signal.SIGTERM) in {0, 128 + signal.SIGTERM}
    assert find_server(home / "index") is None


def test_what_it_began_ends_even_where_it_is_killed(home: Path) -> None:
    with running(home, "up", "--no-browser") as server:
        children = psutil.Process(server.child.pid).children(recursive=True)
        os.kill(server.child.pid, signal.SIGKILL)
        until(lambda: not any(map(lives, children)))


def test_a_stack_has_workers_of_its_own(home: Path) -> None:
    env = {"LITHOSCOPE_BROKER__URL": "redis://127.0.0.1:6379/0"}
    with (
        pytest.raises(AssertionError, match="lithoscope ui"),
        running(home, "up", "--no-browser", port=free_port(), env=env),
    ):
        pass
