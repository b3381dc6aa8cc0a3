"""Table 1 of the paper on a fixed synthetic library: every baseline, trained and measured alike.

12 reservoirs; of each 10 samples to learn from, 4 to validate on, 20 to test on; 12 slices of
112² each. Similar are slices of one reservoir; ``--set data.label=sample`` is the paper's way.
Every trained row sees the same number of images, in the same pairs, unless its name says
otherwise. The DSNN's three ways to fuse its branches come of the same trainings: the fusion is no
part of the loss; epochs are chosen by the normalised one. Rows whose ImageNet weights can't be had
start from a seed, and say so.

Each training is kept by its settings and data: started again, the benchmark goes on where it was,
in the middle of a row too. Figures are of test slices searched among test slices; where a recipe
is trained more than once they are means, and intervals are by paired bootstrap over samples.
Run it with `python benchmarks/table1.py --help`.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from rich.console import Console

from encoder.bundle import load_bundle
from encoder.model_errors import WeightsError
from encoder.processors import usable_cpus
from encoder.progress import progress_bar
from encoder.registry import build_model, find_entry
from infra.settings import load_settings
from infra.weights import find_weights
from kept import Kept, changed, slug, untrained
from trainer.baselines import KazeWords
from trainer.batches import BatchPlan
from trainer.config import load_config
from trainer.descriptions import describe
from trainer.evaluation import EvaluationResult, ModelResult, Trial, average_models, measure
from trainer.figures import FigureKey
from trainer.library_data import load_slices
from trainer.library_plan import LibrarySpec
from trainer.measures import Case, Measure
from trainer.report import write_report
from trainer.report_tables import PIPE_WIDTH, bounds, number, terminal_tables
from trainer.run_log import VALIDATIONS_NAME
from trainer.splits import Split
from trainer.synthetic import build_library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from encoder.dsnn import DSNN, DSNNSpec, Fusion
    from encoder.encoders import Encoder, NeuralEncoder
    from trainer.bootstrap import Statistic
    from trainer.config import TrainConfig
    from trainer.descriptions import Description
    from trainer.slice_set import SliceSet

MAP10 = FigureKey(Measure.STANDARD_MAP, Case.SAMPLE_OUT, "10")
POROSITY = FigureKey("R²", "porosity per sample")
PERMEABILITY = FigureKey("R²", "log10 permeability per sample")

DSNN_ROW = "DSNN, normalised mean"
SIAMESE_ROW = "Siamese ResNet-18"
RANDOM_ROW = "DSNN, random pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large the library and the trainings are."""

    reservoirs: int = 12
    train: int = 10
    val: int = 4
    test: int = 20
    slices: int = 12
    size: int = 112
    voxels: int = 160
    epochs: int = 24
    batch: tuple[int, int] = (12, 6)

    @property
    def samples(self) -> int:
        """Samples of each reservoir."""
        return self.train + self.val + self.test


QUICK = Scale(
    reservoirs=3, train=3, val=2, test=3, slices=3, size=48, voxels=32, epochs=2, batch=(3, 4)
)
"""To see that everything runs; its figures mean nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table.

    Attributes:
        name: What the table calls it.
        encoder: Name in the registry; none for KAZE.
        trained: Whether it is trained.
        seeds: Trainings that its figures are the mean of.
        from_seed: Whether it starts from a seed though ImageNet weights can be had.
        fusion: How a DSNN's branches are fused when it is measured.
        random_pairs: Whether pairs are drawn as in the paper, instead of all in a batch.
    """

    name: str
    encoder: str = ""
    trained: bool = True
    seeds: int = 1
    from_seed: bool = False
    fusion: Fusion | None = None
    random_pairs: bool = False


def table_rows(seeds: int) -> tuple[Row, ...]:
    """Rows of the table; ``seeds`` trainings of the two that the claims are about."""
    return (
        Row(name="KAZE, bag of visual words", trained=False),
        Row(name="ResNet-34, vanilla", encoder="resnet34-imagenet", trained=False),
        Row(name="DSNN, untrained", encoder="dsnn", trained=False, from_seed=True),
        Row(name=SIAMESE_ROW, encoder="siamese-resnet18", seeds=seeds),
        Row(name="Siamese ResNet-34", encoder="siamese-resnet34"),
        Row(name="Siamese ResNet-34, multi-task", encoder="siamese-resnet34-regression"),
        Row(name="DSNN from scratch", encoder="dsnn", from_seed=True),
        Row(name=RANDOM_ROW, encoder="dsnn", random_pairs=True),
        Row(name=DSNN_ROW, encoder="dsnn", seeds=seeds, fusion="mean-normalised"),
        Row(name="DSNN, raw mean", encoder="dsnn", seeds=seeds, fusion="mean-raw"),
        Row(name="DSNN, split", encoder="dsnn", seeds=seeds, fusion="split"),
    )


