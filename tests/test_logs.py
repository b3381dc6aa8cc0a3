"""Logs of services: every line says when, where from, and which task and object it is about."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from infra.logs import JsonFormatter, TextFormatter, log_context
from ingest_worker.pipeline import ingest_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest_site import IngestSite

pytest_plugins = ["ingest_site"]

SCRIPT = """
import logging, sys, warnings
from concurrent.futures import ThreadPoolExecutor
from infra.logs import carried, configure_logs, log_context
from infra.settings import Settings

configure_logs(Settings(log={"format": sys.argv[1], "level": "INFO"}), service="worker")
log = logging.getLogger("ingest_worker.test")
log.debug("too quiet")
logging.getLogger("urllib3").info("not ours")
with log_context(task="t-1"):
    log.info("in %s", "order")
    with ThreadPoolExecutor(1, initializer=carried()) as pool, log_context(object_key="scans/a"):
        pool.submit(log.warning, "from a thread").result()
    with log_context(object_key="scans/\\x1b[31m\\nE 1/a.png"):
        log.warning("about an object")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
warnings.warn("of a package")
"""


def logged(kind: str) -> list[str]:
    result = subprocess.run(  # noqa: S603  ours
        [sys.executable, "-W", "always", "-c", SCRIPT, kind],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == ""
    return result.stderr.splitlines()


def test_json_is_one_object_a_line() -> None:
    order, thread, about, failed, warning = map(json.loads, logged("json"))
    assert order.keys() == {"time", "level", "service", "logger", "message", "task"}
    assert (order["level"], order["service"]) == ("info", "worker")
    assert (order["message"], order["logger"]) == ("in order", "ingest_worker.test")
    assert order["time"].endswith("Z")
    assert (thread["task"], thread.get("object_key")) == ("t-1", None)
    assert (about["task"], about["object_key"]) == ("t-1", "scans/\x1b[31m\nE 1/a.png")
    assert "ZeroDivisionError: division by zero" in failed["traceback"]
    assert "task" not in failed
    assert "of a package" in warning["message"]


def test_text_is_a_line_that_no_terminal_obeys() -> None:
    lines = logged("text")
    assert lines[0].endswith("INFO ingest_worker.test [task=t-1]: in order")
    assert "[task=t-1 object_key=scans/\N{REPLACEMENT CHARACTER}[31m" in lines[2]
    assert "ERROR ingest_worker.test: failed" in lines[3]
    assert lines[4].startswith("Traceback")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, as JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("worker"))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_the_pipeline_says_which_task_and_object(world: IngestSite, lines: io.StringIO) -> None:
    keys = ["scans/E1/S1/a.png", "scans/E1/S2/b.png"]
    for key in keys:
        world.objects.put(key, b"\x89PNG\r\n\x1a\n no picture")
    with log_context(task="t-2"):
        list(ingest_objects(keys, world.context))
    told: list[dict[str, Any]] = [*map(json.loads, lines.getvalue().splitlines())]
    refused = [line for line in told if line["logger"] == "ingest_worker.refusing"]
    assert sorted(line["object_key"] for line in refused) == keys
    assert {line["task"] for line in refused} == {"t-2"}


def test_what_a_logger_is_given_tells_best() -> None:
    record = logging.makeLogRecord({"msg": "done", "object_key": "scans/b", "name": "infra"})
    with log_context(task="t", object_key="scans/a"):
        assert "[task=t object_key=scans/b]: done" in TextFormatter().format(record)
