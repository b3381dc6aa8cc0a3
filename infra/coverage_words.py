"""A comparison in words and figures: the same for every command that tells one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.coverage import Coverage

DIFFERENCES = ("missing", "changed", "stale", "corrected", "unresolved", "orphaned")
"""What keeps a comparison from being complete, by the names of `infra.coverage.Coverage`."""

RECONCILED = tuple(name for name in DIFFERENCES if name != "unresolved")
"""Those that a comparison makes good; the others are searchable, and for their owner to mend."""

_WORDS = {
    "missing": "missing",
    "changed": "changed since",
    "stale": "indexed with another preprocessing",
    "corrected": "with corrected metadata",
    "unresolved": "indexed with former metadata",
    "orphaned": "indexed without an object",
}


def to_reconcile(coverage: Coverage) -> Iterator[str]:
    """Iterate over the keys that are to be made good."""
    return (key for name in RECONCILED for key in getattr(coverage, name))


def coverage_counts(coverage: Coverage) -> dict[str, int | bool]:
    """Give the figures of a comparison."""
    return {
        "objects": coverage.objects,
        "indexed": coverage.indexed,
        "slices": coverage.slices,
        "quarantined": len(coverage.quarantined),
        **{name: len(getattr(coverage, name)) for name in DIFFERENCES},
        "is_complete": coverage.is_complete,
    }


def coverage_text(coverage: Coverage) -> str:
    """Say what a comparison found, in a line."""
    parts = []
    if coverage.indexed or not coverage.unresolved:
        parts.append(f"{coverage.indexed:,} indexed ({counted(coverage.slices, 'slice')})")
    if coverage.unresolved:
        parts.append(f"{len(coverage.unresolved):,} {_WORDS['unresolved']}")
    if coverage.quarantined:
        parts.append(f"{len(coverage.quarantined):,} quarantined")
    counts = {name: len(getattr(coverage, name)) for name in RECONCILED}
    found = [f"{count:,} {_WORDS[name]}" for name, count in counts.items() if count]
    objects = counted(coverage.objects, "object")
    return f"{objects}: {', '.join(parts)}; {', '.join(found) or 'nothing missing'}"


def scans_behind(coverage: Coverage) -> int:
    """Scans that filling a model's collection would make good."""
    return len(list(to_reconcile(coverage)))


def counted(number: int, noun: str) -> str:
    """Give a number with its noun: ``1 scan``, ``2,000 scans``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
