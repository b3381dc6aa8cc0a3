"""What comes before every answer of the server: what nobody needs is closed, uploads are theirs.

Streamlit itself checks no login where files are sent, and tells figures of its own to everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse

from search_ui.access import user_of
from search_ui.cookies import claims_in

if TYPE_CHECKING:
    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from infra.ui_settings import UiSettings

_CLOSED = ("/_stcore/metrics", "/_stcore/agent")
_UPLOADS = "/_stcore/upload_file"
_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Guard(BaseHTTPMiddleware):
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: UiSettings) -> None:
        super().__init__(app)
        self._settings = settings

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer a request, or have it answered."""
        path = request.url.path
        if path.startswith(_CLOSED):
            return PlainTextResponse("nothing here\n", 404)
        if path.startswith(_UPLOADS) and not self._may_upload(request):
            return PlainTextResponse("log in first\n", 403)
        answer = await call_next(request)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    def _may_upload(self, request: Request) -> bool:
        if not self._settings.has_login:
            return True
        claims = claims_in(request.cookies, url=self._settings.url)
        return user_of(self._settings, claims) is not None
