"""Objects in a bucket of MinIO or any S3 store."""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO, cast

import certifi
import urllib3
from minio import Minio

from infra.local_files import (
    appearing,
    changed_source,
    copy_bounded,
    source_chunks,
    too_large,
)
from infra.notifications import ensure_notifications
from infra.object_store import CHUNK_BYTES, PAGE_SIZE, SMALL_BYTES, ObjectEntry, ObjectStat
from infra.s3_errors import s3_calls
from infra.store_errors import (
    ChecksumError,
    ObjectChangedError,
    ObjectMissingError,
    StoreAwayError,
    StoreRefusedError,
)
from infra.store_keys import (
    CHECKSUM_NAME,
    METADATA_PREFIX,
    check_key,
    check_metadata,
    check_text,
    is_hidden,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from minio.datatypes import Object
    from pydantic import SecretStr

    from infra.settings import StoreSettings

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 60.0
_RETRIES = 2
"""Quick ones, of the connection; whoever calls retries with patience."""

_CONNECTIONS = 16


class S3Store:
    """`infra.object_store.ObjectStore` on a bucket, for any number of threads; not over a fork.

    The content's SHA-256 is kept as user metadata and compared after every download. Uploads
    beyond 5 MiB go in parts; either kind shows the object at its end only.

    Attributes:
        bucket: Bucket's name.
    """

    def __init__(self, client: Minio, bucket: str, *, pool: urllib3.PoolManager) -> None:
        """Use a client and its connections; nothing is asked of the store yet."""
        self._client = client
        self._pool = pool
        self.bucket = bucket

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> S3Store:
        """Make a client; nothing is asked of the store yet.

        Raises:
            StoreRefusedError: An endpoint that is none.
        """
        pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            maxsize=_CONNECTIONS,
            cert_reqs="CERT_REQUIRED",
            ca_certs=certifi.where(),
            retries=urllib3.Retry(
                total=_RETRIES, backoff_factor=0.2, respect_retry_after_header=False
            ),
        )
        try:
            client = Minio(
                endpoint=settings.endpoint or "",
                access_key=_plain(settings.access_key),
                secret_key=_plain(settings.secret_key),
                secure=settings.secure,
                region=settings.region,
                http_client=pool,
            )
        except ValueError as error:
            raise StoreRefusedError(
                f"object store {settings.endpoint!r}: {error}; correct LITHOSCOPE_STORE__ENDPOINT"
            ) from error
        return cls(client, settings.bucket, pool=pool)

    def ensure_bucket(self) -> None:
        """Make the bucket unless it is there.

        Raises:
            StoreAwayError: The store does not answer.
            StoreRefusedError: The account may not.
        """
        with s3_calls(f"bucket {self.bucket}"):
            if not self._client.bucket_exists(bucket_name=self.bucket):
                self._client.make_bucket(bucket_name=self.bucket)

    def ensure_notifications(self) -> bool:
        """Have the bucket tell of what happens in it: `infra.notifications`.

        Returns:
            Whether something had to be changed.

        Raises:
            StoreAwayError: The store does not answer, or does not reach the broker.
            StoreRefusedError: The account may not.
        """
        return ensure_notifications(self._client, self.bucket)

    def pages(
        self, prefix: str = "", *, start_after: str = "", page_size: int = PAGE_SIZE
    ) -> Iterator[list[ObjectEntry]]:
        """List objects; see `infra.object_store.ObjectStore.pages`."""
        for text in (prefix, start_after):
            check_text(text)
        page: list[ObjectEntry] = []
        with s3_calls(f"bucket {self.bucket}"):
            for found in self._client.list_objects(
                bucket_name=self.bucket, prefix=prefix, recursive=True, start_after=start_after
            ):
                key = found.object_name or ""
                if is_hidden(key) or key.endswith("/"):  # the latter: other tools' folders
                    continue
                page.append(_entry(key, found))
                if len(page) >= page_size:
                    yield page
                    page = []
        if page:
            yield page

    def stat(self, key: str) -> ObjectStat:
        """Look at one object; see `infra.object_store.ObjectStore.stat`."""
        check_key(key)
        try:
            with s3_calls(key):
                found = self._client.stat_object(bucket_name=self.bucket, object_name=key)
        except ObjectMissingError:
            self._check_bucket()
            raise
        headers = found.metadata or {}
        plain = {
            name.lower().removeprefix(METADATA_PREFIX): str(value)
            for name, value in headers.items()
            if name.lower().startswith(METADATA_PREFIX)
        }
        entry = _entry(key, found)
        return ObjectStat(
            key=key,
            size=entry.size,
            etag=entry.etag,
            modified=entry.modified,
            sha256=plain.pop(CHECKSUM_NAME, None),
            user_metadata=plain,
        )

    def get(self, key: str, target: Path, *, max_bytes: int, etag: str | None = None) -> ObjectStat:
        """Copy an object into a file; see `infra.object_store.ObjectStore.get`."""
        with appearing(target) as file:
            return self._copy(key, file, max_bytes=max_bytes, etag=etag)

    def read(self, key: str, *, max_bytes: int = SMALL_BYTES) -> bytes:
        """Read a small object; see `infra.object_store.ObjectStore.read`."""
        content = io.BytesIO()
        self._copy(key, content, max_bytes=max_bytes, etag=None)
        return content.getvalue()

    def put(
        self,
        key: str,
        source: Path | bytes,
        *,
        sha256: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        is_durable: bool = True,  # noqa: ARG002  the store's own business
    ) -> ObjectStat:
        """Store an object; see `infra.object_store.ObjectStore.put`."""
        check_key(key)
        metadata = check_metadata(user_metadata or {})
        size, digest = copy_bounded(source_chunks(source), None, key=key, max_bytes=sys.maxsize)
        if sha256 is not None and digest != sha256.lower():
            raise ChecksumError(
                f"{key}: SHA-256 expected {sha256}, found {digest}; get the file again"
            )
        kept = {**metadata, CHECKSUM_NAME: digest}
        # one part after the other: the SDK's threads outlive an upload that fails, and race with
        # the call that withdraws its parts
        with _opened(source) as file, s3_calls(key):
            written = self._client.put_object(
                bucket_name=self.bucket,
                object_name=key,
                data=cast("BinaryIO", _SameBytes(file, size=size, digest=digest)),
                length=size,
                num_parallel_uploads=1,
                metadata={f"{METADATA_PREFIX}{name}": text for name, text in kept.items()},
            )
        return ObjectStat(
            key=key,
            size=size,
            etag=written.etag or "",
            modified=datetime.now(UTC),
            sha256=digest,
            user_metadata=metadata,
        )

    def delete(self, key: str) -> None:
        """Remove an object; see `infra.object_store.ObjectStore.delete`."""
        check_key(key)
        with s3_calls(key):
            self._client.remove_object(bucket_name=self.bucket, object_name=key)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def _check_bucket(self) -> None:
        """Tell a missing bucket from a missing object: the answer to HEAD is the same.

        Raises:
            StoreRefusedError: There is no such bucket: its objects must not be taken for removed.
        """
        with s3_calls(f"bucket {self.bucket}"):
            if self._client.bucket_exists(bucket_name=self.bucket):
                return
        raise StoreRefusedError(
            f"bucket {self.bucket}: no such bucket; make it, or correct LITHOSCOPE_STORE__BUCKET"
        )

    def _copy(self, key: str, target: BinaryIO, *, max_bytes: int, etag: str | None) -> ObjectStat:
        found = self.stat(key)
        if etag is not None and found.etag != etag:
            raise ObjectChangedError(f"{key}: is not the version {etag[:12]} any more; look again")
        if found.size > max_bytes:
            raise too_large(key, found.size, max_bytes=max_bytes)
        with s3_calls(key):
            response = self._client.get_object(
                bucket_name=self.bucket,
                object_name=key,
                request_headers={"If-Match": f'"{found.etag}"'},
            )
            with contextlib.closing(response):
                if response.headers.get("etag", "").strip('"') != found.etag:
                    raise ObjectChangedError(f"{key}: overwritten while it was read; try again")
                chunks = response.stream(CHUNK_BYTES, decode_content=False)
                size, digest = copy_bounded(chunks, target, key=key, max_bytes=max_bytes)
                response.release_conn()
        if size != found.size:
            raise StoreAwayError(
                f"{key}: broke off at {size} of {found.size} bytes; try again later"
            )
        if found.sha256 not in (None, digest):
            raise ChecksumError(
                f"{key}: SHA-256 expected {found.sha256}, found {digest}; store it again"
            )
        return found


class _SameBytes:
    """A file that is read a second time, and must hold what it did the first time.

    The last bytes are held back until all are compared, so that an object is never completed
    under another content's checksum.
    """

    def __init__(self, file: BinaryIO, *, size: int, digest: str) -> None:
        self._file = file
        self._left = size
        self._wanted = digest
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Raises:
            StoreRefusedError: The file changed.
        """
        chunk = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._digest.update(chunk)
        self._left -= len(chunk)
        short = not chunk and self._left > 0
        if short or (self._left == 0 and self._digest.hexdigest() != self._wanted):
            raise changed_source(self._file)
        return chunk


@contextlib.contextmanager
def _opened(source: Path | bytes) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise StoreRefusedError(
            f"{source}: can't be read ({error.strerror}); give a file that can be"
        ) from error
    with file:
        yield file


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _entry(key: str, found: Object) -> ObjectEntry:
    return ObjectEntry(
        key=key,
        size=found.size or 0,
        etag=(found.etag or "").strip('"'),
        modified=found.last_modified or datetime.fromtimestamp(0, UTC),
    )
