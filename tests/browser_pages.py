"""The pages as people see them: a library that was ingested, its server, visitors with browsers."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import numpy as np
import streamlit
import tifffile
from PIL import Image
from typer.testing import CliRunner

from infra.settings import Settings
from infra.site import open_site
from lithoscope import app
from search_site import texture
from search_ui.permalinks import Link, from_params, to_params
from search_ui.requests import ObjectQuery, SearchRequest
from search_ui.service import SearchService
from ui_server import SECONDS, Running, running, until

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from playwright.sync_api import Browser, BrowserContext, Dialog, Locator, Page, Route

    from infra.site import Site
    from search_ui.results import SearchHit, SearchResult

PLANES = 5
MEASURED = {
    "E1/S1": (0.10, 5.0),
    "E1/S2": (0.14, 22.0),
    "E2/S1": (0.18, 90.0),
    "E2/S3": (0.22, 310.0),
    "E3/S1": (0.26, 900.0),
}
"""Porosity and permeability of samples, which lie apart in the cross plot."""

_CARDS = """name => {
    const cards = `.st-key-gallery_${name} [class*="st-key-card_"]`;
    return [...document.querySelectorAll(cards)].map(
        card => [card.className.match(/st-key-card_\\S+_([0-9a-f]{8,})/)[1], card.innerText]);
}"""


@dataclass
class Library:
    """A library that was ingested and is served.

    Attributes:
        folder: Where everything of it lies.
        server: The server of its pages.
        site: Its site, as this process opened it.
        service: What answers in Python.
    """

    folder: Path
    server: Running
    site: Site
    service: SearchService

    @property
    def rocks(self) -> Path:
        return self.folder / "rocks"

    def answer(self, address: str) -> SearchResult:
        """What the service says to the search that an address names."""
        return self.service.search(self.request(address))

    def request(self, address: str) -> SearchRequest:
        """The search that an address names."""
        link = from_params(dict(parse_qsl(urlsplit(address).query, keep_blank_values=True)))
        assert link is not None, address
        return link.request

    def file(self, name: str, pixels: NDArray[np.generic]) -> Path:
        """Write an image that somebody has at home."""
        path = self.folder / name
        write_image(path, pixels)
        return path


@dataclass
class Visitor:
    """A person at a browser of their own.

    Attributes:
        page: What they look at.
        library: Whose pages they visit.
        dialogs: What a script made the browser say; nothing is right.
    """

    page: Page
    library: Library
    dialogs: list[str] = field(default_factory=list)

    def refuse(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def open(self, path: str = "/", **params: str) -> Visitor:
        query = f"?{urlencode(params)}" if params else ""
        self.page.goto(f"{self.library.server.address}{path}{query}")
        return self

    def ask(self, request: SearchRequest) -> Visitor:
        """Open the address of a search, and wait for the answer."""
        self.open("/", **to_params(Link(request=request)))
        return self.wait_for_answer()

    def look_for(self, key: str) -> Visitor:
        """Look for an indexed scan, and wait for the answer."""
        return self.ask(SearchRequest(queries=(ObjectQuery(object_key=key),)))

    def upload(self, *files: Path, within: Locator | None = None) -> Visitor:
        """Give the query's uploader files."""
        place = within or self.page.locator(".st-key-begin")
        place.locator("input[type=file]").set_input_files(files)
        return self

    def wait_for_answer(self) -> Visitor:
        self.page.get_by_role("button", name="Take it with you").wait_for()
        self.settle()
        return self

    def settle(self) -> Visitor:
        """Wait until the page is done with what it was told last."""
        self.page.locator("[data-test-script-state=notRunning]").wait_for()
        return self

    def say(self, words: str) -> Visitor:
        self.page.get_by_label("Filter in your own words").fill(words)
        self.page.get_by_role("button", name="Apply").click()
        return self

    def field(self, label: str) -> Locator:
        """Where something is typed in."""
        return self.page.get_by_label(label, exact=True).and_(self.page.locator("input"))

    def press(self, name: str | re.Pattern[str], *, within: Locator | None = None) -> Visitor:
        (within or self.page).get_by_role("button", name=name).first.click()
        return self

    def show(self, mode: str) -> Visitor:
        """Choose how the answer is shown."""
        self.page.locator(".st-key-mode").get_by_text(mode, exact=True).click()
        return self

    def cards(self, gallery: str = "best") -> list[tuple[str, str]]:
        """Identities and texts of the cards of a gallery, as they are now."""
        return [(row_id, text) for row_id, text in self.page.evaluate(_CARDS, gallery)]

    def chips(self) -> list[str]:
        # Streamlit keeps a second copy of each button, for phones, which is not shown.
        return self.page.locator(".st-key-chips button p:visible").all_inner_texts()

    def sees(self, hits: Sequence[SearchHit], gallery: str = "best") -> Visitor:
        """Wait until a gallery shows these hits and no others, then read what its cards say."""
        wanted = [hit.row.row_id for hit in hits]
        self.finds(lambda: [row_id for row_id, _ in self.cards(gallery)], wanted)
        self.finds(lambda: list(_untold(hits, self.cards(gallery))), [])
        return self

    def sees_the_answer(self) -> SearchResult:
        """Wait until the page shows what the service says to the search of its address."""
        self.settle()
        result = self.library.answer(self.address())
        if result.views:
            for view, hits in result.views.items():
                self.sees(hits, str(view))
        else:
            self.sees(result.hits)
        return result

    def said(self, *chips: str) -> Visitor:
        """Wait until these chips are shown, and the address asks for them too."""
        self.finds(self.chips, list(chips))
        return self.settle()

    def dialog(self) -> Locator:
        """The dialog that is open, once it is."""
        found = self.page.get_by_role("dialog")
        found.wait_for()
        return found

    def download(self, label: str) -> bytes:
        """Take a file along."""
        button = self.page.get_by_role("button", name=label)
        if not button.is_visible():
            self.press("Take it with you")
        with self.page.expect_download() as told:
            button.click()
        return told.value.path().read_bytes()

    def address(self) -> str:
        """The page's address, asked of the browser: what Playwright keeps may be of before."""
        return str(self.page.evaluate("location.href"))

    def link(self) -> str:
        """The link that the page offers."""
        code = self.page.locator("[data-testid=stPopoverBody] code")
        if not code.is_visible():
            self.press("Take it with you")
        code.wait_for()
        return code.inner_text().strip()

    def finds(self, found: Callable[[], object], wanted: object = True) -> None:
        """Wait until something is found that was wanted; the last that was is in the failure."""
        seen: list[object] = []

        def is_so() -> bool:
            seen[:] = [found()]
            return bool(seen[0] == wanted)

        try:
            until(is_so, SECONDS)
        except AssertionError:
            body = self.page.locator("body").inner_text()[:2000]
            assert seen[0] == wanted, f"{seen[0]!r} is not {wanted!r} on a page that says {body}"


