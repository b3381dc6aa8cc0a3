"""``lithoscope ui``: the pages alone, as the stack's service runs them."""

from __future__ import annotations

import logging
import os
import sys

from infra.default_secrets import refuse_default_secrets
from infra.logs import configure_logs
from infra.settings import load_settings


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
    configure_logs(settings, service="ui")
    from search_ui.server import serve  # noqa: PLC0415  Streamlit sets up logs of its own

    told = {name: it for name, it in (("host", host), ("port", port)) if it is not None}
    try:
        serve(settings.model_copy(update={"ui": settings.ui.model_copy(update=told)}))
    except (KeyboardInterrupt, SystemExit) as end:
        _end_now(end.code if isinstance(end, SystemExit) else 0)
    return 0


def _end_now(code: object) -> None:
    """End this process: all is closed, and to tear down torch and Streamlit takes seconds."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)
