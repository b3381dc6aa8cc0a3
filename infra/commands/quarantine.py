"""``quarantine list``, ``show``, ``retry`` and ``drop``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from encoder.errors import LithoscopeError, printable
from infra.coverage_words import counted
from infra.operating import try_again

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from infra.quarantine import QuarantineRecord
    from infra.site import Site

_LABEL_WIDTH = 15


def tell_records(site: Site, prefix: str, *, as_json: bool) -> None:
    """Tell the scans in quarantine whose keys begin with a prefix."""
    if as_json:
        told = [json.loads(record.to_json()) for record in site.quarantine.records(prefix)]
        typer.echo(json.dumps({"records": told}))
        return
    count = 0
    for count, record in enumerate(site.quarantine.records(prefix), start=1):  # noqa: B007  told below
        typer.echo(printable(f"{record.object_key}: {record.fault}: {record.reason}"))
    typer.echo(f"{counted(count, 'scan')} in quarantine")


def tell_record(site: Site, key: str, *, as_json: bool) -> None:
    """Tell all of one failure.

    Raises:
        LithoscopeError: The scan is not in quarantine.
    """
    record = site.quarantine.get(key)
    if record is None:
        raise LithoscopeError(_unknown(key))
    facts = json.loads(record.to_json())
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<{_LABEL_WIDTH}}{printable(str(value))}")


def retry(site: Site, keys: Sequence[str], *, every: bool) -> int:
    """Forget failures and attempts, so that the next sweep tries the scans as new.

    Args:
        site: The site.
        keys: Scans.
        every: All in quarantine instead.

    Returns:
        1 if a scan was not in quarantine, else 0.

    Raises:
        LithoscopeError: Neither keys nor ``every``, or both.
    """
    done = 0
    for record in _chosen(site, keys, every=every):
        try_again(site, record.object_key)
        done += 1
    typer.echo(f"{counted(done, 'scan')} to be tried again: by `lithoscope reconcile`")
    return 1 if not every and done < len(set(keys)) else 0


def drop(site: Site, keys: Sequence[str], *, every: bool) -> int:
    """Forget failures, but no attempt that was begun since; see `retry`."""
    done = 0
    for record in _chosen(site, keys, every=every):
        site.quarantine.drop(record.object_key)
        done += 1
    typer.echo(f"{counted(done, 'failure')} forgotten; scans that are still there are tried again")
    return 1 if not every and done < len(set(keys)) else 0


def _chosen(site: Site, keys: Sequence[str], *, every: bool) -> Iterator[QuarantineRecord]:
    """The records that are meant; keys without one are told on the way."""
    if bool(keys) == every:
        raise LithoscopeError("quarantine: name scans by their keys, or all of them by --all")
    if every:
        yield from list(site.quarantine.records())
        return
    for key in dict.fromkeys(keys):
        record = site.quarantine.get(key)
        if record is None:
            typer.echo(printable(_unknown(key)), err=True)
        else:
            yield record


def _unknown(key: str) -> str:
    return f"{key}: not in quarantine; see `lithoscope quarantine list`"
