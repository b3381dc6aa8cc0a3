"""How fast the pages are in a real browser, and that people at once get each their own answer.

The server is `lithoscope ui` of a home, a process of its own; Chromium, on the same machine, keeps
nothing from one visit to the next. Every time is by the browser's clock. Parts:

- `load`: from asking for the search page to its first paint, and to what it is about; beside it the
  same of an empty page of Streamlit, the floor below ours.
- `answer`: from choosing a 2D image to the hits, by stage; beside it the same file given to
  `SearchService` in Python, without a browser.
- `sessions`: several people at once, each with an image of their own. Each is compared with the
  service's answer to that image; beside it as many threads of Python at once.

Ends with 1 where an answer is not the service's, or an aim is missed.

python benchmarks/pages.py lithoscope-demo/data
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from playwright.sync_api import sync_playwright

from draw_pages import serving
from infra.settings import Settings
from infra.site import open_site
from pages_peers import empty_page, query_files
from pages_visits import ask, load, visitors
from search_ui.requests import SearchRequest, UploadQuery
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from playwright.sync_api import Browser

    from pages_visits import Answer

HITS = 10
"""What the page asks for at first."""

AIM_PAINT_MS = 2000.0
AIM_ANSWER_MS = 1000.0
PARTS = ("load", "answer", "sessions")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured.

    Attributes:
        browser: Chromium.
        address: Of the pages.
        service: Answers in Python, on the same home.
        files: 2D images, all different.
        rounds: How often each thing is done.
    """

    browser: Browser
    address: str
    service: SearchService
    files: list[Path]
    rounds: int

    def right(self, file: Path) -> tuple[str, ...]:
        """Rows that the service finds for a file."""
        token = _kept(self.service, file)
        request = SearchRequest(queries=(UploadQuery(token=token),), k=HITS)
        return tuple(hit.row.row_id for hit in self.service.search(request).hits)


