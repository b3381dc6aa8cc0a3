from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING

import pytest

from encoder import look_ahead
from encoder.errors import LithoscopeError
from encoder.look_ahead import in_order

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_results_come_in_order_whatever_takes_longest() -> None:
    def work(number: int) -> bytes:
        time.sleep(0.02 if number % 7 == 0 else 0.0)
        return bytes([number % 256])

    with ThreadPoolExecutor(4) as executor:
        results = in_order(
            range(600), lambda number: executor.submit(work, number), n_running=8, nbytes=len
        )
        for expected, (number, future) in enumerate(results):
            assert number == expected
            assert future.result() == bytes([expected % 256])


def test_work_goes_on_while_the_caller_is_busy() -> None:
    done = threading.Semaphore(0)

    def work(number: int) -> bytes:
        done.release()
        return bytes([number])

    with ThreadPoolExecutor(1) as executor:
        results = in_order(
            range(100), lambda number: executor.submit(work, number), n_running=2, nbytes=len
        )
        next(results)
        for _ in range(100):  # all of them, though only one was asked for
            assert done.acquire(timeout=60)


def test_work_stops_when_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ahead, "MAX_WAITING_BYTES", 10_000)
    started: list[int] = []

    def work(number: int) -> bytes:
        started.append(number)
        return bytes(1000)

    with ThreadPoolExecutor(2) as executor:
        results = in_order(
            range(200), lambda number: executor.submit(work, number), n_running=4, nbytes=len
        )
        for taken in range(1, 50):
            next(results)
            time.sleep(0.002)  # for the others to run as far as they are let
            assert taken <= len(started) <= taken + 10 + 4
        results.close()
    assert len(started) < 70


def test_not_everything_is_asked_for_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_ahead, "MAX_AHEAD", 5)
    asked = []

    def items() -> Iterator[int]:
        for number in count():
            asked.append(number)
            yield number

    with ThreadPoolExecutor(1) as executor:
        results = in_order(
            items(),
            lambda number: executor.submit(bytes, number),
            n_running=2,
            nbytes=len,
        )
        assert next(results)[0] == 0
        assert asked == [0, 1, 2, 3, 4]
        assert next(results)[0] == 1
        assert asked == [0, 1, 2, 3, 4, 5]
        results.close()


def test_failures_keep_their_place() -> None:
    with ThreadPoolExecutor(2) as executor:
        results = in_order(
            ["3", "x", "5"],
            lambda text: executor.submit(lambda: bytes(int(text))),
            n_running=2,
            nbytes=len,
        )
        futures = dict(results)
    assert len(futures["3"].result()) == 3
    assert isinstance(futures["x"].exception(), ValueError)
    assert len(futures["5"].result()) == 5


def test_work_that_cannot_be_submitted_is_told_in_its_place() -> None:
    def submit(number: int) -> Future[bytes]:
        if number > 0:
            raise LithoscopeError("closed")
        finished: Future[bytes] = Future()
        finished.set_result(b"")
        return finished

    futures = dict(in_order(range(400), submit, n_running=2, nbytes=len))
    assert futures[0].result() == b""
    assert all(isinstance(futures[number].exception(), LithoscopeError) for number in range(1, 400))


def test_an_error_of_the_items_reaches_the_caller() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LithoscopeError("the listing broke off")

    with ThreadPoolExecutor(1) as executor, pytest.raises(LithoscopeError, match="broke off"):
        list(
            in_order(
                items(),
                lambda number: executor.submit(bytes, number),
                n_running=1,
                nbytes=len,
            )
        )


def test_nothing_gives_nothing() -> None:
    with ThreadPoolExecutor(1) as executor:
        assert not list(
            in_order([], lambda item: executor.submit(bytes, item), n_running=1, nbytes=len)
        )
