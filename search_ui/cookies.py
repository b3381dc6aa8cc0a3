"""Who asks for a picture: the login that Streamlit keeps in a signed cookie.

Streamlit reads it for pages only. Its own functions check the signature here as well.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping


def claims_in(cookies: Mapping[str, str], *, url: str | None) -> dict[str, object] | None:
    """What the provider said of whoever sends these cookies; None where nobody logged in.

    Args:
        cookies: The cookies of a request.
        url: Address that people reach the page at: a login elsewhere is none here.
    """
    secret = get_cookie_secret()

    def opened(name: str) -> bytes | None:
        text = cookies.get(name)
        return None if text is None else decode_signed_value(secret, name, text.encode("latin-1"))

    try:
        found = get_cookie_with_chunks(opened, USER_COOKIE_NAME)
        claims = None if found is None else json.loads(found)
    except ValueError:  # not ours
        return None
    if not isinstance(claims, dict) or not claims.get("is_logged_in"):
        return None
    return claims if url is not None and claims.get("origin") == url.rstrip("/") else None
