"""An answer to take along: CSV, JSON, a sheet of pictures, a page of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from infra.object_store import ObjectStore
    from search_ui.query_pictures import QueryPicture
    from search_ui.requests import SearchRequest
    from search_ui.results import SearchResult
    from search_ui.service import SearchService


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A search and its answer.

    Attributes:
        request: What was asked.
        result: What was answered.
        moment: When.
        pictures: A picture of each query that is a file; None for the others.
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
        """Put an answer together, as of now, with pictures of the files that were looked for."""
        raise NotImplementedError


def to_csv(answer: Answer) -> str:
    """Write hits as `lithoscope search --format csv` does."""
    raise NotImplementedError


def to_json(answer: Answer) -> str:
    """Write an answer as `lithoscope search --format json` does."""
    raise NotImplementedError


def to_png(answer: Answer, objects: ObjectStore) -> bytes:
    """Draw a result sheet."""
    raise NotImplementedError


def to_html(answer: Answer, objects: ObjectStore) -> str:
    """Write a page that needs nothing but itself."""
    raise NotImplementedError
