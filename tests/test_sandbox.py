"""Hostile calls are made of the standard library's own: what a child runs must be importable."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from encoder.errors import LithoscopeError, ScanError, ScanFault
from encoder.sandbox.pool import Sandbox
from encoder.sandbox.process import (
    ChildCrashed,
    ChildFailure,
    ChildOutOfMemory,
    ChildRaised,
    ChildTimedOut,
    DecodeLimits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMITS = DecodeLimits(memory_bytes=512 << 20, seconds=10)

HANG = (re.match, r"(a+)+$", "a" * 50 + "b")
"""A hang inside a C function that never lets go of the interpreter."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(2, LIMITS) as shared:
        yield shared


def refusal(sandbox: Sandbox, function: Callable[..., object], *args: object) -> ChildFailure:
    with pytest.raises(ChildFailure) as caught:
        sandbox.run(function, *args)
    assert sandbox.run(abs, -1) == 1  # it goes on
    return caught.value


@pytest.mark.parametrize(
    ("call", "end"),
    [
        ((os._exit, 3), "exited with code 3"),
        ((os.abort,), "SIGABRT"),
        ((ctypes.string_at, 1), "SIGSEGV"),
        ((signal.raise_signal, signal.SIGKILL), "SIGKILL"),
    ],
)
def test_crash_is_an_exception_of_the_call(
    sandbox: Sandbox, call: tuple[Callable[..., object], Any], end: str
) -> None:
    failure = refusal(sandbox, *call)
    assert isinstance(failure, ChildCrashed)
    assert end in str(failure)


@pytest.mark.parametrize("call", [(time.sleep, 600), HANG])
def test_hang_ends_at_the_time_limit(call: tuple[Callable[..., object], Any]) -> None:
    with Sandbox(1, DecodeLimits(seconds=0.5)) as sandbox:
        sandbox.run(abs, 1)
        start = time.monotonic()
        assert isinstance(refusal(sandbox, *call), ChildTimedOut)
        assert time.monotonic() - start < 60


@pytest.mark.parametrize("seconds", [math.inf, 1e7, 1e300])
def test_there_need_be_no_limits(seconds: float) -> None:
    with Sandbox(1, DecodeLimits(seconds=seconds, memory_bytes=1 << 70)) as sandbox:
        assert sandbox.run(len, "rock") == 4


@pytest.mark.parametrize(
    ("seconds", "memory_bytes"), [(0.0, 1), (-1.0, 1), (math.nan, 1), (1.0, 0), (1.0, -5)]
)
def test_limits_that_nothing_keeps_are_refused(seconds: float, memory_bytes: int) -> None:
    with pytest.raises(ValueError, match="memory_bytes and seconds must be above 0"):
        DecodeLimits(seconds=seconds, memory_bytes=memory_bytes)


def test_a_limit_that_the_process_has_already_is_kept(tmp_path: Path) -> None:
    script = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "from encoder.sandbox.process import DecodeLimits\n"
        "from encoder.sandbox.pool import Sandbox\n"
        "with Sandbox(1, DecodeLimits(memory_bytes=2 << 30)) as sandbox:\n"
        "    print(sandbox.run(resource.getrlimit, resource.RLIMIT_DATA))\n"
    )
    with started(tmp_path, script) as parent:
        assert parent.communicate(timeout=30) == (f"{(1 << 30, 1 << 30)}\n", "")


@pytest.mark.parametrize("call", [(bytes, 1 << 30), (eval, "' ' * 2**30"), (list, range(10**9))])
def test_blow_up_ends_at_the_memory_limit(
    sandbox: Sandbox, call: tuple[Callable[..., object], Any]
) -> None:
    assert isinstance(refusal(sandbox, *call), ChildOutOfMemory)


def test_answer_that_does_not_fit_into_memory_is_out_of_memory(sandbox: Sandbox) -> None:
    assert isinstance(refusal(sandbox, bytes, 300 << 20), ChildOutOfMemory)


