"""Evaluation of models on the same slices: retrieval, predicted and retrieved properties.

Shapes: Q queries, N slices of the database.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from trainer.bootstrap import average_runs, mean_statistic
from trainer.descriptions import Description, EvaluationError, describe
from trainer.figures import FigureKey, at_k
from trainer.measures import Case, Measure, score_queries
from trainer.property_measures import (
    PropertyValues,
    prediction_statistics,
    retrieval_statistics,
)
from trainer.rankings import rank_database

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from encoder.encoders import Encoder
    from trainer.bootstrap import Interval, Statistic
    from trainer.slice_set import SliceSet

KS: tuple[int | None, ...] = (1, 5, 10, 20, None)
"""How many places count; None for all."""

RETRIEVED = 3
"""Slices whose properties are compared with their query's (Figs 6-8)."""

HEADLINES = (
    FigureKey(Measure.STANDARD_MAP, Case.SAMPLE_OUT, "10"),
    FigureKey(Measure.ROCKIR_MAP, Case.SAMPLE_OUT, "10"),
    FigureKey(Measure.PRECISION, Case.SAMPLE_OUT, "10"),
    FigureKey(Measure.KNN_ACCURACY, Case.SAMPLE_OUT, "1"),
    FigureKey(Measure.STANDARD_MAP, Case.QUERY_OUT, "10"),
    FigureKey("R²", "porosity per sample"),
    FigureKey("R²", "log10 permeability per sample"),
)
"""Figures of the short table."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """Slices that models are measured on.

    Attributes:
        slices: All slices; its pixels are needed for pictures only.
        queries: (Q,) slices that are asked with, ascending.
        database: (N,) slices that are searched, ascending.
        notes: What a reader of the figures must know.
    """

    slices: SliceSet
    queries: NDArray[np.int64]
    database: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a trial without queries or database.

        Raises:
            EvaluationError: There are none.
        """
        if not len(self.queries) or not len(self.database):
            raise EvaluationError(
                f"{len(self.queries)} queries and {len(self.database)} slices to search: nothing "
                "to measure; choose a part of the split that holds slices"
            )

    @property
    def rows(self) -> NDArray[np.int64]:
        """Every slice that takes part."""
        return np.union1d(self.queries, self.database)

    @property
    def samples(self) -> NDArray[np.int64]:
        """(Q,) samples of the queries."""
        return self.slices.sample[self.queries]

    def measured(self, rows: NDArray[np.int64]) -> PropertyValues:
        """Measured properties of some slices; -1 stands for none."""
        return PropertyValues(self.slices.porosity, self.slices.permeability_md).at(rows)

    @property
    def distinct_cases(self) -> dict[Case, Case]:
        """For each case one that gives the same rankings: those of a database apart are alike."""
        alike = dict(zip(Case, Case, strict=True))
        if not np.isin(self.queries, self.database).any():
            alike[Case.QUERY_IN] = Case.QUERY_OUT
            if not np.isin(self.samples, self.slices.sample[self.database]).any():
                alike = dict.fromkeys(Case, Case.SAMPLE_OUT)
        return alike


class Asked(NamedTuple):
    """A model's vectors, and what is asked of them.

    Attributes:
        description: Its vectors and predictions of all slices of the trial.
        trial: Queries and database.
    """

    description: Description
    trial: Trial


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelResult:
    """Figures of one model.

    Attributes:
        description: Its vectors and predictions (of one run, where several are averaged).
        statistics: Its figures.
        retrieved: (Q, 3) slices that each query found first, its sample left out; -1 for none.
        runs: Trainings that the figures are the mean of.
        note: What else is to be told of it.
        learnt: Queries that it learned from; None where that is not known.
        folds: In cross-validation, who was asked what: each fold's vectors, in a space of their
            own, with its queries and database.
    """

    description: Description
    statistics: Mapping[FigureKey, Statistic]
    retrieved: NDArray[np.int64]
    runs: int = 1
    note: str = ""
    learnt: int | None = None
    folds: tuple[Asked, ...] = ()

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.description.name

    def interval(self, key: FigureKey) -> Interval | None:
        """A figure with its interval; None where the model has no such figure."""
        statistic = self.statistics.get(key)
        return None if statistic is None else statistic.interval()

    def asked_of(self, query: int, trial: Trial) -> Asked:
        """Who answers a query, and from which database: its fold, or the model itself."""
        for fold in self.folds:
            if query in fold.trial.queries:
                return fold
        return Asked(self.description, trial)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationResult:
    """Figures of several models on the same slices.

    Attributes:
        trial: The slices.
        models: In the order of tables, at least one.
        reference: Name of the model that the others are compared with; None for the first.
        headlines: Figures of the short table, as far as any model has them.
    """

    trial: Trial
    models: tuple[ModelResult, ...]
    reference: str | None = None
    headlines: tuple[FigureKey, ...] = HEADLINES

    def __post_init__(self) -> None:
        """Refuse names that tables could not tell apart.

        Raises:
            EvaluationError: Two models have one name, or none is the reference.
        """
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise EvaluationError(f"models to compare need different names, found {names}")
        if self.reference is not None and self.reference not in names:
            raise EvaluationError(f"no model is named {self.reference!r}; there are {names}")

    @property
    def base(self) -> ModelResult:
        """The model that the others are compared with."""
        named = {model.name: model for model in self.models}
        return self.models[0] if self.reference is None else named[self.reference]

    @property
    def others(self) -> tuple[ModelResult, ...]:
        """The models that are compared with it."""
        return tuple(model for model in self.models if model is not self.base)

    @property
    def keys(self) -> tuple[FigureKey, ...]:
        """Every figure that any model has, in a steady order."""
        return tuple(dict.fromkeys(key for model in self.models for key in model.statistics))

    def differences(self, key: FigureKey) -> dict[str, Interval]:
        """A figure of each other model less that of the reference, by paired bootstrap."""
        base = self.base.statistics.get(key)
        if base is None:
            return {}
        return {
            model.name: model.statistics[key].difference(base)
            for model in self.others
            if key in model.statistics
        }


