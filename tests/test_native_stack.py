"""The stack without Docker: services that are small programs, and the stack's real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]  # ships no types
import pytest
import redis
from minio import Minio
from pydantic import SecretStr

from infra.index_password import ensure_index_password
from infra.indexing.errors import IndexUnavailableError, VectorIndexError
from infra.native_stack.errors import ComposeFileError, MissingProgramError, NativeStackError
from infra.native_stack.plan import make_plan
from infra.native_stack.ports import is_free
from infra.native_stack.stack import NativeStack
from infra.settings_groups import IndexSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["stack_site"]

ROOT = Path(__file__).resolve().parents[1]

SERVER = textwrap.dedent("""
    import http.server, os, signal, sys, time
    signal.signal(signal.SIGTERM, lambda *_: (print("ended in order", flush=True), sys.exit(0)))
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()
            self.wfile.write(os.environ["GREETING"].encode())
        def log_message(self, *_): pass
    print("begins", flush=True)
    port = int(os.environ["LITHOSCOPE_METRICS__PORT"])
    http.server.HTTPServer(("127.0.0.1", port), Page).serve_forever()
""")

COMPOSE = """
services:
  helper:
    image: ours:1
    build: .
    command: [python, helper.py]
    environment: &settings
      GREETING: ${GREETING:-hello} from helper:9400
      LITHOSCOPE_METRICS__PORT: 9400
      LITHOSCOPE_HOME: /var/lib/lithoscope
    expose: ["9400"]
    restart: unless-stopped
    volumes: ["kept:/kept", "./file:/file:ro"]
    stop_grace_period: 5s
  once:
    image: ours:1
    build: .
    command: [python, -c, "import os; print('at', os.environ['PEER'], os.environ['FOLDER'])"]
    environment: {PEER: "http://helper:9400/x", FOLDER: /kept/sub, LITHOSCOPE_LOG__LEVEL: info}
    volumes: ["kept:/kept"]
    depends_on: {helper: {condition: service_healthy}}
  last:
    image: ours:1
    build: .
    command: [python, helper.py]
    environment: *settings
    expose: ["9400"]
    restart: on-failure
    depends_on: {once: {condition: service_completed_successfully}}
  cli:
    image: ours:1
    build: .
    profiles: [tools]
    environment: {LITHOSCOPE_BROKER__URL: "redis://helper:9400/0"}
  other:
    image: grafana/grafana:12.1.1
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "compose.yml"
    for name in ("helper", "last"):
        home = tmp_path / "stack" / "homes" / f"{name}-1"
        home.mkdir(parents=True)
        (home / "helper.py").write_text(SERVER)
    file.write_text(COMPOSE)
    return file


@pytest.fixture
def small(tmp_path: Path, file: Path) -> Iterator[NativeStack]:
    stack = NativeStack(make_plan(tmp_path / "stack", [file], variables={"GREETING": "hi"}))
    yield stack
    stack.down()


