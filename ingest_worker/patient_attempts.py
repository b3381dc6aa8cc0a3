"""Attempts counted in a broker that may be away for a while: no scan is to blame for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from infra.attempts import AttemptCounter
    from ingest_worker.patience import Patience


class PatientAttempts:
    """An `infra.attempts.AttemptCounter` that waits for another one's broker.

    An attempt may be counted twice, where the broker went away while it answered: its end forgets
    both.
    """

    def __init__(self, attempts: AttemptCounter, patience: Patience) -> None:
        """Count with another counter.

        Args:
            attempts: The counter.
            patience: How long its broker is waited for.
        """
        self._attempts = attempts
        self._patience = patience

    def begin(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Count one more attempt of each; see `infra.attempts.AttemptCounter.begin`."""
        return self._patience.keep_trying(lambda: self._attempts.begin(etags))

    def counts(self, etags: Mapping[str, str]) -> dict[str, int]:
        """Attempts of these contents so far; see `infra.attempts.AttemptCounter.counts`."""
        return self._patience.keep_trying(lambda: self._attempts.counts(etags))

    def first_times(self, etags: Mapping[str, str]) -> dict[str, datetime]:
        """When the first attempts were; see `infra.attempts.AttemptCounter.first_times`."""
        return self._patience.keep_trying(lambda: self._attempts.first_times(etags))

    def clear(self, object_keys: Iterable[str]) -> None:
        """Forget the attempts of these keys; see `infra.attempts.AttemptCounter.clear`."""
        keys = tuple(object_keys)
        self._patience.keep_trying(lambda: self._attempts.clear(keys))

    def close(self) -> None:
        """Let go of what the other counter holds open."""
        self._attempts.close()
