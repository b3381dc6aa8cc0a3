"""What happens in a run of chaos: a seed gives the same operations and faults, in the same order.

People upload, overwrite, copy and delete scans and correct tables, while parts of the stack are
killed, hang, and are restarted. Nothing here touches a server.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.random import Generator

_RESERVOIRS = 5
_SAMPLES = 4
_LONG_PAUSE = 25.0
"""Longer than the stack of these runs waits for a sign of life."""

_LATE = 10
"""So many of the scans that came last are changed more often."""

_CHOICES = {
    "upload": 0.56,
    "overwrite": 0.17,
    "delete": 0.11,
    "copy": 0.08,
    "table": 0.03,
    "damage": 0.03,
    "no table": 0.01,
    "again": 0.01,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an object holds.

    Attributes:
        suffix: ``.png``, one slice; ``.tif``, a volume.
        seed: Gives its pixels: its own for each content.
        is_damaged: Whether nobody can read it.
        porosity: What its user metadata says, or None.
    """

    suffix: str
    seed: int
    is_damaged: bool = False
    porosity: float | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Upload or overwrite a scan."""

    key: str
    content: Content


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy a scan within the store."""

    source: str
    key: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a scan, or a table."""

    key: str


@dataclass(frozen=True, slots=True)
class PutTable:
    """Store a table: porosity by the key of a scan."""

    key: str
    rows: tuple[tuple[str, float], ...]


Operation: TypeAlias = Put | Copy | Delete | PutTable


class Blow(StrEnum):
    """What is done to a part of the stack."""

    KILL = "kill"
    PAUSE = "pause"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is done to a part of the stack.

    Attributes:
        at: Operation before which it begins.
        service: To whom.
        blow: What.
        seconds: How long a pause is.
        instance: Which of several, counted from 0; None for all at once.
        is_merciful: Whether it is left to recover from the former one before.
    """

    at: int
    service: str
    blow: Blow
    seconds: float
    instance: int | None
    is_merciful: bool


@dataclass(frozen=True, slots=True)
class ChaosPlan:
    """A run of chaos.

    Attributes:
        operations: What people do, in this order.
        faults: What is done to the stack, by the operation that it comes before.
    """

    operations: tuple[Operation, ...]
    faults: tuple[Fault, ...]

    @property
    def digest(self) -> str:
        """The same for the same plan only."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


@dataclass(slots=True)
class Ledger:
    """What the store is to hold.

    Attributes:
        scans: Contents by key.
        tables: Rows of tables by key.
    """

    scans: dict[str, Content] = dataclasses.field(default_factory=dict)
    tables: dict[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def apply(self, operation: Operation) -> None:
        """Note what an operation did."""
        match operation:
            case Put(key, content):
                self.scans[key] = content
            case Copy(source, key):
                self.scans[key] = self.scans[source]
            case PutTable(key, rows):
                self.tables[key] = dict(rows)
            case Delete(key):
                (self.tables if key in self.tables else self.scans).pop(key)

    def porosity(self, key: str) -> float | None:
        """What is to be known of a scan's porosity: tables come before user metadata."""
        for rows in self.tables.values():
            if key in rows:
                return rows[key]
        return self.scans[key].porosity


def make_plan(
    seed: int, *, objects: int, blows: Mapping[Blow, int], services: Mapping[str, int]
) -> ChaosPlan:
    """Make the plan of a seed.

    Args:
        seed: The seed.
        objects: Scans that are uploaded or copied, each under a key of its own.
        blows: How many of each kind every service gets.
        services: How many instances there are of each service that is tormented.
    """
    random = np.random.default_rng(seed)
    operations = tuple(_operations(random, objects))
    faults: list[Fault] = []
    for service, instances in services.items():
        kinds = [blow for blow, count in blows.items() for _ in range(count)]
        faults += _faults(random, service, instances=instances, kinds=kinds, last=len(operations))
    return ChaosPlan(operations, tuple(sorted(faults, key=lambda fault: fault.at)))


