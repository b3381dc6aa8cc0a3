"""Evaluation of models: which slices meet which, and that figures are those of the measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from bundle_samples import trained
from encoder.encoders import build_encoder
from encoder.errors import OutputError
from encoder.inference import EncodingSession
from encoder.preprocess import Preprocessing
from evaluation_samples import SIZE, GreyEncoder, make_trial
from slice_samples import make_slices
from trainer.descriptions import (
    EvaluationError,
    describe,
    read_description,
    renamed,
    write_description,
)
from trainer.evaluation import EvaluationResult, Trial, average_models, evaluate, measure
from trainer.figures import FigureKey
from trainer.measures import Case, EmbeddedSlices, Measure, mean_average_precision

if TYPE_CHECKING:
    from pathlib import Path

MAP10 = FigureKey(Measure.STANDARD_MAP, Case.SAMPLE_OUT, "10")


def test_figures_are_those_of_the_measures_on_vectors_encoded_apart() -> None:
    trial, encoder = make_trial(), GreyEncoder()
    result = evaluate({"grey": encoder}, trial)
    slices = trial.slices
    every = np.arange(len(slices))
    embedded = EmbeddedSlices(
        vectors=encoder.encode(torch.from_numpy(slices.pixels)).numpy(),
        labels=slices.reservoir,
        samples=slices.sample,
        slices=every,
    )
    for case in Case:
        key = FigureKey(Measure.STANDARD_MAP, case, "10")
        expected = mean_average_precision(embedded, embedded, k=10, case=case)
        assert result.models[0].statistics[key].value == pytest.approx(expected)


def test_a_database_apart_is_ranked_alike_in_every_case() -> None:
    whole = make_trial()
    trial = Trial(
        slices=whole.slices,
        queries=np.flatnonzero(whole.slices.sample % 2 == 0),
        database=np.flatnonzero(whole.slices.sample % 2 == 1),
    )
    (model,) = evaluate({"grey": GreyEncoder()}, trial).models
    values = {model.statistics[FigureKey(Measure.PRECISION, case, "5")].value for case in Case}
    assert len(values) == 1
    assert set(model.statistics[MAP10].groups) == set(trial.samples)


def test_retrieved_slices_are_the_nearest_of_other_samples() -> None:
    trial = make_trial()
    (model,) = evaluate({"grey": GreyEncoder()}, trial).models
    slices, vectors = trial.slices, model.description.vectors
    for query, found in zip(trial.queries, model.retrieved, strict=True):
        distances = np.linalg.norm(vectors - vectors[query], axis=1)
        distances[slices.sample == slices.sample[query]] = np.inf
        assert sorted(distances[found]) == pytest.approx(sorted(distances)[:3])
    distance = FigureKey(
        "distance to the diagonal (fraction)", "porosity, query against retrieved", "top-1"
    )
    apart = np.abs(slices.porosity - slices.porosity[model.retrieved[:, 0]]) / np.sqrt(2)
    assert model.statistics[distance].value == pytest.approx(np.nanmean(apart))


def test_fewer_slices_than_are_asked_for() -> None:
    made = make_slices(reservoirs=1, samples=2, slices=2, size=SIZE)
    trial = Trial(slices=made, queries=np.arange(4), database=np.arange(4))
    (model,) = evaluate({"grey": GreyEncoder()}, trial).models
    assert (model.retrieved[:, 2] == -1).all()
    assert (model.retrieved[:, :2] >= 0).all()
    assert model.statistics[MAP10].value == 1.0


def test_a_networks_predictions_are_scored() -> None:
    encoder = trained()
    made = make_slices(reservoirs=2, samples=3, slices=1, size=encoder.preprocessing.size)
    trial = Trial(slices=made, queries=np.arange(6), database=np.arange(6))
    (model,) = evaluate({"trained": encoder}, trial).models
    encoded = EncodingSession(encoder).encode_and_predict(made.pixels)
    np.testing.assert_allclose(model.description.vectors, encoded.vectors, atol=1e-5)
    assert encoded.porosity is not None
    known = np.isfinite(made.porosity)
    expected = r2_score(made.porosity[known], encoded.porosity[known])
    found = model.statistics[FigureKey("R²", "porosity per slice")]
    assert found.value == pytest.approx(expected, rel=1e-3)


def test_a_network_without_a_fitted_head_has_no_property_figures() -> None:
    trial = make_trial(reservoirs=2, samples=2, slices=1)
    encoder = build_encoder("dsnn", "seed:0", preprocessing=Preprocessing(size=SIZE))
    (model,) = evaluate({"untrained": encoder}, trial).models
    assert model.description.predicted is None
    assert not any(key.measure == "R²" for key in model.statistics)


def test_paired_differences_are_against_the_first_model() -> None:
    trial = make_trial()
    encoders = {"good": GreyEncoder(), "worse": GreyEncoder(noise=60.0)}
    result = evaluate(encoders, trial)
    (name,) = result.differences(MAP10)
    difference = result.differences(MAP10)[name]
    good, worse = (model.statistics[MAP10].value for model in result.models)
    assert name == "worse"
    assert difference.value == pytest.approx(worse - good)
    assert difference.high < 0
    assert result.differences(FigureKey("R²", "porosity per sample")) == {}
    turned = EvaluationResult(trial=trial, models=result.models, reference="worse")
    assert turned.differences(MAP10)["good"].value == pytest.approx(good - worse)


def test_runs_of_one_recipe_are_averaged() -> None:
    trial = make_trial()
    result = evaluate({str(n): GreyEncoder(noise=20.0 + 20.0 * n) for n in range(3)}, trial)
    averaged = average_models(result.models, note="three seeds")
    values = [model.statistics[MAP10].value for model in result.models]
    assert averaged.statistics[MAP10].value == pytest.approx(np.mean(values))
    assert (averaged.runs, averaged.note) == (3, "three seeds")


def test_a_description_survives_its_file(tmp_path: Path) -> None:
    trial = make_trial(reservoirs=2, samples=2, slices=2)
    described = describe(GreyEncoder(), trial.slices, rows=trial.rows, name="first")
    path = tmp_path / "row.npz"
    write_description(path, described)
    again = read_description(path)
    assert (again.name, again.origin, again.metric) == ("first", "made by hand", described.metric)
    np.testing.assert_array_equal(again.vectors, described.vectors)
    ours, theirs = measure(described, trial), measure(renamed(again, "other"), trial)
    assert theirs.statistics[MAP10].value == ours.statistics[MAP10].value
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EvaluationError, match=r"can't be read.*delete it"):
        read_description(path)
    with pytest.raises(OutputError, match="can't be written"):
        write_description(tmp_path / "missing" / "row.npz", described)


def test_what_does_not_fit_is_refused() -> None:
    trial = make_trial(reservoirs=2, samples=2, slices=2)
    other = make_slices(reservoirs=2, samples=2, slices=3, size=SIZE)
    small = make_slices(reservoirs=2, samples=2, slices=2, size=8)
    with pytest.raises(EvaluationError, match="encodes slices of 32 pixels, found 8"):
        describe(GreyEncoder(), small, rows=trial.rows)
    with pytest.raises(EvaluationError, match="other slices than those that are measured"):
        evaluate({"grey": GreyEncoder()}, trial, slices_of=lambda _: other)
    with pytest.raises(EvaluationError, match="2 of 8 slices were not encoded"):
        measure(describe(GreyEncoder(), trial.slices, rows=trial.rows[:6]), trial)
    with pytest.raises(EvaluationError, match="0 queries"):
        Trial(slices=trial.slices, queries=trial.queries[:0], database=trial.database)
    models = evaluate({"grey": GreyEncoder()}, trial).models
    with pytest.raises(EvaluationError, match="different names"):
        EvaluationResult(trial=trial, models=(*models, *models))
    with pytest.raises(EvaluationError, match="no model is named 'dsnn'"):
        EvaluationResult(trial=trial, models=models, reference="dsnn")
