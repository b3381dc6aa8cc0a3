"""Real rock images to measure on: where they are, how they are cut, what they are asked."""

from __future__ import annotations

import json
import sys
import tarfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.settings import load_settings
from trainer.config import load_config
from trainer.cross_validation import draw_folds
from trainer.evaluation import Trial
from trainer.figures import FigureKey
from trainer.library_data import load_slices
from trainer.measures import Case, Measure
from trainer.splits import split_slices

if TYPE_CHECKING:
    from pathlib import Path

    from trainer.config import TrainConfig
    from trainer.slice_set import SliceSet
    from trainer.splits import Split

MAP10 = FigureKey(Measure.STANDARD_MAP, Case.SAMPLE_OUT, "10")
PRECISION1 = FigureKey(Measure.PRECISION, Case.SAMPLE_OUT, "1")
PRECISION8 = FigureKey(Measure.PRECISION, Case.SAMPLE_OUT, "8")
KNN = {k: FigureKey(Measure.KNN_ACCURACY, Case.SAMPLE_OUT, str(k)) for k in (1, 5, 10, 20)}
BF16_RECALL = FigureKey("recall", "bf16 against fp32", "10")
KS = (1, 5, 8, 10, 20)
"""How many places count."""

_RETRIEVAL = (MAP10, PRECISION1, PRECISION8, KNN[5])
_PROPERTIES = (
    FigureKey("R²", "porosity per sample"),
    FigureKey("MAE (fraction)", "porosity per sample"),
    FigureKey("R²", "log10 permeability per sample"),
    FigureKey("MAE (decades)", "log10 permeability per sample"),
)
_QUICK_SLICES = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A figure that somebody else's method reached.

    Attributes:
        key: Which.
        value: What it reached.
        what: Whose, on what terms.
    """

    key: FigureKey
    value: float
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """A set of images, and how networks learn it.

    Attributes:
        name: For the command line.
        title: For readers.
        folder: Its folder among the data; an archive of that name is unpacked.
        settings: Of trainings, over those that all sets share.
        batch: Labels of a batch, and slices of each.
        size: Side of the square that slices are resized to.
        epochs: Of each training.
        folds: Of cross-validation over samples; 0 for one split by image.
        headlines: Figures of its table.
        bars: What others reached.
        notes: What a reader must know.
    """

    name: str
    title: str
    folder: str
    settings: dict[str, Any]
    batch: tuple[int, int]
    size: int
    epochs: int
    folds: int
    headlines: tuple[FigureKey, ...]
    bars: tuple[Bar, ...] = ()
    notes: tuple[str, ...] = field(default=())


def _descriptor(value: float, by_chance: float) -> Bar:
    return Bar(
        key=PRECISION1,
        value=value,
        what=f"a hand-made texture descriptor, searched in the whole set, the query's own sample "
        f"left out (by chance {by_chance:.2f})",
    )


_ARABD = (
    "One image of about 290×219 pixels a sample, cut into 2×2 tiles; the upper left one bears a "
    "scale bar. The descriptor's figure is of whole images"
)
_PHOTOS = (
    "28×28 pixels, scaled up; patches of pictures that nobody names, so that patches of one "
    "picture may be on both sides of the split: an easier question than new rocks, and the one "
    "that the published classifier answers"
)

_SYCAMORE = ImageSet(
    name="sycamore-sample",
    title="Sycamore mudstone thin sections, trained by sample",
    folder="thin_sycamore_mudstone",
    settings={"data.label": "sample"},
    batch=(16, 4),
    size=112,
    epochs=20,
    folds=5,
    headlines=(*_RETRIEVAL, BF16_RECALL),
    bars=(_descriptor(0.76, 0.25),),
    notes=("646×484 pixels, resized to a square; some views bear a scale bar",),
)

SETS = (
    _SYCAMORE,
    replace(
        _SYCAMORE,
        name="sycamore-class",
        title="Sycamore mudstone thin sections, trained by microfacies",
        settings={"data.label": "class"},
        batch=(4, 16),
    ),
    ImageSet(
        name="arabd",
        title="Arab-D carbonate thin sections, 2×2 tiles, trained by sample with properties",
        folder="thin_arabd_carbonate",
        settings={
            "data.label": "sample",
            "data.tiles": 4,
            "data.tile_min_side": 128,
        },
        batch=(16, 4),
        size=112,
        epochs=30,
        folds=5,
        headlines=(*_RETRIEVAL, *_PROPERTIES, BF16_RECALL),
        bars=(_descriptor(0.37, 0.20),),
        notes=(_ARABD,),
    ),
    ImageSet(
        name="photos",
        title="30,000 rock photos of six classes, trained by class",
        folder="rock_photos",
        settings={
            "data.source": "classes",
            "data.label": "class",
            "run.checkpoint_every": 1,
        },
        batch=(6, 21),
        size=64,
        epochs=8,
        folds=0,
        headlines=(*KNN.values(), PRECISION8, MAP10, BF16_RECALL),
        bars=tuple(
            Bar(key=key, value=0.986, what="test accuracy of a published CNN classifier")
            for key in KNN.values()
        ),
        notes=(_PHOTOS,),
    ),
)

_SHARED = {
    "model.init": "seed:0",
    "optimiser.lr": 1e-3,
    "loss.regression": "smooth_l1",
    "schedule.warmup": 1,
    "run.checkpoint_every": 10,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What the command line asks of every set; None for the set's own.

    Attributes:
        epochs: Of each training.
        size: Side of slices in pixels.
        quick: A few slices, two folds, an epoch: to see that everything runs.
        overrides: Settings, as ``section.name=value``.
    """

    epochs: int | None = None
    size: int | None = None
    quick: bool = False
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A set, ready.

    Attributes:
        image_set: Which.
        config: Settings of its trainings, the encoder left open.
        slices: Its slices.
        splits: What each training learns from and is tested on: one for each fold.
        trial: All queries, with the whole database.
    """

    image_set: ImageSet
    config: TrainConfig
    slices: SliceSet
    splits: tuple[Split, ...]
    trial: Trial

    @property
    def trials(self) -> tuple[Trial, ...]:
        """What each fold's model is asked."""
        database = self.trial.database
        return tuple(
            Trial(slices=self.slices, queries=split.test, database=database)
            for split in self.splits
        )


