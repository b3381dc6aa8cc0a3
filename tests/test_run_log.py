"""Tables of a run that goes on: what was told stays, whatever happens."""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from trainer.run_log import STEPS_NAME, RunLog, StepReport

if TYPE_CHECKING:
    from pathlib import Path

STEP = StepReport(
    step=1,
    epoch=1,
    total=1.5,
    siamese=0.5,
    fused=0.5,
    metadata=0.5,
    regression=0.1,
    gradient_norm=2.0,
    learning_rate=1e-4,
    images_per_second=10.0,
    seconds=1.0,
)


def test_a_table_that_cannot_be_written_again_stays_as_it_was(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        for step in range(1, 201):
            log.write(replace(STEP, step=step))
    before = (tmp_path / STEPS_NAME).read_text()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            RunLog(tmp_path, after_step=150)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / STEPS_NAME).read_text() == before
    with RunLog(tmp_path, after_step=150) as log:
        log.write(replace(STEP, step=151))
    kept = (tmp_path / STEPS_NAME).read_text().splitlines()
    assert kept[:151] == before.splitlines()[:151]
    assert len(kept) == 152
