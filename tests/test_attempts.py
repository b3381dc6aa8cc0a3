from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import infra.attempts
from infra.attempts import AttemptsError, FileAttempts

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "attempts.sqlite"


def test_attempts_are_counted_for_a_content_until_they_are_cleared(path: Path) -> None:
    attempts = FileAttempts(path)
    assert attempts.begin({"a": "1", "b": "1"}) == {"a": 1, "b": 1}
    assert attempts.begin({"a": "1"}) == {"a": 2}
    assert attempts.begin({"a": "2"}) == {"a": 1}  # another content is another matter
    assert attempts.counts({"a": "2", "b": "1", "c": "1"}) == {"a": 1, "b": 1, "c": 0}
    assert attempts.counts({"a": "1"}) == {"a": 0}
    attempts.clear(["a", "never seen"])
    assert attempts.counts({"a": "2", "b": "1"}) == {"a": 0, "b": 1}
    assert attempts.begin({}) == {}
    attempts.close()


def test_any_key_is_counted(path: Path) -> None:
    names = ["é", "a" * 2000, "\udcff.png", "x' OR 1=1 --", "", "\x00", "\ud800"]
    attempts = FileAttempts(path)
    attempts.begin(dict.fromkeys(names, "e"))
    assert attempts.begin(dict.fromkeys(names, "e")) == dict.fromkeys(names, 2)
    attempts.clear(names)
    assert set(attempts.counts(dict.fromkeys(names, "e")).values()) == {0}
    attempts.close()


def test_what_was_counted_survives_a_killed_worker(path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from infra.attempts import FileAttempts\n"
        "print(FileAttempts(Path(sys.argv[1])).begin({'bad': 'e'})['bad'], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = [
        subprocess.run(  # noqa: S603  our own interpreter on our own script
            [sys.executable, "-c", script, str(path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        for _ in range(3)
    ]
    assert told == ["1", "2", "3"]


def test_threads_and_connections_count_together(path: Path) -> None:
    shared, other = FileAttempts(path), FileAttempts(path)

    def work(attempts: FileAttempts) -> None:
        for _ in range(10):
            attempts.begin({"a": "e", "b": "e"})

    threads = [threading.Thread(target=work, args=[each]) for each in (shared, shared, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert FileAttempts(path).counts({"a": "e", "b": "e"}) == {"a": 30, "b": 30}
    shared.close()
    other.close()


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100])
def test_a_damaged_file_is_begun_anew_and_told(
    path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first = FileAttempts(path)
    first.begin({"a": "e"})
    first.close()
    path.write_bytes(damage)
    again = FileAttempts(path)
    assert again.begin({"a": "e"}) == {"a": 1}
    assert again.begin({"a": "e"}) == {"a": 2}
    assert ("counted anew" in caplog.text) is bool(damage)
    again.close()


def test_a_file_that_is_removed_under_us_is_made_again(path: Path) -> None:
    attempts = FileAttempts(path)
    attempts.begin({"a": "e"})
    for name in os.listdir(path.parent):  # noqa: PTH208  all of them, hidden or not
        (path.parent / name).unlink()
    assert attempts.begin({"a": "e"}) == {"a": 1}
    other = FileAttempts(path)
    assert other.begin({"a": "e"}) == {"a": 2}
    attempts.close()
    other.close()


def test_a_file_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(AttemptsError, match=r"file/attempts.sqlite: attempts can't be counted"):
        FileAttempts(tmp_path / "file" / "attempts.sqlite").begin({"a": "e"})
    (tmp_path / "folder").mkdir()
    with pytest.raises(AttemptsError, match="folder: attempts can't be counted"):
        FileAttempts(tmp_path / "folder").begin({"a": "e"})


def test_another_programs_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE attempts (mine TEXT)")
    database.close()
    with pytest.raises(AttemptsError, match="remove it"):
        FileAttempts(path).begin({"a": "e"})
    assert path.exists()


def test_ctrl_c_after_any_call_leaves_a_counter_that_goes_on(path: Path) -> None:
    attempts = FileAttempts(path)
    attempts.begin({"a": "e"})
    attempts.clear(["a"])
    calls = 0
    while interrupted(lambda: attempts.begin({"a": "e"}), after_calls=calls):
        counted = attempts.counts({"a": "e"})["a"]
        assert counted in {0, 1}
        assert attempts.begin({"a": "e"}) == {"a": counted + 1}
        attempts.clear(["a"])
        calls += 1
    assert calls > 5
    attempts.close()


def interrupted(work: Callable[[], object], *, after_calls: int) -> bool:
    """Whether Ctrl-C cut the work short, where it comes as so many calls to C have returned.

    That is where the interpreter looks for signals.
    """
    left = after_calls

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        if event == "c_return" and frame.f_code.co_filename == infra.attempts.__file__:
            left -= 1
            if left == -1:
                raise KeyboardInterrupt

    former = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(former)
    return False