def test_files_mapped_from_disk_do_not_count_as_memory(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "volume.raw"
    with path.open("wb") as file:
        file.truncate(4 << 30)
    assert sandbox.run(eval, f"int(__import__('numpy').memmap({str(path)!r})[-1])") == 0


def test_no_core_is_dumped(sandbox: Sandbox) -> None:
    assert sandbox.run(eval, "__import__('resource').getrlimit(4)") == (0, 0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ((int, "x"), "ValueError: invalid literal for int() with base 10: 'x'"),
        ((sys.exit, 3), "SystemExit: 3"),
        ((eval, "[][9]"), "IndexError: list index out of range"),
        ((eval, "exec('raise ValueError(\"a\\\\nb  c\")')"), "ValueError: a b c"),
        ((open, os.devnull), "TypeError: cannot pickle '_io.TextIOWrapper' "),
    ],
)
def test_other_exceptions_are_told_in_one_line(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    call: tuple[Callable[..., object], Any],
    text: str,
) -> None:
    with caplog.at_level(logging.DEBUG, "encoder"):
        failure = refusal(sandbox, *call)
    assert isinstance(failure, ChildRaised)
    assert text in str(failure)
    assert "Traceback" in caplog.text


def test_long_texts_are_shortened(sandbox: Sandbox) -> None:
    assert len(str(refusal(sandbox, int, "x" * 5000))) <= 200


def test_our_own_errors_arrive_whole(sandbox: Sandbox) -> None:
    raising = (
        "(_ for _ in ()).throw(__import__('encoder.errors').errors.ScanError("
        "'rock.tif', 'empty', problem='it is empty', remedy='copy it again'))"
    )
    with pytest.raises(ScanError, match=r"rock\.tif: it is empty; copy it again") as caught:
        sandbox.run(eval, raising)
    assert caught.value.fault == ScanFault.EMPTY


def test_a_former_call_is_not_blamed_on_the_next() -> None:
    """A library that is broken by one file and crashes on the next one, harmless by itself."""
    with Sandbox(1, LIMITS) as fresh:
        fresh.run(exec, "import builtins, os; builtins.abs = lambda _: os.abort()")
        assert fresh.run(eval, "abs(-7)") == 7
        first = fresh.run(os.getpid)
        fresh.run(exec, "import builtins; builtins.hoard = bytearray(400 << 20)")
        assert len(fresh.run(bytes, 100 << 20)) == 100 << 20
        assert fresh.run(os.getpid) != first


def test_a_child_that_hoards_memory_is_replaced() -> None:
    with Sandbox(1, LIMITS) as sandbox:
        first = sandbox.run(os.getpid)
        assert sandbox.run(os.getpid) == first
        sandbox.run(exec, "import builtins; builtins.hoard = bytearray(300 << 20)")
        assert sandbox.run(os.getpid) != first


def test_a_child_that_ends_while_idle_is_replaced() -> None:
    with Sandbox(1, LIMITS) as sandbox:
        first = sandbox.run(os.getpid)
        os.kill(first, signal.SIGKILL)
        time.sleep(0.2)
        assert sandbox.run(os.getpid) != first


def test_any_number_of_crashes_is_survived(sandbox: Sandbox) -> None:
    calls = [
        sandbox.submit(os._exit, 1) if number % 3 else sandbox.submit(abs, -number)
        for number in range(30)
    ]
    for number, call in enumerate(calls):
        if number % 3:
            assert isinstance(call.exception(), ChildCrashed)
        else:
            assert call.result() == number


