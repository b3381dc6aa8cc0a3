"""A result sheet: the query, and the slices that are like it, in rows with captions."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, UnidentifiedImageError

from encoder.sheets import (
    CAPTION_PX,
    CELL_PX,
    INK,
    MARGIN_PX,
    PAPER,
    Cell,
    caption_font,
    draw_cell,
    shorten,
)
from infra.store_errors import StoreError
from search_ui.places import size_um
from search_ui.printing import NOT_MEASURED, VIEW_TITLES, permeability_text, rank_text
from search_ui.report_page import MAX_PICTURES
from search_ui.rock_properties import of_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from infra.object_store import ObjectStore
    from search_ui.query_pictures import QueryPicture
    from search_ui.results import QueryFacts, SearchHit, SearchResult
    from search_ui.rock_properties import RockProperties

SHEET_COLUMNS = 12
"""Pictures of a row, at most; further ones go into the next."""

_TITLE_PX = 26
_TITLE_FONT_PX = 15
_PIXELS = 4096 * 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """A titled row of pictures."""

    title: str
    cells: Sequence[Cell]


def result_sheet(
    result: SearchResult, objects: ObjectStore, *, pictures: Sequence[QueryPicture | None] = ()
) -> Image.Image:
    """Draw an answer.

    Args:
        result: The answer.
        objects: Store of the slices' pictures; a slice whose picture is missing is told by words.
        pictures: A picture of each query that is a file, in order; None for the others.

    Returns:
        An RGB picture: a row for the query, then one for each view, or one of all hits, together
        no more of them than `MAX_PICTURES`.
    """
    known = [*pictures, *([None] * (len(result.queries) - len(pictures)))]
    query = [
        _query_cell(facts, picture, objects=objects)
        for facts, picture in zip(result.queries, known, strict=True)
    ]
    rows = [SheetRow(title=_query_title(result), cells=query)]
    most = MAX_PICTURES // len(result.lists)
    for view, hits in result.lists.items():
        title = "most alike" if view is None else VIEW_TITLES[view]
        cells = [_hit_cell(hit, objects, ranked=result.ranked) for hit in hits[:most]]
        rows.append(SheetRow(title=title + _how_many(len(hits), most=most), cells=cells))
    return draw_rows(rows)


def _how_many(count: int, *, most: int) -> str:
    if not count:
        return ": none"
    return f": the first {most:,} of {count:,}" if count > most else ""


def draw_rows(rows: Sequence[SheetRow]) -> Image.Image:
    """Lay out titled rows of cells, each row from the left."""
    columns = min(SHEET_COLUMNS, max(len(row.cells) for row in rows))
    columns = max(columns, 4)
    height_of_cell = CELL_PX + CAPTION_PX + MARGIN_PX
    lines = [max(1, -(-len(row.cells) // columns)) if row.cells else 0 for row in rows]
    height = sum(_TITLE_PX + count * height_of_cell for count in lines) + MARGIN_PX
    width = columns * (CELL_PX + MARGIN_PX) + MARGIN_PX
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    top = 0
    for row, count in zip(rows, lines, strict=True):
        title = shorten_title(row.title, width_px=width - 2 * MARGIN_PX)
        font = caption_font(_TITLE_FONT_PX)
        pen.text((MARGIN_PX, top + 5), title, fill=INK, font=font)
        top += _TITLE_PX
        for number, cell in enumerate(row.cells):
            line, column = divmod(number, columns)
            place = (MARGIN_PX + column * (CELL_PX + MARGIN_PX), top + line * height_of_cell)
            sheet.paste(draw_cell(cell), place)
        top += count * height_of_cell
    return sheet


def shorten_title(text: str, *, width_px: int) -> str:
    """Cut a title to a width: its font is larger than the captions' that `shorten` measures."""
    return shorten(text, width_px=int(width_px * 12 / _TITLE_FONT_PX))


def _query_title(result: SearchResult) -> str:
    model = result.model
    name = model.bundle_id or model.collection
    init = f" ({model.init})" if model.init else ""
    return f"query · {name}{init} · below: similarity · rank among all slices, rock, its properties"


def _query_cell(facts: QueryFacts, picture: QueryPicture | None, *, objects: ObjectStore) -> Cell:
    pixels = None if picture is None else picture.pixels
    width_um = facts.picture_width_um if picture is None else picture.width_um
    if pixels is None and facts.picture_key is not None:
        pixels = read_picture(objects, facts.picture_key)
    names = f"{facts.reservoir or 'reservoir?'} · {facts.sample or 'sample?'}"
    lines = (names, facts.name.rsplit("/", 1)[-1], _properties_text(facts.properties))
    return Cell(lines=lines, pixels=pixels, width_um=width_um)


def _hit_cell(hit: SearchHit, objects: ObjectStore, *, ranked: int) -> Cell:
    row = hit.row
    size = size_um(row)
    rank = rank_text(hit.absolute_rank, ranked)
    return Cell(
        lines=(
            f"{hit.similarity:.3f} · #{rank}",
            f"{row.reservoir or 'not known'} / {row.sample or 'not known'}",
            _properties_text(of_rows([row])),
        ),
        pixels=read_picture(objects, hit.thumbnail_key),
        width_um=None if size is None else size[0],
    )


def _properties_text(known: RockProperties) -> str:
    """Write what was measured, or else what is predicted, short enough for a caption."""
    measured = _values_text(known.porosity, known.permeability_md)
    if measured:
        return measured
    predicted = _values_text(known.predicted_porosity, known.predicted_permeability_md)
    return f"predicted {predicted}" if predicted else NOT_MEASURED


def _values_text(porosity: float | None, permeability_md: float | None) -> str:
    known = [] if porosity is None else [f"φ {porosity:.2g}"]
    if permeability_md is not None:
        known.append(f"{permeability_text(permeability_md)} mD")
    return " · ".join(known)


def read_picture(objects: ObjectStore, key: str) -> NDArray[np.uint8] | None:
    """Read a slice's picture; None where it can't be had."""
    try:
        return stored_picture(objects, key)
    except StoreError:
        return None


def stored_picture(objects: ObjectStore, key: str) -> NDArray[np.uint8] | None:
    """Read a slice's picture; None where it is damaged.

    Raises:
        StoreError: It is missing, or the store is away: it may be there later.
    """
    content = objects.read(key)
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > _PIXELS:
                return None
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError):
        return None
