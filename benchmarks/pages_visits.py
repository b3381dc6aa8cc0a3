"""What a browser sees of the pages, timed by its own clock: loads, and answers to uploads."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

WAIT_MS = 120_000
SIZE = {"width": 1280, "height": 900}
START = ".st-key-begin h1"
"""What the search page shows first."""

_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]"
_GALLERY = ".st-key-gallery_best"
_STAGE = re.compile(r"(\w+) ([\d,]+) ms")
_CARDS = f"""[...document.querySelectorAll('{_GALLERY} [class*="st-key-card_"]')].map(
    card => card.className.match(/st-key-card_best_(\\S+)/)[1])"""
_CLOCK = """(() => {
    const seen = window.seen = {};
    const first = (name, is_so) => {
        if (seen[name] === undefined && is_so()) seen[name] = performance.now();
    };
    const shown = picture => picture.complete && picture.naturalWidth > 0;
    const near = picture => {
        const place = picture.getBoundingClientRect();
        return place.width > 0 && place.top < innerHeight && place.left < innerWidth;
    };
    const pictures = () => [...document.querySelectorAll('GALLERY .litho-pic img')];
    const look = () => {
        first('start', () => document.querySelector('START'));
        first('cards', () => pictures().length);
        first('pictures', () => pictures().length && pictures().filter(near).every(shown));
        requestAnimationFrame(look);
    };
    look();
    document.addEventListener('change', event => {
        if (event.target.type === 'file') first('chosen', () => true);
    }, true);
})()""".replace("GALLERY", _GALLERY).replace("START", START)
"""Notes when something is seen first, frame by frame: what a person would see."""


@dataclass(frozen=True, slots=True)
class Load:
    """A page as it came, in milliseconds from the moment it was asked for.

    Attributes:
        paint: When the browser painted anything of it first.
        start: When what it is about was there.
    """

    paint: float
    start: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to an upload, in milliseconds from the moment the file was chosen.

    Attributes:
        uploaded: When the server had the file.
        cards: When its hits were shown.
        pictures: When their pictures were.
        stages: What the service spent on each stage.
        hits: Rows that are shown, best first.
    """

    uploaded: float
    cards: float
    pictures: float
    stages: dict[str, float]
    hits: tuple[str, ...]


@contextmanager
def visitor(browser: Browser) -> Iterator[Page]:
    """Let somebody in who has nothing of the pages in their browser."""
    context = _context(browser)
    try:
        yield context.new_page()
    finally:
        context.close()


def load(browser: Browser, address: str) -> Load:
    """Load a page, whose first heading is in `START`, in a browser that knows nothing of it."""
    with visitor(browser) as page:
        page.goto(address)
        # When it was seen is in the page's own clock; a wait of ours would come later.
        page.wait_for_function("seen.start !== undefined")
        page.wait_for_function(f"{_PAINT} !== undefined")
        return Load(
            paint=_number(page, _PAINT),
            start=float(page.evaluate("seen.start")),
        )


@contextmanager
def visitors(browser: Browser, address: str, *, count: int) -> Iterator[list[Page]]:
    """Let several people in, each before the search page as it begins."""
    contexts = [_context(browser) for _ in range(count)]
    try:
        pages = [context.new_page() for context in contexts]
        for page in pages:
            page.goto(address)
        for page in pages:
            ready(page)
        yield pages
    finally:
        for context in contexts:
            context.close()


def ready(page: Page) -> None:
    """Wait until a search page has all that it begins with."""
    page.wait_for_selector(START)
    page.wait_for_selector(".st-key-find_grid img")
    page.wait_for_selector("[data-test-script-state=notRunning]")
    page.wait_for_load_state("networkidle")


def ask(pages: Sequence[Page], files: Sequence[Path]) -> list[Answer]:
    """Give each page a file at once, and wait for all answers."""
    for page, file in zip(pages, files, strict=True):
        page.locator(".st-key-begin input[type=file]").set_input_files(file)
    return [_answer(page) for page in pages]


def _answer(page: Page) -> Answer:
    page.wait_for_function("seen.pictures !== undefined")
    page.wait_for_selector("[data-test-script-state=notRunning]")
    seen: dict[str, float] = page.evaluate("seen")
    sent = _number(
        page,
        "performance.getEntriesByType('resource')"
        ".filter(each => each.name.includes('upload_file')).at(-1)",
        "responseEnd",
    )
    chosen = seen["chosen"]
    return Answer(
        uploaded=sent - chosen,
        cards=seen["cards"] - chosen,
        pictures=seen["pictures"] - chosen,
        stages=_stages(page),
        hits=tuple(page.evaluate(_CARDS)),
    )


def _stages(page: Page) -> dict[str, float]:
    """What the page tells of the stages when it is asked for."""
    page.locator(".st-key-answer [data-testid=stTooltipHoverTarget]").first.hover()
    told = page.get_by_text("How long each stage took").first
    told.wait_for()
    text = told.inner_text()
    page.mouse.move(0, 0)
    return {name: float(spent.replace(",", "")) for name, spent in _STAGE.findall(text)}


def _number(page: Page, of: str, name: str = "startTime") -> float:
    found: Any = page.evaluate(f"({of}).{name}")
    return float(found)


def _context(browser: Browser) -> BrowserContext:
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(_CLOCK)
    return context
