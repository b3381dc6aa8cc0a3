"""One contract for every object store: a folder, moto's S3 server, and a real MinIO server.

MinIO's binary is taken from PATH or from MINIO_BIN. Without it its tests are skipped; on CI (CI is
set) that is a failure, unless MINIO_BIN=none says that it can't be had there.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from infra.folder_store import FolderStore
from infra.s3_store import S3Store
from infra.settings import StoreSettings
from infra.store_errors import (
    BadKeyError,
    BadMetadataError,
    ChecksumError,
    ObjectChangedError,
    ObjectMissingError,
    ObjectTooLargeError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.object_store import ObjectEntry, ObjectStore

SECONDS_TO_START = 60
HOSTILE_PARTS = (
    *(" ", "a b", " lead", "trail ", "two  spaces", "'", '"', "a&b", "a+b", "a%20b", "%", "%2F"),
    *("#", "?", "a?b=c", "*", "<x>", "$HOME", "`id`", "~", ";", "|", ",", "@", "=", "!", "[x]"),
    *("é", "e\u0301", "砂岩", "🪨", "\N{RIGHT-TO-LEFT OVERRIDE}abc", "a\u200bb", "_", "-", "C:"),
    *("a...", "..a".lstrip("."), "CON", "x" * 255, "岩" * 85),
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def settings_of(endpoint: str, **changes: str) -> StoreSettings:
    plain: dict[str, object] = {
        "kind": "s3",
        "bucket": "rocks",
        "endpoint": endpoint,
        "access_key": SecretStr("test-account"),
        "secret_key": SecretStr("test-password"),
        "secure": False,
    }
    return StoreSettings.model_validate(plain | changes)


@contextlib.contextmanager
def running(command: list[str], port: int, *, ready: str, env: dict[str, str]) -> Iterator[str]:
    """Run a server until its ready page answers; its output is shown when it does not."""
    with subprocess.Popen(  # noqa: S603  a server of ours on this machine
        command,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as server:
        log: list[bytes] = []
        assert server.stdout is not None
        drain = threading.Thread(target=lambda: log.extend(server.stdout or ()))
        drain.start()
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while not answers(port, ready):
                assert server.poll() is None, b"".join(log)
                assert time.monotonic() < deadline, b"".join(log)
                time.sleep(0.1)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)
            drain.join()


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def minio_binary() -> str:
    named = os.environ.get("MINIO_BIN")
    if named == "none":
        pytest.skip("MINIO_BIN=none: no MinIO server can be had here")
    found = shutil.which(named or "minio")
    if found is None and (named or os.environ.get("CI")):
        pytest.fail("no MinIO server: install `minio`, or name it in MINIO_BIN (none: do without)")
    if found is None:
        pytest.skip("no `minio` on PATH and none in MINIO_BIN")
    return found


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server"]
    command += ["-H", "127.0.0.1", "-p", str(port)]
    with running(command, port, ready="/moto-api/data.json", env={}) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minio_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary, port = minio_binary(), free_port()
    command = [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    command += ["--console-address", "127.0.0.1:0", str(tmp_path_factory.mktemp("minio"))]
    account = {"MINIO_ROOT_USER": "test-account", "MINIO_ROOT_PASSWORD": "test-password"}
    with running(command, port, ready="/minio/health/live", env=account) as endpoint:
        yield endpoint


@pytest.fixture(params=["folder", "moto", "minio"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An empty store of each kind."""
    if request.param == "folder":
        (tmp_path / "bucket").mkdir()
        folder = FolderStore(tmp_path / "bucket")
        yield folder
        folder.close()
        return
    endpoint = request.getfixturevalue(f"{request.param}_endpoint")
    bucket = f"b{random.getrandbits(60)}"
    s3 = S3Store.from_settings(settings_of(endpoint, bucket=bucket))
    s3.ensure_bucket()
    yield s3
    s3.close()


