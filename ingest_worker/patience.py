"""Services that are away are waited for: they come back, and no scan is to blame."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from infra.broker import BrokerAwayError
from infra.indexing.errors import IndexUnavailableError
from infra.store_errors import StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

AWAY = (StoreAwayError, IndexUnavailableError, BrokerAwayError)
"""Errors of services that are away, which are waited for; no others are."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a service that is away is waited for.

    Attributes:
        first_seconds: Wait before the second try; each further one is twice as long.
        longest_seconds: Longest wait between two tries.
        total_seconds: After this long without an answer its error stands.
        stop: Ends all waiting when it is set.
    """

    first_seconds: float = 0.5
    longest_seconds: float = 20.0
    total_seconds: float = 300.0
    stop: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def keep_trying(self, call: Callable[[], Answer]) -> Answer:
        """Call until the service answers, waiting longer and longer, and never in step.

        Args:
            call: May be repeated without harm.

        Raises:
            StoreAwayError: The object store stayed away.
            IndexUnavailableError: The index did.
            BrokerAwayError: The broker did.
        """
        began = time.monotonic()
        wait = self.first_seconds
        while True:
            try:
                return call()
            except AWAY as error:
                # jitter: workers that lost the service together must not come back together
                pause = wait * random.uniform(0.5, 1.0)  # noqa: S311  no secret
                if time.monotonic() + pause - began > self.total_seconds:
                    raise
                _LOG.warning("%s; trying again in %.1f s", error, pause)
                if self.stop.wait(pause):
                    raise
            wait = min(2 * wait, self.longest_seconds)
