"""What comes before every answer of the server: what nobody needs is closed, uploads are theirs.

Streamlit itself checks no login where files are sent, holds any number of them in memory, and tells
figures of its own to everybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager

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
    # No page shows pictures from elsewhere, whatever a name or a link makes of it.
    "Content-Security-Policy": "frame-ancestors 'self'; img-src 'self' data: blob:",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Guard(BaseHTTPMiddleware):
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: UiSettings) -> None:
        super().__init__(app)
        self._settings = settings
        self._coming_bytes = 0

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Answer a request, or have it answered."""
        path: str = request.scope["path"]  # as it is routed by, whatever host it names
        if path.startswith(_CLOSED):
            return PlainTextResponse("nothing here\n", 404)
        if path.startswith(_UPLOADS) and not self._may_upload(request):
            return PlainTextResponse("log in first\n", 403)
        size = self._size(request)
        if size and held_bytes() + self._coming_bytes + size > self._settings.uploads_mib << 20:
            return PlainTextResponse("others are uploading much as well; try again later\n", 413)
        self._coming_bytes += size
        try:
            answer = await call_next(request)
        finally:
            self._coming_bytes -= size
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    def _size(self, request: Request) -> int:
        """Bytes that an upload brings; 0 of all else."""
        if request.method != "PUT" or not request.scope["path"].startswith(_UPLOADS):
            return 0
        told = request.headers.get("content-length", "")
        return int(told) if told.isdecimal() else self._settings.upload_mib << 20

    def _may_upload(self, request: Request) -> bool:
        if not self._settings.has_login:
            return True
        claims = claims_in(request.cookies, url=self._settings.url)
        return user_of(self._settings, claims) is not None


def held_bytes() -> int:
    """Bytes of uploads that are in memory, of all pages that are open."""
    manager = runtime.get_instance().uploaded_file_mgr
    if not isinstance(manager, MemoryUploadedFileManager):
        return 0
    sessions = list(manager.file_storage.values())  # they come and go in other threads
    return sum(len(each.data) for session in sessions for each in list(session.values()))
