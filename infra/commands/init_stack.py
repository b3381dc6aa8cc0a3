"""``lithoscope init-stack``: make what the stack's services expect to be there."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

import typer

from infra.default_secrets import refuse_default_secrets
from infra.index_password import ensure_index_password
from infra.indexing.errors import IndexUnavailableError
from infra.s3_store import S3Store
from infra.settings import load_settings
from infra.store_errors import StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.settings import Settings

WAIT_SECONDS = 120.0
"""Services that were started with it have so long to come up."""

_PAUSE_SECONDS = 2.0

Answer = TypeVar("Answer")


def init_stack(*, former_index_password: str | None = None) -> None:
    """Make the bucket, have it tell of what happens in it, and set the index's password.

    What is there already stays as it is.

    Args:
        former_index_password: The index's password that is replaced by the one of the settings;
            none: its first one, where it is new.

    Raises:
        SettingsError: A password is one that everybody knows.
        StoreAwayError: The store stayed away, or does not reach the broker.
        StoreRefusedError: The account may not.
        IndexUnavailableError: The index stayed away.
        VectorIndexError: The index refuses the passwords.
    """
    settings = load_settings()
    if settings.store.kind != "s3" and settings.index.address is None:
        typer.echo("nothing to do: objects and vectors are kept in folders of this machine")
        return
    refuse_default_secrets(settings)
    if settings.store.kind == "s3":
        _prepare_bucket(settings)
    if settings.index.address is not None:
        is_new = _keep_trying(
            lambda: ensure_index_password(settings.index, former=former_index_password)
        )
        typer.echo(f"index {settings.index.address}: {'password set' if is_new else 'as it was'}")


def _prepare_bucket(settings: Settings) -> None:
    bucket = settings.store.bucket
    store = S3Store.from_settings(settings.store)
    try:
        _keep_trying(store.ensure_bucket)
        typer.echo(f"bucket {bucket}: there")
        if settings.broker.url is None:
            typer.echo("no broker is set: the bucket tells nobody of what happens in it")
            return
        if not settings.store.notifies:
            typer.echo("the bucket tells nobody of what happens in it: the sweep finds what is new")
            return
        is_new = _keep_trying(store.ensure_notifications)
        typer.echo(f"notifications of bucket {bucket}: {'set' if is_new else 'as they were'}")
    finally:
        store.close()


def _keep_trying(call: Callable[[], Answer]) -> Answer:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return call()
        except (StoreAwayError, IndexUnavailableError) as error:
            if time.monotonic() > until:
                raise
            typer.echo(f"{error}; trying again", err=True)
            time.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311  no secret
