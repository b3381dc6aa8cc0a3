"""A stack of processes: started in order, watched, restarted, paused, killed, ended."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.native_stack.compose_file import Condition
from infra.native_stack.errors import NativeStackError
from infra.native_stack.processes import ProcessId, identify, start
from infra.native_stack.state import StackState

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from infra.native_stack.plan import Plan
    from infra.native_stack.probes import Probe

HEALTHY_SECONDS = 240.0
"""How long a service may take until it is healthy, data of a former run read again included."""

_POLL_SECONDS = 0.1
_TAIL_BYTES = 4000
_LAST_LINES = 12
_STEADY_SECONDS = 10.0
_LONGEST_PAUSE = 30.0


@dataclass(slots=True)
class _Running:
    """A process of an instance.

    Attributes:
        child: The process.
        id: The same, as it is put on record.
        probe: Tells whether it does its work.
        stop_seconds: How long it may take to end.
        began: When it was started (monotonic).
    """

    child: subprocess.Popen[bytes]
    id: ProcessId
    probe: Probe
    stop_seconds: float
    began: float


class NativeStack:
    """The services of a plan as processes that this one started. Threads may share it.

    A service is named by its name (all its instances) or one instance by ``name-number``.

    Attributes:
        plan: What it is made of.
    """

    def __init__(self, plan: Plan, state: StackState | None = None) -> None:
        self.plan = plan
        self._state = state or StackState()
        self._state.ports = plan.ports
        self._running: dict[str, _Running] = {}
        self._wanted: set[str] = set()
        self._pauses: dict[str, float] = {}
        self._is_supervised = False
        self._lock = threading.RLock()

    def up(self, seconds: float = HEALTHY_SECONDS) -> None:
        """Start everything in order, and wait until it is healthy.

        Args:
            seconds: How long each service may take.

        Raises:
            NativeStackError: A service ended, or took too long; the text has the end of its log.
        """
        for name in self.plan.instances:
            self.start(name, seconds=seconds)
        for name in self.plan.instances:
            if self.plan.instances[name].restart in {"always", "unless-stopped"}:
                self.wait_healthy(name, seconds)
        with self._lock:
            self._state.is_up = True
            self._record()

    def down(self) -> None:
        """End everything, what waits for others before those; data and logs stay."""
        for name in reversed(list(self.plan.instances)):
            self.stop(name)

    def start(self, name: str, *, seconds: float = HEALTHY_SECONDS) -> None:
        """Start a service, unless it runs, when what it waits for is there.

        Raises:
            NativeStackError: What it waits for did not become healthy, or failed.
        """
        for instance in self.instances(name):
            for other, condition in self.plan.instances[instance].after.items():
                self._wait_for(other, condition, seconds=seconds)
            with self._lock:
                self._wanted.add(instance)
                if not self._is_alive(instance):
                    self._launch(instance)

    def stop(self, name: str) -> None:
        """End a service as Docker does: SIGTERM, time to finish, SIGKILL."""
        for instance in reversed(self.instances(name)):
            with self._lock:
                self._wanted.discard(instance)
                running = self._running.get(instance)
            if running is not None:
                running.id.end(running.stop_seconds)
                running.child.wait()

    def kill(self, name: str) -> None:
        """Kill a service with SIGKILL; `revive` starts it again."""
        for instance in self.instances(name):
            with self._lock:
                running = self._running.get(instance)
                if running is not None:
                    running.id.kill()
                    running.child.wait()

    def restart(self, name: str, *, seconds: float = HEALTHY_SECONDS) -> None:
        """End a service, start it again and wait until it is healthy."""
        self.stop(name)
        self.start(name, seconds=seconds)
        self.wait_healthy(name, seconds)

    def pause(self, name: str) -> None:
        """Let a service hang, with all that it began (SIGSTOP)."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a service that hangs go on."""
        self._signal(name, signal.SIGCONT)

    def revive(self) -> list[str]:
        """Start again what ended and is to run always, each time after a longer pause.

        Returns:
            Instances that were started.
        """
        started = []
        with self._lock:
            for instance in sorted(self._wanted):
                if self._is_alive(instance) or not self._is_due(instance):
                    continue
                self._launch(instance)
                started.append(instance)
        return started

    @contextlib.contextmanager
    def supervised(self) -> Iterator[None]:
        """Start again what ends, as Docker does, until the block is left."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_POLL_SECONDS):
                self.revive()

        watcher = threading.Thread(target=watch, name="supervisor")
        self._is_supervised = True
        watcher.start()
        try:
            yield
        finally:
            self._is_supervised = False
            ended.set()
            watcher.join()

    def wait_healthy(self, name: str, seconds: float = HEALTHY_SECONDS) -> None:
        """Wait until a service does its work, started again where this stack is supervised.

        Raises:
            NativeStackError: It ended or took too long; the text has the end of its log.
        """
        deadline = time.monotonic() + seconds
        for instance in self.instances(name):
            while not self.is_healthy(instance):
                if not self._is_supervised and not self._is_alive(instance):
                    raise self._failure(instance, "ended")
                if time.monotonic() > deadline:
                    raise self._failure(instance, f"is not healthy after {seconds:g} s")
                time.sleep(_POLL_SECONDS)

    def is_healthy(self, name: str) -> bool:
        """Whether every instance of a service runs and passes its health check."""
        return all(
            self._is_alive(instance) and self._running[instance].probe.is_healthy()
            for instance in self.instances(name)
        )

    def is_alive(self, name: str) -> bool:
        """Whether every instance of a service runs, well or not."""
        return all(self._is_alive(instance) for instance in self.instances(name))

    def pids(self, name: str) -> list[int]:
        """Processes of a service."""
        return [self._running[one].id.pid for one in self.instances(name) if one in self._running]

    def instances(self, name: str) -> list[str]:
        """Instances of a service, or the one that is named.

        Raises:
            NativeStackError: There is no such service.
        """
        if name in self.plan.instances:
            return [name]
        found = [one for one, service in self.plan.instances.items() if service.name == name]
        if not found:
            raise NativeStackError(
                f"{name}: no such service; there are {', '.join(self.plan.services)}"
            )
        return found

    def port(self, name: str, port: int) -> int:
        """Where a service's port of its container is on this machine."""
        return self.plan.ports[self.instances(name)[0]][port]

    def log(self, name: str) -> str:
        """What a service has printed, over all its runs."""
        return "".join(self._text_of(instance) for instance in self.instances(name))

    def client_settings(self) -> dict[str, str]:
        """Settings (LITHOSCOPE_*) of commands that talk to this stack."""
        return self.plan.client_settings()

    def _launch(self, instance: str) -> None:
        what = self.plan.launch(instance)
        child = start(
            what.command,
            what.environment,
            folder=self.plan.folder / "homes" / instance,
            log=self.plan.log(instance),
        )
        self._running[instance] = _Running(
            child=child,
            id=identify(child),
            probe=what.probe,
            stop_seconds=min(what.stop_seconds, self.plan.instances[instance].stop_seconds),
            began=time.monotonic(),
        )
        self._state.processes[instance] = self._running[instance].id
        self._record()

    def _record(self) -> None:
        self._state.write(self.plan.folder)

    def _is_alive(self, instance: str) -> bool:
        running = self._running.get(instance)
        return running is not None and running.child.poll() is None

    def _is_due(self, instance: str) -> bool:
        """Whether a service that ended is to be started now."""
        running, policy = self._running[instance], self.plan.instances[instance].restart
        if policy == "no" or (policy == "on-failure" and running.child.returncode == 0):
            return False
        now = time.monotonic()
        if instance not in self._pauses or now - running.began > _STEADY_SECONDS:
            self._pauses[instance] = _POLL_SECONDS
        if now < running.began + self._pauses[instance]:
            return False
        self._pauses[instance] = min(_LONGEST_PAUSE, self._pauses[instance] * 2)
        return True

    def _wait_for(self, name: str, condition: Condition, *, seconds: float) -> None:
        if name not in self.plan.services:
            return
        if condition is Condition.HEALTHY:
            self.wait_healthy(name, seconds)
        elif condition is Condition.DONE:
            self._wait_done(name, seconds)

    def _wait_done(self, name: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for instance in self.instances(name):
            while (status := self._exit_status(instance)) != 0:
                if status is not None:
                    raise self._failure(instance, f"ended with {status}")
                if time.monotonic() > deadline:
                    raise self._failure(instance, f"still runs after {seconds:g} s")
                time.sleep(_POLL_SECONDS)

    def _exit_status(self, instance: str) -> int | None:
        running = self._running.get(instance)
        if running is None:
            raise NativeStackError(f"{instance}: was not started; start it first")
        return running.child.poll()

    def _signal(self, name: str, number: signal.Signals) -> None:
        for instance in self.instances(name):
            with self._lock:
                if instance in self._running:
                    self._running[instance].id.send(number)

    def _text_of(self, instance: str) -> str:
        path = self.plan.log(instance)
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _failure(self, instance: str, what: str) -> NativeStackError:
        lines = self._text_of(instance)[-_TAIL_BYTES:].splitlines()[-_LAST_LINES:]
        said = " | ".join(line.strip() for line in lines if line.strip()) or "nothing"
        return NativeStackError(
            f"{instance}: {what}; mend what its log says ({self.plan.log(instance)}): {said}"
        )
