"""Which pages of a TIFF file make one image or volume.

A file may hold several stacks (series, pyramids, previews); the largest is the scan. Axes are
taken as the file names them: sections along Z make a volume, other axes are refused.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from encoder.errors import ScanError, ScanFault
from encoder.readers.faults import truncated, unsupported
from encoder.readers.tiff_colour import Refusal
from encoder.readers.tiff_descriptions import (
    ImageJStack,
    OmeImage,
    ShapedSeries,
    read_imagej,
    read_ome,
    read_shaped,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoder.readers.tiff_pages import PageFacts, PlainData

_PLANE_AXES = frozenset("ZIQ")
"""Letters of an axis of sections: depth, and tifffile's for pages in sequence or unknown."""

_TIME = Refusal(
    "it is a series in time, expected one image or one volume",
    "name the axis Z if it is depth (in ImageJ: Image > Properties), or save one moment",
)
_CHANNELS = Refusal(
    "it has several channels, expected one (grey) or three (RGB)",
    "save the channel that shows the rock, or merge them to RGB",
)
_SEVERAL_AXES = Refusal(
    "it has more than three axes, expected one image or one volume", "save one volume"
)


class PlaneRef(NamedTuple):
    """Where a plane is stored.

    Attributes:
        page: Index of its page.
        elsewhere: Where its samples lie, if it has no page of its own.
    """

    page: int
    elsewhere: PlainData | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """An image or a volume within a TIFF file.

    Attributes:
        planes: Where its planes are; None for one that is missing, and then no more after it
            need be told.
        facts: Facts of its first page.
        refusal: Why it can't be taken.
        description: What its writer says of it.
    """

    planes: tuple[PlaneRef | None, ...]
    facts: PageFacts
    refusal: Refusal | None = None
    description: OmeImage | ImageJStack | None = None

    @property
    def voxels(self) -> int:
        """Pixels of all planes."""
        return len(self.planes) * self.facts.height * self.facts.width

    def __str__(self) -> str:
        several = f"{len(self.planes)} x " if len(self.planes) > 1 else ""
        return several + str(self.facts)


def find_stacks(pages: Sequence[PageFacts]) -> list[Stack]:
    """Group pages to stacks; at least one comes out.

    Args:
        pages: Facts of all pages, at least one.
    """
    first = pages[0].descriptions[0]
    return (
        [stack for image in read_ome(first) for stack in _ome_stack(image, pages)]
        or _imagej_stacks(read_imagej(first), pages)
        or _shaped_stacks(pages)
    )


def largest(stacks: Sequence[Stack]) -> tuple[Stack, tuple[str, ...]]:
    """Choose the scan among a file's stacks, and say what was left out."""
    chosen = max(stacks, key=lambda stack: stack.voxels)
    others = [stack for stack in stacks if stack is not chosen]
    if not others:
        return chosen, ()
    told = ", ".join(map(str, others[:3])) + (", ..." if len(others) > 3 else "")
    return chosen, (f"the largest of {len(stacks)} images is read ({chosen}); left out: {told}",)


def check_stack(stack: Stack, pages: Sequence[PageFacts], *, source: str) -> None:
    """Refuse a stack that can't be taken, is not whole or not of one kind.

    Args:
        stack: The chosen one.
        pages: Facts of all pages.
        source: Name of the scan, for the error.

    Raises:
        ScanError: ``UNSUPPORTED``, ``TRUNCATED`` or ``SIZE_MISMATCH``.
    """
    if stack.refusal is not None:
        raise unsupported(source, *stack.refusal)
    for number, plane in enumerate(stack.planes, start=1):
        if plane is None:
            raise truncated(
                source, f"it does not hold plane {number} that its description promises"
            )
        page = pages[plane.page]
        if page.refusal is not None:
            raise unsupported(source, *page.refusal)
        if page.loss is not None:
            raise truncated(source, f"its page {page.number} {page.loss}")
        if page.kind != stack.facts.kind:
            raise ScanError(
                source,
                ScanFault.SIZE_MISMATCH,
                problem=f"its page {page.number} is {page}, page {stack.facts.number} of the same "
                f"volume is {stack.facts}",
                remedy="save all planes in one size and type",
            )


def _ome_stack(image: OmeImage, pages: Sequence[PageFacts]) -> list[Stack]:
    """Return the stack of an OME image, or none if no page of it is there."""
    pages_of = {
        run.first_plane + step: run.first_page + step
        for run in image.runs
        for step in range(len(pages) if run.length is None else min(run.length, len(pages)))
        if 0 <= run.first_page + step < len(pages)
    }
    # More planes than pages can't all be there: one more shows that.
    planes = tuple(
        PlaneRef(pages_of[z]) if z in pages_of else None
        for z in range(min(image.n_planes, len(pages) + 1))
    )
    found = [plane.page for plane in planes if plane is not None]
    if not found:
        return []
    facts = pages[found[0]]
    refusal = None
    if len(image.files) > 1:
        refusal = Refusal("its planes are spread over several OME files", "merge them into one")
    elif image.n_times > 1:
        refusal = _TIME
    elif image.n_channels not in {1, facts.samples}:
        refusal = _CHANNELS
    return [Stack(planes=planes, facts=facts, refusal=refusal, description=image)]


