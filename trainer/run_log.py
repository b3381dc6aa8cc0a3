"""What a run tells while it goes on: a CSV table and TensorBoard, a row for every step."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Self

from torch.utils.tensorboard import SummaryWriter

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

STEPS_NAME = "steps.csv"
VALIDATIONS_NAME = "validations.csv"
TENSORBOARD_NAME = "tensorboard"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One step of training, over all processes.

    Attributes:
        step: Its number, from 1.
        epoch: Number of its epoch, from 1.
        total: The loss.
        siamese: Cross-entropy on (y, z1), before it is weighed; so are the others.
        fused: On (y y', z).
        metadata: On (y', z2).
        regression: Error of scaled properties.
        gradient_norm: Before clipping.
        learning_rate: Of this step.
        images_per_second: Of this step, reading included.
        seconds: Since the run began, interruptions left out.
    """

    step: int
    epoch: int
    total: float
    siamese: float
    fused: float
    metadata: float
    regression: float
    gradient_norm: float
    learning_rate: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was measured on the validation slices after an epoch.

    Attributes:
        step: Steps so far.
        epoch: Epochs so far.
        map_at_10: Standard mAP@10, whole sample out; NaN where it can't be measured.
        seconds: Since the run began, interruptions left out.
    """

    step: int
    epoch: int
    map_at_10: float
    seconds: float


class RunLog:
    """The tables of a run; a context manager. Each row is on disk as soon as it is written."""

    def __init__(self, folder: Path, *, after_step: int = 0) -> None:
        """Open the tables of a new run, or of one that goes on.

        Args:
            folder: The run's.
            after_step: Step that the run goes on after: rows of later ones are dropped, as these
                steps are made again.
        """
        self._tables = {
            kind: _Table(folder / name, kind, after_step=after_step)
            for kind, name in ((StepReport, STEPS_NAME), (Validation, VALIDATIONS_NAME))
        }
        self._board = SummaryWriter(
            str(folder / TENSORBOARD_NAME), purge_step=after_step + 1, flush_secs=30
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for table in self._tables.values():
            table.close()
        self._board.close()

    def write(self, row: StepReport | Validation) -> None:
        """Add a row to its table, and its numbers to TensorBoard."""
        self._tables[type(row)].write(row)
        section = "train" if isinstance(row, StepReport) else "validation"
        for name, value in asdict(row).items():
            if name != "step":
                self._board.add_scalar(f"{section}/{name}", value, row.step)


class _Table:
    def __init__(self, path: Path, kind: type[StepReport | Validation], *, after_step: int) -> None:
        names = [entry.name for entry in fields(kind)]
        kept: list[dict[str, str]] = []
        if after_step and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                # The last row may be broken off: the run was killed while it was written.
                rows = [row for row in csv.DictReader(file) if None not in row.values()]
                kept = [row for row in rows if int(row["step"]) <= after_step]
        # Beside the former table, in whose place it is put when it is whole: a kill loses no row.
        hidden = path.with_name(f".{path.name}.part")
        with hidden.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(kept)
        hidden.replace(path)
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, names)

    def write(self, row: StepReport | Validation) -> None:
        self._writer.writerow(asdict(row))
        self._file.flush()

    def close(self) -> None:
        self._file.close()
