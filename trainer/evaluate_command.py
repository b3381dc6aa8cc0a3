"""``lithoscope evaluate``: models, slices and their parts, figures, report."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from encoder.bundle import load_bundle
from trainer.baselines import KazeWords
from trainer.config import load_config
from trainer.contestants import Contestant, find_contestants, run_folder_of
from trainer.descriptions import EvaluationError
from trainer.evaluation import EvaluationResult, Trial, evaluate
from trainer.finished_run import split_among
from trainer.learnt_queries import tell_learnt
from trainer.library_data import check_data_of_run, load_slices
from trainer.splits import SplitError, split_slices
from trainer.training import CONFIG_NAME, SPLIT_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.encoders import Encoder
    from encoder.preprocess import Preprocessing
    from infra.settings import Settings
    from trainer.config import TrainConfig
    from trainer.library_data import LoadedSlices
    from trainer.slice_set import SliceSet
    from trainer.splits import Split

_STORED = ".json"
"""Settings that a run stored; people write TOML."""

Part = Literal["train", "val", "test", "all"]
Database = Literal["same", "train", "val", "test", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What was asked for.

    Attributes:
        models: Words that name models.
        config: A run's settings, TOML or its ``config.json``; None for those of the first run
            among the models, or defaults.
        data: Folder of the data; None for the settings' own.
        overrides: Settings, as ``section.name=value``.
        split: A run's split; None for that of the first run among the models, or a new one.
        part: Which part asks.
        database: Which part is searched.
    """

    models: tuple[str, ...]
    config: Path | None = None
    data: Path | None = None
    overrides: tuple[str, ...] = ()
    split: Path | None = None
    part: Part = "test"
    database: Database = "same"


def run_evaluation(
    request: EvaluationRequest,
    settings: Settings,
    *,
    on_start: Callable[[int], None] = lambda _: None,
    on_done: Callable[[int], None] = lambda _: None,
) -> EvaluationResult:
    """Evaluate what was asked for.

    Args:
        request: What was asked for.
        settings: The site's.
        on_start: Told how many slices there are to encode.
        on_done: Told how many slices were encoded, as they are.

    Raises:
        LithoscopeError: A model, the data or the split can't be had, or don't fit together.
    """
    contestants = find_contestants(request.models, settings)
    config = _fit_to_bundle(_config(request), contestants, overrides=request.overrides)
    loaded = load_slices(config, settings)
    split = _split(request, config, slices=loaded.slices)
    trial = _trial(request, loaded, split=split)
    encoders = _build(contestants, config.preprocessing(), training=_training(trial, split))
    sizes: dict[str, SliceSet] = {config.preprocessing().fingerprint(): loaded.slices}

    def slices_of(encoder: Encoder) -> SliceSet:
        wanted = _with_preprocessing(config, encoder.preprocessing)
        name = wanted.preprocessing().fingerprint()
        if name not in sizes:
            sizes[name] = load_slices(wanted, settings).slices
        return sizes[name]

    on_start(len(encoders) * len(trial.rows))
    result = evaluate(encoders, trial, slices_of=slices_of, on_done=on_done)
    return tell_learnt(result, contestants, encoders=encoders, slices_of=slices_of)


def _config(request: EvaluationRequest) -> TrainConfig:
    """Settings of the file that was named, else of the first run among the models."""
    runs = [run for run in map(run_folder_of, request.models) if run is not None]
    if request.config is None and runs:
        config = load_config(_stored_settings(runs[0] / CONFIG_NAME), request.overrides)
        if request.data is None:
            check_data_of_run(runs[0], config.data)
    elif request.config is not None and request.config.suffix == _STORED:
        config = load_config(_stored_settings(request.config), request.overrides)
    else:
        config = load_config(request.config, request.overrides)
    if request.data is None:
        return config
    data = config.data.model_copy(update={"path": request.data.expanduser()})
    return config.model_copy(update={"data": data})