def evaluate(
    encoders: Mapping[str, Encoder],
    trial: Trial,
    *,
    slices_of: Callable[[Encoder], SliceSet] | None = None,
    on_done: Callable[[int], None] = lambda _: None,
) -> EvaluationResult:
    """Encode and measure.

    Args:
        encoders: Models by the name that tables call them.
        trial: Slices to measure on.
        slices_of: Gives the trial's slices at an encoder's own size; None where all are of the
            trial's.
        on_done: Told how many slices were encoded, as they are.

    Raises:
        EvaluationError: Slices don't fit a model, or aren't the trial's.
    """
    models = []
    for name, encoder in encoders.items():
        slices = trial.slices if slices_of is None else slices_of(encoder)
        described = describe(encoder, slices, rows=trial.rows, name=name, on_done=on_done)
        models.append(measure(described, trial))
    return EvaluationResult(trial=trial, models=tuple(models))


def measure(
    description: Description, trial: Trial, *, ks: Sequence[int | None] = KS
) -> ModelResult:
    """Compute every figure of a model.

    Args:
        description: Its vectors and predictions of all slices of the trial.
        trial: Slices to measure on.
        ks: How many places count; None for all.

    Raises:
        EvaluationError: The description is of other slices.
    """
    if description.slices_id != trial.slices.fingerprint():
        raise EvaluationError(
            f"{description.name}: was described on other slices than those that are measured; "
            "models are compared on the same scans, cut alike"
        )
    statistics: dict[FigureKey, Statistic] = {}
    for key, values in query_scores(description, trial, ks=ks).items():
        statistics[key] = mean_statistic(values, trial.samples)
    retrieved = first_retrieved(description, trial)
    statistics |= property_figures(
        trial, description.predictions(trial.queries), retrieved=retrieved
    )
    return ModelResult(description=description, statistics=statistics, retrieved=retrieved)


def property_figures(
    trial: Trial, predicted: PropertyValues | None, *, retrieved: NDArray[np.int64]
) -> dict[FigureKey, Statistic]:
    """Measure predicted properties, and those of what was retrieved.

    Args:
        trial: Whose Q queries were asked.
        predicted: Of the Q queries; None where the model predicts none.
        retrieved: (Q, 3) slices that each query found first; -1 for none.
    """
    measured = trial.measured(trial.queries)
    found: dict[FigureKey, Statistic] = {}
    if predicted is not None:
        found |= prediction_statistics(measured, predicted, samples=trial.samples)
    return found | retrieval_statistics(
        measured, [trial.measured(rows) for rows in retrieved.T], samples=trial.samples
    )


def average_models(models: Sequence[ModelResult], *, note: str = "") -> ModelResult:
    """Average the figures of several trainings of one recipe.

    Args:
        models: At least one; the first gives name, vectors and pictures.
        note: What else is to be told.

    Returns:
        Figures that all of them have.
    """
    first, *others = models
    shared = [key for key in first.statistics if all(key in other.statistics for other in others)]
    return replace(
        first,
        statistics={
            key: average_runs([model.statistics[key] for model in models]) for key in shared
        },
        runs=len(models),
        note=note,
    )


def query_scores(
    description: Description, trial: Trial, *, ks: Sequence[int | None] = KS
) -> dict[FigureKey, NDArray[np.float64]]:
    """Score each query by every measure of retrieval.

    Args:
        description: Vectors of all slices of the trial.
        trial: Queries and database.
        ks: How many places count; None for all.

    Returns:
        (Q,) each, NaN where there is nothing to measure.
    """
    queries = description.embedded(trial.queries, trial.slices)
    database = description.embedded(trial.database, trial.slices)
    alike = trial.distinct_cases
    found: dict[FigureKey, NDArray[np.float64]] = {}
    for case in dict.fromkeys(alike.values()):
        for scores in score_queries(queries, database, case=case, ks=ks):
            for named in (named for named, same in alike.items() if same is case):
                found[FigureKey(scores.measure, named, at_k(scores.k))] = scores.values
    return found


def first_retrieved(description: Description, trial: Trial) -> NDArray[np.int64]:
    """(Q, 3) slices that each query found first, its sample left out; -1 for none."""
    queries = description.embedded(trial.queries, trial.slices)
    database = description.embedded(trial.database, trial.slices)
    found = np.full((len(queries), RETRIEVED), -1, dtype=np.int64)
    for chunk in rank_database(queries, database, case=Case.SAMPLE_OUT):
        first = np.where(chunk.counts, trial.database[chunk.order], -1)[:, :RETRIEVED]
        found[chunk.queries, : first.shape[1]] = first
    return found
