"""Files that can't be searched with, given to the pages in a real browser: one line, and on."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from bad_scans import write_bad_scans
from browser_pages import Library, Visitor, grey, served, visiting
from lithoscope import app
from ui_server import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Locator

pytest_plugins = ("ui_server",)

_LARGEST_MIB, _TOGETHER_MIB = 1, 2
_TOKEN = re.compile(r"\b[0-9a-f]{32}\b")
_ONE_DATASET = (
    "the library takes one image or volume of each file: write the one you want into a file of its "
    "own, and add that"
)
_SPACES = re.compile(r"\s+")
_OPTION = re.compile(r" \(--[^()]*\)")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    images = {f"E1/S{number}/a.png": grey(number) for number in range(1, 4)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITHOSCOPE_UI__UPLOAD_MIB", str(_LARGEST_MIB))
        patch.setenv("LITHOSCOPE_UI__UPLOADS_MIB", str(_TOGETHER_MIB))
        with served(tmp_path_factory.mktemp("bad"), images, "up", "--no-browser") as library:
            yield library


@pytest.fixture(scope="module")
def visitor(chromium: Browser, library: Library) -> Iterator[Visitor]:
    """One person for all these files: each is given to a page that has refused the one before."""
    with visiting(chromium, library) as visitor:
        yield visitor.open()


@pytest.fixture(scope="module")
def bad_scans(library: Library) -> list[Path]:
    folder = library.folder / "mine"
    folder.mkdir()
    return write_bad_scans(folder)


@pytest.fixture(scope="module")
def reasons(bad_scans: list[Path]) -> dict[str, str]:
    """What the command line says of each file, but for the options that only it has."""
    found = CliRunner().invoke(app, ["inspect", "--format", "json", *map(str, bad_scans)])
    told = [json.loads(line) for line in found.stdout.splitlines()]
    reasons = {
        each["path"].rpartition("/")[2]: _OPTION.sub("", "; ".join(each["problems"]))
        for each in told
    }
    assert reasons.keys() == {path.name for path in bad_scans}
    return reasons


def test_every_bad_scan_is_one_line_and_the_next_one_is_answered(
    visitor: Visitor, bad_scans: list[Path], reasons: dict[str, str]
) -> None:
    good = visitor.library.file("good.png", grey(9))
    for number, path in enumerate(bad_scans):
        visitor.upload(path)
        assert words(alert(visitor)) == words_of(f"{path.name}: {reasons[path.name]}")
        tells_no_more(visitor)
        if visitor.page.locator(".st-key-begin").count():
            visitor.page.get_by_role("button", name=f"Remove {path.name}").click()
        else:
            visitor.press("Begin anew")
        visitor.page.locator("[data-testid=stAlert]").wait_for(state="detached")
        if number % 7 == 0:
            visitor.upload(good).wait_for_answer().sees_the_answer()
            visitor.press("Begin anew")
        visitor.page.locator(".st-key-begin").wait_for()
        visitor.settle()


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(visitor: Visitor) -> None:
    large = visitor.library.folder / "large.npy"
    large.write_bytes(bytes((_LARGEST_MIB << 20) + 1))
    visitor.open().upload(large)
    visitor.page.get_by_text(re.compile(rf"File must be {_LARGEST_MIB}\S*MB or smaller")).wait_for()
    tells_no_more(visitor)
    visitor.page.get_by_role("button", name=f"Remove {large.name}").click()
    visitor.upload(visitor.library.file("good.png", grey(9))).wait_for_answer().sees_the_answer()


def test_what_was_looked_for_is_in_nobodys_way(visitor: Visitor) -> None:
    for seed in range(2 * _TOGETHER_MIB):
        noise = np.random.default_rng(seed).integers(0, 256, (950, 950)).astype(np.uint8)
        file = visitor.library.file(f"noise-{seed}.png", noise)
        assert file.stat().st_size > 0.8 * (_LARGEST_MIB << 20)
        visitor.open() if seed == 0 else visitor.press("Begin anew")
        visitor.upload(file).wait_for_answer().sees_the_answer()


def test_the_library_page_takes_what_is_good_and_tells_why_not_the_rest(
    visitor: Visitor, bad_scans: list[Path], reasons: dict[str, str]
) -> None:
    page = visitor.open("/library").page
    page.get_by_role("tab", name="Add scans").click()
    good = visitor.library.file("good.png", grey(9))
    visitor.upload(*bad_scans, good, within=page.get_by_role("tabpanel", name="Add scans"))
    visitor.press("Add to the library")
    page.get_by_text(f"1 of {len(bad_scans) + 1} scans are in the library").wait_for()
    told = [words_of(each.inner_text()) for each in page.get_by_text("not taken").all()]
    own = {**reasons, "two.h5": f"{reasons['two.h5'].partition(';')[0]}; {_ONE_DATASET}"}
    wanted = {words_of(f"{path.name} not taken: {own[path.name]}") for path in bad_scans}
    assert {line.removeprefix("error ") for line in told} == wanted
    assert len(told) == len(bad_scans)
    page.get_by_text(f"{good.name} stored").wait_for()
    tells_no_more(visitor)
    assert [key for key in keys(visitor.library) if "good" in key]


def alert(visitor: Visitor) -> Locator:
    found = visitor.page.locator("[data-testid=stAlert]")
    found.wait_for(timeout=SECONDS * 1000)
    assert found.count() == 1
    return found


def words(place: Locator) -> str:
    """What a message says, without its icon."""
    return words_of(place.locator("[data-testid=stMarkdownContainer]").inner_text())


def words_of(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


def tells_no_more(visitor: Visitor) -> None:
    """Nobody is told how the machine is built."""
    body = visitor.page.locator("body").inner_text()
    assert "Traceback" not in body
    assert str(visitor.library.folder) not in body
    assert "/tmp" not in body  # noqa: S108  where scratch files are
    assert not _TOKEN.search(body)


def keys(library: Library) -> list[str]:
    return [entry.key for page in library.site.objects.pages("scans/") for entry in page]
