"""Steps of a run: gradients that overflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import trainer.loop
from trainer.loop import Loop, Task
from trainer.pair_step import Place
from trainer.preparation import prepare_encoder
from trainer.training_errors import NotFiniteError
from training_samples import made_slices, made_split, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_fp16_passes_over_some_steps_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.loop, "_SKIPPED_MAX", 2)
    pairs = {"samples_per_batch": 2, "slices_per_sample": 2}
    config = settings(tmp_path, run={"precision": "fp16"}, pairs=pairs)
    slices, split = made_slices(), made_split()
    encoder = prepare_encoder(config, slices, chosen=split.train)
    task = Task(
        config=config,
        slices=slices,
        split=split,
        encoder=encoder,
        device=torch.device("cpu"),
        place=Place(),
    )
    loop = Loop(task)
    for parameter in encoder.model.parameters():
        parameter.register_hook(lambda gradient: gradient * float("nan"))  # type: ignore[no-untyped-call]  # torch's own
    with pytest.raises(NotFiniteError, match=r"gradient norm nan.*run\.precision=fp32"):
        list(loop.run_epoch())
    assert loop.step == 3
