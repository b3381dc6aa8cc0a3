"""An answer as one HTML page that needs nothing but itself: no script, no address, no font.

Names are anyone's words: every text goes through `safe`, and the page forbids itself to load or run
anything.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from encoder.scale_bars import length_label, scale_bar_um
from infra.store_errors import StoreError
from search_ui.chips import shown_words, words_of
from search_ui.components.wording import (
    file_name,
    permeability_words,
    porosity_words,
    rock,
    safe,
    with_prediction,
)
from search_ui.places import place_text, size_um
from search_ui.printing import VIEW_TITLES, rank_help, rank_text
from search_ui.report_style import STYLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from encoder.ranking import View
    from infra.object_store import ObjectStore
    from search_ui.query_pictures import QueryPicture
    from search_ui.requests import SearchRequest
    from search_ui.results import QueryFacts, SearchHit, SearchResult

MAX_PICTURES = 300
"""Most pictures of a page or a sheet: each is about ten kilobytes, and 200 when it is drawn."""

_PICTURE_BYTES = 4 << 20
_TYPES = {".webp": "image/webp", ".jpg": "image/jpeg"}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a page tells; see `search_ui.exports.Answer`."""

    request: SearchRequest
    result: SearchResult
    moment: datetime
    pictures: tuple[QueryPicture | None, ...] = ()
    link: str | None = None


