"""A run of chaos: people use the store while each part of the stack is tormented by a thread."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from chaos_plan import Blow, ChaosPlan, Fault, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path
    from typing import Self

    from chaos_people import People
    from chaos_plan import Operation
    from infra.native_stack.stack import NativeStack

AHEAD = 25
"""Operations that people may be ahead of a fault that can't begin yet."""


class EventLog:
    """What happened when, a JSON object a line, for any thread. A context manager."""

    def __init__(self, path: Path) -> None:
        """Begin a log."""
        self._file = path.open("w", encoding="utf-8")
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def note(self, event: str, **facts: Any) -> None:  # noqa: ANN401  whatever is JSON
        """Note an event."""
        seconds = round(time.monotonic() - self._began, 3)
        line = json.dumps({"seconds": seconds, "event": event, **facts})
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


class Chaos:
    """One run."""

    def __init__(self, plan: ChaosPlan, stack: NativeStack, *, log: EventLog) -> None:
        """Prepare it.

        Args:
            plan: What is to happen.
            stack: To what; it is up, and supervised.
            log: Where it is noted.
        """
        self._plan = plan
        self._stack = stack
        self._log = log
        self._done = 0
        self._pending = set(range(len(plan.faults)))
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self.tries = 0

    def run(self, people: People, *, watch: Callable[[int, int], None]) -> Ledger:
        """Carry out all operations and faults.

        Args:
            people: Carry out the operations.
            watch: Told how many operations are done, and how many faults have begun.

        Returns:
            What the store is to hold.
        """
        ledger = Ledger()
        services = sorted({fault.service for fault in self._plan.faults})
        with ExitStack() as stack:
            threads = stack.enter_context(ThreadPoolExecutor(max(len(services), 1)))
            stack.callback(self._end)
            torments = [threads.submit(self._torment, service) for service in services]
            for number, operation in enumerate(self._plan.operations):
                self._wait_for_faults(number, torments)
                self._carry_out(people, number, operation=operation)
                ledger.apply(operation)
                watch(self._done, self._begun)
            self._advance(len(self._plan.operations) + AHEAD)
            while wait(torments, timeout=1.0, return_when=FIRST_EXCEPTION).not_done:
                watch(len(self._plan.operations), self._begun)
                self._raise(torments)
            self._raise(torments)
        return ledger

    @property
    def _begun(self) -> int:
        return len(self._plan.faults) - len(self._pending)

    def _carry_out(self, people: People, number: int, *, operation: Operation) -> None:
        tries = people.carry_out(operation)
        self.tries += tries
        self._log.note(type(operation).__name__, number=number, key=operation.key, tries=tries)
        self._advance(number + 1)

    def _advance(self, done: int) -> None:
        with self._changed:
            self._done = done
            self._changed.notify_all()

    def _wait_for_faults(self, number: int, torments: list[Future[None]]) -> None:
        """Wait until every fault has begun that comes long before an operation."""

        def are_due() -> bool:
            return all(self._plan.faults[each].at > number - AHEAD for each in self._pending)

        with self._changed:
            while not self._changed.wait_for(are_due, timeout=1.0):
                self._raise(torments)

    def _torment(self, service: str) -> None:
        for number, fault in enumerate(self._plan.faults):
            if fault.service != service:
                continue
            with self._changed:
                while self._done < fault.at and not self._stop.is_set():
                    self._changed.wait()
            if self._stop.is_set():
                return
            self._strike(number, fault)

    def _strike(self, number: int, fault: Fault) -> None:
        name = fault.service if fault.instance is None else f"{fault.service}-{fault.instance + 1}"
        if fault.is_merciful:
            self._stack.wait_healthy(name)
        facts = {"blow": fault.blow, "service": name, "at": fault.at, "number": number}
        self._log.note("fault", **facts)
        match fault.blow:
            case Blow.KILL:
                self._stack.kill(name)
                self._begin(number)
            case Blow.PAUSE:
                self._stack.pause(name)
                self._begin(number)
                self._stop.wait(fault.seconds)
                self._stack.resume(name)
            case Blow.RESTART:
                self._begin(number)
                self._stack.restart(name)
        self._log.note("fault ends", **facts)

    def _begin(self, number: int) -> None:
        with self._changed:
            self._pending.discard(number)
            self._changed.notify_all()

    def _raise(self, torments: list[Future[None]]) -> None:
        for each in torments:
            if each.done():
                each.result()

    def _end(self) -> None:
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