def test_many_threads_may_call() -> None:
    results: list[int] = []
    with Sandbox(2, LIMITS) as sandbox:
        callers = [
            threading.Thread(target=lambda: results.extend(sandbox.run(abs, -1) for _ in range(50)))
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert results == [1] * 400


def test_libraries_print_nothing(sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    for stream in (1, 2):
        sandbox.run(os.write, stream, b"libtiff: warning: strange tag\n")
    assert capfd.readouterr() == ("", "")


def test_children_use_one_thread(sandbox: Sandbox) -> None:
    assert sandbox.run(os.getenv, "OMP_NUM_THREADS") == "1"


def test_temporary_files_are_removed(sandbox: Sandbox) -> None:
    """Those of a finished call, and those of a killed one."""
    spool = "t = __import__('tempfile'); h, n = t.mkstemp(); d = t.mkdtemp(); open(d + '/x', 'w')"
    folder = Path(sandbox.run(tempfile.mkdtemp))
    assert folder.parent != Path(tempfile.gettempdir())
    sandbox.run(exec, spool)
    assert not list(folder.parent.iterdir())
    refusal(sandbox, exec, f"{spool}; __import__('os').abort()")
    scratch = folder.parent.parent.parent
    left = [path for path in scratch.rglob("*") if path.name.startswith("tmp") and path.is_file()]
    assert not left


def test_closing_kills_at_once_and_removes_everything() -> None:
    with Sandbox(2, LIMITS) as sandbox:
        pid = sandbox.run(os.getpid)
        scratch = Path(sandbox.run(tempfile.mkdtemp)).parents[2]
        assert scratch.is_dir()
        hanging = [sandbox.submit(time.sleep, 600) for _ in range(5)]
        time.sleep(0.2)
        start = time.monotonic()
    assert time.monotonic() - start < 60
    for call in hanging:
        assert isinstance(call.exception(), LithoscopeError)
    assert not is_running(pid)
    assert not scratch.exists()
    with pytest.raises(LithoscopeError, match="closed"):
        sandbox.run(abs, 1)


@pytest.mark.parametrize(
    ("preload", "memory_bytes", "reason"),
    [
        ("no_such_module", 1 << 30, "No module named 'no_such_module'"),
        ("numpy", 1 << 20, "raise the memory limit of 1 MiB"),
    ],
)
def test_child_that_cannot_start_is_an_error_with_the_reason(
    preload: str, memory_bytes: int, reason: str
) -> None:
    limits = DecodeLimits(memory_bytes=memory_bytes)
    with (
        Sandbox(1, limits, preload=(preload,)) as sandbox,
        pytest.raises(LithoscopeError, match=reason),
    ):
        sandbox.run(abs, 1)


HANGING = """
import re, signal, tempfile, time
from encoder.sandbox.process import DecodeLimits
from encoder.sandbox.pool import Sandbox

signal.signal(signal.SIGINT, signal.default_int_handler)  # shells' background jobs ignore it
with Sandbox(2, DecodeLimits(seconds=100)) as sandbox:
    hanging = sandbox.submit(re.match, "(a+)+$", "a" * 60 + "b")
    print(sandbox.run(tempfile.mkdtemp), flush=True)
    sandbox.run(time.sleep, 100)
"""
"""A main module without guard that has one child hang in a C function and one sleep."""


def started(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(script)
    search_path = os.pathsep.join([str(Path(__file__).parents[1]), str(tmp_path)])
    return subprocess.Popen(  # noqa: S603  our own script
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": search_path, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def children_of(pid: int) -> set[int]:
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return {int(child) for text in lists for child in text.split()}


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_end(pids: set[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(is_running(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's children")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_children_end_with_their_parent(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path, HANGING) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        line = parent.stdout.readline().strip()
        assert line, parent.stderr.read()
        scratch = Path(line).parents[2]
        children = children_of(parent.pid)
        assert len(children) == 2
        if number == signal.SIGINT:
            os.killpg(parent.pid, number)  # as a terminal does
        else:
            parent.send_signal(number)
        parent.wait(timeout=60)
        assert all_end(children, seconds=30)
        complaints = parent.stderr.read()
    if number == signal.SIGINT:
        assert complaints.count("Traceback") == 1  # the parent's own, none of a child
        assert not scratch.exists()
    else:
        assert scratch.exists()  # nobody was left to remove it
        with started(
            tmp_path, "from encoder.sandbox.scratch import ScratchFolder; ScratchFolder()"
        ):
            pass
        assert not scratch.exists()


def test_neither_side_opens_a_socket_or_loads_what_main_loads(tmp_path: Path) -> None:
    """An audit hook that every process has from its first moment watches."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def hook(event, args):\n"
        "    if event.startswith('socket.'):\n"
        f"        os.close(os.open({str(tmp_path / 'socket')!r}, os.O_CREAT))\n"
        "sys.addaudithook(hook)\n"
        f"open({str(tmp_path / 'hooked-')!r} + str(os.getpid()), 'w').close()\n"
    )
    script = (
        "import colorsys\n"
        "from encoder.sandbox.process import DecodeLimits\n"
        "from encoder.sandbox.pool import Sandbox\n"
        "with Sandbox(1, DecodeLimits()) as sandbox:\n"
        "    print(sandbox.run(eval, \"'colorsys' in __import__('sys').modules\"))\n"
    )
    with started(tmp_path, script) as parent:
        assert parent.communicate(timeout=30) == ("False\n", "")
    assert len(list(tmp_path.glob("hooked-*"))) == 2
    assert not (tmp_path / "socket").exists()
    with started(tmp_path, "import socket; socket.socketpair()"):
        pass
    assert (tmp_path / "socket").exists()  # the hook would have told
