"""Stages of an answer: each moment is counted once."""

from __future__ import annotations

import time

import pytest

from search_ui.stopwatch import Stopwatch


def spend(milliseconds: float) -> None:
    end = time.perf_counter() + milliseconds / 1000
    while time.perf_counter() < end:
        pass


def test_what_is_within_a_stage_is_not_counted_twice() -> None:
    watch = Stopwatch()
    with watch.stage("outer"):
        spend(10)
        for _ in range(2):
            with watch.stage("inner"):
                spend(30)
        spend(10)
    told = watch.read()
    assert told["inner"] >= 60
    assert told["outer"] >= 20
    assert told["outer"] + told["inner"] <= told["total"] + 0.2  # they are rounded


def test_a_stage_that_fails_is_measured_and_over() -> None:
    watch = Stopwatch()
    with pytest.raises(ValueError, match="wrong"), watch.stage("outer"), watch.stage("inner"):
        raise ValueError("wrong")
    with watch.stage("next"):
        spend(5)
    assert watch.read()["next"] >= 5
