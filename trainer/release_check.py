"""What is found of a run before it is published: its figures, and what the gate says to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from encoder.bundle import load_bundle
from encoder.model_errors import BundleError
from encoder.progress import progress_bar
from infra.model_versions import ModelRegistryError
from infra.status import has_index
from trainer.evaluation import Trial, evaluate
from trainer.finished_run import FinishedRun, split_of
from trainer.judged_rows import Judged, judged_rows, number_of_samples
from trainer.library_data import check_data_of_run, load_slices
from trainer.provenance import data_fingerprint
from trainer.release_gate import FIGURES, Verdict, judge, verdict

if TYPE_CHECKING:
    from encoder.encoders import Encoder, NeuralEncoder
    from infra.settings import Settings
    from infra.site import Site
    from trainer.bootstrap import Interval
    from trainer.evaluation import EvaluationResult
    from trainer.slice_set import SliceSet
    from trainer.splits import Split

FEW_SAMPLES = 10
"""Below so many samples, intervals tell little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found of a run before it is published.

    Attributes:
        name: Bundle of its model.
        slices: Its data.
        split: Its parts.
        judged: What was measured on.
        result: Figures; None where it has no test part.
        verdict: What the gate says.
        notes: What a reader of the figures must know.
    """

    name: str
    slices: SliceSet
    split: Split
    judged: Judged
    result: EvaluationResult | None
    verdict: Verdict
    notes: tuple[str, ...]

    @property
    def extent(self) -> str:
        """How much was measured."""
        rows = self.judged.rows
        told = f"{len(rows):,} slices of {number_of_samples(self.slices, rows):,} samples"
        return f"{told} that {' and '.join(self.judged.blind)} did not learn from"

    @property
    def figures(self) -> dict[str, dict[str, Interval]]:
        """Figures of each model, by its bundle and the names of `FIGURES`."""
        models = () if self.result is None else self.result.models
        return {
            model.name: {
                label: interval
                for label, key in FIGURES.items()
                if (interval := model.interval(key)) is not None
            }
            for model in models
        }


def examine(run: FinishedRun, site: Site, *, force: bool) -> Findings:
    """Measure a run's model, and the live one beside it.

    Args:
        run: The run.
        site: The site.
        force: Whether it is to be published in any case.

    Raises:
        LithoscopeError: The run's data or the live model can't be had.
    """
    current, problem = _current(site, force=force)
    check_data_of_run(run.folder, run.config.data)
    slices = load_slices(run.config, site.settings).slices
    split = split_of(run, slices)
    judged = judged_rows(run, current, slices=slices, split=split)
    notes = [*split.notes, *_notes_on_data(run, slices), *judged.notes]
    result = None
    if len(judged.rows):
        trial = Trial(slices=slices, queries=judged.rows, database=judged.rows, notes=split.notes)
        result = _measure(run, current, trial=trial, settings=site.settings)
        if (samples := number_of_samples(slices, judged.rows)) < FEW_SAMPLES:
            notes.append(f"only {samples} samples were measured: intervals tell little")
    found = _verdict(result, current, problem=problem, unfair=judged.unfair, force=force)
    return Findings(
        name=run.manifest.bundle_id,
        slices=slices,
        split=split,
        judged=judged,
        result=result,
        verdict=found,
        notes=(*notes, *found.notes),
    )


def _verdict(
    result: EvaluationResult | None,
    current: NeuralEncoder | None,
    *,
    problem: str,
    unfair: str,
    force: bool,
) -> Verdict:
    if problem:
        return verdict((problem,), current="the live model", force=force)
    if current is None:
        return Verdict(outcome="first")
    if result is None:
        return verdict((unfair,), current=str(current.bundle_id), force=force)
    return judge(result, force=force, unfair=unfair)


def _current(site: Site, *, force: bool) -> tuple[NeuralEncoder | None, str]:
    """Load the live model; none, with the reason, where it can't be and that does not matter."""
    try:
        version = site.models.live(site.index) if has_index(site) else None
        return (None if version is None else load_bundle(site.models.fetch(version))), ""
    except (ModelRegistryError, BundleError) as error:
        if not force:
            raise ModelRegistryError(f"{error} (or publish without comparing: --force)") from error
        return None, str(error)


def _measure(
    run: FinishedRun, current: NeuralEncoder | None, *, trial: Trial, settings: Settings
) -> EvaluationResult:
    """Measure the live model, as the reference, and the run's, on the run's test slices.

    All get the planes and tiles of the run's settings, at each model's own size and window.
    """
    encoders: dict[str, Encoder] = {} if current is None else {str(current.bundle_id): current}
    encoders[run.manifest.bundle_id] = load_bundle(run.bundle)

    def slices_of(encoder: Encoder) -> SliceSet:
        told, config = encoder.preprocessing, run.config
        if (told.size, told.window) == (config.model.size, config.data.window):
            return trial.slices
        data = config.data.model_copy(update={"window": told.window})
        model = config.model.model_copy(update={"size": told.size})
        wanted = config.model_copy(update={"data": data, "model": model})
        return load_slices(wanted, settings).slices

    with progress_bar() as progress:
        bar = progress.add_task("Measuring", total=len(encoders) * len(trial.rows))
        return evaluate(
            encoders,
            trial,
            slices_of=slices_of,
            on_done=lambda done: progress.advance(bar, done),
        )


def _notes_on_data(run: FinishedRun, slices: SliceSet) -> list[str]:
    if run.manifest.provenance.get("data") == data_fingerprint(slices):
        return []
    return ["the data is not quite as it was when the run began: measured as it is now"]