def _imagej_stacks(told: ImageJStack | None, pages: Sequence[PageFacts]) -> list[Stack]:
    """Return ImageJ's stack and whatever pages of another kind there are."""
    if told is None:
        return []
    first, *others = _by_kind(pages)
    refusal = None
    if told.n_times > 1:
        refusal = _TIME
    elif told.n_channels not in {1, first.facts.samples}:
        refusal = _CHANNELS
    planes = _completed(first, pages, n_planes=told.n_planes)
    return [replace(first, planes=planes, refusal=refusal, description=told), *others]


def _shaped_stacks(pages: Sequence[PageFacts]) -> list[Stack]:
    """Cut out the volumes that tifffile tells of, and group the other pages by kind."""
    stacks, singles, index = [], [], 0
    while index < len(pages):
        stack = _shaped_stack(pages[index:])
        if stack is None:
            singles.append(pages[index])
            index += 1
        else:
            stacks.append(stack)
            index += len({plane.page for plane in stack.planes if plane is not None})
    return stacks + _by_kind(singles)


def _shaped_stack(pages: Sequence[PageFacts]) -> Stack | None:
    """Return the volume that starts at the first of these pages, if tifffile tells of one."""
    first = pages[0]
    series = read_shaped(first.descriptions)
    axes = None if series is None else _axes_before_page(series, first)
    if axes is None:
        return None
    n_planes = math.prod(axes.values())
    is_alone = len(pages) < 2 or read_shaped(pages[1].descriptions) is not None
    followers = pages[:1] if is_alone else pages[:n_planes]
    stack = Stack(
        planes=tuple(PlaneRef(page.number - 1) for page in followers),
        facts=first,
        refusal=_refused_axes(list(axes)),
    )
    return replace(stack, planes=_completed(stack, pages, n_planes=n_planes))


def _axes_before_page(series: ShapedSeries, page: PageFacts) -> dict[str, int] | None:
    """Return the axes longer than one along which pages follow each other.

    None where there is none, or where the description is not of pages such as this one.
    """
    letters = series.axes or "Q" * len(series.shape)
    n_planes, rest = divmod(math.prod(series.shape), math.prod(page.stored_shape) or 1)
    axes: dict[str, int] = {}
    for place, (letter, length) in enumerate(zip(letters, series.shape, strict=True)):
        if math.prod(axes.values()) >= n_planes:
            break
        if length > 1:
            axes[letter if letter not in axes else f"{letter}{place}"] = length
    fits = not rest and n_planes > 1 and math.prod(axes.values()) == n_planes
    return axes if fits else None


def _refused_axes(letters: list[str]) -> Refusal | None:
    """Say why pages along these axes are not sections of one volume."""
    if "T" in letters:
        return _TIME
    if letters[0] in "CS":
        return _CHANNELS
    return _SEVERAL_AXES if len(letters) > 1 or letters[0] not in _PLANE_AXES else None


def _completed(
    stack: Stack, pages: Sequence[PageFacts], *, n_planes: int
) -> tuple[PlaneRef | None, ...]:
    """Complete a stack that should have more planes than it has pages.

    Images may lie behind the only page's samples without pages of their own: ImageJ writes so
    beyond 4 GB, and tifffile if told to ``truncate``. What else lacks is marked by one None.
    """
    planes = stack.planes
    data = stack.facts.plain_data
    if len(planes) == 1 and data is not None:
        ends = [page.first_byte for page in pages if page.first_byte > data.offset]
        room = min([data.room, *((end - data.offset) // data.size for end in ends)])
        behind = [
            data._replace(offset=data.offset + place * data.size)
            for place in range(1, min(n_planes, room))
        ]
        page = stack.facts.number - 1
        planes = (*planes, *(PlaneRef(page, place) for place in behind))
    return planes if len(planes) >= n_planes else (*planes, None)


def _by_kind(pages: Sequence[PageFacts]) -> list[Stack]:
    """Group pages of one size, colour and type; smaller copies of others are left out."""
    full_size = [page for page in pages if not page.is_reduced] or pages
    groups: dict[object, list[PageFacts]] = defaultdict(list)
    for page in full_size:
        groups[page.kind].append(page)
    return [
        Stack(planes=tuple(PlaneRef(page.number - 1) for page in group), facts=group[0])
        for group in groups.values()
    ]
