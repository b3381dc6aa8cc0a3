"""Links to searches: short, stable, versioned; what has changed since is said.

A link is a page's query parameters. ``v`` is the version. Queries are numbered from the second on:
``q`` or ``q2`` is an indexed scan, ``u`` or ``u2`` an upload; ``q2.slice``, ``q2.region`` and what
was told of an upload (``u.sample``…) belong to them. What is as it is unless asked for is left out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from encoder.errors import printable
from search_ui.link_parts import (
    LinkError,
    filter_params,
    filters_of,
    other_params,
    others_of,
    queries_of,
    query_params,
)
from search_ui.requests import FileQuery, ObjectQuery, SearchRequest, UploadQuery

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from search_ui.kept_queries import KeptQueries
    from search_ui.library import LibraryOverview
    from search_ui.results import SearchResult
    from search_ui.service import SearchService

__all__ = ["Link", "LinkError", "changes", "from_params", "possible", "to_params"]

VERSION = "1"
_VERSION, _MODEL, _ANSWER = "v", "model", "answer"
_PAGE = "page."
_DIGITS = 16
_MAX_SIGNS = 16_000
_PASSED = ("embed", "utm_")
"""Beginnings of parameters that others add to links."""


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

        Args:
            request: The search.
            result: Its answer.
            page: State of the page.
        """
        return cls(
            request=request,
            bundle_id=result.model.bundle_id,
            answer=answer_digest(result),
            page=dict(page or {}),
        )


def answer_digest(result: SearchResult) -> str:
    """Name an answer: another slice, place or order gives another name."""
    lists = [result.hits, *(result.views[view] for view in sorted(result.views))]
    rows = [[hit.row.row_id for hit in hits] for hits in lists]
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:_DIGITS]


def to_params(link: Link) -> dict[str, str]:
    """Write a link as query parameters of a page's address.

    Raises:
        LinkError: A local file is looked for, or the link gets too long.
    """
    if any(isinstance(query, FileQuery) for query in link.request.queries):
        raise LinkError("link: a file of this machine can't be linked to; upload it")
    told = {
        _VERSION: VERSION,
        **query_params(link.request.queries),
        **filter_params(link.request.filters),
        **other_params(link.request),
        _MODEL: link.bundle_id,
        _ANSWER: link.answer,
        **{_PAGE + name: value for name, value in link.page.items()},
    }
    params = {name: value for name, value in told.items() if value is not None}
    if _size(params) > _MAX_SIGNS:
        raise LinkError(
            f"link: {_size(params):,} signs, at most {_MAX_SIGNS:,} are allowed; ask for fewer "
            "queries or names at once"
        )
    return params


def from_params(params: Mapping[str, str]) -> Link | None:
    """Read a link; None where the parameters are none of a link.

    Args:
        params: A page's query parameters.

    Raises:
        LinkError: It is damaged, or of a later version.
        LithoscopeError: It asks for what can't be asked for.
    """
    if _VERSION not in params:
        return None
    left = {name: params[name] for name in params if not name.startswith(_PASSED)}
    if _size(left) > _MAX_SIGNS:
        raise LinkError(f"link: longer than {_MAX_SIGNS:,} signs; copy it again from its page")
    version = left.pop(_VERSION)
    if version != VERSION:
        raise LinkError(
            f"link: version {printable(version[:20])!r}, expected {VERSION!r}; it was made by "
            "another release: open it there, or search anew"
        )
    page = {name: left.pop(name) for name in list(left) if name.startswith(_PAGE)}
    bundle_id, answer = left.pop(_MODEL, None), left.pop(_ANSWER, None)
    queries = queries_of(left)
    filters = filters_of(left)
    others = others_of(left)
    if left:
        name = printable(next(iter(left))[:40])
        raise LinkError(f"link: parameter {name!r} means nothing; copy it again from its page")
    return Link(
        request=SearchRequest(queries=queries, filters=filters, **others),
        bundle_id=bundle_id,
        answer=answer,
        page={name.removeprefix(_PAGE): value for name, value in page.items()},
    )


