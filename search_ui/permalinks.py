"""Links to searches: short, stable, versioned; what has changed since is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search_ui.requests import SearchRequest
    from search_ui.results import SearchResult
    from search_ui.service import SearchService


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A search that can be opened again.

    Attributes:
        request: The search; its queries are uploads and indexed scans, never local files.
        bundle_id: Model that answered it; None for whichever is live.
        answer: Digest of the answer; None where it was not answered yet.
        page: State of the page, short names of small letters and short texts.
    """

    request: SearchRequest
    bundle_id: str | None = None
    answer: str | None = None
    page: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, request: SearchRequest, result: SearchResult, *, page: Mapping[str, str] | None = None
    ) -> Link:
        """Link to a search and its answer.

        Raises:
            LinkError: A local file is looked for.
        """
        raise NotImplementedError


def to_params(link: Link) -> dict[str, str]:
    """Write a link as query parameters of a page's address."""
    raise NotImplementedError


def from_params(params: Mapping[str, str]) -> Link | None:
    """Read a link; None where the parameters are none of a link.

    Raises:
        LithoscopeError: It is damaged, or of a later version.
    """
    raise NotImplementedError


def changes(
    link: Link, service: SearchService, *, result: SearchResult | None = None
) -> tuple[str, ...]:
    """Say what has changed since a search was linked to.

    Args:
        link: The link.
        service: What answers now.
        result: Its answer now, if there is one.
    """
    raise NotImplementedError
