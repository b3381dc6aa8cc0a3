"""The table of trained against untrained networks on real rock images.

Sets: Sycamore mudstone thin sections by sample and by microfacies, Arab-D carbonate thin sections
in 2×2 tiles with porosity and permeability, and 30,000 small rock photos of six classes. Sets of a
few hundred images are cross-validated over samples (`trainer/cross_validation.py`), the photos are
split 90/10 by image. Every network starts from the same seed, not from ImageNet weights. Beside
the figures of retrieval stands the recall of answers in bf16 against those in fp32.

Each training is kept by its settings and data: started again, the benchmark goes on where it was.
Run it with `python benchmarks/real_images.py --help`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from encoder.bundle import load_bundle
from encoder.precision import working_dtype
from kept import Kept, changed, slug, untrained
from real_sets import BF16_RECALL, KS, MAP10, PRECISION1, SETS, ImageSet, Prepared, Scale, prepare
from trainer.bootstrap import mean_statistic
from trainer.cross_validation import measure_folds
from trainer.descriptions import describe
from trainer.evaluation import Asked, EvaluationResult, ModelResult, measure
from trainer.measures import Case
from trainer.rankings import rank_database
from trainer.report import write_report
from trainer.report_tables import bounds, number, terminal_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from encoder.neural_encoder import NeuralEncoder
    from encoder.precision import Precision
    from trainer.bootstrap import Statistic
    from trainer.config import TrainConfig
    from trainer.descriptions import Description

WIDTH = 200
"""Characters of a line of the tables."""

RECALLED = 10
"""Places whose slices are compared between bf16 and fp32."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table."""

    name: str
    encoder: str
    trained: bool = True


DSNN = Row("DSNN", "dsnn")
SIAMESE = Row("Siamese ResNet-18", "siamese-resnet18")
DSNN_UNTRAINED = Row("DSNN, untrained", "dsnn", trained=False)
SIAMESE_UNTRAINED = Row("Siamese ResNet-18, untrained", "siamese-resnet18", trained=False)
ROWS = (DSNN_UNTRAINED, SIAMESE_UNTRAINED, SIAMESE, DSNN)
COMPARED = ((DSNN, DSNN_UNTRAINED), (SIAMESE, SIAMESE_UNTRAINED), (DSNN, SIAMESE))


class Bench:
    """A set with what was made of it."""

    def __init__(self, prepared: Prepared, work: Path) -> None:
        """Prepare.

        Args:
            prepared: The set.
            work: Folder that everything is kept in.
        """
        self.prepared = prepared
        self._kept = Kept(work, prepared.slices)

    def row(self, row: Row) -> ModelResult:
        """Measure a row, training its networks first unless that was done before."""
        config = changed(self.prepared.config, {"model": {"encoder": row.encoder}})
        if not row.trained:
            described = self._description(row, config, fold=None)
            return measure(described, self.prepared.trial, ks=KS)
        trials = self.prepared.trials
        parts = [
            Asked(self._description(row, config, fold=fold), trial)
            for fold, trial in enumerate(trials)
        ]
        result = measure_folds(parts, ks=KS) if len(parts) > 1 else measure(*parts[0], ks=KS)
        recall = self._bf16_recall(row, config)
        return replace(result, statistics={**result.statistics, BF16_RECALL: recall})

    def _bf16_recall(self, row: Row, config: TrainConfig) -> Statistic:
        """Share of fp32's first slices that bf16 finds too, of all queries of all folds."""
        recalls, samples = [], []
        for fold, trial in enumerate(self.prepared.trials):
            exact, quick = (
                _first(Asked(self._description(row, config, fold=fold, precision=precision), trial))
                for precision in ("fp32", "bf16")
            )
            same = [
                len(np.intersect1d(one, other)) / len(one)
                for one, other in zip(exact, quick, strict=True)
            ]
            recalls.append(np.array(same))
            samples.append(trial.samples)
        return mean_statistic(np.concatenate(recalls), np.concatenate(samples))

    def _description(
        self,
        row: Row,
        config: TrainConfig,
        *,
        fold: int | None,
        precision: Precision | None = None,
    ) -> Description:
        """Vectors of all slices that take part, in what this machine works quickest in."""
        computed = precision or _quickest()

        def make() -> Description:
            encoder = untrained(config) if fold is None else self._trained(row, config, fold)
            rows = self.prepared.trial.rows
            return describe(
                encoder, self.prepared.slices, rows=rows, name=row.name, precision=computed
            )

        number = "all" if fold is None else str(fold)
        return self._kept.description(
            row.name,
            make,
            file=f"{slug(row.name)}-{number}",
            words=[config.model_dump_json(), computed, self._apart(fold)],
        )

    def _trained(self, row: Row, config: TrainConfig, fold: int) -> NeuralEncoder:
        split = self.prepared.splits[fold]
        called = f"{row.name}, fold {fold + 1} of {len(self.prepared.splits)}"
        run = self._kept.training(config, split, called=called, apart=self._apart(fold))
        # Half a gigabyte that a finished training has no use for.
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
        return load_bundle(run / "bundle")

    def _apart(self, fold: int | None) -> str:
        """What sets a fold's training apart from those of other folds and other data settings."""
        data = self.prepared.config.data.model_dump_json(exclude={"path", "cache"})
        learnt = () if fold is None else self.prepared.splits[fold].train.tolist()
        return f"{data} {learnt}"