def changes(
    link: Link, service: SearchService, *, result: SearchResult | None = None
) -> tuple[str, ...]:
    """Say what has changed since a search was linked to.

    Args:
        link: The link.
        service: What answers now.
        result: Its answer now, if there is one.

    Returns:
        One line each; none where the answer is the one that was linked to, as far as that can be
        told.
    """
    overview = service.library.overview(fresh=True)
    found = [*_model_changes(link, overview), *_gone(link, overview, kept=service.kept)]
    is_other = result is not None and link.answer not in (None, answer_digest(result))
    if is_other and not found:
        found.append(
            "the answer is another one than when it was linked to: scans were indexed, "
            "corrected or removed since"
        )
    return tuple(printable(each) for each in found)


def _model_changes(link: Link, overview: LibraryOverview) -> Iterator[str]:
    live = overview.bundle_id
    if link.bundle_id is not None and live != link.bundle_id:
        yield (
            f"the live model is {live or 'not published'} now, it was {link.bundle_id}: hits and "
            "similarities are its own"
        )


def _gone(link: Link, overview: LibraryOverview, *, kept: KeptQueries) -> Iterator[str]:
    """What a search names that is there no more."""
    scans = {scan.object_key: scan for scan in overview.scans}
    for query in link.request.queries:
        if isinstance(query, UploadQuery) and not kept.has(query.token):
            yield "the uploaded image is not kept any more; upload it again"
        if isinstance(query, ObjectQuery) and query.object_key not in scans:
            yield f"{query.object_key} is not indexed any more; search with another scan"
    asked, known = link.request.filters, overview.names
    for kind, names, there in (
        ("reservoir", (*asked.only_reservoirs, *asked.exclude_reservoirs), known.reservoirs),
        ("sample", (*asked.only_samples, *asked.exclude_samples), known.samples),
        ("scan", (*asked.only_objects, *asked.exclude_objects), tuple(scans)),
        ("modality", asked.modalities, _modalities(overview)),
        ("property", tuple(each.name for each in asked.ranges), known.numbers),
    ):
        for name in dict.fromkeys(names):
            if name not in there:
                yield f"{kind} {name!r} of its filters is not indexed any more; leave it out"


def possible(link: Link, service: SearchService) -> SearchRequest | None:
    """The search of a link without what is there no more; None where nothing is left of it.

    Args:
        link: The link.
        service: What answers now.
    """
    overview = service.library.overview(fresh=True)
    scans = {scan.object_key for scan in overview.scans}
    queries = tuple(
        query
        for query in link.request.queries
        if (isinstance(query, ObjectQuery) and query.object_key in scans)
        or (isinstance(query, UploadQuery) and service.kept.has(query.token))
    )
    if not queries:
        return None
    asked, known = link.request.filters, overview.names
    filters = replace(
        asked,
        only_reservoirs=_there(asked.only_reservoirs, known.reservoirs),
        exclude_reservoirs=_there(asked.exclude_reservoirs, known.reservoirs),
        only_samples=_there(asked.only_samples, known.samples),
        exclude_samples=_there(asked.exclude_samples, known.samples),
        only_objects=_there(asked.only_objects, scans),
        exclude_objects=_there(asked.exclude_objects, scans),
        modalities=_there(asked.modalities, _modalities(overview)),
        ranges=tuple(each for each in asked.ranges if each.name in known.numbers),
    )
    return replace(link.request, queries=queries, filters=filters)


def _modalities(overview: LibraryOverview) -> tuple[str | None, ...]:
    return tuple(each.name for each in overview.modalities)


def _there(names: tuple[str, ...], known: Container[str | None]) -> tuple[str, ...]:
    return tuple(name for name in names if name in known)


def _size(params: Mapping[str, str]) -> int:
    return sum(len(name) + len(value) for name, value in params.items())
