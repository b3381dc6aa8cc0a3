"""The index's password: a server that was just made still has the one that everybody knows."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import grpc
from pymilvus import MilvusClient, MilvusException

from encoder.errors import one_line
from infra.indexing.errors import IndexUnavailableError, VectorIndexError

if TYPE_CHECKING:
    from infra.settings_groups import IndexSettings

# A password that is refused is no fault here; the client's own word of it is a traceback.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

_KNOWN = "Milvus"
"""Milvus's own first password, where its settings name no other (or can't: servers before 2.4)."""

_REFUSAL = "auth check failure"
_UNFIT = ("invalid password", "encrypt password")
"""What a server says of a new password that is too short or too long for it."""

_PATIENCE = 60.0
_PAUSE = 0.5


def ensure_index_password(
    settings: IndexSettings, *, former: str | None = None, seconds: float = _PATIENCE
) -> bool:
    """Give a new server the password of the settings; one that has it is left as it is.

    Args:
        settings: Where the index is. Without an address or a token there is nothing to do.
        former: The password that it has, where that is another one; none: its first one.
        seconds: How long a server that is just starting may take to answer.

    Returns:
        Whether the password was set now.

    Raises:
        IndexUnavailableError: The server is away.
        VectorIndexError: It takes neither the password of the settings nor the former one.
    """
    if settings.address is None or settings.token is None:
        return False
    address, token = settings.address, settings.token.get_secret_value()
    user, _, password = token.partition(":")
    former = former or _KNOWN
    known = f"{user}:{former}"
    if _takes(address, token, seconds=seconds):
        return False
    if not _takes(address, known, seconds=seconds):
        raise VectorIndexError(
            f"index {address}: refuses the user {user!r} with the password of "
            "LITHOSCOPE_INDEX__TOKEN and with its former one; name the password that it has, or "
            "change it to this one: lithoscope init-stack --change-index-password"
        )
    client = MilvusClient(uri=address, token=known)
    try:
        _change(client, address, user=user, former=former, password=password, seconds=seconds)
    finally:
        client.close()
    return True


def _change(
    client: MilvusClient, address: str, *, user: str, former: str, password: str, seconds: float
) -> None:
    """Set a password, tried again while the server is putting itself in order.

    A server that was killed still counts its former self among those who must hear of a new
    password, until that one's session has run out; it refuses the change meanwhile, or makes it
    and says that it failed.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            client.update_password(user, former, password)
        except (MilvusException, grpc.RpcError) as error:
            told = one_line(getattr(error, "message", error))
            if any(word in told for word in _UNFIT):
                raise VectorIndexError(
                    f"index {address}: the password can't be set ({told}); choose one of "
                    "6 to 72 characters"
                ) from error
            if _takes(address, f"{user}:{password}", seconds=seconds):
                return
            if time.monotonic() > deadline:
                raise IndexUnavailableError(
                    f"index {address}: does not set the password ({told}); try again when "
                    "all its parts are up"
                ) from error
        else:
            return
        time.sleep(_PAUSE)


def _takes(address: str, token: str, *, seconds: float) -> bool:
    """Whether a server takes a password; asked again until it says yes or no."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            _ask(address, token)
        except (MilvusException, grpc.RpcError) as error:  # a refusal comes as either
            if is_refusal(error):
                return False
            if time.monotonic() > deadline:
                told = one_line(getattr(error, "message", error))
                raise IndexUnavailableError(
                    f"index {address}: does not answer ({told}); start it, or correct "
                    "LITHOSCOPE_INDEX__ADDRESS"
                ) from error
        else:
            return True
        time.sleep(_PAUSE)


def is_refusal(error: BaseException | None) -> bool:
    """Whether a server answered, and said no: the client tells that only in what it raises from.

    The client's attempts may be raised from each other in a circle.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if _REFUSAL in str(error):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def _ask(address: str, token: str) -> None:
    client = MilvusClient(uri=address, token=token)
    try:
        client.list_collections(timeout=_PAUSE * 10)
    finally:
        client.close()
