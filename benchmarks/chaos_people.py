"""Those who use the store while the stack is tormented: they try until an operation is done."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import urllib3
from minio.commonconfig import CopySource
from minio.error import InvalidResponseError, S3Error, ServerError

from chaos_plan import Copy, Delete, Put, PutTable
from chaos_rocks import content_bytes
from stack_audit import raw_store

if TYPE_CHECKING:
    from typing import Self

    from chaos_plan import Operation
    from infra.settings import Settings

PATIENCE_SECONDS = 300.0
"""How long a store that is away is waited for."""

_PAUSE_SECONDS = 0.2
_REFUSALS = frozenset({"AccessDenied", "InvalidAccessKeyId", "NoSuchBucket", "NoSuchKey"})
_AWAY = (S3Error, ServerError, InvalidResponseError, urllib3.exceptions.HTTPError, OSError)


class People:
    """Clients of the store that don't give up. A context manager."""

    def __init__(self, settings: Settings) -> None:
        """Connect.

        Args:
            settings: A client's.
        """
        self._client, self._pool = raw_store(settings)
        self._bucket = settings.store.bucket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.clear()

    def carry_out(self, operation: Operation) -> int:
        """Carry out an operation, however often the store goes away.

        Returns:
            How often it was tried.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        tries = 0
        while True:
            tries += 1
            try:
                self._try(operation)
            except _AWAY as error:
                refuses = isinstance(error, S3Error) and error.code in _REFUSALS
                if refuses or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return tries

    def _try(self, operation: Operation) -> None:
        match operation:
            case Put(key, content):
                told = {} if content.porosity is None else {"porosity": str(content.porosity)}
                self._put(key, content_bytes(content), told)
            case PutTable(key, rows):
                lines = [f'"{scan}",{porosity}' for scan, porosity in rows]
                self._put(key, "\n".join(["object_key,porosity", *lines, ""]).encode(), {})
            case Copy(source, key):
                self._client.copy_object(self._bucket, key, CopySource(self._bucket, source))
            case Delete(key):
                self._client.remove_object(self._bucket, key)

    def _put(self, key: str, content: bytes, told: dict[str, str]) -> None:
        self._client.put_object(
            self._bucket, key, io.BytesIO(content), len(content), metadata=dict(told)
        )
