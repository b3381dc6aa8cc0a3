"""What all pages and routes of a process share: its site, its search service, who is asking."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from infra.pictures import PictureKey, PictureKind
from infra.settings import load_settings
from infra.site import open_site
from search_ui.access import Role, User, user_of
from search_ui.ingest_state import IngestMeter
from search_ui.requests import SearchError
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.site import Site


class Picture(StrEnum):
    """A picture of a slice; the value is the first part of its address."""

    THUMB = "thumb"
    """A small square for lists."""
    PREVIEW = "preview"
    """The slice, to be looked at closely."""

    @property
    def kind(self) -> PictureKind:
        """What it is in the object store."""
        return PictureKind.THUMBNAIL if self is Picture.THUMB else PictureKind.PREVIEW


@dataclass(frozen=True, slots=True)
class _Shared:
    site: Site
    service: SearchService
    meter: IngestMeter


_lock = threading.RLock()
_shared: list[_Shared] = []
"""What is open; the last one counts."""


def site() -> Site:
    """The site, opened by the settings when it is first asked for. Any thread may ask.

    Raises:
        LithoscopeError: The settings are wrong, or the object store is away.
    """
    return _opened().site


def service() -> SearchService:
    """The search service of the site. Any thread may ask.

    Raises:
        LithoscopeError: See `site`.
    """
    return _opened().service


def meter() -> IngestMeter:
    """What tells how far the index is behind; one for all pages. Any thread may ask.

    Raises:
        LithoscopeError: See `site`.
    """
    return _opened().meter


@contextlib.contextmanager
def serving(site: Site) -> Iterator[SearchService]:
    """Share a site, which is closed by whoever opened it, and a service, which is closed here.

    Args:
        site: The site.
    """
    with SearchService(site) as service:
        shared = _Shared(site, service, IngestMeter(site))
        with _lock:
            _shared.append(shared)
        try:
            yield service
        finally:
            with _lock:
                _shared.remove(shared)


def close() -> None:
    """Close what pages opened; whoever asks again opens it anew."""
    with _lock:
        while _shared:
            shared = _shared.pop()
            shared.service.close()
            shared.site.close()


def picture_url(key: str, *, kind: Picture) -> str:
    """Address of a slice's picture on this server.

    Args:
        key: Key of one of its pictures in the object store, large or small.
        kind: Which picture is wanted.

    Raises:
        SearchError: It is no picture's key.
    """
    found = PictureKey.parse(key)
    if found is None:
        raise SearchError(f"picture {key[:80]!r}: no picture's key; take that of a hit")
    return f"/{kind}/{found.scan}/{found.generation}/{found.slice_index}{kind.kind.suffix}"


def user() -> User:
    """Who looks at the page; the app shows no page to somebody who may not.

    Raises:
        SearchError: Somebody who has to log in, or may see nothing.
    """
    import streamlit as st  # noqa: PLC0415  a second, which commands can spare

    settings = site().settings.ui
    claims = dict(st.user) if settings.has_login and st.user.is_logged_in else None
    found = user_of(settings, claims)
    if found is None:
        raise SearchError("you may not see this page: log in with an address that may")
    return found


def require(role: Role) -> None:
    """Refuse whoever may not do what a role may, where it is done: logins lapse while pages show.

    Args:
        role: Who may.

    Raises:
        SearchError: Somebody who may not, or may see nothing.
    """
    if not user().may(role):
        raise SearchError(f"this is for each {role.name.lower()}; ask one of them, or log in again")


def _opened() -> _Shared:
    with _lock:
        if not _shared:
            opened = open_site(load_settings())
            _shared.append(_Shared(opened, SearchService(opened), IngestMeter(opened)))
        return _shared[-1]
