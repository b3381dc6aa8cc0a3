"""The image: what a linter of Dockerfiles asks for, and that nothing secret can get into it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "infra" / "docker" / "Dockerfile"
CHECK = ROOT / "infra" / "docker" / "healthcheck.py"


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def test_the_base_is_pinned_and_slim() -> None:
    assert [text for name, text in instructions() if name == "FROM"] == [
        "python:3.11-slim-bookworm"
    ]


def test_services_are_not_root() -> None:
    users = [text for name, text in instructions() if name == "USER"]
    assert users[-1] not in {"root", "0"}
    names = [name for name, _ in instructions()]
    assert names.index("RUN") < names.index("USER")
    assert "RUN" not in names[names.index("USER") :]


def test_commands_are_lists_of_words() -> None:
    for name, text in instructions():
        if name in {"CMD", "ENTRYPOINT"}:
            assert json.loads(text)
        if name == "HEALTHCHECK":
            assert json.loads(text.partition("CMD")[2])


def test_installed_versions_are_pinned_and_nothing_is_cached() -> None:
    for line in (text for name, text in instructions() if name == "RUN"):
        for command in re.findall(r"pip install[^&]*", line):
            assert "--no-cache-dir" in command
            assert "-c constraints.txt" in command or "--no-deps" in command


def test_it_has_no_arguments_or_variables_for_secrets() -> None:
    assert not [text for name, text in instructions() if name in {"ARG", "ADD"}]
    assert not re.search("PASSWORD|SECRET|TOKEN", DOCKERFILE.read_text())


def test_the_build_is_sent_the_code_only() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert next(line for line in lines if not line.startswith("#")) == "*"
    assert kept == {
        "LICENSE",
        "README.md",
        "configs",
        "constraints.txt",
        "encoder",
        "infra",
        "ingest_worker",
        "lithoscope",
        "pyproject.toml",
        "search_ui",
        "trainer",
    }
    assert "**/.env*" in lines


@pytest.fixture
def port() -> Iterator[int]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def check(home: Path, port: str) -> int:
    environment = os.environ | {"LITHOSCOPE_HOME": str(home), "LITHOSCOPE_METRICS__PORT": port}
    command = [sys.executable, str(CHECK)]
    return subprocess.run(command, env=environment, check=False, capture_output=True).returncode  # noqa: S603  our own file


def test_the_health_check_asks_every_process(tmp_path: Path, port: int) -> None:
    assert check(tmp_path, str(port)) == 0
    assert check(tmp_path, "") == 0
    assert check(tmp_path, "1") == 1
    (tmp_path / "metrics-ports").write_text(f"{port}\n{port}")
    assert check(tmp_path, "1") == 0
    (tmp_path / "metrics-ports").write_text(f"{port}\n1")
    assert check(tmp_path, str(port)) == 1
