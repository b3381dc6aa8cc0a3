"""What pages are measured with and against: images that nobody has indexed, and an empty page."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from draw_pages import free_port, until_alive
from encoder.scans import open_scan
from search_ui.components.theme import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from infra.site import Site

_SIDE = 512
"""Of images, in pixels."""


def query_files(site: Site, folder: Path, *, count: int) -> list[Path]:
    """Cut 2D images out of indexed scans: parts of planes, so that none is indexed itself.

    Args:
        site: Whose scans.
        folder: Where they are written.
        count: How many; of one scan each, as long as there are enough.
    """
    name = site.index.live()
    if name is None:
        sys.exit("no model is live in this home")
    keys = sorted(record.object_key for record in site.index.open(name).records())
    step = max(len(keys) // count, 1)
    chosen = [keys[number * step % len(keys)] for number in range(count)]
    files = []
    for number, key in enumerate(chosen):
        scan = folder / key.rpartition("/")[2]
        site.objects.get(key, scan, max_bytes=8 << 30)
        pixels = _part(scan, number)
        scan.unlink()
        files.append(folder / f"query-{number}.png")
        Image.fromarray(pixels).resize((_SIDE, _SIDE)).save(files[-1])
    return files


@contextmanager
def empty_page() -> Iterator[str]:
    """Serve a page of Streamlit that says one word."""
    port = free_port()
    told = [f"--{name}={value}" for name, value in OPTIONS.items() if name.startswith("browser")]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text('import streamlit as st\nst.container(key="begin").title("Empty")\n')
        command = [sys.executable, "-m", "streamlit", "run", str(script), *told]
        command += [f"--server.port={port}", "--server.headless=true"]
        command += ["--server.fileWatcherType=none"]
        child = subprocess.Popen(command)  # noqa: S603  our own command
        address = f"http://localhost:{port}"
        try:
            until_alive(f"{address}/_stcore/health", child)
            yield address
        finally:
            child.terminate()
            child.wait(timeout=60)


def _part(scan: Path, number: int) -> NDArray[np.uint8]:
    """Seven eighths of a plane, by its own greys."""
    with closing(open_scan(scan)) as source:
        plane = source.plane((source.info.n_planes // 2 + number) % source.info.n_planes)
    height, width = plane.shape[0] * 7 // 8, plane.shape[1] * 7 // 8
    part = plane[:height, :width].astype(np.float64)
    low, high = part.min(), part.max()
    return np.asarray((part - low) / max(high - low, 1.0) * 255, np.uint8)
