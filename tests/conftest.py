"""What holds for every test."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer

# Before torch is loaded: processes that test beside each other share the cores already.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Likewise: threads that wait for each other by spinning are many times slower where
# decoding processes, or whatever else runs on the machine, want the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Modules that tests share. A file of tests names those whose fixtures it takes in pytest_plugins:
# some import what takes seconds, which other files of tests need not wait for.
pytest.register_assert_rewrite(
    "bundle_samples",
    "index_contract",
    "ingest_site",
    "object_stores",
    "search_site",
    "search_world",
    "stack_parts",
    "stack_site",
    "sweep_site",
    "ui_server",
)


@pytest.fixture(autouse=True)
def _own_main() -> Iterator[None]:
    """Streamlit's tester leaves its script as ``__main__``, which new processes would run."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


OURS = {"encoder", "infra", "trainer", "ingest_worker", "search_ui", "lithoscope", "celery"}


class FilesAndServers(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives whole groups to processes that test beside each other: what shares a fixture.

    That is the tests of a file, and those on one kind of index server, whatever their file.
    """

    def _split_scope(self, nodeid: str) -> str:
        _, _, parameters = nodeid.partition("[")
        server = parameters.rstrip("]").partition("-")[0]
        return server if server in {"standalone", "lite"} else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)  # there is no such hook where xdist is switched off
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesAndServers:
    """Choose how tests are shared out, whatever ``--dist`` says."""
    return FilesAndServers(config, log)


@pytest.fixture(autouse=True)
def _logs_as_at_start() -> Iterator[None]:
    """Undo what a service or command that ran within the test process did to the logs."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    _forget_our_levels()
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
    _forget_our_levels()


def _forget_our_levels() -> None:
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.partition(".")[0] in OURS:
            logger.setLevel(logging.NOTSET)
