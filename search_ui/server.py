"""The server of the pages: one process and one port for pages, pictures and health."""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from starlette.middleware import Middleware

from encoder.errors import LithoscopeError
from search_ui import resources
from search_ui.guard import Guard
from search_ui.routes import routes
from search_ui.shell import PAGES, tell_unexpected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from streamlit.runtime.secrets import SecretsValue

    from infra.settings import Settings
    from infra.ui_settings import UiSettings

SCRIPT = Path(__file__).parent / "app" / "main.py"

_LOG = logging.getLogger(__name__)


def make_app(settings: Settings) -> st.App:
    """Make the application, as any ASGI server runs it.

    Args:
        settings: Whether people log in, and where.
    """
    login = _login(settings.ui)
    return st.App(
        SCRIPT,
        routes=routes(),
        middleware=[Middleware(Guard, settings=settings.ui)],
        lifespan=_opened,
        on_script_error=tell_unexpected,
        secrets=None if login is None else {"auth": login},
    )


def serve(settings: Settings) -> None:
    """Serve the pages until SIGINT or SIGTERM."""
    make_app(settings).run(config=options(settings.ui))


def options(settings: UiSettings) -> dict[str, object]:
    """What Streamlit is told; no file of the machine's is needed for it."""
    from search_ui.components.theme import OPTIONS  # noqa: PLC0415  pages are looked at later

    return {
        **OPTIONS,
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "global.developmentMode": False,
        "logger.hideWelcomeMessage": True,
        "server.address": settings.host,
        "server.fileWatcherType": "none",
        "server.headless": True,
        "server.maxUploadSize": settings.upload_mib,
        "server.port": settings.port,
        "server.showEmailPrompt": False,
    }


def _login(settings: UiSettings) -> dict[str, SecretsValue] | None:
    """What Streamlit wants to know of the provider; None where nobody logs in."""
    client, cookies = settings.oidc_client_secret, settings.cookie_secret
    if settings.url is None or client is None or cookies is None or not settings.has_login:
        return None
    return {
        "redirect_uri": f"{settings.url.rstrip('/')}/oauth2callback",
        "cookie_secret": cookies.get_secret_value(),
        "client_id": settings.oidc_client_id or "",
        "client_secret": client.get_secret_value(),
        "server_metadata_url": settings.oidc_metadata_url or "",
    }


@contextlib.asynccontextmanager
async def _opened(_: st.App) -> AsyncIterator[None]:
    """Have everything opened beside the first look at a page, and closed after the last."""
    ahead = threading.Thread(target=open_ahead, name="open-ahead", daemon=True)
    ahead.start()
    try:
        yield
    finally:
        ahead.join(timeout=10.0)
        resources.close()


def open_ahead() -> None:
    """Open the pages, the index and the live model; pages tell what is wrong with those."""
    for name in PAGES:
        importlib.import_module(f"search_ui.pages.{name}")
    try:
        resources.service().warm_up()
    except LithoscopeError as error:
        _LOG.info("%s", error)
    importlib.import_module("encoder.inference")  # torch, for a model that goes live later
    # After each run of a page Streamlit looks through all objects for garbage, and nobody is
    # answered meanwhile: seconds for those half million of libraries, minutes on a busy machine.
    gc.collect()
    gc.freeze()