def _untold(
    hits: Sequence[SearchHit], cards: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    """What cards should say of their hits and don't, and what they say."""
    for hit, (_, text) in zip(hits, cards, strict=False):
        whose = f"{hit.row.reservoir} · {hit.row.sample}"
        for wanted in (whose, f"Similarity {hit.similarity:.3f}", f"#{hit.absolute_rank}"):
            if wanted not in text:
                yield wanted, text


def write_image(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write 8 bit as PNG, and 16 bit as TIFF: a stack where there are several planes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        Image.fromarray(pixels).save(path)


def grey(seed: int, shape: tuple[int, int] = (80, 100)) -> NDArray[np.uint8]:
    return (texture(seed, shape) // 256).astype(np.uint8)


def volume(seed: int) -> NDArray[np.uint16]:
    return np.stack([texture(seed + plane) for plane in range(PLANES)])


def usual_images() -> dict[str, NDArray[np.generic]]:
    """Three reservoirs, a volume among their scans."""
    images: dict[str, NDArray[np.generic]] = {
        f"{sample}/{name}.png": grey(10 * number + ord(name))
        for number, sample in enumerate(MEASURED)
        for name in "ab"
    }
    return {**images, "E2/S3/volume.tif": volume(500)}


@contextmanager
def served(
    folder: Path,
    images: Mapping[str, NDArray[np.generic]],
    *words: str,
    measured: Mapping[str, tuple[float, float]] | None = None,
    others: Sequence[str] = (),
) -> Iterator[Library]:
    """Ingest a library and serve its pages.

    Args:
        folder: An empty folder.
        images: Pixels by place, as ``reservoir/sample/name``.
        words: The command that serves, ``ui`` if none is given.
        measured: Porosity and permeability by ``reservoir/sample``.
        others: Encoders that index it too; the first one stays live.
    """
    rocks, home = folder / "rocks", folder / "home"
    lines = ["Image,Porosity,Permeability_mD,Pixelsize_um"]
    for name, pixels in images.items():
        write_image(rocks / name, pixels)
        known = (measured or {}).get(name.rpartition("/")[0])
        if known is not None:
            lines.append(f"{name},{known[0]},{known[1]},2.5")
    (rocks / "metadata.csv").write_text("\n".join(lines) + "\n")
    ordered = ["ingest", str(rocks), "--init", "seed:0", "--encoder"]
    command(home, *ordered, "resnet18-imagenet")
    for encoder in others:
        command(home, *ordered, encoder)
    try:
        with (
            running(home, *(words or ("ui",))) as server,
            open_site(Settings(home=home)) as site,
            SearchService(site) as service,
        ):
            yield Library(folder=folder, server=server, site=site, service=service)
            assert "Traceback" not in server.log.read_text()
    finally:
        command(home, "down")


def command(home: Path, *words: str) -> str:
    """Run a command of ours on a home."""
    result = CliRunner().invoke(app, list(words), env={"LITHOSCOPE_HOME": str(home)})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@contextmanager
def visiting(browser: Browser, library: Library) -> Iterator[Visitor]:
    """Let a new person in, who is surprised by nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(SECONDS * 1000)
    _take_static_from_disk(context)
    page = context.new_page()
    visitor = Visitor(page, library)
    page.on("dialog", visitor.refuse)
    try:
        yield visitor
        assert visitor.dialogs == []
        assert page.locator("[data-testid=stException]").count() == 0
    finally:
        context.unroute_all(behavior="ignoreErrors")
        context.close()


def _take_static_from_disk(context: BrowserContext) -> None:
    """Give Streamlit's own files, which are megabytes, without a server.

    Chromium gives up on them where the machine's network changes meanwhile.
    """
    folder = Path(streamlit.__file__).parent / "static" / "static"

    def answer(route: Route) -> None:
        file = folder / urlsplit(route.request.url).path.partition("/static/")[2]
        if file.is_file():
            route.fulfill(path=file)
        else:
            route.continue_()

    context.route("**/static/**", answer)
