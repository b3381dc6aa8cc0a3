"""The index's password: a server that was just made still has the one that everybody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymilvus import MilvusClient, MilvusException

from infra.indexing.errors import IndexUnavailableError

if TYPE_CHECKING:
    from infra.settings_groups import IndexSettings

_KNOWN = "Milvus"
"""Milvus's own first password, where its settings name no other (or can't: servers before 2.4)."""


def ensure_index_password(settings: IndexSettings) -> bool:
    """Give a new server the password of the settings; one that has it is left as it is.

    Args:
        settings: Where the index is. Without an address or a token there is nothing to do.

    Returns:
        Whether the password was set now.

    Raises:
        IndexUnavailableError: The server is away, or takes neither the password of the settings
            nor its first one.
    """
    if settings.address is None or settings.token is None:
        return False
    address, token = settings.address, settings.token.get_secret_value()
    user, _, password = token.partition(":")
    if _takes(address, token):
        return False
    known = f"{user}:{_KNOWN}"
    if not _takes(address, known):
        raise IndexUnavailableError(
            f"index {address}: refuses the user {user!r} with the password of "
            "LITHOSCOPE_INDEX__TOKEN, or does not answer; name the password that it has"
        )
    client = MilvusClient(uri=address, token=known)
    try:
        client.update_password(user, _KNOWN, password)
    except MilvusException as error:
        raise IndexUnavailableError(
            f"index {address}: the password can't be set ({error.message}); choose one of 6 to 72 "
            "characters"
        ) from error
    finally:
        client.close()
    return True


def _takes(address: str, token: str) -> bool:
    try:
        client = MilvusClient(uri=address, token=token)
    except MilvusException:
        return False
    try:
        client.list_collections()
    except MilvusException:
        return False
    finally:
        client.close()
    return True