def faults_of_a_race(store: ObjectStore) -> tuple[type[StoreError], ...]:
    """What a caller must be ready to retry when one key is overwritten by many.

    moto now and then answers 500 then (it closes the content that another request reads).
    """
    s3 = isinstance(store, S3Store)
    return (ObjectChangedError, StoreAwayError) if s3 else (ObjectChangedError,)


def listed(store: ObjectStore, prefix: str = "") -> list[ObjectEntry]:
    return [entry for page in store.pages(prefix) for entry in page]


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [entry.key for entry in listed(store, prefix)]


# --- putting, looking, getting, removing ---


@pytest.mark.parametrize("size", [0, 1, 100_000])
@pytest.mark.parametrize("as_file", [True, False])
def test_what_was_put_comes_back(
    store: ObjectStore, tmp_path: Path, size: int, *, as_file: bool
) -> None:
    content = random.Random(size).randbytes(size)  # noqa: S311  seeded test data
    source: Path | bytes = content
    if as_file:
        source = tmp_path / "source"
        source.write_bytes(content)
    before = datetime.now(UTC) - timedelta(seconds=5)
    put = store.put("scans/E1/S1/a.raw", source, user_metadata={"Shape": "4x5", "dtype": "uint8"})
    found = store.stat("scans/E1/S1/a.raw")
    assert found.size == put.size == size
    assert found.etag == put.etag != ""
    assert found.sha256 == put.sha256 == sha256(content)
    assert found.user_metadata == put.user_metadata == {"shape": "4x5", "dtype": "uint8"}
    assert before < found.modified < datetime.now(UTC) + timedelta(seconds=5)
    got = store.get("scans/E1/S1/a.raw", tmp_path / "copy", max_bytes=size)
    assert got == found
    assert (tmp_path / "copy").read_bytes() == content
    assert store.read("scans/E1/S1/a.raw") == content
    (entry,) = listed(store)
    assert (entry.key, entry.size, entry.etag) == (found.key, size, found.etag)


def test_a_large_upload_goes_in_parts_and_comes_back_whole(
    store: ObjectStore, tmp_path: Path
) -> None:
    content = random.Random(1).randbytes((11 << 20) + 7)  # noqa: S311  seeded test data
    source = tmp_path / "source"
    source.write_bytes(content)
    store.put("a.raw", source, sha256=sha256(content), user_metadata={"shape": "1"})
    found = store.get("a.raw", tmp_path / "copy", max_bytes=len(content))
    assert sha256((tmp_path / "copy").read_bytes()) == found.sha256 == sha256(content)
    assert found.user_metadata == {"shape": "1"}
    assert found.etag == listed(store)[0].etag


def test_an_object_is_replaced_with_its_metadata(store: ObjectStore) -> None:
    first = store.put("a", b"one", user_metadata={"shape": "1", "dtype": "u1"})
    second = store.put("a", b"two", user_metadata={"shape": "2"})
    assert first.etag != second.etag
    assert store.stat("a").user_metadata == {"shape": "2"}
    same_content = store.put("a", b"two")
    assert store.stat("a").user_metadata == {}
    assert same_content.etag == second.etag
    store.put("a", b"one")
    assert store.stat("a").user_metadata == {}
    assert keys(store) == ["a"]


def test_a_removed_object_is_gone_with_its_metadata(store: ObjectStore, tmp_path: Path) -> None:
    store.put("x/a", b"one", user_metadata={"shape": "1"})
    store.put("x/b", b"two")
    store.delete("x/a")
    assert keys(store) == ["x/b"]
    with pytest.raises(ObjectMissingError, match="x/a"):
        store.stat("x/a")
    with pytest.raises(ObjectMissingError):
        store.get("x/a", tmp_path / "copy", max_bytes=10)
    with pytest.raises(ObjectMissingError):
        store.read("x/a")
    assert not (tmp_path / "copy").exists()
    store.delete("x/a")  # again: no error
    store.delete("never/there")
    store.put("x/a", b"one")
    assert store.stat("x/a").user_metadata == {}


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.put("x/a", b"one")
    for key in ("x", "x/a/b"):
        with pytest.raises(ObjectMissingError):
            store.stat(key)
    store.delete("x")
    assert keys(store) == ["x/a"]


