"""Which of its queues a worker looks at first."""

from __future__ import annotations

from infra.task_names import ENCODE, MAINTENANCE

TURNS = 16
"""Tasks of uploads in a row, after which one of maintenance comes first."""


class UploadsFirst:
    """The queues in their order, but that uploads which never pause don't keep maintenance waiting.

    It is kombu's ``queue_order_strategy``, one for each connection: kombu tells which queues there
    are and where a task came from, and asks for the order. What a queue lower down waits for is
    that those above it are empty.
    """

    def __init__(self) -> None:
        """Begin without queues."""
        self._queues: list[str] = []
        self._in_a_row = 0

    def update(self, queues: list[str]) -> None:
        """Order other queues from now on, given the most urgent first."""
        self._queues = list(queues)

    def consume(self, count: int) -> list[str]:
        """Give so many queues in the order in which they are to be looked at now."""
        queues = self._queues[:count]
        if self._in_a_row >= TURNS and MAINTENANCE in queues:
            queues.remove(MAINTENANCE)
            queues.insert(0, MAINTENANCE)
        return queues

    def rotate(self, last_used: str) -> str:
        """Note that a task came from a queue."""
        self._in_a_row = self._in_a_row + 1 if last_used == ENCODE else 0
        return last_used