def _operations(random: Generator, objects: int) -> Iterator[Operation]:
    ledger, made = Ledger(), 0
    names = list(_CHOICES)
    shares = np.array(list(_CHOICES.values()))
    for seed in range(100 * objects):
        if made == objects:
            return
        choice = names[random.choice(len(names), p=shares / shares.sum())]
        operation = _operation(random, choice, ledger=ledger, number=made, seed=seed)
        if operation is None:
            continue
        made += isinstance(operation, Copy) or (
            isinstance(operation, Put) and operation.key not in ledger.scans
        )
        ledger.apply(operation)
        yield operation


def _operation(
    random: Generator, choice: str, *, ledger: Ledger, number: int, seed: int
) -> Operation | None:
    """What was chosen, if there is something that it can be done to."""
    if choice == "upload":
        return _upload(random, number, seed=seed)
    if choice in {"table", "no table"}:
        return _table(random, ledger, is_removal=choice == "no table")
    if not ledger.scans:
        return None
    key = _any(random, list(ledger.scans))
    former = ledger.scans[key]
    done: dict[str, Operation] = {
        "delete": Delete(key),
        "copy": Copy(key, _key(random, number, suffix=former.suffix)),
        "damage": Put(key, Content(suffix=former.suffix, seed=seed, is_damaged=True)),
        "again": Put(key, former),  # the same content once more: a new event, and no change
        "overwrite": Put(key, _content(random, former.suffix, seed=seed)),
    }
    return done[choice]


def _upload(random: Generator, number: int, *, seed: int) -> Put:
    suffix = ".tif" if random.random() < 0.15 else ".png"
    content = _content(random, suffix, seed=seed)
    if random.random() < 0.04:
        content = dataclasses.replace(content, is_damaged=True, porosity=None)
    return Put(_key(random, number, suffix=suffix), content)


def _content(random: Generator, suffix: str, *, seed: int) -> Content:
    porosity = round(float(random.uniform(0.01, 0.4)), 4) if random.random() < 0.2 else None
    return Content(suffix=suffix, seed=seed, porosity=porosity)


def _key(random: Generator, number: int, *, suffix: str) -> str:
    reservoir, sample = random.integers(_RESERVOIRS), random.integers(_SAMPLES)
    name = f"ä b+{number}%" if number % 7 == 0 else str(number)  # what addresses must escape
    return f"scans/R{reservoir}/S{sample}/{name}{suffix}"


def _table(random: Generator, ledger: Ledger, *, is_removal: bool) -> Operation | None:
    """A reservoir's table, written anew with other values for half of its scans."""
    reservoir = random.integers(_RESERVOIRS)
    table, prefix = f"metadata/R{reservoir}.csv", f"scans/R{reservoir}/"
    if is_removal:
        return Delete(table) if table in ledger.tables else None
    rows = dict(ledger.tables.get(table, {}))
    for key in ledger.scans:
        if key.startswith(prefix) and random.random() < 0.5:
            rows[key] = round(float(random.uniform(0.01, 0.4)), 4)
    return PutTable(table, tuple(rows.items())) if rows else None


def _any(random: Generator, keys: Sequence[str]) -> str:
    """One of them; half of the time a late one, which workers may be at work on just now."""
    late = random.random() < 0.5
    return keys[int(random.integers(max(len(keys) - _LATE, 0) if late else 0, len(keys)))]


def _faults(
    random: Generator, service: str, *, instances: int, kinds: Sequence[Blow], last: int
) -> Iterator[Fault]:
    """One service's faults, spread over the operations, none before the first few."""
    places = np.sort(random.uniform(min(last, 10), last, len(kinds))).astype(int)
    for at, kind in zip(places, random.permutation(np.array(kinds, dtype=object)), strict=True):
        is_long = service == "worker" and random.random() < 0.2
        seconds = float(random.uniform(0.5, 6.0))
        one = int(random.integers(instances)) if random.random() < 0.8 else None
        yield Fault(
            at=int(at),
            service=service,
            blow=kind,
            seconds=_LONG_PAUSE if is_long and kind is Blow.PAUSE else seconds,
            instance=one if instances > 1 else None,
            is_merciful=bool(random.random() < 0.8),
        )
