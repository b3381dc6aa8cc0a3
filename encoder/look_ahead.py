"""Work done ahead of the one who asks for it, handed out in order, within bounds of memory."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from encoder.errors import LithoscopeError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

Item = TypeVar("Item")
Result = TypeVar("Result")

MAX_AHEAD = 256
"""Items that are taken from the caller in advance."""

MAX_WAITING_BYTES = 256 << 20
"""Size of results that wait for the caller, from which no further work is started."""


def in_order(
    items: Iterable[Item],
    submit: Callable[[Item], Future[Result]],
    *,
    n_running: int,
    nbytes: Callable[[Result], int],
) -> Generator[tuple[Item, Future[Result]], None, None]:
    """Submit items ahead of the caller and hand out their results in order.

    Work goes on while the caller is busy with a result, until ``MAX_WAITING_BYTES`` of results
    wait: at most ``n_running`` further results may be added to these.

    Args:
        items: What to work on.
        submit: Starts the work on an item.
        n_running: Items worked on at a time.
        nbytes: Size of a result in bytes.

    Yields:
        Each item with its finished future.
    """
    ahead = _Ahead(submit, n_running=n_running, nbytes=nbytes)
    remaining = iter(items)
    try:
        while True:
            ahead.extend(islice(remaining, MAX_AHEAD - len(ahead)))
            if not len(ahead):
                return
            yield ahead.take()
    finally:
        ahead.stop()


class _Slot(Generic[Item, Result]):
    """An item's place in the order; its future once work on it has started."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.future: Future[Result] | None = None


class _Ahead(Generic[Item, Result]):
    """The items between the caller's and the last one submitted."""

    def __init__(
        self,
        submit: Callable[[Item], Future[Result]],
        *,
        n_running: int,
        nbytes: Callable[[Result], int],
    ) -> None:
        self._submit = submit
        self._nbytes = nbytes
        self._n_free = n_running
        self._waiting_bytes = 0
        self._slots: deque[_Slot[Item, Result]] = deque()
        self._unsubmitted: deque[_Slot[Item, Result]] = deque()
        self._changed = threading.Condition()  # on a reentrant lock: futures may be done at once

    def __len__(self) -> int:
        return len(self._slots)

    def extend(self, items: Iterable[Item]) -> None:
        for item in items:  # outside the lock: they may take their time
            slot: _Slot[Item, Result] = _Slot(item)
            with self._changed:
                self._slots.append(slot)
                self._unsubmitted.append(slot)
                self._start()

    def take(self) -> tuple[Item, Future[Result]]:
        """Wait for the first item's result and make room for others."""
        slot = self._slots[0]
        with self._changed:
            # It is submitted at the latest when all results before it are taken: room is made
            # for it then. So this wait ends.
            self._changed.wait_for(lambda: slot.future is not None)
        assert slot.future is not None  # noqa: S101  what was waited for
        slot.future.exception()
        with self._changed:
            self._slots.popleft()
            self._waiting_bytes -= self._size(slot.future)
            self._start()
        return slot.item, slot.future

    def stop(self) -> None:
        with self._changed:
            self._unsubmitted.clear()

    def _start(self) -> None:
        while self._unsubmitted and self._n_free > 0 and self._waiting_bytes < MAX_WAITING_BYTES:
            slot = self._unsubmitted.popleft()
            self._n_free -= 1
            slot.future = self._submitted(slot.item)
            self._changed.notify_all()
            slot.future.add_done_callback(self._finish)

    def _submitted(self, item: Item) -> Future[Result]:
        try:
            return self._submit(item)
        except LithoscopeError as error:  # belongs to the item, whichever thread submits it
            refused: Future[Result] = Future()
            refused.set_exception(error)
            return refused

    def _finish(self, future: Future[Result]) -> None:
        with self._changed:
            self._n_free += 1
            self._waiting_bytes += self._size(future)
            self._start()

    def _size(self, future: Future[Result]) -> int:
        return 0 if future.exception() is not None else self._nbytes(future.result())
