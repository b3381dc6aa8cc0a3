"""TIFF of every kind that laboratories have, by tifffile and imagecodecs.

Integers and floats of 8 to 64 bits, grey, RGB(A), CMYK and palettes, strips and tiles, BigTIFF,
OME, ImageJ, volumes of many pages. Pages are decoded one at a time and not kept, so that a volume
of any size is read in the memory of one plane.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

from encoder.readers.faults import unsupported
from encoder.readers.grid import make_grid
from encoder.readers.tiff_chain import starts_as_tiff, walk_chain
from encoder.readers.tiff_pages import TiffPages
from encoder.readers.tiff_scale import pixel_size_of
from encoder.readers.tiff_stacks import Stack, check_stack, find_stacks, largest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.planes import ReadOptions, ScanInfo
    from encoder.readers.grid import Grid
    from encoder.readers.tiff_pages import PageFacts


_MICROSCOPES = {33628: "MetaMorph STK", 34362: "Olympus FluoView", 34412: "Zeiss LSM"}
"""Formats by the tag that their first page has; they keep planes without pages, or channels."""


def matches(head: bytes, path: Path) -> bool:  # noqa: ARG001 - every reader is asked alike
    """Say whether a file starts as TIFF or BigTIFF does.

    Args:
        head: First bytes of the file.
        path: Its path; content alone decides here.
    """
    return starts_as_tiff(head)


def open_planes(path: Path, options: ReadOptions) -> TiffPlanes:
    """Open the largest image or volume of a TIFF file.

    Args:
        path: File that ``matches``.
        options: Its ``max_pixels`` is checked before anything is decoded.

    Raises:
        ScanError: ``TRUNCATED``, ``UNREADABLE``, ``UNSUPPORTED`` (series in time, several
            channels, samples that are no image), ``SIZE_MISMATCH``, ``ZERO_SIZE``, ``TOO_THIN``
            or ``TOO_LARGE``.
    """
    source = path.name
    with path.open("rb") as file:
        chain = walk_chain(file, source)
    for code, name in _MICROSCOPES.items():
        if code in chain.pages[0].codes:
            problem = f"it is a {name} file, whose axes are told where we don't look"
            raise unsupported(source, problem, "export it as OME-TIFF")
    with ExitStack() as cleanup:
        pages = cleanup.enter_context(closing(TiffPages(path, chain, source=source)))
        facts = [pages.facts(index, max_tile=options.max_pixels) for index in range(len(pages))]
        stack, notes = largest(find_stacks(facts))
        check_stack(stack, facts, source=source)
        grid = _grid(stack, source, max_pixels=options.max_pixels)
        tags = pages.tags(stack.facts.number - 1)
        scale = pixel_size_of(stack.description, tags, is_volume=grid.is_volume)
        oddities = (stack.facts.colour.note,) if stack.facts.colour.note else ()
        info = grid.describe(
            "BigTIFF" if chain.is_big else "TIFF",
            pixel_size_um=scale.um,
            notes=(*oddities, *notes, *scale.notes),
        )
        cleanup.pop_all()
    return TiffPlanes(pages, stack, facts=facts, info=info)


class TiffPlanes:
    """An open TIFF file's scan; its planes are decoded when asked for.

    Attributes:
        info: Facts of the scan, held upright.
    """

    def __init__(
        self, pages: TiffPages, stack: Stack, *, facts: Sequence[PageFacts], info: ScanInfo
    ) -> None:
        self.info = info
        self._pages = pages
        self._planes = [(plane, facts[plane.page]) for plane in stack.planes if plane is not None]
        self._only: NDArray[Any] | None = None

    def plane(self, index: int) -> NDArray[Any]:
        """Decode a plane; that of a 2D image is kept, read-only.

        Args:
            index: 0 to P - 1.

        Returns:
            (H, W) or (H, W, 3), native byte order.

        Raises:
            IndexError: ``index`` is out of range.
            ScanError: ``TRUNCATED`` or ``UNREADABLE``.
        """
        if not 0 <= index < len(self._planes):
            raise IndexError(index)
        if self._only is not None:
            return self._only
        where, facts = self._planes[index]
        plane = self._pages.decode(where.page, facts, elsewhere=where.elsewhere)
        if len(self._planes) == 1:
            plane.flags.writeable = False
            self._only = plane
        return plane

    def close(self) -> None:
        """Release the file."""
        self._pages.close()


def _grid(stack: Stack, source: str, *, max_pixels: int) -> Grid:
    facts = stack.facts
    return make_grid(
        source,
        (len(stack.planes), facts.height, facts.width),
        dtype=facts.dtype,
        samples=facts.colour.channels,
        is_volume=len(stack.planes) > 1,
        max_pixels=max_pixels,
    )
