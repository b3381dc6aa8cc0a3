"""What the server answers beside pages: its health, and pictures of slices.

Pictures are for those who may see pages. Health is for everybody, and says nothing but its state.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from infra.pictures import PictureKey, PictureKind
from infra.store_errors import ObjectMissingError, StoreError
from search_ui import resources
from search_ui.access import user_of
from search_ui.cookies import claims_in
from search_ui.resources import Picture

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

_LOG = logging.getLogger(__name__)
_PICTURE_BYTES = 32 << 20
_TYPES = {PictureKind.THUMBNAIL: "image/webp", PictureKind.PREVIEW: "image/jpeg"}
_HEADERS = {
    # A key names one content under one preprocessing: what it holds never changes.
    "Cache-Control": "private, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
_NOT_KEPT = {"Cache-Control": "no-store"}


def routes() -> list[BaseRoute]:
    """Every route of ours."""
    return [
        Route("/healthz", health, methods=["GET"]),
        Route("/thumb/{key:path}", thumbnail, methods=["GET"]),
        Route("/preview/{key:path}", preview, methods=["GET"]),
    ]


async def health(_: Request) -> Response:
    """Tell that this process answers, however busy its threads are."""
    return PlainTextResponse("alive\n", headers=_NOT_KEPT)


def thumbnail(request: Request) -> Response:
    """Send a small picture."""
    return _picture(request, Picture.THUMB)


def preview(request: Request) -> Response:
    """Send a large picture."""
    return _picture(request, Picture.PREVIEW)


def _picture(request: Request, picture: Picture) -> Response:
    key = PictureKey.parse(f"{picture.kind}/{request.path_params['key']}")
    try:
        site = resources.site()
        settings = site.settings.ui
        claims = claims_in(request.cookies, url=settings.url) if settings.has_login else None
        if user_of(settings, claims) is None:
            return _words(403, "log in first")
        if key is None:
            return _words(404, "no such picture")
        content = site.objects.read(str(key), max_bytes=_PICTURE_BYTES)
    except ObjectMissingError:
        return _words(404, "no such picture")
    except StoreError as error:
        _LOG.warning("%s: %s", picture, error)
        return _words(503, "the object store does not answer; try again")
    return Response(content, media_type=_TYPES[picture.kind], headers=_HEADERS)


def _words(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status_code=status, headers=_NOT_KEPT)