def main() -> None:
    """Measure the pages of a home."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("home", type=Path, help="LITHOSCOPE_HOME of an indexed library")
    asked.add_argument("--sessions", type=int, default=10, help="people at once")
    asked.add_argument("--rounds", type=int, default=5, help="times that each thing is done")
    asked.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    told = asked.parse_args()
    with _bench(told.home, sessions=told.sessions, rounds=told.rounds) as bench:
        _say(bench, home=told.home)
        parts: dict[str, Callable[[Bench], bool]] = {
            "load": loads,
            "answer": answers,
            "sessions": lambda bench: sessions(bench, told.sessions),
        }
        is_good = [parts[name](bench) for name in told.parts]
    sys.exit(0 if all(is_good) else 1)


def loads(bench: Bench) -> bool:
    """Load the search page and an empty one, in turns."""
    ours, theirs = [], []
    with empty_page() as empty:
        load(bench.browser, empty)
        load(bench.browser, bench.address)
        for _ in range(bench.rounds):
            theirs.append(load(bench.browser, empty))
            ours.append(load(bench.browser, bench.address))
    paint = [each.paint for each in ours]
    _tell("first paint", paint, peer=[it.paint for it in theirs], called="an empty page")
    starts = [each.start for each in ours]
    _tell("what it is about", starts, peer=[it.start for it in theirs], called="an empty page")
    return _aim("first paint", statistics.median(paint), AIM_PAINT_MS)


def answers(bench: Bench) -> bool:
    """Upload one image after the other, each in a browser of its own."""
    found, service, is_right = [], [], True
    for file in bench.files[: bench.rounds + 1]:
        with visitors(bench.browser, bench.address, count=1) as pages:
            (answer,) = ask(pages, [file])
        before = time.perf_counter()
        rows = bench.right(file)
        service.append((time.perf_counter() - before) * 1000)
        found.append(answer)
        is_right &= rows == answer.hits
    found, service = found[1:], service[1:]  # the first of each has something to open
    cards = [each.cards for each in found]
    _tell("answer to an upload", cards, peer=service, called="Python alone")
    _tell("  its pictures too", [each.pictures for each in found])
    _stages(found)
    print(f"  all as the service's: {'yes' if is_right else 'NO'}")
    return _aim("answer", statistics.median(cards), AIM_ANSWER_MS) and is_right


def sessions(bench: Bench, count: int) -> bool:
    """Let several people upload an image each at once."""
    files = bench.files[-count:]
    right = [bench.right(file) for file in files]
    if len(set(right)) < len(right):
        print("  some of these images have the same answer: a mix-up would not be seen")
    wrong, cards, service = 0, [], []
    for number in range(min(bench.rounds, 3)):
        turned = [*files[number:], *files[:number]]  # nobody's answer is remembered by a place
        with visitors(bench.browser, bench.address, count=count) as pages:
            found = ask(pages, turned)
        wanted = [right[files.index(file)] for file in turned]
        wrong += sum(each.hits != it for each, it in zip(found, wanted, strict=True))
        cards += [each.cards for each in found]
        service += _at_once(bench, turned)
    _tell(f"{count} sessions at once", cards, peer=service, called=f"{count} threads of Python")
    print(f"  answers: {len(cards):,}, wrong: {wrong:,}")
    return not wrong


def _at_once(bench: Bench, files: Sequence[Path]) -> list[float]:
    """How long each of several threads waits for its answer, in milliseconds."""
    began = time.perf_counter()

    def wait(file: Path) -> float:
        bench.right(file)
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(len(files)) as threads:
        return list(threads.map(wait, files))


def _stages(found: Sequence[Answer]) -> None:
    """Print where the time of answers goes, as medians."""
    names = list(found[0].stages)
    spent = {"upload": [each.uploaded for each in found]}
    spent |= {name: [each.stages.get(name, 0.0) for each in found] for name in names}
    spent["page"] = [each.cards - each.uploaded - sum(each.stages.values()) for each in found]
    told = ", ".join(f"{name} {statistics.median(each):,.0f}" for name, each in spent.items())
    print(f"  by stage, ms: {told}")


def _tell(
    what: str, ours: Sequence[float], *, peer: Sequence[float] = (), called: str = ""
) -> None:
    told = f"p50 {statistics.median(ours):,.0f} ms, p95 {np.percentile(ours, 95):,.0f} ms"
    if peer:
        ratio = statistics.median(ours) / statistics.median(peer)
        worst = np.percentile(ours, 95) / np.percentile(peer, 95)
        told += (
            f"; {called}: p50 {statistics.median(peer):,.0f} ms, "
            f"p95 {np.percentile(peer, 95):,.0f} ms (ratio {ratio:.2f}, {worst:.2f})"
        )
    print(f"{what:<24}{told}; n = {len(ours)}; load {os.getloadavg()[0]:.1f}", flush=True)


def _aim(what: str, found: float, aim: float) -> bool:
    print(f"  {what}: aim {aim:,.0f} ms, {'met' if found <= aim else 'MISSED'}")
    return found <= aim


def _say(bench: Bench, *, home: Path) -> None:
    overview = bench.service.library.overview()
    print(
        f"{home}: {len(overview.scans):,} scans, {overview.n_slices:,} slices; "
        f"{os.cpu_count()} CPUs; load {os.getloadavg()[0]:.1f} before",
        flush=True,
    )


def _kept(service: SearchService, file: Path) -> str:
    with file.open("rb") as content:
        return service.kept.keep(file.name, content)


@contextmanager
def _bench(home: Path, *, sessions: int, rounds: int) -> Iterator[Bench]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        tempfile.TemporaryDirectory() as folder,
        open_site(Settings(home=home)) as site,
        SearchService(site) as service,
        serving(home) as address,
        sync_playwright() as playwright,
    ):
        service.warm_up()
        files = query_files(site, Path(folder), count=max(sessions, rounds + 1))
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        try:
            yield Bench(browser, address, service=service, files=files, rounds=rounds)
        finally:
            browser.close()


if __name__ == "__main__":
    main()