# --- bounds and versions ---


def test_nothing_is_written_beyond_the_bound(store: ObjectStore, tmp_path: Path) -> None:
    store.put("a", b"x" * 1000)
    with pytest.raises(ObjectTooLargeError, match="999"):
        store.get("a", tmp_path / "copy", max_bytes=999)
    with pytest.raises(ObjectTooLargeError):
        store.read("a", max_bytes=0)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    store.get("a", tmp_path / "copy", max_bytes=1000)


def test_another_version_is_not_given_for_the_one_that_is_meant(
    store: ObjectStore, tmp_path: Path
) -> None:
    old = store.put("a", b"old")
    (tmp_path / "copy").write_bytes(b"kept")
    new = store.put("a", b"new")
    with pytest.raises(ObjectChangedError, match="a") as caught:
        store.get("a", tmp_path / "copy", max_bytes=10, etag=old.etag)
    assert caught.value.retryable
    assert (tmp_path / "copy").read_bytes() == b"kept"
    store.get("a", tmp_path / "copy", max_bytes=10, etag=new.etag)
    assert (tmp_path / "copy").read_bytes() == b"new"


def test_an_object_that_is_overwritten_all_the_time_is_never_mixed(
    store: ObjectStore, tmp_path: Path
) -> None:
    patience = faults_of_a_race(store)
    contents = [bytes([number]) * 700_000 for number in range(4)]
    by_hash = {sha256(content): str(number) for number, content in enumerate(contents)}
    store.put("a", contents[0], user_metadata={"number": "0"})
    done = threading.Event()

    def overwrite() -> None:
        number = 0
        while not done.is_set():
            number = (number + 1) % len(contents)
            with contextlib.suppress(*patience):
                store.put("a", contents[number], user_metadata={"number": str(number)})

    got = 0
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(overwrite)
        try:
            for _ in range(300):
                if got == 20:
                    break
                try:
                    stat = store.get("a", tmp_path / "copy", max_bytes=1 << 20)
                except patience:
                    continue
                got += 1
                found = sha256((tmp_path / "copy").read_bytes())
                assert found == stat.sha256
                assert stat.user_metadata == {"number": by_hash[found]}
        finally:
            done.set()
        writer.result()
    assert got == 20


def test_content_other_than_promised_is_not_stored(store: ObjectStore) -> None:
    store.put("a", b"kept", sha256=sha256(b"kept").upper())
    with pytest.raises(ChecksumError, match=sha256(b"damaged")):
        store.put("a", b"damaged", sha256=sha256(b"meant"))
    assert store.read("a") == b"kept"
    assert keys(store) == ["a"]


def test_a_source_that_can_not_be_read_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    for source in (tmp_path / "missing", tmp_path):
        with pytest.raises(StoreRefusedError, match=source.name):
            store.put("a", source)
    assert keys(store) == []


def test_writers_at_once_lose_nothing(store: ObjectStore) -> None:
    def write(number: int) -> None:
        store.put(f"own/{number:03}", f"{number}".encode(), user_metadata={"number": str(number)})
        text = str(number % 3)
        with contextlib.suppress(*faults_of_a_race(store)):
            store.put("shared", text.encode() * 1000, user_metadata={"number": text})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(48)))
    assert keys(store, "own/") == [f"own/{number:03}" for number in range(48)]
    for number in range(48):
        assert store.read(f"own/{number:03}") == str(number).encode()
        assert store.stat(f"own/{number:03}").user_metadata == {"number": str(number)}
    assert store.stat("shared").user_metadata == {"number": store.read("shared")[:1].decode()}


