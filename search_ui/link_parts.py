"""Parts of a link: queries, filters and the rest of a search as query parameters, and back."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from encoder.errors import printable
from encoder.ranking import GroupBy
from encoder.regions import Region
from search_ui.requests import (
    Filters,
    ObjectQuery,
    PropertyRange,
    Query,
    SearchError,
    SearchRequest,
    Told,
    UploadQuery,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MAX_QUERIES = 100
"""Most queries of a link."""

_SCAN, _UPLOAD = "q", "u"
_QUERY = re.compile(r"([qu])(\d{0,3})")
_TOKEN = re.compile(r"[0-9a-f]{32}")
_NAMES = {
    "only": "only_reservoirs",
    "not": "exclude_reservoirs",
    "only.sample": "only_samples",
    "not.sample": "exclude_samples",
    "only.scan": "only_objects",
    "not.scan": "exclude_objects",
    "modality": "modalities",
}
_TOLD_NUMBERS = ("pixel_size_um", "porosity", "permeability_md")
_TOLD_NAMES = ("reservoir", "sample")
_ESCAPED = re.compile(r"\\(.)|,", re.DOTALL)


class LinkError(SearchError):
    """A link that can't be read."""


def query_params(queries: Iterable[Query]) -> dict[str, str | None]:
    """Queries as parameters; a local file has none."""
    params: dict[str, str | None] = {}
    for number, query in enumerate(queries, 1):
        suffix = "" if number == 1 else str(number)
        if isinstance(query, ObjectQuery):
            name = f"{_SCAN}{suffix}"
            params[name] = query.object_key
        elif isinstance(query, UploadQuery):
            name = f"{_UPLOAD}{suffix}"
            params[name] = query.token
            params |= {f"{name}.{part}": text for part, text in _told_params(query.told)}
        else:
            continue
        params[f"{name}.slice"] = None if query.slice_index is None else str(query.slice_index)
        params[f"{name}.region"] = None if query.region is None else _region_text(query.region)
    return params


def queries_of(left: dict[str, str]) -> tuple[Query, ...]:
    """Take the queries out of parameters.

    Args:
        left: Parameters; those that are read are removed.

    Raises:
        LithoscopeError: One is damaged, or there are too many.
    """
    names = sorted(
        (name for name in left if _QUERY.fullmatch(name)),
        key=lambda name: int(name[1:] or 1),
    )
    if len(names) > MAX_QUERIES:
        raise LinkError(f"link: {len(names)} queries, at most {MAX_QUERIES} are allowed")
    return tuple(_query_of(name, left) for name in names)


def filter_params(filters: Filters) -> dict[str, str | None]:
    """Filters as parameters."""
    names = {name: getattr(filters, column) for name, column in _NAMES.items()}
    return {
        **{name: _joined(values) if values else None for name, values in names.items()},
        "where": _joined([_range_text(each) for each in filters.ranges]) or None,
        "unmeasured": "keep" if filters.keep_unmeasured else None,
    }


def filters_of(left: dict[str, str]) -> Filters:
    """Take filters out of parameters; see `queries_of`."""
    names: dict[str, Any] = {
        column: _split(left.pop(name)) for name, column in _NAMES.items() if name in left
    }
    ranges = tuple(_range_of(text) for text in _split(left.pop("where", "")))
    keep = _taken(left, "unmeasured", read=_keep)
    return Filters(ranges=ranges, keep_unmeasured=bool(keep), **names)


def other_params(request: SearchRequest) -> dict[str, str | None]:
    """What else a search asks for, as parameters."""
    group = request.group_by
    return {
        "k": None if request.k == _default("k") else str(request.k),
        "group": None if group is None else str(group),
        "per_sample": None if request.per_sample is None else str(request.per_sample),
        "similarity": repr(request.min_similarity) if request.min_similarity else None,
        "own": "1" if request.include_own_sample else None,
        "rows": "3" if request.three_rows else None,
    }


