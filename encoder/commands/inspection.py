"""What is told about a scan: its facts, its metadata with sources, its problems."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from encoder.errors import printable

if TYPE_CHECKING:
    from pathlib import Path

    from encoder.decoding import DecodedScan
    from encoder.metadata.records import Provenance, ScanMetadata
    from encoder.planes import ScanInfo
    from encoder.slicing import SlicePlace


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found at a path.

    Attributes:
        path: The scan's file.
        scan: Its facts, window and slices; None where it was refused.
        metadata: What is known of it; None where it is contradictory.
        problems: Why it, or its metadata, was refused, one line each.
    """

    path: Path
    scan: DecodedScan | None
    metadata: ScanMetadata | None
    problems: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """Oddities that are no reason to refuse it."""
        of_file = self.scan.info.notes if self.scan else ()
        of_metadata = self.metadata.notes if self.metadata else ()
        return (*of_file, *of_metadata)

    def line(self) -> str:
        """Tell all of it in one line."""
        verdict = "REFUSED" if self.scan is None else "PROBLEM" if self.problems else "ok"
        facts = [str(self.path)]
        if self.scan is not None:
            told = _facts(self.scan)
            facts += (told | {"window": f"window {told['window']}"}).values()
        facts += [f"{', '.join(values)} ({source})" for source, values in self._by_source().items()]
        facts += [f"note: {note}" for note in self.notes]
        facts += [f"PROBLEM: {problem}" for problem in self.problems]
        return f"{verdict:<8} {printable(' · '.join(facts))}"

    def block(self) -> str:
        """Tell all of it, with the source of every value, in several lines."""
        lines = [str(self.path)]
        if self.scan is not None:
            lines += [f"  {name:<16} {text}" for name, text in _facts(self.scan).items()]
        if self.metadata is not None:
            for name, value in self.metadata.values().items():
                lines.append(f"  {name:<16} {value}  ({self.metadata.provenance[name]})")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  PROBLEM: {problem}" for problem in self.problems]
        return "\n".join(printable(line) for line in lines)

    def _by_source(self) -> dict[str, list[str]]:
        """Values with their names, by where they were read."""
        found: dict[str, list[str]] = {}
        if self.metadata is not None:
            for name, value in self.metadata.values().items():
                source = place_text(self.metadata.provenance[name])
                found.setdefault(source, []).append(f"{name} {value}")
        return found

    def json(self) -> str:
        """Tell all of it as one JSON object on one line."""
        known = self.metadata.values() if self.metadata else {}
        sources = {
            name: str(source)
            for name, source in (self.metadata.provenance if self.metadata else {}).items()
        }
        content = {
            "path": str(self.path),
            "scan": _json_facts(self.scan) if self.scan else None,
            "metadata": {
                name: {"value": value, "source": sources[name]} for name, value in known.items()
            },
            "notes": list(self.notes),
            "problems": list(self.problems),
        }
        return json.dumps(content, ensure_ascii=False)


def place_text(source: Provenance) -> str:
    """Tell a source without the column, which the value's own name tells well enough."""
    return str(source.kind) if source.row is None else f"{source.source} row {source.row}"


def shape_text(info: ScanInfo) -> str:
    """Write a shape as people do, such as ``"1000 planes of 512×512"`` (height × width)."""
    plane = f"{info.height}×{info.width}" + (" RGB" if info.channels == 3 else "")
    return f"{info.n_planes} planes of {plane}" if info.is_volume else plane


def count_text(count: int, thing: str) -> str:
    """Count things, such as ``"1 slice"`` and ``"2,000 slices"``."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def slices_text(places: tuple[SlicePlace, ...]) -> str:
    """Count slices and tell which they are, such as ``"90 planes (54…945)"``."""
    if places[0].plane is not None:
        return f"{count_text(len(places), 'plane')} ({places[0].plane}…{places[-1].plane})"
    return count_text(len(places), "tile") if places[0].tile else "1 slice"


def _facts(scan: DecodedScan) -> dict[str, str]:
    return {
        "format": scan.info.format,
        "shape": shape_text(scan.info),
        "type": scan.info.dtype,
        "window": f"{scan.window.low:g}…{scan.window.high:g} ({scan.window.rule})",
        "slices": slices_text(tuple(scan.slices)),
    }


def _json_facts(scan: DecodedScan) -> dict[str, Any]:
    info = scan.info
    return {
        "format": info.format,
        "is_volume": info.is_volume,
        "n_planes": info.n_planes,
        "height": info.height,
        "width": info.width,
        "channels": info.channels,
        "dtype": info.dtype,
        "pixel_size_um": info.pixel_size_um,
        "window": {"low": scan.window.low, "high": scan.window.high, "rule": scan.window.rule},
        "n_slices": len(scan.slices),
    }