def _stored_settings(path: Path) -> dict[str, Any]:
    """Read a run's settings, by section and name."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {section: dict(values) for section, values in stored.items()}
    except (OSError, TypeError, ValueError, AttributeError) as error:
        raise EvaluationError(
            f"{path}: can't be read ({error}); name the settings by --config"
        ) from error


def _name_of(override: str) -> str:
    return override.partition("=")[0].strip()


def _fit_to_bundle(
    config: TrainConfig, contestants: Sequence[Contestant], *, overrides: Sequence[str]
) -> TrainConfig:
    """Cut slices as the first bundle wants them; settings decide where there is none.

    Raises:
        EvaluationError: It was asked for slices that are cut otherwise.
    """
    for contestant in contestants:
        if contestant.folder is not None:
            fitted = _with_preprocessing(config, load_bundle(contestant.folder).preprocessing)
            _check_fit(config, fitted, name=contestant.name, overrides=overrides)
            return fitted
    return config


def _check_fit(
    wanted: TrainConfig, fitted: TrainConfig, *, name: str, overrides: Sequence[str]
) -> None:
    for told in map(_name_of, overrides):
        section, _, field = told.partition(".")
        asked, takes = (getattr(getattr(one, section), field) for one in (wanted, fitted))
        if asked != takes:
            raise EvaluationError(
                f"--set {told}={asked}: {name} was trained with {takes}, and slices are cut as the "
                "first bundle wants them; leave the setting out"
            )


def _with_preprocessing(config: TrainConfig, preprocessing: Preprocessing) -> TrainConfig:
    slicing = preprocessing.slicing
    data = config.data.model_copy(
        update={
            "planes": slicing.planes,
            "margin": slicing.margin,
            "tiles": slicing.tiles,
            "tile_min_side": slicing.tile_min_side,
            "window": preprocessing.window,
        }
    )
    model = config.model.model_copy(update={"size": preprocessing.size})
    return config.model_copy(update={"data": data, "model": model})


def _split(request: EvaluationRequest, config: TrainConfig, *, slices: SliceSet) -> Split | None:
    """The split that was named, else the first run's, else a new one; None where none is needed."""
    if request.split is not None:
        return _stored_split(request.split, slices, is_its_run_named=_has_settings(request))
    if request.part == "all" and request.database in {"same", "all"}:
        return None
    runs = [run for run in map(run_folder_of, request.models) if run is not None]
    if runs:
        return _stored_split(runs[0] / SPLIT_NAME, slices)
    return split_slices(slices, config.split)


def _has_settings(request: EvaluationRequest) -> bool:
    return request.config is not None or any(map(run_folder_of, request.models))


def _stored_split(path: Path, slices: SliceSet, *, is_its_run_named: bool = True) -> Split:
    """Read a split; what came into its data since is in no part, as when a run is published."""
    try:
        split, came_since = split_among(path, slices)
    except SplitError as error:
        settings = path.parent / CONFIG_NAME
        if is_its_run_named or not settings.is_file():
            raise
        raise SplitError(f"{error}, which are in {settings}: --config names them") from error
    return replace(split, notes=(*split.notes, came_since)) if came_since else split


def _trial(request: EvaluationRequest, loaded: LoadedSlices, *, split: Split | None) -> Trial:
    notes = [*loaded.notes, *(split.notes if split is not None else ())]
    if loaded.refused:
        notes.append(
            f"{len(loaded.refused)} scans were refused, the first {loaded.refused[0].name}: "
            f"{loaded.refused[0].reason}"
        )
    if request.part in {"train", "all"}:
        notes.append("Queries may have been trained on: their figures flatter")
    slices = loaded.slices
    queries = _rows(request.part, slices, split=split)
    database = (
        queries if request.database == "same" else _rows(request.database, slices, split=split)
    )
    return Trial(slices=slices, queries=queries, database=database, notes=tuple(notes))


def _rows(part: str, slices: SliceSet, *, split: Split | None) -> NDArray[np.int64]:
    if part == "all" or split is None:
        return np.arange(len(slices), dtype=np.int64)
    return cast("NDArray[np.int64]", getattr(split, part))


def _training(trial: Trial, split: Split | None) -> NDArray[np.uint8]:
    """Slices that a vocabulary is learnt from: the training part's, or what is searched."""
    rows = trial.database if split is None else split.train
    step = max(1, math.ceil(len(rows) / 2000))
    return np.asarray(trial.slices.pixels[rows[::step]])


def _build(
    contestants: Sequence[Contestant],
    preprocessing: Preprocessing,
    *,
    training: NDArray[np.uint8],
) -> dict[str, Encoder]:
    encoders: dict[str, Encoder] = {}
    for contestant in contestants:
        if contestant.is_kaze:
            encoders[contestant.name] = KazeWords(training, preprocessing)
        else:
            encoders[contestant.name] = contestant.bundle() or contestant.build(preprocessing)
    return encoders
