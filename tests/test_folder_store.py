"""What only a folder can do wrong: links, crashes, files changed by hand, disks that are away."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.folder_store import FolderStore
from infra.settings import Settings
from infra.store_errors import (
    ObjectChangedError,
    ObjectMissingError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
)
from infra.stores import open_object_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> Iterator[FolderStore]:
    opened = FolderStore(root)
    yield opened
    opened.close()


def keys(store: FolderStore) -> list[str]:
    return [entry.key for page in store.pages() for entry in page]


def write(path: Path, content: bytes, *, age: float = 60.0) -> None:
    """Put a file there by hand, last changed a while ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - age,) * 2)


def test_files_put_by_hand_are_objects(store: FolderStore, root: Path) -> None:
    write(root / "scans/E1/S1/a.png", b"content")
    found = store.stat("scans/E1/S1/a.png")
    assert found.etag == found.sha256 == hashlib.sha256(b"content").hexdigest()
    assert found.user_metadata == {}
    assert keys(store) == ["scans/E1/S1/a.png"]


def test_stored_objects_are_ordinary_files(store: FolderStore, root: Path) -> None:
    store.put("scans/E1/a.png", b"content", user_metadata={"shape": "1"})
    assert (root / "scans/E1/a.png").read_bytes() == b"content"
    umask = os.umask(0)
    os.umask(umask)
    assert (root / "scans/E1/a.png").stat().st_mode & 0o777 == 0o666 & ~umask