class Album:
    """Pictures of slices as data, each read once, no more than there is room for."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._known: dict[str, str | None] = {}

    def address(self, key: str) -> str | None:
        """A picture as an address that holds it; None where it is missing, or one too many."""
        if key not in self._known:
            is_full = len(self._known) >= MAX_PICTURES
            self._known[key] = None if is_full else self._read(key)
        return self._known[key]

    def _read(self, key: str) -> str | None:
        kind = _TYPES.get(f".{key.rpartition('.')[2]}")
        try:
            content = self._objects.read(key, max_bytes=_PICTURE_BYTES)
        except StoreError:
            return None
        return None if kind is None else _data(kind, content)


def report_page(report: Report, objects: ObjectStore) -> str:
    """Write the page.

    Args:
        report: What it tells.
        objects: Store of the slices' pictures.
    """
    result, album = report.result, Album(objects)
    title = "Analogs of " + ", ".join(file_name(each.name) for each in result.queries)
    sections = [
        _head(report, title),
        _queries(report, album),
        *_rows(result, album),
        _table(result),
        _about(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report, title: str) -> str:
    model = report.result.model
    name = model.bundle_id or model.collection
    init = f" ({model.init})" if model.init else ""
    moment = f"{report.moment:%Y-%m-%d %H:%M} UTC"
    words = words_of(report.request)
    chips = "".join(f"<li>{safe(each)}</li>" for each in words) or "<li>no filters</li>"
    own = report.result.funnel.hidden_own
    hidden = f"<li>{own:,} slices of its own sample hidden</li>" if own else ""
    return (
        f"<header><h1>{safe(title)}</h1><p>{moment} · model {safe(name + init)}</p>"
        f'<ul class="chips" aria-label="Filters">{chips}{hidden}</ul>{_link(report.link)}</header>'
    )


def _link(link: str | None) -> str:
    if link is None:
        return ""
    if not link.startswith(("http://", "https://")):
        return f"<p>{safe(link)}</p>"
    return f'<p><a href="{safe(link)}" rel="noreferrer">Open this search again</a></p>'


def _queries(report: Report, album: Album) -> str:
    known = [*report.pictures, *([None] * (len(report.result.queries) - len(report.pictures)))]
    cards = [
        _query_card(facts, picture, album=album)
        for facts, picture in zip(report.result.queries, known, strict=True)
    ]
    return (
        f'<section class="query"><h2>Query</h2><div class="cards">{"".join(cards)}</div></section>'
    )


def _query_card(facts: QueryFacts, picture: QueryPicture | None, *, album: Album) -> str:
    if picture is None:
        source = None if facts.picture_key is None else album.address(facts.picture_key)
        width_um = facts.picture_width_um
    else:
        source, width_um = _drawn(picture), picture.width_um
    properties = facts.properties
    lines = [
        f"<strong>{safe(file_name(facts.name))}</strong>",
        safe(rock(facts.reservoir, facts.sample)),
        _property("porosity", properties.porosity, predicted=properties.predicted_porosity),
        _property(
            "permeability",
            properties.permeability_md,
            predicted=properties.predicted_permeability_md,
        ),
        "one slice" if facts.n_slices == 1 else f"{facts.n_slices:,} slices",
    ]
    return _card(source, f"Query {file_name(facts.name)}", width_um=width_um, lines=lines)


def _rows(result: SearchResult, album: Album) -> list[str]:
    sections = []
    for view, hits in result.lists.items():
        title = _title(view)
        cards = "".join(_hit_card(hit, result.ranked, album=album) for hit in hits)
        body = f'<div class="cards">{cards}</div>' if hits else "<p>none</p>"
        sections.append(f"<section><h2>{safe(title)}</h2>{body}</section>")
    return sections


def _title(view: View | None) -> str:
    return "Most alike" if view is None else VIEW_TITLES[view].capitalize()


def _hit_card(hit: SearchHit, ranked: int, *, album: Album) -> str:
    row, numbers = hit.row, hit.row.numbers
    size = size_um(row)
    name = rock(row.reservoir, row.sample)
    lines = [
        f"<strong>{hit.rank}. {safe(name)}</strong>",
        f"similarity {hit.similarity:.3f}",
        f"rank among all {safe(rank_text(hit.absolute_rank, ranked))}",
        *_properties(numbers),
        safe(place_text(row)),
    ]
    return _card(
        album.address(hit.thumbnail_key),
        f"Hit {hit.rank}: {name}, {place_text(row)}",
        width_um=None if size is None else size[0],
        lines=lines,
    )


def _properties(numbers: Mapping[str, float | None]) -> list[str]:
    return [
        _property("porosity", numbers.get("porosity"), predicted=numbers.get("predicted_porosity")),
        _property(
            "permeability",
            numbers.get("permeability_md"),
            predicted=numbers.get("predicted_permeability_md"),
        ),
    ]


def _property(name: str, measured: float | None, *, predicted: float | None) -> str:
    words = porosity_words if name == "porosity" else permeability_words
    told = with_prediction(words(measured), None if predicted is None else words(predicted))
    return safe(f"{name} {told}")


def _card(source: str | None, alt: str, *, width_um: float | None, lines: Iterable[str]) -> str:
    picture = (
        '<div class="missing">no picture</div>'
        if source is None
        else f'<img src="{source}" alt="{safe(alt)}">{_scale_bar(width_um)}'
    )
    text = "".join(f"<div>{line}</div>" for line in lines)
    return f'<figure><div class="picture">{picture}</div><figcaption>{text}</figcaption></figure>'


def _scale_bar(width_um: float | None) -> str:
    if not width_um:
        return ""
    length = scale_bar_um(width_um)
    share = 100 * length / width_um
    return (
        f'<div class="bar" style="width:{share:.2f}%"><span>{safe(length_label(length))}</span>'
        "</div>"
    )


def _table(result: SearchResult) -> str:
    names = (
        *("#", "Reservoir", "Sample", "Similarity", "Distance", "Rank among all", "Porosity"),
        *("Permeability", "Scan", "Place", "Row"),
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(
        f"<tr>{_table_row(hit, _title(view), ranked=result.ranked)}</tr>"
        for view, hits in result.lists.items()
        for hit in hits
    )
    if not body:
        return "<section><h2>Hits</h2><p>no slice passes these filters</p></section>"
    return (
        f'<section><h2>Hits</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{_rank_note(result)}</section>"
    )


def _rank_note(result: SearchResult) -> str:
    """What a rank such as ">653" says; empty where there is none."""
    if all(hit.absolute_rank is not None for hit in result.shown):
        return ""
    told = f"{rank_text(None, result.ranked)}: {rank_help(None, result.ranked)}."
    return f'<p class="note">{safe(told)}</p>'


def _table_row(hit: SearchHit, title: str, *, ranked: int) -> str:
    row, numbers = hit.row, hit.row.numbers
    cells = (
        str(hit.rank),
        row.reservoir or "not known",
        row.sample or "not known",
        f"{hit.similarity:.3f}",
        f"{hit.distance:.4g}",
        rank_text(hit.absolute_rank, ranked),
        porosity_words(numbers.get("porosity")),
        permeability_words(numbers.get("permeability_md")),
        f"{row.object_key}#{row.slice_index}",
        place_text(row),
        title,
    )
    kinds = {1: ' class="long"', 2: ' class="long"', 8: ' class="long"'}
    return "".join(
        f"<td{kinds.get(number, '')}>{safe(cell)}</td>" for number, cell in enumerate(cells)
    )


def _about(report: Report) -> str:
    result = report.result
    steps = " → ".join(f"{each.slices:,} {each.step}" for each in result.funnel.steps)
    counted = "" if result.funnel.exact else " (counts not exact)"
    model = result.model
    facts = {
        "Slices": f"{steps}{counted}. {shown_words(report.request)}",
        "Model": f"{model.bundle_id or 'not published'}, {model.init or 'origin not known'}",
        "Collection": f"{model.collection}, {model.metric}",
        "Similarity": model.similarity,
        "Search": "exact" if result.exact else "not exact",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{safe(text)}</dd>" for name, text in facts.items())
    notes = "".join(f"<li>{safe(note)}</li>" for note in result.notes)
    told = f"<h2>Notes</h2><ul>{notes}</ul>" if notes else ""
    return f"<section><h2>How it was found</h2><dl>{rows}</dl>{told}</section>"


def _drawn(picture: QueryPicture) -> str:
    content = io.BytesIO()
    Image.fromarray(picture.pixels).save(content, "PNG")
    return _data("image/png", content.getvalue())


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
