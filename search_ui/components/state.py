"""What a visitor of the search page wants, and was answered: it belongs to one browser tab.

The wish is the one truth: widgets show it, and change it by what is called back here. So words,
links, buttons on hits and widgets never disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import streamlit as st

from search_ui.requests import ObjectQuery, Query, SearchRequest, UploadQuery

if TYPE_CHECKING:
    from collections.abc import Iterable

    from encoder.errors import LithoscopeError
    from search_ui.comparing import Comparison
    from search_ui.permalinks import Link
    from search_ui.query_pictures import QueryPicture
    from search_ui.requests import FileQuery
    from search_ui.results import SearchResult

_KEY = "search_page"
_NOTHING: Query = ObjectQuery(object_key="")
HITS = 10
"""Hits that are asked for at first."""


class Mode(StrEnum):
    """How an answer is shown, in words."""

    BEST = "Best matches"
    ROWS = "Three rows"
    MODELS = "Two models"

    @classmethod
    def of(cls, wish: SearchRequest) -> Mode:
        """How the answer to a wish is shown, unless somebody says otherwise."""
        return cls.ROWS if wish.three_rows else cls.BEST


def blank() -> SearchRequest:
    """The wish of somebody who has not said anything yet."""
    return SearchRequest(queries=(_NOTHING,), k=HITS)


@dataclass(frozen=True, slots=True)
class Answered:
    """A wish and its answer."""

    request: SearchRequest
    result: SearchResult


@dataclass(slots=True)
class PageState:
    """See the module.

    Attributes:
        wish: What is looked for, and how; without a query, see `has_query`.
        names: What uploaded files are called, by token.
        marks: Slices that were marked, by `SliceRow.row_id`.
        answered: The last answer.
        opened: Slice that is looked at closely, by `SliceRow.row_id`.
        not_understood: What was not, of the last words.
        refused: Why the last words can't be asked for.
        notes: What is to be said of the link that was opened.
        serial: Grows when widgets have to begin anew.
        pictures: Pictures of what is looked for, with their longest sides.
        link: Link that was opened and not answered yet.
        mode: How the answer is shown.
        other: Model that the live one is to be compared with, by its name; None for the newest.
        compared: What two models were asked last, the live one's collection, the other one's name,
            and what they answered.
        written: Parameters of the address as they were last written.
        shown: What the visitor had chosen when the address was last written, see `chosen`.
    """

    wish: SearchRequest = field(default_factory=blank)
    names: dict[str, str] = field(default_factory=dict)
    marks: frozenset[str] = frozenset()
    answered: Answered | None = None
    opened: str | None = None
    not_understood: tuple[str, ...] = ()
    refused: LithoscopeError | None = None
    notes: tuple[str, ...] = ()
    serial: int = 0
    pictures: dict[tuple[FileQuery | UploadQuery, int], QueryPicture] = field(default_factory=dict)
    link: Link | None = None
    mode: Mode = Mode.BEST
    other: str | None = None
    compared: tuple[tuple[SearchRequest, str, str], Comparison] | None = None
    written: dict[str, str] = field(default_factory=dict)
    shown: tuple[object, ...] | None = None

    @property
    def has_query(self) -> bool:
        """Whether anything is looked for."""
        return self.wish.queries != (_NOTHING,)

    @property
    def chosen(self) -> tuple[object, ...]:
        """All that a visitor chooses by what is on the page."""
        return self.wish, self.mode is Mode.MODELS, self.other, self.marks, self.opened

    @property
    def result(self) -> SearchResult | None:
        """The answer to the wish as it is; None before there is one."""
        answered = self.answered
        return None if answered is None or answered.request != self.wish else answered.result

    def look_for(self, queries: Iterable[Query]) -> None:
        """Look for something else, under the same filters; for nothing, under none."""
        wanted = tuple(queries)
        self.change(replace(self.wish, queries=wanted) if wanted else blank())
        self.marks = frozenset()
        self.serial += 1

    def show(self, mode: Mode) -> None:
        """Show the answer in another way."""
        self.mode = mode
        self.wish = replace(self.wish, three_rows=mode is not Mode.BEST)

    def ask(self, **changes: Any) -> None:  # noqa: ANN401  values of any field of a request
        """Change how is looked for: fields of the request."""
        self.change(replace(self.wish, **changes))

    def change(self, wish: SearchRequest) -> None:
        """Wish for something else: what was said of the former wish is of no concern any more."""
        self.wish = wish
        self.opened = None
        self.notes, self.not_understood, self.refused = (), (), None
        self.link = None

    def filter_by(self, **changes: Any) -> None:  # noqa: ANN401  values of any filter
        """Change filters: fields of `Filters`."""
        self.ask(filters=replace(self.wish.filters, **changes))

    def clear_filters(self) -> None:
        """Ask for the queries alone."""
        self.change(replace(blank(), queries=self.wish.queries, three_rows=self.wish.three_rows))

    def exclude_reservoir(self, name: str) -> None:
        """Show nothing of a reservoir any more."""
        filters = self.wish.filters
        self.filter_by(
            exclude_reservoirs=tuple(dict.fromkeys((*filters.exclude_reservoirs, name))),
            only_reservoirs=tuple(each for each in filters.only_reservoirs if each != name),
        )

    def toggle_mark(self, row_id: str) -> None:
        """Mark a slice, or no longer."""
        self.marks ^= {row_id}

    def name_of(self, query: Query) -> str | None:
        """What its asker calls a query; None where it is indexed."""
        return self.names.get(query.token) if isinstance(query, UploadQuery) else None


def page_state() -> PageState:
    """The state of whoever looks at the page now."""
    found = st.session_state.get(_KEY)
    if not isinstance(found, PageState):
        found = st.session_state[_KEY] = PageState()
    return found