# --- listing ---


def test_pages_are_full_ordered_and_resumable(store: ObjectStore) -> None:
    names = [f"p/{number % 7}/{number:05}" for number in range(2100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.put(name, b"x"), names))
    pages = [[entry.key for entry in page] for page in store.pages("p/")]
    assert [len(page) for page in pages] == [1000, 1000, 100]
    assert [key for page in pages for key in page] == sorted(names)
    small = store.pages("p/3/", page_size=7)
    first = [entry.key for entry in next(small)]
    rest = [e.key for page in store.pages("p/3/", start_after=first[-1], page_size=7) for e in page]
    assert first + rest == sorted(name for name in names if name.startswith("p/3/"))
    # where the last key was removed meanwhile, listing goes on behind its place
    store.delete(first[-1])
    again = [e.key for page in store.pages("p/3/", start_after=first[-1]) for e in page]
    assert again == rest


def test_keys_are_ordered_by_their_bytes_whatever_the_folders(store: ObjectStore) -> None:
    names = ["a/b", "a-b", "a.b", "a b/c", "a0", "a/b0/c", "B", "é", "z", "\uffee", "🪨", "a~/x"]
    for name in names:
        store.put(name, b"x")
    expected = sorted(names, key=lambda name: name.encode())
    assert expected.index("\uffee") < expected.index("🪨")  # UTF-16 would turn them round
    assert keys(store) == expected
    for place, name in enumerate(expected):
        after = [entry.key for page in store.pages(start_after=name) for entry in page]
        assert after == expected[place + 1 :]


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "a/b/", "b", "a/bc", "zz", "a/b/c/d"])
def test_a_prefix_is_text_not_a_folder(store: ObjectStore, prefix: str) -> None:
    names = ["a/b/c", "a/bc/d", "ab", "b/a", "a/b d"]
    for name in names:
        store.put(name, b"x")
    expected = sorted(name for name in names if name.startswith(prefix))
    assert keys(store, prefix) == expected
    for start in ("a/", "a/b", "a/b/c", "a/bb", "c"):
        after = [e.key for page in store.pages(prefix, start_after=start) for e in page]
        assert after == [name for name in expected if name > start]


@pytest.mark.parametrize("text", ["\ud800", "scans/\ud83e"])
def test_a_listing_of_what_is_no_text_is_refused(store: ObjectStore, text: str) -> None:
    with pytest.raises(BadKeyError):
        list(store.pages(text))
    with pytest.raises(BadKeyError):
        list(store.pages(start_after=text))


def test_an_empty_store_has_no_pages(store: ObjectStore) -> None:
    assert list(store.pages()) == []
    assert list(store.pages("scans/", start_after="scans/z")) == []


# --- keys and metadata ---


@pytest.mark.parametrize("seed", range(12))
def test_hostile_keys_are_kept_apart_and_come_back(store: ObjectStore, seed: int) -> None:
    rng = random.Random(seed)  # noqa: S311  seeded test data
    parts = [rng.sample(HOSTILE_PARTS, rng.randint(1, 3)) for _ in range(8)]
    names = {f"{seed}/" + "/".join([f"d{n}", *path]): n for n, path in enumerate(parts)}
    names = {name: n for name, n in names.items() if len(name.encode()) <= 1024}
    for name, number in names.items():
        store.put(name, str(number).encode())
    assert keys(store) == sorted(names, key=lambda name: name.encode())
    for name, number in names.items():
        assert store.stat(name).key == name
        assert store.read(name) == str(number).encode()
    for name in names:
        store.delete(name)
    assert keys(store) == []


@pytest.mark.parametrize("text", ["line\nbreak", "tab\there", "bell\x07", "del\x7f", "cr\rlf\n"])
def test_keys_with_control_characters_come_back_or_are_refused(
    store: ObjectStore, text: str
) -> None:
    key = f"x/{text}/y"
    try:
        store.put(key, b"content")
    except StoreRefusedError:  # some S3 stores don't take them
        assert keys(store) == []
        return
    assert keys(store) == [key]
    assert store.read(key) == b"content"