def prepare(image_set: ImageSet, data: Path, *, work: Path, scale: Scale) -> Prepared:
    """Decode a set and divide it."""
    config = _config(image_set, _folder(image_set, data, work=work), work=work, scale=scale)
    loaded = load_slices(config, load_settings())
    if loaded.refused:
        first = loaded.refused[0]
        sys.exit(f"{image_set.name}: {loaded.summary}, the first {first.name}: {first.reason}")
    slices = loaded.slices
    if scale.quick:
        slices = _few(slices)
    if image_set.folds:
        splits = draw_folds(slices, 2 if scale.quick else image_set.folds)
        queries = database = np.arange(len(slices), dtype=np.int64)
        how = (
            f"{len(splits)} folds by sample: each query is answered by a network that never saw "
            "its sample, out of the whole set; scores are pooled"
        )
    else:
        split = split_slices(slices, config.split)
        splits, queries = (split,), split.test
        database = np.union1d(split.train, split.val)
        how = f"{len(split.train):,} images to learn from, {len(split.val):,} to choose the epoch"
    notes = (*image_set.notes, loaded.summary, how, *splits[0].notes)
    trial = Trial(slices=slices, queries=queries, database=database, notes=notes)
    return Prepared(image_set=image_set, config=config, slices=slices, splits=splits, trial=trial)


def _config(image_set: ImageSet, folder: Path, *, work: Path, scale: Scale) -> TrainConfig:
    labels, each = image_set.batch
    if scale.quick:
        labels, each = min(labels, 4), 4
    settings: dict[str, Any] = {
        **_SHARED,
        **image_set.settings,
        "data.path": json.dumps(str(folder.resolve())),
        "data.cache": json.dumps(str((work / "slices").resolve())),
        "model.size": scale.size or (32 if scale.quick else image_set.size),
        "pairs.samples_per_batch": labels,
        "pairs.slices_per_sample": each,
        "schedule.epochs": scale.epochs or (1 if scale.quick else image_set.epochs),
    }
    if not image_set.folds:
        settings |= {"split.by": "image"} | {
            f"split.{part}": share
            for part, share in (("train", 0.87), ("val", 0.03), ("test", 0.1))
        }
    return load_config(
        None, [*(f"{name}={value}" for name, value in settings.items()), *scale.overrides]
    )


def _folder(image_set: ImageSet, data: Path, *, work: Path) -> Path:
    """Where a set is; an archive is unpacked once."""
    folder = data / image_set.folder
    if folder.is_dir():
        return folder
    archives = sorted(data.glob(f"{image_set.folder}*.tar.gz"))
    if not archives:
        sys.exit(f"{folder}: no such folder, and no archive of that name; name the data by --data")
    unpacked = work / "unpacked"
    target = unpacked / image_set.folder
    if not target.exists():
        print(f"unpacking {archives[0]}", flush=True)
        with tarfile.open(archives[0]) as archive:
            archive.extractall(unpacked / "part", filter="data")
        (unpacked / "part" / image_set.folder).rename(target)
    return target


def _few(slices: SliceSet) -> SliceSet:
    """Few slices, as evenly of all labels as can be, several of a sample side by side."""
    if len(slices) <= _QUICK_SLICES:
        return slices
    runs = np.linspace(0, len(slices) - 6, _QUICK_SLICES // 6).astype(np.int64)
    return slices.subset(np.unique((runs[:, np.newaxis] + np.arange(6)).ravel()))
