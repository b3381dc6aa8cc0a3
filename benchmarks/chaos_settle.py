"""Waiting until a stack has come to rest after chaos, and looking at what it holds then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from chaos_rocks import LocalEncoder
from infra.broker import open_broker
from infra.task_names import BULK, DEEP_SWEEP, ENCODE
from infra.task_queue import TaskQueue
from native_site import ROOT, settings_of
from stack_audit import StackReader, Wanted, audit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis

    from chaos_plan import Ledger
    from infra.native_stack.stack import NativeStack
    from stack_audit import Audit

POLL_SECONDS = 1.0


class UnsettledError(Exception):
    """A stack that does not come to rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A stack at rest.

    Attributes:
        audit: What it holds.
        seconds: How long it took.
        leftovers: What killed workers had left before the deep sweep, by word.
    """

    audit: Audit
    seconds: float
    leftovers: dict[str, int]


class Settling:
    """Waits for a stack, and audits it."""

    def __init__(self, stack: NativeStack, collection: str, *, bundle: Path) -> None:
        """Look at a stack.

        Args:
            stack: The stack.
            collection: Its live collection.
            bundle: The model of that.
        """
        self._settings = settings_of(stack)
        self._stack = stack
        self._collection = collection
        self._encoder = LocalEncoder(bundle)

    def settle(
        self, ledger: Ledger, *, seconds: float, watch: Callable[[str], None] = lambda _: None
    ) -> Settled:
        """Wait until nothing is on its way, nothing is wrong, and a further sweep finds so too.

        Args:
            ledger: What the store holds.
            seconds: How long that may take.
            watch: Told what is wrong still.

        Raises:
            UnsettledError: It takes longer; the text says what is wrong.
        """
        for service in self._stack.plan.services:
            if service != "init":
                self._stack.wait_healthy(service)
        began = time.monotonic()
        wanted = self._wanted(ledger)
        with (
            closing(open_broker(self._settings)) as client,
            StackReader(self._settings, self._collection) as reader,
        ):
            look = _Look(client, reader, wanted, deadline=began + seconds, watch=watch)
            look.until_right()
            look.until_swept(self._collection)
            leftovers = look.until_right().counts
            with TaskQueue(self._settings) as queue:
                queue.request(DEEP_SWEEP)
            found = look.until_right("orphaned rows")
        seconds = time.monotonic() - began
        return Settled(audit=found, seconds=seconds, leftovers=leftovers)

    def audit(self, ledger: Ledger) -> Audit:
        """Look at what the stack holds now."""
        with StackReader(self._settings, self._collection) as reader:
            return audit(reader, self._wanted(ledger))

    def reconcile(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Run ``lithoscope reconcile``; gives its exit code and what it told."""
        settings = self._stack.client_settings() | {"PYTHONPATH": str(ROOT)}
        told = subprocess.run(  # noqa: S603  our own command
            [sys.executable, "-m", "lithoscope", "reconcile", *words, "--format", "json"],
            env=os.environ | settings,
            capture_output=True,
            check=False,
            text=True,
            timeout=600,
        )
        if not told.stdout:
            raise UnsettledError(f"reconcile {' '.join(words)}: {told.stderr.strip()}")
        return told.returncode, cast("dict[str, Any]", json.loads(told.stdout))

    def _wanted(self, ledger: Ledger) -> dict[str, Wanted]:
        return {
            key: Wanted(vectors=self._encoder.vectors(content), porosity=ledger.porosity(key))
            for key, content in ledger.scans.items()
        }


class _Look:
    """Looks again and again."""

    def __init__(
        self,
        client: redis.Redis,
        reader: StackReader,
        wanted: dict[str, Wanted],
        *,
        deadline: float,
        watch: Callable[[str], None],
    ) -> None:
        self._client = client
        self._reader = reader
        self._wanted = wanted
        self._deadline = deadline
        self._watch = watch
        self._wrong: dict[str, list[str]] = {}

    def until_right(self, *leftovers: str) -> Audit:
        """Wait until nothing is on its way and nothing is wrong, these leftovers included."""
        while True:
            waiting = self._waiting()
            if not waiting:
                found = audit(self._reader, self._wanted)
                self._wrong = found.problems
                self._wrong |= {
                    word: found.wrong[word] for word in leftovers if word in found.wrong
                }
                if not self._wrong:
                    return found
                waiting = ", ".join(f"{len(keys)} {word}" for word, keys in self._wrong.items())
            self._pause(waiting)

    def until_swept(self, collection: str) -> None:
        """Wait for a comparison that began from now on."""
        now = time.time()
        while True:
            found = cast("bytes | None", self._client.hget("lithoscope:pass", collection))
            told: dict[str, Any] = json.loads(found) if found else {}
            if told.get("began", 0) > now and told.get("finished"):
                return
            self._pause("waits for a sweep")

    def _waiting(self) -> str:
        """What is on its way."""
        client = self._client
        events = client.llen("lithoscope:events") + client.llen("lithoscope:events:processing")
        tasks = client.llen(ENCODE) + client.llen(BULK)
        running = [json.loads(kept)[2] for kept in client.hvals("unacked")]
        tasks += len([queue for queue in running if queue in {ENCODE, BULK}])
        return f"{events} events, {tasks} tasks" if events + tasks else ""

    def _pause(self, what: str) -> None:
        self._watch(what)
        if time.monotonic() > self._deadline:
            keys = {word: each[:5] for word, each in self._wrong.items()}
            raise UnsettledError(f"not at rest: {what}; {keys}")
        time.sleep(POLL_SECONDS)