def test_keys_of_a_thousand_bytes_come_back(store: ObjectStore) -> None:
    key = "/".join(["k" * 199] * 5)
    key += "e" * (1000 - len(key))
    other = f"{key[:-1]}f"
    store.put(key, b"one")
    store.put(other, b"two")
    assert keys(store) == [key, other]
    assert store.read(key) == b"one"


@pytest.mark.parametrize(
    "key",
    [
        *("", "/", "/etc/passwd", "../a", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", "a/b//"),
        *("a\0b", "..\\a", "a\\b", "C:\\a", ".hidden", "a/.hidden", ".lithoscope/lock", "..."),
        *("bad\udc80", "\ud800", "x" * 256, "岩" * 86, "/".join(["k" * 200] * 6)),
    ],
)
def test_keys_that_leave_or_that_no_store_takes_are_refused(
    store: ObjectStore, tmp_path: Path, key: str
) -> None:
    for call in (
        lambda: store.put(key, b"x"),
        lambda: store.stat(key),
        lambda: store.read(key),
        lambda: store.get(key, tmp_path / "copy", max_bytes=10),
        lambda: store.delete(key),
    ):
        with pytest.raises(BadKeyError) as caught:
            call()
        assert not caught.value.retryable
        assert "\n" not in str(caught.value)
    assert keys(store) == []
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "copy").exists()


def test_metadata_survives_in_one_spelling(store: ObjectStore) -> None:
    given = {
        "Pixel_size_um": "2.5",
        "x-amz-meta-sample": "E2 07",
        "cache-control": "is no header here",
        "content-type": "neither",
        "quoted": "\"a' \\ %20 = ; ,",
        "empty": "",
        "n1": "~!@#$^&*()",
    }
    store.put("a", b"x", user_metadata=given)
    expected = {
        "pixel-size-um": "2.5",
        "sample": "E2 07",
        "cache-control": "is no header here",
        "content-type": "neither",
        "quoted": "\"a' \\ %20 = ; ,",
        "empty": "",
        "n1": "~!@#$^&*()",
    }
    assert store.stat("a").user_metadata == expected


def test_metadata_up_to_its_bound_is_taken(store: ObjectStore) -> None:
    store.put("a", b"x", user_metadata={"n": "v" * 1900})
    assert store.stat("a").user_metadata == {"n": "v" * 1900}


@pytest.mark.parametrize(
    "metadata",
    [
        *({"sample": "Sölden"}, {"sample": "a\nb"}, {"sample": " a"}, {"sample": "a  b"}),
        *({"sample": "\x7f"}, {"": "a"}, {"a b": "c"}, {"é": "a"}, {"a:b": "c"}, {"-": "x"}),
        *({"n": "v" * 2048}, {f"n{i}": "v" * 100 for i in range(20)}),
        *({"a_b": "1", "a-b": "2"}, {"Lithoscope-SHA256": "0"}),
    ],
)
def test_metadata_that_s3_would_lose_or_bend_is_refused(
    store: ObjectStore, metadata: dict[str, str]
) -> None:
    with pytest.raises(BadMetadataError):
        store.put("a", b"x", user_metadata=metadata)
    assert keys(store) == []


def test_errors_are_one_line_and_name_the_key(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        store.get("scans/E1/gone", tmp_path / "copy", max_bytes=1)
    assert str(caught.value) == "scans/E1/gone: no such object"
    store.put("a", b"x")
    with pytest.raises(StoreRefusedError, match="copy"):
        store.get("a", tmp_path / "no folder" / "copy", max_bytes=1)


# --- S3 alone ---


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

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        del format, args


@pytest.fixture
def broken() -> Iterator[S3Store]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BrokenHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
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
