"""How long the stages of an answer take."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stopwatch:
    """Milliseconds of each stage."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage."""
        start = time.perf_counter()
        yield
        spent = (time.perf_counter() - start) * 1000
        self._stages[name] = self._stages.get(name, 0.0) + spent

    def read(self) -> dict[str, float]:
        """Every stage, and ``total``, to a tenth of a millisecond."""
        total = (time.perf_counter() - self._start) * 1000
        return {name: round(spent, 1) for name, spent in (self._stages | {"total": total}).items()}