def _quickest() -> Precision:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bf16" if working_dtype("auto", device) == torch.bfloat16 else "fp32"


def _first(asked: Asked) -> NDArray[np.int64]:
    """(Q, 10) rows of the database that are closest to each query, itself left out."""
    description, trial = asked
    queries = description.embedded(trial.queries, trial.slices)
    database = description.embedded(trial.database, trial.slices)
    ranked = rank_database(queries, database, case=Case.QUERY_OUT)
    return np.concatenate([chunk.order[:, :RECALLED] for chunk in ranked])


def judge(result: EvaluationResult, image_set: ImageSet) -> list[str]:
    """Set trained networks against untrained ones and against what others reached."""
    found = {model.name: model.statistics for model in result.models}
    lines = []
    for one, other in COMPARED:
        if {one.name, other.name} <= found.keys():
            for key in (MAP10, PRECISION1):
                gap = found[one.name][key].difference(found[other.name][key])
                told = f"{number(gap.value, '+.3f')} ({bounds(gap)})"
                lines.append(f"{key}: {one.name} less {other.name} {told}")
    for row in ROWS:
        for bar in image_set.bars:
            if row.name in found and bar.key in found[row.name]:
                interval = found[row.name][bar.key].interval()
                verdict = "reached" if interval.value >= bar.value else "NOT REACHED"
                lines.append(
                    f"{bar.key}: {row.name} {interval.value:.3f} ({bounds(interval)}) against "
                    f"{bar.value:.3f} of {bar.what}: {verdict}"
                )
    for name, statistics in found.items():
        if BF16_RECALL in statistics:
            interval = statistics[BF16_RECALL].interval()
            verdict = "met" if interval.value >= 0.99 else "NOT MET"
            told = f"{interval.value:.4f} ({bounds(interval)}); aim 0.99: {verdict}"
            lines.append(f"{name}, {BF16_RECALL}: {told}")
    return lines


def run_set(prepared: Prepared, work: Path, rows: Sequence[Row]) -> None:
    """Train, measure and report one set."""
    bench = Bench(prepared, work)
    models = []
    for row in rows:
        models.append(bench.row(row))
        value = models[-1].statistics[MAP10].value
        print(f"{prepared.image_set.name}, {row.name}: mAP@10 {value:.3f}", flush=True)
    names = [row.name for row in rows]
    reference = DSNN_UNTRAINED.name if DSNN_UNTRAINED in rows else None
    result = EvaluationResult(
        trial=prepared.trial,
        models=tuple(models),
        reference=reference,
        headlines=prepared.image_set.headlines,
    )
    console = Console(width=WIDTH)
    console.rule(prepared.image_set.title)
    console.print(*prepared.trial.notes, sep="\n")
    console.print(*terminal_tables(result, width=WIDTH))
    print("\n".join(judge(result, prepared.image_set)))
    shown = [row.name for row in (DSNN_UNTRAINED, DSNN) if row.name in names]
    folder = work / "report" / prepared.image_set.name
    print(write_report(result, folder, beside=shown).html, flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the sets")
    parser.add_argument("--work", type=Path, default=Path("lithoscope-data/real_images"))
    names = [image_set.name for image_set in SETS]
    parser.add_argument("--sets", nargs="*", choices=names, default=names)
    parser.add_argument("--rows", nargs="*", help="only rows whose names hold one of these words")
    parser.add_argument("--epochs", type=int, help="epochs of each training")
    parser.add_argument("--size", type=int, help="side of slices in pixels")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    parser.add_argument("--quick", action="store_true", help="tiny: to see that it runs")
    asked = parser.parse_args()
    rows = [
        row
        for row in ROWS
        if not asked.rows or any(word.lower() in row.name.lower() for word in asked.rows)
    ]
    if not rows:
        sys.exit("--rows: no row has such a name")
    scale = Scale(
        epochs=asked.epochs, size=asked.size, quick=asked.quick, overrides=tuple(asked.set)
    )
    for image_set in (one for one in SETS if one.name in asked.sets):
        prepared = prepare(image_set, asked.data, work=asked.work, scale=scale)
        run_set(prepared, asked.work, rows)


if __name__ == "__main__":
    main()