def test_hidden_and_special_files_are_not_listed(
    store: FolderStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (".DS_Store", "x/._a.png", ".git/config", ".a.png.part"):
        write(root / name, b"x")
    os.mkfifo(root / "pipe")
    (root / "empty").mkdir()
    store.put("x/a.png", b"x")
    assert keys(store) == ["x/a.png"]
    assert "pipe" in caplog.text
    with pytest.raises(ObjectMissingError):
        store.read("pipe")  # and it does not wait for somebody to write


@pytest.mark.parametrize("inside", [True, False])
def test_links_lead_nowhere(
    store: FolderStore,
    root: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    inside: bool,
) -> None:
    target = (root if inside else tmp_path) / "target"
    write(target / "a", b"secret")
    (root / "folder").symlink_to(target)
    (root / "file").symlink_to(target / "a")
    (root / "dangling").symlink_to(tmp_path / "nothing")
    assert keys(store) == (["target/a"] if inside else [])
    assert "file" in caplog.text
    calls: list[Callable[[str], object]] = [
        store.stat,
        store.read,
        store.delete,
        lambda key: store.put(key, b"overwritten"),
        lambda key: store.get(key, tmp_path / "copy", max_bytes=10),
    ]
    for key in ("folder/a", "folder/new", "file", "dangling"):
        for call in calls:
            with pytest.raises(StoreRefusedError, match="link"):
                call(key)
    assert (target / "a").read_bytes() == b"secret"
    assert not (target / "new").exists()
    assert not (tmp_path / "nothing").exists()
    assert not (tmp_path / "copy").exists()


def test_the_folder_itself_may_be_a_link(store: FolderStore, root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    store.put("a/b", b"x")
    alias = FolderStore(tmp_path / "alias")
    assert keys(alias) == ["a/b"]
    assert alias.read("a/b") == b"x"
    alias.close()


def test_hashes_are_remembered_and_a_change_is_seen(root: Path) -> None:
    """A file that can't be read any more is known from the former run; a changed one is not."""
    write(root / "a", b"first")
    first = FolderStore(root)
    old = first.stat("a").etag
    first.close()
    status = (root / "a").stat()
    # content behind the store's back, with everything it looks at as before: the memory answers
    (root / "a").write_bytes(b"wrong")
    os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    second = FolderStore(root)
    assert second.stat("a").etag == old
    for age in (50, 40):  # the same size, a later time: read anew
        content = f"{age:05}".encode()
        write(root / "a", content, age=age)
        assert second.stat("a").etag == hashlib.sha256(content).hexdigest()
    (root / "b").write_bytes(b"other")
    os.utime(root / "b", ns=(status.st_atime_ns, (root / "a").stat().st_mtime_ns))
    (root / "b").replace(root / "a")  # the same size and time, another file
    assert second.stat("a").etag == hashlib.sha256(b"other").hexdigest()
    second.close()


def test_a_change_within_the_clocks_tick_is_seen(store: FolderStore, root: Path) -> None:
    """Fresh files are not remembered: a second change may bear the same time."""
    (root / "a").write_bytes(b"one")
    status = (root / "a").stat()
    store.stat("a")
    (root / "a").write_bytes(b"two")
    os.utime(root / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert store.stat("a").etag == hashlib.sha256(b"two").hexdigest()


def test_a_damaged_memory_is_begun_anew(root: Path) -> None:
    write(root / "a", b"x")
    FolderStore(root).close()
    (root / ".lithoscope/etags.sqlite").write_bytes(b"no database" * 1000)
    store = FolderStore(root)
    assert store.stat("a").etag == hashlib.sha256(b"x").hexdigest()
    store.close()


def test_metadata_belongs_to_a_content(store: FolderStore, root: Path) -> None:
    store.put("a", b"one", user_metadata={"shape": "1"})
    write(root / "a", b"by hand", age=0)
    assert store.stat("a").user_metadata == {}
    write(root / "a", b"one", age=0)
    assert store.stat("a").user_metadata == {"shape": "1"}


def test_metadata_of_former_contents_is_swept(store: FolderStore, root: Path) -> None:
    for number in range(5):
        store.put("a", str(number).encode(), user_metadata={"number": str(number)})
    assert len(list((root / ".lithoscope/metadata").rglob("*.*"))) == 1
    store.delete("a")
    assert list((root / ".lithoscope/metadata").rglob("*.*")) == []


def test_a_file_that_is_written_in_place_is_not_taken_for_whole(
    store: FolderStore, root: Path, tmp_path: Path
) -> None:
    """Reading 48 MB takes longer than the pauses of the writer; any of a few reads must see it."""
    (root / "a").write_bytes(b"x" * (48 << 20))
    done = threading.Event()

    def scribble() -> None:
        with (root / "a").open("r+b", buffering=0) as file:
            while not done.wait(0.006):
                file.seek(1 << 20)
                file.write(os.urandom(8))

    writer = threading.Thread(target=scribble)
    writer.start()
    seen = 0
    for _ in range(10):
        try:
            store.get("a", tmp_path / "copy", max_bytes=1 << 30)
        except ObjectChangedError:
            seen += 1
    done.set()
    writer.join()
    assert seen > 0
    store.get("a", tmp_path / "copy", max_bytes=1 << 30)
    assert (tmp_path / "copy").read_bytes() == (root / "a").read_bytes()


def test_a_writer_killed_at_any_moment_leaves_old_or_new(root: Path) -> None:
    """Content and metadata always fit together, and nothing unfinished is ever listed."""
    script = """
import sys
from pathlib import Path
from infra.folder_store import FolderStore
store = FolderStore(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    text = str(number % 10)
    store.put("x/a", text.encode() * 200_000, user_metadata={"number": text})
"""
    seen = set()
    for moment in range(6):
        with subprocess.Popen(  # noqa: S603  our own interpreter on our own script
            [sys.executable, "-c", script, str(root)], cwd=ROOT, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(0.05 + 0.037 * moment)
            writer.send_signal(signal.SIGKILL)
        store = FolderStore(root)
        assert keys(store) == ["x/a"]
        content = store.read("x/a")
        assert content == content[:1] * 200_000
        assert store.stat("x/a").user_metadata == {"number": content[:1].decode()}
        seen.add(content)
        store.put("x/a", content)  # the lock died with its holder
        store.close()
    assert seen


def test_what_dead_writers_left_is_swept_after_a_day(root: Path) -> None:
    left = root / ".lithoscope/unfinished"
    write(left / "old", b"x", age=90_000)
    write(left / "new", b"x", age=3600)
    FolderStore(root).close()
    assert [path.name for path in left.iterdir()] == ["new"]


def test_writing_processes_lose_nothing(root: Path) -> None:
    script = """
import sys
from pathlib import Path
from infra.folder_store import FolderStore
store = FolderStore(Path(sys.argv[1]))
for number in range(25):
    name = f"{sys.argv[2]}-{number:02}"
    store.put(f"own/{name}", name.encode(), user_metadata={"name": name})
    store.put("shared", name.encode(), user_metadata={"name": name})
    store.put("short/lived", b"x")
    store.delete("short/lived")
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(root), str(name)], cwd=ROOT)  # noqa: S603  our own
        for name in range(4)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    store = FolderStore(root)
    names = [f"{writer}-{number:02}" for writer in range(4) for number in range(25)]
    assert keys(store) == [*(f"own/{name}" for name in names), "shared"]
    for key in keys(store):
        assert store.stat(key).user_metadata == {"name": store.read(key).decode()}
    store.close()


def test_a_file_and_a_folder_exclude_each_other(store: FolderStore) -> None:
    store.put("a", b"file")
    store.put("b/c", b"file")
    for key in ("a/b", "b"):
        with pytest.raises(StoreRefusedError, match=f"{key}: a file and a folder"):
            store.put(key, b"x")
    assert keys(store) == ["a", "b/c"]
    assert store.read("a") == b"file"


def test_removal_leaves_no_empty_folders(store: FolderStore, root: Path) -> None:
    store.put("scans/E1/S1/a", b"x")
    store.put("scans/E1/b", b"x")
    store.delete("scans/E1/S1/a")
    assert not (root / "scans/E1/S1").exists()
    store.delete("scans/E1/b")
    assert list((root / "scans").iterdir()) == []


def test_a_disk_that_is_away_is_no_empty_store(root: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreAwayError, match="nowhere"):
        FolderStore(tmp_path / "nowhere")
    store = FolderStore(root)
    store.put("a", b"x")
    root.rename(tmp_path / "unplugged")
    calls: list[Callable[[], object]] = [
        lambda: list(store.pages()),
        lambda: store.stat("a"),
        lambda: store.put("a", b"x"),
        lambda: store.delete("a"),
    ]
    for call in calls:
        with pytest.raises(StoreAwayError) as caught:
            call()
        assert caught.value.retryable
    assert not root.exists()
    store.close()


def test_names_that_are_no_keys_are_seen_and_refused(store: FolderStore, root: Path) -> None:
    (root / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    (root / "back\\slash").write_bytes(b"x")
    found = keys(store)
    assert found == ["back\\slash", "bad\udcff.png"]
    for key in found:
        with pytest.raises(StoreError):
            store.stat(key)


@contextlib.contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Be nobody in a folder, where the tests are run by root, who may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_not_taken_for_gone() -> None:
    with tempfile.TemporaryDirectory() as name, unprivileged(Path(name)):
        root = Path(name)
        store = FolderStore(root)
        write(root / "x/a", b"x")
        write(root / "y/b", b"x")
        (root / "x/a").chmod(0)
        found, _ = [entry for page in store.pages() for entry in page]
        assert (found.key, found.etag) == ("x/a", "")
        with pytest.raises(StoreRefusedError, match="x/a"):
            store.stat("x/a")
        (root / "y").chmod(0)
        with pytest.raises(StoreRefusedError, match="y"):
            keys(store)
        (root / "y").chmod(0o755)
        root.chmod(0o555)  # only read: hashes are kept in memory, or where they were
        with pytest.raises(StoreRefusedError, match="new"):
            store.put("new", b"x")
        assert store.read("y/b") == b"x"
        store.close()
        root.chmod(0o755)


def test_a_folder_that_is_only_read_is_listed() -> None:
    with tempfile.TemporaryDirectory() as name, unprivileged(Path(name)):
        root = Path(name)
        write(root / "a", b"x")
        root.chmod(0o555)
        store = FolderStore(root)
        assert keys(store) == ["a"]
        assert store.stat("a").etag == hashlib.sha256(b"x").hexdigest()
        store.close()
        assert [path.name for path in root.iterdir()] == ["a"]
        root.chmod(0o755)


def test_settings_choose_the_store(tmp_path: Path) -> None:
    embedded = open_object_store(Settings(home=tmp_path / "new" / "home"))
    assert isinstance(embedded, FolderStore)
    embedded.put("a", b"x")
    assert (tmp_path / "new/home/bucket/a").exists()
    embedded.close()
    store = Settings(home=tmp_path).store.model_copy(update={"folder": tmp_path / "not mounted"})
    with pytest.raises(StoreAwayError, match="not mounted"):
        open_object_store(Settings(home=tmp_path, store=store))
    assert not (tmp_path / "not mounted").exists()
