"""An answer to take along: CSV, JSON, a sheet of pictures, a page of its own.

The command line writes its CSV, JSON and sheets by the same functions (`search_ui.printing`,
`search_ui.sheet`): what was exported from a page is what a command would have written.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError
from search_ui.printing import as_csv, as_json
from search_ui.printing_moves import MOVE_WRITERS
from search_ui.query_pictures import part_of
from search_ui.report_page import Report, report_page
from search_ui.requests import ObjectQuery

if TYPE_CHECKING:
    from infra.object_store import ObjectStore
    from search_ui.comparing import Comparison
    from search_ui.query_pictures import QueryPicture
    from search_ui.requests import FileQuery, SearchRequest, UploadQuery
    from search_ui.results import QueryFacts, SearchResult
    from search_ui.service import SearchService

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A search and its answer.

    Attributes:
        request: What was asked.
        result: What was answered.
        moment: When.
        pictures: A picture of each query that is a file, or a part of an indexed slice; None for
            the others, and for files that can't be drawn any more.
        link: Address that opens it again, or None.
    """

    request: SearchRequest
    result: SearchResult
    moment: datetime
    pictures: tuple[QueryPicture | None, ...] = ()
    link: str | None = None

    @classmethod
    def of(
        cls,
        request: SearchRequest,
        result: SearchResult,
        *,
        service: SearchService,
        link: str | None = None,
    ) -> Answer:
        """Put an answer together, as of now, with pictures of the files that were looked for.

        Args:
            request: What was asked.
            result: What was answered.
            service: What answered it.
            link: Address that opens it again, or None.
        """
        pictures = tuple(
            _part(query, facts, service=service)
            if isinstance(query, ObjectQuery)
            else _drawn(query, service=service)
            for query, facts in zip(request.queries, result.queries, strict=True)
        )
        return cls(
            request=request,
            result=result,
            moment=datetime.now(UTC),
            pictures=pictures,
            link=link,
        )


def _drawn(query: FileQuery | UploadQuery, *, service: SearchService) -> QueryPicture | None:
    """A picture of a file; None where it is not there any more: the answer is without it."""
    try:
        return service.draw(query)
    except LithoscopeError as error:
        _LOG.warning("an answer is taken along without a picture of its query: %s", error)
        return None


def _part(query: ObjectQuery, facts: QueryFacts, *, service: SearchService) -> QueryPicture | None:
    """The part of an indexed slice that is looked for; None where it is the whole of it."""
    from search_ui.sheet import read_picture  # noqa: PLC0415  matplotlib, for its font

    if query.region is None or facts.picture_key is None:
        return None
    pixels = read_picture(service.site.objects, facts.picture_key)
    width_um = facts.picture_width_um
    return None if pixels is None else part_of(pixels, query.region, width_um=width_um)


def to_csv(result: SearchResult) -> str:
    """Write hits as ``lithoscope search --format csv`` does."""
    return as_csv(result) + "\n"


def to_json(result: SearchResult) -> str:
    """Write an answer as ``lithoscope search --format json`` does."""
    return as_json(result) + "\n"


def moves_text(comparison: Comparison, form: str) -> str:
    """Write what two models answered as ``lithoscope search --against`` does.

    Args:
        comparison: What they answered.
        form: ``csv`` or ``json``.
    """
    return MOVE_WRITERS[form](comparison) + "\n"


def to_png(answer: Answer, objects: ObjectStore) -> bytes:
    """Draw a result sheet as ``lithoscope search --sheet`` does.

    Args:
        answer: The answer.
        objects: Store of the slices' pictures.
    """
    from search_ui.sheet import result_sheet  # noqa: PLC0415  matplotlib, for its font

    content = io.BytesIO()
    sheet = result_sheet(answer.result, objects, pictures=answer.pictures)
    sheet.save(content, format="PNG")
    return content.getvalue()


def to_html(answer: Answer, objects: ObjectStore) -> str:
    """Write a page that needs nothing but itself; arguments as `to_png`."""
    report = Report(
        request=answer.request,
        result=answer.result,
        moment=answer.moment,
        pictures=answer.pictures,
        link=answer.link,
    )
    return report_page(report, objects)
