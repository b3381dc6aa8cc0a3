"""Figures of a model's card, as people read them."""

from __future__ import annotations

from search_ui.model_measures import Measure, measures_of
from trainer.release_gate import FIGURES


def test_every_figure_of_a_card_has_a_name_and_its_interval_beside_it() -> None:
    metrics = {"epochs": 3.0}
    for name in FIGURES:
        for of in ("test", "difference"):
            metrics |= {f"{of}_{name}": 0.5, f"{of}_{name}_low": 0.25, f"{of}_{name}_high": 0.75}
    told = measures_of(metrics)
    assert len(told) == 1 + 2 * len(FIGURES)
    assert not [each.name for each in told if "_" in each.name]
    assert Measure("mAP@10, unseen samples", 0.5, (0.25, 0.75)) in told
    assert Measure("Epochs trained", 3.0, None) in told


def test_what_nobody_named_keeps_its_own_name() -> None:
    assert measures_of({"odd_low": 1.0}) == [Measure("odd_low", 1.0, None)]
