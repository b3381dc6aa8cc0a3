"""The whole stack on this machine, from docker-compose.yml: real servers on free ports.

What is not on the machine makes the tests skip; on CI (CI is set) they fail, and say what to
install.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.native_stack.errors import MissingProgramError
from infra.native_stack.plan import make_plan
from infra.native_stack.programs import require_programs
from infra.native_stack.secrets_file import new_secrets
from infra.native_stack.stack import NativeStack
from infra.native_stack.state import StackState
from infra.settings import PREFIX
from programs import minio_binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"

QUICK = {
    "LITHOSCOPE_LOG__FORMAT": "text",
    "LITHOSCOPE_WORK__BATCH_SECONDS": "0.2",
    "LITHOSCOPE_WORK__SWEEP_SECONDS": "10",
    "LITHOSCOPE_DECODE__WORKERS": "1",
}
"""Settings for tests that can't wait for minutes; others may be given beside them."""

SERVERS = ("broker", "object-store", "milvus")


def planned(
    folder: Path, changes: Mapping[str, str] | None = None, *, scale: dict[str, int] | None = None
) -> NativeStack:
    """A stack that is not started; its secrets are its own."""
    minio_binary()  # skips where MinIO can't be had
    variables = {**os.environ, **QUICK, **new_secrets(), **(changes or {})}
    scale = {"ui": 0, **(scale or {})}  # pages take a while to start, and few tests look at them
    plan = make_plan(folder, [COMPOSE], variables=variables, scale=scale)
    try:
        require_programs(list(plan.services.values()))
    except MissingProgramError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    return NativeStack(plan, StackState(scale=scale))


@contextlib.contextmanager
def running_stack(
    folder: Path, changes: Mapping[str, str] | None = None, *, scale: dict[str, int] | None = None
) -> Iterator[NativeStack]:
    """A stack that is up; what ends is started again, as Docker would."""
    stack = planned(folder, changes, scale=scale)
    try:
        with stack.supervised():
            stack.up()
            yield stack
    finally:
        stack.down()


@contextlib.contextmanager
def running_servers(
    folder: Path, changes: Mapping[str, str] | None = None
) -> Iterator[NativeStack]:
    """Broker, object store and index of a stack; nothing of ours, and nothing restarts them."""
    stack = planned(folder, changes)
    try:
        for name in SERVERS:
            stack.start(name)
        for name in SERVERS:
            stack.wait_healthy(name)
        yield stack
    finally:
        stack.down()


def command(stack: NativeStack, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one of our commands as a client of a stack; it is to end with a code."""
    other = {name: text for name, text in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "lithoscope", *words],
        env=other | stack.client_settings() | {"PYTHONPATH": str(ROOT)},
        cwd=stack.plan.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, f"{words}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """The whole stack, for the tests of a file."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """The stack's servers, for the tests of a file."""
    with running_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running
