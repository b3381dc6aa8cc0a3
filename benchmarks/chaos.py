"""Nothing is lost whoever dies: a stack is used while its parts are killed, hang and are restarted.

People upload, overwrite, copy and delete scans and correct tables, while worker, dispatcher,
scheduler, broker, object store and index are killed with SIGKILL, stopped for a while (SIGSTOP) and
restarted, in an order that a seed gives. Once the stack has come to rest, what it holds is held
against what people did, by reading store and index raw: nothing may be lost, doubled, orphaned,
stale or half-written; and ``lithoscope reconcile --check`` must find nothing. The real servers of
docker-compose.yml run as processes of this machine.
Run it with `python benchmarks/chaos.py`; the same ``--seed`` gives the same operations and faults.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chaos_people import People
from chaos_plan import Blow, ChaosPlan, make_plan
from chaos_rocks import small_bundle
from chaos_run import Chaos, EventLog
from chaos_settle import Settling, UnsettledError
from encoder.errors import LithoscopeError
from encoder.progress import progress_bar
from native_site import make_live, opened_site, running_stack, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

    from chaos_plan import Ledger
    from chaos_settle import Settled
    from infra.native_stack.stack import NativeStack
    from stack_audit import Audit

SERVICES = ("worker", "dispatcher", "scheduler", "broker", "object-store", "milvus")

SETTINGS = {
    "LITHOSCOPE_LOG__FORMAT": "text",
    "LITHOSCOPE_WORK__BATCH_SECONDS": "0.2",
    "LITHOSCOPE_WORK__SWEEP_SECONDS": "10",
    "LITHOSCOPE_BROKER__VISIBILITY_SECONDS": "15",
    "LITHOSCOPE_DECODE__WORKERS": "1",
}
"""What makes a stack find out sooner: the defaults are for scans that take minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tormented:
    """A stack that chaos went over, and that runs still.

    Attributes:
        stack: The stack.
        settling: Waits for it.
        ledger: What people did.
        tries: How often their operations were tried in all.
        seconds: How long the chaos lasted.
    """

    stack: NativeStack
    settling: Settling
    ledger: Ledger
    tries: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        settled: The stack at rest.
        final: What it holds after ``reconcile --deep``.
        code: What ``reconcile --check`` ended with.
        check: What that told.
    """

    settled: Settled
    final: Audit
    code: int
    check: dict[str, Any]

    @property
    def problems(self) -> dict[str, list[str]]:
        """All that is wrong, by words."""
        differences = self.check["differences"]
        told = {f"reconcile: {name}": keys for name, keys in differences.items() if keys}
        ended = {"reconcile --check": [f"ended with {self.code}"]} if self.code else {}
        return self.final.wrong | told | ended


@contextlib.contextmanager
def tormented(plan: ChaosPlan, folder: Path, *, workers: int, bar: Progress) -> Iterator[Tormented]:
    """Run a plan on a stack of its own.

    Args:
        plan: What happens.
        folder: Where the stack's data and logs are, and ``events.jsonl``.
        workers: How many.
        bar: Shows how far it is.

    Yields:
        The stack, with everything running again.
    """
    with (
        EventLog(folder / "events.jsonl") as log,
        running_stack(folder / "stack", SETTINGS, scale={"worker": workers}) as stack,
    ):
        with opened_site(stack) as site:
            collection = make_live(site, small_bundle(folder / "bundle")).collection
        began = time.monotonic()
        chaos = Chaos(plan, stack, log=log)
        done = bar.add_task("operations", total=len(plan.operations))
        begun = bar.add_task("faults", total=len(plan.faults))

        def watch(operations: int, faults: int) -> None:
            bar.update(done, completed=operations)
            bar.update(begun, completed=faults)

        with People(settings_of(stack)) as people:
            ledger = chaos.run(people, watch=watch)
        yield Tormented(
            stack=stack,
            settling=Settling(stack, collection, bundle=folder / "bundle"),
            ledger=ledger,
            tries=chaos.tries,
            seconds=time.monotonic() - began,
        )


def conclude(ran: Tormented, *, seconds: float, bar: Progress) -> Outcome:
    """Wait until a stack is at rest, and look at it in every way.

    Args:
        ran: The stack.
        seconds: How long it may take to come to rest.
        bar: Shows what it waits for.

    Raises:
        UnsettledError: It does not come to rest; the text says what is wrong.
    """
    resting = bar.add_task("coming to rest", total=None)
    settled = ran.settling.settle(
        ran.ledger,
        seconds=seconds,
        watch=lambda what: bar.update(resting, description=f"coming to rest: {what}"),
    )
    code, check = ran.settling.reconcile("--check")
    ran.settling.reconcile("--deep")
    return Outcome(settled=settled, final=ran.settling.audit(ran.ledger), code=code, check=check)


def main() -> int:
    """Run chaos, and print what came of it.

    Returns:
        0 where nothing was lost, doubled, orphaned, stale or half-written; else 1.
    """
    options = _options()
    seed = options.seed if options.seed is not None else int(time.time())
    blows = {
        Blow.KILL: options.kills,
        Blow.PAUSE: options.pauses,
        Blow.RESTART: options.restarts,
    }
    services = dict.fromkeys(SERVICES, 1) | {"worker": options.workers}
    plan = make_plan(seed, objects=options.objects, blows=blows, services=services)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="lithoscope-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {seed} (plan {plan.digest}), events and logs in {folder}", flush=True)
    _print_plan(plan)
    try:
        with (
            progress_bar() as bar,
            tormented(plan, folder, workers=options.workers, bar=bar) as ran,
        ):
            outcome = conclude(ran, seconds=options.settle_seconds, bar=bar)
    except (UnsettledError, LithoscopeError) as error:
        print(f"FAILED: {error}")
        return 1
    _print_outcome(ran, outcome)
    if outcome.problems:
        print(f"FAILED: {outcome.problems}")
        return 1
    if options.folder is None:
        shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=1000, help="scans (%(default)s)")
    parser.add_argument("--kills", type=int, default=10, help="of each part (%(default)s)")
    parser.add_argument("--pauses", type=int, default=10, help="of each part (%(default)s)")
    parser.add_argument("--restarts", type=int, default=10, help="of each part (%(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--seed", type=int, help="whatever the clock says unless given")
    parser.add_argument("--folder", type=Path, help="keep logs and data here")
    parser.add_argument("--settle-seconds", type=float, default=900.0, help="(%(default)s)")
    options = parser.parse_args()
    if options.folder is not None and options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder}: is not empty; name another folder")
    return options


def _print_plan(plan: ChaosPlan) -> None:
    kinds = Counter(type(operation).__name__ for operation in plan.operations)
    print(", ".join(f"{count:,} {name}" for name, count in sorted(kinds.items())))
    blows = Counter((fault.service, fault.blow) for fault in plan.faults)
    print(f"{'':14}" + "".join(f"{blow:>9}" for blow in Blow))
    for service in SERVICES:
        print(f"{service:14}" + "".join(f"{blows[service, blow]:>9}" for blow in Blow))


def _print_outcome(ran: Tormented, outcome: Outcome) -> None:
    final, settled = outcome.final, outcome.settled
    print(
        f"\nchaos took {ran.seconds:.0f} s, {ran.tries:,} tries of operations; "
        f"at rest {settled.seconds:.0f} s later"
    )
    left = ", ".join(f"{count} {word}" for word, count in settled.leftovers.items() if count)
    print(f"left for the deep sweep: {left or 'nothing'}")
    print(f"{final.scans:,} scans indexed, {final.rows:,} slices, {final.quarantined} quarantined")
    for word, count in final.counts.items():
        print(f"  {word:26}{count:>7}")
    print(f"reconcile --check ended with {outcome.code}; coverage {outcome.check['coverage']}")


if __name__ == "__main__":
    sys.exit(main())
