"""Files of weights that were damaged: each is refused by name, or read as it is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import torch

from encoder.model_errors import WeightsError
from encoder.state_files import read_state

if TYPE_CHECKING:
    from pathlib import Path

MUTATIONS = 300


# What a damaged pickle asks for may warn before it fails.
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_a_damaged_file_is_refused_whatever_is_damaged_in_it(
    tmp_path: Path, *, is_zip: bool
) -> None:
    path = tmp_path / "weights.pth"
    state = {"a.weight": torch.zeros(3, 4), "b": torch.ones(2, dtype=torch.int64)}
    torch.save(state, path, _use_new_zipfile_serialization=is_zip)
    whole = path.read_bytes()
    draw = random.Random(1)  # noqa: S311  no secret
    refusals = []
    for _ in range(MUTATIONS):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] = draw.randrange(256)
        path.write_bytes(bytes(damaged if draw.random() < 0.9 else damaged[: draw.randrange(99)]))
        try:
            read_state(path)
        except WeightsError as error:
            refusals.append(str(error))
    assert len(refusals) > MUTATIONS // 10
    assert all(told.startswith(f"{path}: ") and "\n" not in told for told in refusals)