def others_of(left: dict[str, str]) -> dict[str, Any]:
    """Take what else a search asks for out of parameters; see `queries_of`."""
    found = {
        "k": _taken(left, "k", read=_whole),
        "group_by": _taken(left, "group", read=GroupBy),
        "per_sample": _taken(left, "per_sample", read=_whole),
        "min_similarity": _taken(left, "similarity", read=_number),
        "include_own_sample": _taken(left, "own", read=lambda text: {"1": True}[text]),
        "three_rows": _taken(left, "rows", read=lambda text: {"3": True}[text]),
    }
    return {name: value for name, value in found.items() if value is not None}


def _query_of(name: str, left: dict[str, str]) -> Query:
    value = left.pop(name)
    slice_index = _taken(left, f"{name}.slice", read=_whole)
    region = _taken(left, f"{name}.region", read=_region_of)
    if name.startswith(_SCAN):
        return ObjectQuery(object_key=value, slice_index=slice_index, region=region)
    if not _TOKEN.fullmatch(value):
        raise _damaged(name, value)
    return UploadQuery(
        token=value, told=_told_of(name, left), slice_index=slice_index, region=region
    )


def _told_params(told: Told | None) -> list[tuple[str, str | None]]:
    if told is None:
        return []
    numbers = [(name, getattr(told, name)) for name in _TOLD_NUMBERS]
    return [
        *((name, getattr(told, name)) for name in _TOLD_NAMES),
        *((name, None if value is None else repr(float(value))) for name, value in numbers),
    ]


def _told_of(query: str, left: dict[str, str]) -> Told | None:
    told: dict[str, Any] = {
        name: left.pop(f"{query}.{name}") for name in _TOLD_NAMES if f"{query}.{name}" in left
    }
    for name in _TOLD_NUMBERS:
        if f"{query}.{name}" in left:
            told[name] = _taken(left, f"{query}.{name}", read=_number)
    return Told(**told) if told else None


def _region_text(region: Region) -> str:
    edges = (region.left, region.top, region.right, region.bottom)
    return ",".join(repr(float(edge)) for edge in edges)


def _region_of(text: str) -> Region:
    left, top, right, bottom = map(_number, text.split(","))
    return Region(left=left, top=top, right=right, bottom=bottom)


def _range_text(asked: PropertyRange) -> str:
    bounds = ("" if bound is None else repr(float(bound)) for bound in (asked.low, asked.high))
    return ":".join((asked.name, *bounds))


def _range_of(text: str) -> PropertyRange:
    name, *bounds = text.rsplit(":", 2)
    try:
        low, high = (_number(bound) if bound else None for bound in bounds)
    except ValueError as error:
        raise _damaged("where", text) from error
    if not name or (low is not None and high is not None and low > high):
        raise _damaged("where", text)
    return PropertyRange(name=name, low=low, high=high)


def _joined(values: Sequence[str]) -> str:
    return ",".join(re.sub(r"[\\,]", r"\\\g<0>", value) for value in values)


def _split(text: str) -> tuple[str, ...]:
    """Undo `_joined`; an empty text is no name."""
    parts, start = [""], 0
    for found in _ESCAPED.finditer(text):
        parts[-1] += text[start : found.start()] + (found[1] or "")
        start = found.end()
        if found[1] is None:
            parts.append("")
    parts[-1] += text[start:]
    return tuple(part for part in parts if part)


def _taken(left: dict[str, str], name: str, *, read: Callable[[str], Any]) -> Any:  # noqa: ANN401  its value
    """Take one parameter out; None where there is none."""
    if name not in left:
        return None
    text = left.pop(name)
    try:
        return read(text)
    except (ValueError, KeyError) as error:
        raise _damaged(name, text) from error


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _keep(text: str) -> bool:
    return {"keep": True}[text]


def _default(name: str) -> object:
    return SearchRequest.__dataclass_fields__[name].default


def _damaged(name: str, text: str) -> LinkError:
    shown = printable(text[:40])
    return LinkError(f"link: {printable(name)} is {shown!r}; copy it again from its page")
