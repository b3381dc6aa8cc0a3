"""How long the stages of an answer take."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopwatch:
    """Milliseconds of each stage; what a stage within another takes is that one's alone."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._within: list[float] = []
        """Of the stages that go on, what others within them have taken."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        start = time.perf_counter()
        self._within.append(0.0)
        try:
            yield
        finally:
            spent = (time.perf_counter() - start) * 1000
            self._stages[name] = self._stages.get(name, 0.0) + spent - self._within.pop()
            if self._within:
                self._within[-1] += spent

    def read(self) -> dict[str, float]:
        """Every stage, and ``total``, to a tenth of a millisecond."""
        total = (time.perf_counter() - self._start) * 1000
        return {name: round(spent, 1) for name, spent in (self._stages | {"total": total}).items()}
