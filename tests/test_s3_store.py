"""What only S3 stores do: bad answers, absent servers and buckets, other tools' objects."""

from __future__ import annotations

import http.client
import os
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from infra.s3_store import S3Store
from infra.store_errors import (
    BadKeyError,
    ChecksumError,
    ObjectChangedError,
    ObjectMissingError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
)
from object_stores import free_port, keys, settings_of, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest_plugins = ["object_stores"]


@pytest.fixture
def s3(moto_endpoint: str) -> S3Store:
    store = S3Store.from_settings(settings_of(moto_endpoint, bucket=f"b{random.getrandbits(60)}"))
    store.ensure_bucket()
    store.ensure_bucket()  # again: no error
    return store


class BrokenHandler(BaseHTTPRequestHandler):
    """Stands for a store whose answers break off, lie, or are errors: chosen by the key."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        kind = self.path.rsplit("/", 1)[-1]
        if body and kind.startswith("throttled"):
            self._throttle(int(kind.removeprefix("throttled")))
            return
        if kind.isdigit():
            self.send_response(int(kind))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.send_header("ETag", '"2"' if kind == "overwritten" and body else '"1"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("x-amz-meta-lithoscope-sha256", sha256(b"x" * 100_000))
        self.end_headers()
        if body:
            letter = b"y" if kind == "damaged" else b"x"
            self.wfile.write(letter * (60_000 if kind == "truncated" else 100_000))
        self.close_connection = True

    def _throttle(self, status: int) -> None:
        words = b"<Error><Code>TooManyRequests</Code><Message>slower, please</Message></Error>"
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        del format, args


@pytest.fixture
def broken() -> Iterator[S3Store]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BrokenHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield S3Store.from_settings(settings_of(f"127.0.0.1:{server.server_address[1]}"))
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("key", "error"),
    [
        ("truncated", StoreAwayError),
        ("damaged", ChecksumError),
        ("overwritten", ObjectChangedError),
        ("404", ObjectMissingError),
        ("403", StoreRefusedError),
        ("500", StoreAwayError),
        ("503", StoreAwayError),
        ("429", StoreAwayError),
        ("throttled429", StoreAwayError),
        ("throttled408", StoreAwayError),
        ("throttled400", StoreRefusedError),
    ],
)
def test_a_bad_answer_leaves_no_file_and_says_whether_to_retry(
    broken: S3Store, tmp_path: Path, key: str, error: type[StoreError]
) -> None:
    with pytest.raises(error, match=key) as caught:
        broken.get(key, tmp_path / "copy", max_bytes=1 << 20)
    assert caught.value.retryable == (error in {StoreAwayError, ObjectChangedError})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert broken.read("whole") == b"x" * 100_000


def test_a_store_that_is_down_is_away(tmp_path: Path) -> None:
    store = S3Store.from_settings(settings_of(f"127.0.0.1:{free_port()}"))
    for call in (
        lambda: store.stat("a"),
        lambda: list(store.pages()),
        lambda: store.put("a", b"x"),
        lambda: store.get("a", tmp_path / "copy", max_bytes=1),
        lambda: store.delete("a"),
        store.ensure_bucket,
    ):
        with pytest.raises(StoreAwayError, match="did not answer") as caught:
            call()
        assert "test-password" not in str(caught.value)


def test_a_missing_bucket_is_refused_by_name(moto_endpoint: str) -> None:
    store = S3Store.from_settings(settings_of(moto_endpoint, bucket="never-made"))
    calls: list[Callable[[], object]] = [
        lambda: list(store.pages()),
        lambda: store.stat("a"),  # not "missing": that would remove it from an index
        lambda: store.read("a"),
        lambda: store.put("a", b"x"),
        lambda: store.delete("a"),
    ]
    for call in calls:
        with pytest.raises(StoreRefusedError, match="LITHOSCOPE_STORE__BUCKET"):
            call()


def test_another_protocol_is_not_taken_for_s3(moto_endpoint: str) -> None:
    store = S3Store.from_settings(settings_of(moto_endpoint).model_copy(update={"secure": True}))
    with pytest.raises(StoreError):
        store.stat("a")
    with pytest.raises(StoreRefusedError, match="LITHOSCOPE_STORE__ENDPOINT"):
        S3Store.from_settings(settings_of("host:port:port"))


def test_a_wrong_account_is_refused(minio_endpoint: str) -> None:
    settings = settings_of(minio_endpoint).model_copy(update={"secret_key": SecretStr("wrong")})
    with pytest.raises(StoreRefusedError, match=r"LITHOSCOPE_STORE__SECRET_KEY|403"):
        list(S3Store.from_settings(settings).pages())


def test_an_upload_whose_source_changes_is_not_completed(s3: S3Store, tmp_path: Path) -> None:
    """The file is written to while it is uploaded: nothing may appear under a wrong checksum."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * (40 << 20))
    store_error: list[StoreError] = []

    def put() -> None:
        try:
            s3.put("a", source)
        except StoreError as error:
            store_error.append(error)

    thread = threading.Thread(target=put)
    thread.start()
    while thread.is_alive():
        with source.open("r+b") as file:  # in place, as a program that still writes does
            file.seek(39 << 20)
            file.write(os.urandom(8))
    thread.join()
    if store_error:
        assert isinstance(store_error[0], StoreRefusedError)
        assert keys(s3) == []
    else:
        assert sha256(s3.read("a", max_bytes=40 << 20)) == s3.stat("a").sha256


def test_objects_of_other_tools_are_seen(s3: S3Store, moto_endpoint: str) -> None:
    for path in ("plain", "folder/", ".hidden", "x/.hidden/y", "back%5Cslash"):
        connection = http.client.HTTPConnection(moto_endpoint)
        connection.request("PUT", f"/{s3.bucket}/{path}", body=b"content")
        assert connection.getresponse().status == 200
        connection.close()
    assert keys(s3) == ["back\\slash", "plain"]  # the former can be seen, and is refused
    assert s3.stat("plain").sha256 is None
    assert s3.read("plain") == b"content"
    with pytest.raises(BadKeyError):
        s3.stat("back\\slash")
