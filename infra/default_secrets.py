"""Passwords that everybody knows, which no service starts with."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from infra.settings import SettingsError, env_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import SecretStr

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
    if index.token is not None and _is_known(index.token, after=":"):
        yield env_name("index", "token")
    if broker.url is not None:
        is_missing = broker.password is None and not is_loopback(broker.url)
        if is_missing or (broker.password is not None and _is_known(broker.password)):
            yield env_name("broker", "password")


def _is_known(secret: SecretStr | None, *, after: str | None = None) -> bool:
    text = "" if secret is None else secret.get_secret_value()
    if after is not None:
        text = text.partition(after)[2]
    return text.strip().casefold() in WELL_KNOWN


def is_loopback(url: str) -> bool:
    """Whether an address is of this machine, and of nobody else's reach."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
