from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from trainer.sampling import PKSampler, RandomPairs, SamplingError

LABELS = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 34])[
    np.random.default_rng(3).permutation(100)
]


def pairs(**changes: int) -> RandomPairs:
    return RandomPairs(LABELS, 20, seed=changes.pop("seed", 0), **changes)


def in_batch(**changes: int) -> PKSampler:
    return PKSampler(LABELS, 6, slices_per_sample=4, seed=changes.pop("seed", 0), **changes)


MakeSampler = Callable[..., RandomPairs]
"""Either of them: what is tested of it doesn't look into batches."""


def flat(batches: list[tuple[np.ndarray, np.ndarray]] | list[np.ndarray]) -> list[list[int]]:
    return [np.concatenate(np.atleast_2d(np.asarray(batch))).tolist() for batch in batches]


def test_half_of_random_pairs_are_of_one_label_and_none_is_of_one_slice() -> None:
    for first, second in pairs().epoch_batches(0):
        assert (LABELS[first] == LABELS[second]).sum() == 10
        assert not (first == second).any()


def test_every_slice_is_once_on_side_a_of_an_epoch() -> None:
    firsts = np.concatenate([first for first, _ in pairs().epoch_batches(2)])
    assert sorted(firsts) == list(range(100))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_share_of_same_pairs_is_kept(share: float) -> None:
    labels = np.repeat(np.arange(5), 8)
    for first, second in RandomPairs(labels, 40, seed=1, same_share=share).epoch_batches(0):
        assert (labels[first] == labels[second]).mean() == share


def test_partners_are_drawn_evenly() -> None:
    """Each other slice of the label, and each slice of other labels, is as likely as the next."""
    labels = np.array([0, 0, 0, 1, 1, 2])
    sampler = RandomPairs(labels, 6, seed=0)
    met: Counter[tuple[int, int]] = Counter()
    for epoch in range(4000):
        for first, second in sampler.epoch_batches(epoch):
            met.update(zip(first.tolist(), second.tolist(), strict=True))
    same = [met[0, 1], met[0, 2]]
    other = [met[0, 3], met[0, 4], met[0, 5]]
    for counts in (same, other):
        assert max(counts) < 1.15 * min(counts)
    assert met[5, 0] > 0  # alone in its label: its pairs are of two labels
    assert met[5, 5] == 0


def test_batches_hold_k_slices_of_each_of_p_labels() -> None:
    for batch in in_batch().epoch_batches(0):
        groups = LABELS[batch].reshape(6, 4)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == 6
        for group in batch.reshape(6, 4):
            own = np.count_nonzero(LABELS[group[0]] == LABELS)
            assert len(set(group)) == min(4, own)


def test_labels_come_equally_often() -> None:
    sampler = PKSampler(LABELS, 5, slices_per_sample=2, seed=4)
    assert len(sampler) == 10
    counts = Counter(label for batch in sampler.epoch_batches(0) for label in LABELS[batch][::2])
    assert len(counts) == 12
    assert max(counts.values()) - min(counts.values()) <= 1


def test_slices_of_a_label_take_turns() -> None:
    labels = np.repeat(np.arange(2), 8)
    sampler = PKSampler(labels, 2, slices_per_sample=4, seed=0)
    assert sorted(np.concatenate(sampler.epoch_batches(0))) == list(range(16))


@pytest.mark.parametrize("make", [pairs, cast("MakeSampler", in_batch)])
def test_epochs_depend_on_seed_and_number_alone(make: MakeSampler) -> None:
    first = make()
    list(first)
    second = make()
    assert flat(first.epoch_batches(1)) == flat(second.epoch_batches(1))
    assert flat(first.epoch_batches(1)) != flat(first.epoch_batches(0))
    assert flat(make(seed=1).epoch_batches(0)) != flat(first.epoch_batches(0))


@pytest.mark.parametrize("make", [pairs, cast("MakeSampler", in_batch)])
def test_a_run_that_was_stopped_goes_on_with_the_next_batch(make: MakeSampler) -> None:
    whole = make()
    expected = flat([*whole, *whole])
    stopped = make()
    seen = []
    for batch in stopped:
        seen.append(batch)
        if len(seen) == 3:
            break
    resumed = make()
    resumed.load_state_dict(stopped.state_dict())
    seen += [*resumed, *resumed]
    assert flat(seen) == expected


def test_a_stop_after_the_last_batch_of_an_epoch_begins_the_next() -> None:
    stopped = pairs()
    steps = iter(stopped)
    for _ in range(len(stopped)):
        next(steps)
    resumed = pairs()
    resumed.load_state_dict(stopped.state_dict())
    assert list(resumed) == []
    assert flat(list(resumed)) == flat(pairs().epoch_batches(1))


@pytest.mark.parametrize("make", [pairs, cast("MakeSampler", in_batch)])
def test_processes_share_the_same_global_batch(make: MakeSampler) -> None:
    whole = make().epoch_batches(5)
    parts = [make(rank=rank, world=2).epoch_batches(5) for rank in range(2)]
    for number, batch in enumerate(whole):
        joined = np.concatenate([np.atleast_2d(np.asarray(part[number])) for part in parts], axis=1)
        assert joined.tolist() == np.atleast_2d(np.asarray(batch)).tolist()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"seed": 1}, "seed 1, this run 0"),
        ({"batch_size": 10}, "batch_size 10"),
        ({"slices": 99}, "slices 99"),
        ({"position": 6}, "no such place"),
        ({"epoch": -1}, "no such place"),
    ],
)
def test_states_of_other_runs_are_refused(state: dict[str, int], told: str) -> None:
    sampler = pairs()
    with pytest.raises(SamplingError, match=told):
        sampler.load_state_dict({**sampler.state_dict(), **state})  # type: ignore[typeddict-item]  # its keys


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([0, 0, 0, 0], "one label"),
        ([0, 1, 2, 3], "no two slices share a label"),
        ([0, 0, 1], "4 pairs of 3 slices"),
        ([], "4 pairs of 0 slices"),
    ],
)
def test_pairs_that_cannot_be_made_are_refused(labels: list[int], told: str) -> None:
    with pytest.raises(SamplingError, match=told):
        RandomPairs(np.array(labels), 4, seed=0)


def test_batches_without_a_pair_of_one_label_are_refused() -> None:
    """Repeats of a slice are no pair: all that would be learnt is that everything differs."""
    with pytest.raises(SamplingError, match=r"no two slices share a label \(20 labels"):
        PKSampler(np.arange(20), 4, slices_per_sample=4, seed=0)
    assert len(PKSampler(np.array([0, 1, 2, 2]), 2, slices_per_sample=2, seed=0)) == 1


def test_batches_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(SamplingError, match=r"13 x 4 slices a batch of 12 labels.*set pairs"):
        PKSampler(LABELS, 13, slices_per_sample=4, seed=0)
    with pytest.raises(SamplingError, match="multiple of 5"):
        in_batch(rank=0, world=5)
    with pytest.raises(SamplingError, match="rank 2 of 2"):
        in_batch(rank=2, world=2)
