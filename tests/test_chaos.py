"""Nothing is lost whoever dies: benchmarks/chaos.py in small, with a kill of each part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from chaos import SERVICES, conclude, tormented
from chaos_plan import Blow, ChaosPlan, Delete, Put, make_plan
from encoder.progress import progress_bar
from native_site import opened_site
from stack_site import planned

if TYPE_CHECKING:
    from pathlib import Path

    from chaos import Tormented

OBJECTS = 60
SETTLE_SECONDS = 600.0
"""Generous: the machine may be busy with other things."""


def short_plan(seed: int) -> ChaosPlan:
    services = dict.fromkeys(SERVICES, 1)
    return make_plan(seed, objects=OBJECTS, blows={Blow.KILL: 1}, services=services)


def test_a_seed_gives_the_same_plan_and_another_one_another() -> None:
    plan = short_plan(1)
    assert plan == short_plan(1)
    assert plan.digest == short_plan(1).digest != short_plan(2).digest
    assert {fault.service for fault in plan.faults} == set(SERVICES)
    uploads = {operation.key for operation in plan.operations if operation.key[:6] == "scans/"}
    assert len(uploads) == OBJECTS
    kinds = {type(operation) for operation in plan.operations}
    assert kinds >= {Put, Delete}


def test_nothing_is_lost_when_each_part_of_the_stack_is_killed(tmp_path: Path) -> None:
    planned(tmp_path / "parts")  # skips where a server is missing
    with (
        progress_bar() as bar,
        tormented(short_plan(seed=5), tmp_path, workers=1, bar=bar) as ran,
    ):
        outcome = conclude(ran, seconds=SETTLE_SECONDS, bar=bar)
        assert outcome.problems == {}
        assert outcome.check["coverage"]["is_complete"]
        healthy = [key for key, scan in ran.ledger.scans.items() if not scan.is_damaged]
        assert outcome.final.scans == len(healthy)
        assert outcome.final.quarantined == len(ran.ledger.scans) - len(healthy) > 0
        check_that_wrongs_are_seen(ran, healthy)


def check_that_wrongs_are_seen(ran: Tormented, keys: list[str]) -> None:
    """An audit that finds nothing must be one that would find something."""
    ran.stack.pause("worker")
    scans = ran.ledger.scans
    with opened_site(ran.stack) as site:
        live = site.index.live()
        assert live is not None
        collection = site.index.open(live)
        collection.remove(keys[:1])
        collection.doubt(keys[1:2])
    scans[keys[2]] = replace(scans[keys[2]], seed=1_000_000)
    scans["scans/R0/S0/never there.png"] = scans[keys[3]]
    del scans[keys[3]]
    table = {keys[4]: 0.9}
    ran.ledger.tables = {"metadata/other.csv": table, **ran.ledger.tables}
    wrong = {word: set(found) for word, found in ran.settling.audit(ran.ledger).wrong.items()}
    assert wrong.pop("orphaned pictures"), "of what was removed behind the worker's back"
    assert wrong == {
        "lost": {keys[0]},
        "stale etag": {keys[1]},
        "wrong vectors": {keys[2]},
        "lost by the store": {"scans/R0/S0/never there.png"},
        "unexpected in the store": {keys[3]},
        "wrong metadata": {keys[4]},
    }
    ran.stack.resume("worker")
