"""``lithoscope ui``: the pages alone, as the stack's service runs them."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

from encoder.errors import LithoscopeError
from infra.default_secrets import refuse_default_secrets
from infra.logs import configure_logs
from infra.settings import load_settings

if TYPE_CHECKING:
    from infra.ui_settings import UiSettings


class ServerError(LithoscopeError):
    """A server of the pages that can't be started."""


def run_ui(*, host: str | None, port: int | None) -> int:
    """Serve the pages until Ctrl-C, or until SIGTERM.

    Args:
        host: Address to listen on; None for that of the settings.
        port: Likewise.

    Returns:
        0 once it was told to end.

    Raises:
        LithoscopeError: The settings are wrong, a password is one that everybody knows, or the
            port is taken.
    """
    settings = load_settings()
    refuse_default_secrets(settings)
    told = {name: it for name, it in (("host", host), ("port", port)) if it is not None}
    settings = settings.model_copy(update={"ui": settings.ui.model_copy(update=told)})
    _check_free(settings.ui)
    configure_logs(settings, service="ui")
    from search_ui.server import serve  # noqa: PLC0415  Streamlit sets up logs of its own

    try:
        serve(settings)
    except (KeyboardInterrupt, SystemExit) as end:
        _end_now(end.code if isinstance(end, SystemExit) else 0)
    return 0


def _end_now(code: object) -> None:
    """End this process: all is closed, and to tear down torch and Streamlit takes seconds."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _check_free(settings: UiSettings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    place = f"{settings.host}:{settings.port}"
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ServerError(
                f"{place}: can't be opened for the pages ({error.strerror or error}); free it, or "
                "choose another by --port"
            ) from error