@dataclass(slots=True)
class Bench:
    """Everything that rows share."""

    work: Path
    scale: Scale
    config: TrainConfig
    slices: SliceSet
    split: Split
    trial: Trial
    runs: dict[str, Path] = field(default_factory=dict)

    def row(self, row: Row) -> ModelResult:
        """Measure a row, training it first unless that was done before."""
        start, note = self._start(row)
        results = [
            measure(self._description(row, start=start, seed=seed), self.trial)
            for seed in range(row.seeds)
        ]
        if row.trained:
            images = self._images_seen(self._settings(row, start=start, seed=0))
            note = "; ".join(filter(None, (note, f"{images:,} images seen")))
        return average_models(results, note=note)

    def _start(self, row: Row) -> tuple[str, str]:
        """Where a row's weights start from (of a seed, its number is added), and what to tell."""
        if not row.encoder:
            return "", ""
        if row.from_seed:
            return "seed", ""
        try:
            find_weights(find_entry(row.encoder).backbone, "imagenet")
        except WeightsError:
            return "seed", "no ImageNet weights here: started from a seed"
        return "imagenet", ""

    def _settings(self, row: Row, *, start: str, seed: int) -> TrainConfig:
        """Settings of one training; all rows see the same number of images."""
        init = f"seed:{seed}" if start == "seed" else start
        changes: dict[str, dict[str, Any]] = {
            "model": {"encoder": row.encoder, "init": init},
            "run": {"seed": seed},
        }
        if row.random_pairs:
            pairs = self.config.pairs
            drawn = {"strategy": "random", "pairs_per_batch": pairs.images_per_batch // 2}
            changes["pairs"] = drawn
            single = self._images_seen(changed(self.config, {"pairs": drawn}), epochs=1)
            epochs = max(1, round(self._images_seen(self.config) / single))
            changes["schedule"] = {"epochs": epochs}
        return changed(self.config, changes)

    def _images_seen(self, config: TrainConfig, epochs: int | None = None) -> int:
        plan = BatchPlan(self.slices, self.split.train, pairs=config.pairs, seed=0)
        return (epochs or config.schedule.epochs) * len(plan) * plan.images_per_batch

    def _description(self, row: Row, *, start: str, seed: int) -> Description:
        """Vectors of one run of a row, from the cache where they are there."""
        config = self._settings(row, start=start, seed=seed) if row.encoder else None
        settings = "" if config is None else config.model_dump_json(exclude={"data"})

        def make() -> Description:
            encoder = self._encoder(row, config=config)
            return describe(encoder, self.slices, rows=self.trial.rows, name=row.name)

        return self._kept.description(
            row.name,
            make,
            file=f"{slug(row.name)}-{seed}",
            words=[row.fusion or "", str(row.trained), settings],
        )

    def _encoder(self, row: Row, *, config: TrainConfig | None) -> Encoder:
        if config is None:
            training = np.asarray(self.slices.pixels[self.split.train])
            return KazeWords(training, self.config.preprocessing())
        if not row.trained:
            return untrained(config)
        trained = load_bundle(self._run(row, config) / "bundle")
        return trained if row.fusion is None else fused(trained, row.fusion)

    def _run(self, row: Row, config: TrainConfig) -> Path:
        """Folder of a finished training: rows with the same settings share one."""
        return self._kept.training(config, self.split, called=row.name)

    @property
    def _kept(self) -> Kept:
        return Kept(self.work, self.slices)

    def time_to_match(self, rows: Sequence[Row]) -> str | None:
        """Tell when all pairs of a batch reach the best of drawn pairs; None where not trained."""
        named = {row.name: row for row in rows}
        if not {DSNN_ROW, RANDOM_ROW} <= named.keys():
            return None
        curves = []
        for name in (RANDOM_ROW, DSNN_ROW):
            start, _ = self._start(named[name])
            config = self._settings(named[name], start=start, seed=0)
            curves.append(validation_curve(self._run(named[name], config) / VALIDATIONS_NAME))
        (drawn_at, drawn_best), ours = max(curves[0], key=lambda point: point[1]), curves[1]
        reached = [seconds for seconds, value in ours if value >= drawn_best]
        if not reached:
            best = max(value for _, value in ours)
            return f"in-batch pairs came to {best:.3f}, drawn pairs to {drawn_best:.3f}"
        return (
            f"validation mAP@10 {drawn_best:.3f}: drawn pairs after {drawn_at:.0f} s, in-batch "
            f"pairs after {reached[0]:.0f} s, {reached[0] / drawn_at:.2f} of the time (aim 0.5)"
        )


def fused(encoder: NeuralEncoder, fusion: Fusion) -> NeuralEncoder:
    """Return a DSNN that fuses its branches in another way."""
    spec = cast("DSNNSpec", encoder.architecture).model_copy(update={"fusion": fusion})
    model = cast("DSNN", build_model(spec))
    model.load_state_dict(encoder.model.state_dict())
    name = "dsnn-split" if fusion == "split" else "dsnn"
    return replace(encoder, name=name, model=model)


def validation_curve(path: Path) -> list[tuple[float, float]]:
    """Seconds and mAP@10 of each validation of a run."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(float(row["seconds"]), float(row["map_at_10"])) for row in csv.DictReader(file)]


def split_of(slices: SliceSet, scale: Scale) -> Split:
    """Divide each reservoir's samples, in the order of their names: they are drawn alike."""
    part = np.full(len(slices.sample_names), -1)
    for reservoir in np.unique(slices.reservoir):
        samples = np.unique(slices.sample[slices.reservoir == reservoir])
        part[samples] = np.repeat([0, 1, 2], [scale.train, scale.val, scale.test])[: len(samples)]
    train_, val, test = (np.flatnonzero(part[slices.sample] == number) for number in range(3))
    return Split(train=train_, val=val, test=test)


def prepare(work: Path, scale: Scale, overrides: Sequence[str]) -> Bench:
    """Make the library, unless it is there, and cut its slices."""
    spec = LibrarySpec(
        reservoirs=scale.reservoirs, samples=scale.samples, size=scale.voxels, thin_sections=0
    )
    library = work / f"library-{scale.reservoirs}x{scale.samples}-{scale.voxels}"
    if not library.exists():
        with progress_bar() as progress:
            bar = progress.add_task("Growing rocks", total=scale.reservoirs * scale.samples)
            build_library(
                spec, library, jobs=usable_cpus(), on_sample=lambda _: progress.advance(bar)
            )
    samples, slices_each = scale.batch
    settings = {
        "data.path": json.dumps(str(library.resolve())),
        "data.cache": json.dumps(str((work / "slices").resolve())),
        "data.label": "class",
        "data.planes": scale.slices,
        "model.size": scale.size,
        "pairs.samples_per_batch": samples,
        "pairs.slices_per_sample": slices_each,
        "optimiser.lr": 1e-3,
        "loss.regression": "smooth_l1",
        "loss.fused": 0.05,
        "schedule.epochs": scale.epochs,
        "schedule.warmup": 1,
        "schedule.validate_every": 2,
    }
    config = load_config(
        None, [*(f"{name}={value}" for name, value in settings.items()), *overrides]
    )
    loaded = load_slices(config, load_settings())
    if loaded.refused:
        sys.exit(f"{library}: {loaded.summary}; delete it, and it is made again")
    split = split_of(loaded.slices, scale)
    trial = Trial(
        slices=loaded.slices,
        queries=split.test,
        database=split.test,
        notes=(f"{loaded.summary}; {len(split.train)} slices to learn from",),
    )
    return Bench(work, scale, config, loaded.slices, split, trial)


def judge(result: EvaluationResult) -> list[str]:
    """Set the figures against what was promised."""
    found = {model.name: model.statistics for model in result.models}
    lines = []

    def compare(other: str, aim: float) -> None:
        if {DSNN_ROW, other} <= found.keys():
            gap = found[DSNN_ROW][MAP10].difference(found[other][MAP10])
            met = "met" if gap.value >= aim else "NOT MET"
            lines.append(
                f"mAP@10, sample out, over {other}: {number(gap.value, '+.3f')} "
                f"({bounds(gap)}); aim {aim:+.2f}: {met}"
            )

    compare(SIAMESE_ROW, 0.03)
    for model in result.models:
        if model.description.origin.startswith("untrained"):
            compare(model.name, 0.10)
    ours: dict[FigureKey, Statistic] = dict(found.get(DSNN_ROW, {}))
    for key, aim in ((POROSITY, 0.8), (PERMEABILITY, 0.9)):
        if key in ours:
            interval = ours[key].interval()
            met = "met" if interval.value >= aim else "NOT MET"
            lines.append(f"{key}: {interval.value:.3f} ({bounds(interval)}); aim {aim}: {met}")
    return lines


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("lithoscope-data/table1"))
    parser.add_argument("--rows", nargs="*", help="only rows whose names hold one of these words")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of DSNN and Siamese-18")
    parser.add_argument("--epochs", type=int, help="epochs of each training")
    parser.add_argument("--voxels", type=int, help="edge of the volumes")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE")
    parser.add_argument("--quick", action="store_true", help="tiny: to see that it runs")
    asked = parser.parse_args()
    scale = QUICK if asked.quick else Scale()
    told = {name: getattr(asked, name) for name in ("epochs", "voxels") if getattr(asked, name)}
    scale = replace(scale, **told)
    bench = prepare(asked.work, scale, asked.set)
    rows = [
        row
        for row in table_rows(asked.seeds)
        if not asked.rows or any(word.lower() in row.name.lower() for word in asked.rows)
    ]
    if not rows:
        sys.exit("--rows: no row has such a name")
    models = []
    for row in rows:
        models.append(bench.row(row))
        print(f"{row.name}: mAP@10 {models[-1].statistics[MAP10].value:.3f}", flush=True)
    names = [row.name for row in rows]
    reference = SIAMESE_ROW if SIAMESE_ROW in names else None
    result = EvaluationResult(trial=bench.trial, models=tuple(models), reference=reference)
    Console(width=PIPE_WIDTH).print(*terminal_tables(result))
    matched = bench.time_to_match(rows)
    print("\n".join([*judge(result), *([matched] if matched else [])]))
    shown = [name for name in (SIAMESE_ROW, DSNN_ROW) if name in names]
    print(write_report(result, asked.work / "report", beside=shown).html)


if __name__ == "__main__":
    main()
