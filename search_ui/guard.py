"""What comes before every answer of the server: what nobody needs is closed, uploads are theirs.

Streamlit itself checks no login where files are sent, and tells figures of its own to everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from search_ui.access import user_of
from search_ui.cookies import claims_in

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from infra.ui_settings import UiSettings

_CLOSED = ("/_stcore/metrics", "/_stcore/agent")
_UPLOADS = "/_stcore/upload_file"
_HEADERS = {
    "Content-Security-Policy": "frame-ancestors 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: UiSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if path.startswith(_CLOSED):
            await PlainTextResponse("nothing here\n", 404)(scope, receive, send)
        elif path.startswith(_UPLOADS) and not self._may_upload(scope):
            await PlainTextResponse("log in first\n", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _may_upload(self, scope: Scope) -> bool:
        if not self._settings.has_login:
            return True
        claims = claims_in(Request(scope).cookies, url=self._settings.url)
        return user_of(self._settings, claims) is not None


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
