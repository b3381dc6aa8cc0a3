"""Passwords that everybody knows, which no service starts with."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import SecretStr

from infra.settings import SettingsError, env_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.settings import Settings

WELL_KNOWN = frozenset(
    {
        *("", "admin", "adminadmin", "administrator", "root", "user", "test", "guest", "default"),
        *(
            "password",
            "passw0rd",
            "pass",
            "secret",
            "changeme",
            "change-me",
            "change_me",
            "letmein",
        ),
        *("minio", "minioadmin", "minio123", "minio-secret-key", "miniosecret", "minioroot"),
        *("milvus", "redis", "valkey", "redispassword", "foobared", "postgres", "grafana"),
        *("rustfsadmin", "silo", "siloadmin", "lithoscope", "123456", "12345678", "example"),
    }
)
"""What images, documentation and tutorials set, in small letters."""


def refuse_default_secrets(settings: Settings) -> None:
    """Refuse passwords that everybody knows, unless the settings say that this is for trying out.

    Args:
        settings: What a service was started with.

    Raises:
        SettingsError: There are some; the text names the variables, not what they hold.
    """
    if settings.env == "local":
        return
    if names := list(_well_known(settings)):
        raise SettingsError(
            f"{', '.join(names)}: a password that everybody knows, or none; expected one of your "
            f"own: set it (`make env` writes strong ones), or {env_name('env')}=local on a machine "
            "that nobody else reaches"
        )


def _well_known(settings: Settings) -> Iterator[str]:
    store, index, broker = settings.store, settings.index, settings.broker
    if store.kind == "s3" and _is_known(store.secret_key):
        yield env_name("store", "secret_key")
    if _is_open(index.address, _password(index.token)):
        yield env_name("index", "token")
    if _is_open(broker.url, broker.password):
        yield env_name("broker", "password")


def _password(token: SecretStr | None) -> SecretStr | None:
    """The part of a token that is secret: all of one that names no user."""
    if token is None:
        return None
    user, colon, password = token.get_secret_value().partition(":")
    return SecretStr(password if colon else user)


def _is_open(url: str | None, secret: SecretStr | None) -> bool:
    """Whether everybody can use a server; one of this machine alone needs no password."""
    if url is None:
        return False
    return _is_known(secret) if secret is not None else not is_loopback(url)


def _is_known(secret: SecretStr | None) -> bool:
    text = "" if secret is None else secret.get_secret_value()
    return text.strip().casefold() in WELL_KNOWN


def is_loopback(url: str) -> bool:
    """Whether an address is of this machine, and of nobody else's reach."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