def wait_until_dead(pid: int) -> None:
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answer(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as server:
        server.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        received = b""
        while more := server.recv(4096):
            received += more
    return received


def test_services_come_up_in_order_at_addresses_of_this_machine(small: NativeStack) -> None:
    small.up()
    port = small.port("helper", 9400)
    assert answer(port).endswith(f"hi from 127.0.0.1:{port}".encode())
    folder = small.plan.folder / "volumes" / "kept" / "sub"
    assert small.log("once") == f"at http://127.0.0.1:{port}/x {folder}\n"
    assert small.port("last", 9400) != port
    assert small.client_settings()["LITHOSCOPE_BROKER__URL"] == f"redis://127.0.0.1:{port}/0"
    assert "other" not in small.plan.services
    assert "cli" not in small.plan.services


def test_services_end_in_order(small: NativeStack) -> None:
    small.up()
    pids = [*small.pids("helper"), *small.pids("last")]
    small.down()
    assert small.log("helper") == "begins\nended in order\n"
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_what_is_killed_is_started_again_on_its_port(small: NativeStack) -> None:
    small.up()
    before = small.pids("helper")
    with small.supervised():
        small.kill("helper")
        small.wait_healthy("helper", 20)
        assert small.pids("helper") != before
        small.stop("helper")
        time.sleep(0.5)
        assert not small.is_alive("helper")
        small.restart("helper", seconds=20)
    assert answer(small.port("helper", 9400)).startswith(b"HTTP/1.0 200")


def test_what_hangs_is_not_healthy_until_it_goes_on(small: NativeStack) -> None:
    small.start("helper")
    small.wait_healthy("helper", 20)
    small.pause("helper")
    assert not small.is_healthy("helper")
    assert small.is_alive("helper")
    small.resume("helper")
    small.wait_healthy("helper", 20)


def test_a_service_that_fails_is_told_with_its_log(tmp_path: Path, file: Path) -> None:
    file.write_text(file.read_text().replace("import os; print(", "raise SystemExit("))
    stack = NativeStack(make_plan(tmp_path / "stack", [file], variables={}))
    try:
        with pytest.raises(NativeStackError, match=r"once-1: ended with 1; .*once-1\.log"):
            stack.up()
    finally:
        stack.down()
    with pytest.raises(NativeStackError, match="there are helper, once, last"):
        stack.start("helpr")


def test_settings_of_this_process_are_not_passed_on(
    small: NativeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITHOSCOPE_STORE__BUCKET", "another")
    small.start("helper")
    small.wait_healthy("helper", 20)
    environment = psutil.Process(small.pids("helper")[0]).environ()
    assert "LITHOSCOPE_STORE__BUCKET" not in environment
    assert environment["LITHOSCOPE_HOME"] == str(small.plan.folder / "homes" / "helper-1")


def test_several_workers_have_ports_and_homes_of_their_own(tmp_path: Path, file: Path) -> None:
    plan = make_plan(tmp_path / "stack", [file], variables={}, scale={"last": 2})
    assert list(plan.instances) == ["helper-1", "once-1", "last-1", "last-2"]
    assert plan.ports["last-1"] != plan.ports["last-2"]
    homes = {plan.launch(name).environment["LITHOSCOPE_HOME"] for name in ("last-1", "last-2")}
    assert len(homes) == 2


def test_services_that_wait_for_each_other_are_refused(tmp_path: Path, file: Path) -> None:
    file.write_text(file.read_text() + "    depends_on: [y]\n  y: {image: 'redis:7'}\n")
    text = file.read_text().replace("  y: {image: 'redis:7'}", "")
    text = text.replace("    depends_on: [y]\n", "")
    text = text.replace("    restart: unless-stopped\n", "    depends_on: [last]\n")
    file.write_text(text)
    with pytest.raises(ComposeFileError, match="in a circle"):
        make_plan(tmp_path / "stack", [file], variables={})


def stack_command(folder: Path, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lithoscope", "stack", *words, "--folder", str(folder)]
    if words[0] != "down":
        command += ["--file", str(file)]
    return subprocess.run(  # noqa: S603  our own command
        command,
        cwd=file.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT), "GREETING": "hi"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_commands_bring_it_up_in_the_background_and_down(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "stack"
    assert stack_command(folder, file, "env").returncode == 2
    up = stack_command(folder, file, "up")
    try:
        assert up.returncode == 0, up.stderr
        assert up.stdout.startswith("the stack is up\n")
        assert "up already" in stack_command(folder, file, "up").stdout
        assert "export LITHOSCOPE_BROKER__URL=redis://127.0.0.1:" in (
            stack_command(folder, file, "env").stdout
        )
        state = json.loads((folder / "stack.json").read_text())
        os.kill(state["processes"]["helper-1"]["pid"], signal.SIGKILL)
        wait_until_dead(state["processes"]["helper-1"]["pid"])
        deadline = time.monotonic() + 30
        while stack_command(folder, file, "status").returncode != 0:
            assert time.monotonic() < deadline
    finally:
        down = stack_command(folder, file, "down")
    assert down.stdout == "the stack is down\n"
    assert "helper-1        not running" in stack_command(folder, file, "status").stdout
    assert stack_command(folder, file, "down").stdout == "no stack ran\n"


def test_what_a_killed_supervisor_leaves_is_found_and_ended(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "stack"
    assert stack_command(folder, file, "up").returncode == 0
    state = json.loads((folder / "stack.json").read_text())
    os.kill(state["supervisor"]["pid"], signal.SIGKILL)
    wait_until_dead(state["supervisor"]["pid"])
    assert psutil.pid_exists(state["processes"]["helper-1"]["pid"])
    assert stack_command(folder, file, "down").stdout == "the stack is down\n"
    wait_until_dead(state["processes"]["helper-1"]["pid"])
    taken = state["ports"]["helper-1"]["9400"]
    assert is_free(taken)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        assert stack_command(folder, file, "up").returncode == 0
        again = json.loads((folder / "stack.json").read_text())
        assert again["ports"]["helper-1"]["9400"] != taken
        assert stack_command(folder, file, "down").stdout == "the stack is down\n"


def test_missing_servers_are_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(
        "services:\n  broker: {image: 'valkey/valkey:8'}\n  store: {image: 'pgsty/silo:1'}\n"
        "  cli: {image: 'x:1', build: .}\n"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("MINIO_BIN", raising=False)
    from infra.native_stack.programs import require_programs  # noqa: PLC0415  reads PATH

    plan = make_plan(tmp_path, [file], variables={})
    with pytest.raises(MissingProgramError) as caught:
        require_programs(list(plan.services.values()))
    assert "apt-get install redis-server" in str(caught.value)
    assert "go install github.com/minio/minio@" in str(caught.value)


def test_the_real_servers_keep_what_they_have_when_killed(servers: NativeStack) -> None:
    settings = servers.client_settings()
    token = settings["LITHOSCOPE_INDEX__TOKEN"]
    index = IndexSettings.model_validate(
        {"address": settings["LITHOSCOPE_INDEX__ADDRESS"], "token": token}
    )
    assert ensure_index_password(index)
    assert not ensure_index_password(index)
    store = Minio(
        settings["LITHOSCOPE_STORE__ENDPOINT"],
        settings["LITHOSCOPE_STORE__ACCESS_KEY"],
        settings["LITHOSCOPE_STORE__SECRET_KEY"],
        secure=False,
    )
    store.make_bucket("rocks")
    password = settings["LITHOSCOPE_BROKER__PASSWORD"]
    broker = redis.Redis(port=servers.port("broker", 6379), password=password)
    assert password not in " ".join(psutil.Process(servers.pids("broker")[0]).cmdline())
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=servers.port("broker", 6379)).ping()
    broker.set("kept", "yes")
    time.sleep(1.5)  # it writes to disk every second
    for name in ("broker", "object-store", "milvus"):
        servers.kill(name)
        assert not servers.is_healthy(name)
        servers.start(name)
        servers.wait_healthy(name)
    assert broker.get("kept") == b"yes"
    broker.close()
    assert store.bucket_exists("rocks")
    assert not ensure_index_password(index)
    wrong = index.model_copy(update={"token": SecretStr("root:wrong-password")})
    with pytest.raises(VectorIndexError, match="name the password that it has") as refusal:
        ensure_index_password(wrong)
    assert not isinstance(refusal.value, IndexUnavailableError), "nobody waits for an answer"
    for unfit in ("short", "long" * 20):
        unfitting = index.model_copy(update={"token": SecretStr(f"root:{unfit}")})
        with pytest.raises(VectorIndexError, match="choose one of 6 to 72 characters"):
            ensure_index_password(unfitting, former=token.removeprefix("root:"))
    assert ensure_index_password(wrong, former=token.removeprefix("root:"))
    assert not ensure_index_password(wrong)
