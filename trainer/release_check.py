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
from trainer.learnt_scans import seen_rows
from trainer.library_data import load_slices
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

_NO_TEST = "the run has no test part, so nothing can be measured; train with split.test above 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was found of a run before it is published.

    Attributes:
        name: Bundle of its model.
        slices: Its data.
        split: Its parts.
        result: Figures; None where it has no test part.
        verdict: What the gate says.
        notes: What a reader of the figures must know.
    """

    name: str
    slices: SliceSet
    split: Split
    result: EvaluationResult | None
    verdict: Verdict
    notes: tuple[str, ...]

    @property
    def extent(self) -> str:
        """How much was measured."""
        rows = self.split.test
        return f"{len(rows):,} slices of {_n_samples(self.slices, self.split):,} samples"

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
    slices = load_slices(run.config, site.settings).slices
    split = split_of(run, slices)
    notes = [*split.notes, *_notes_on_data(run, slices)]
    if len(split.test):
        result = _measure(run, current, trial=_trial(slices, split), settings=site.settings)
        if (samples := _n_samples(slices, split)) < FEW_SAMPLES:
            notes.append(f"only {samples} samples were measured: intervals tell little")
    else:
        result, problem = None, problem or _NO_TEST
        notes.append(_NO_TEST)
    if current is not None:
        notes += _notes_on_current(current, slices, split=split)
    found = _verdict(result, current, problem=problem, force=force)
    return Findings(
        name=run.manifest.bundle_id,
        slices=slices,
        split=split,
        result=result,
        verdict=found,
        notes=(*notes, *found.notes),
    )


def _n_samples(slices: SliceSet, split: Split) -> int:
    return len(set(slices.sample[split.test].tolist()))


def _trial(slices: SliceSet, split: Split) -> Trial:
    return Trial(slices=slices, queries=split.test, database=split.test, notes=split.notes)


def _verdict(
    result: EvaluationResult | None, current: NeuralEncoder | None, *, problem: str, force: bool
) -> Verdict:
    if current is None:
        is_first = problem in {"", _NO_TEST}
        return (
            Verdict(outcome="first")
            if is_first
            else verdict((problem,), current="the live model", force=force)
        )
    if result is None:
        return verdict((problem,), current=str(current.bundle_id), force=force)
    return judge(result, force=force)


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


def _notes_on_current(current: NeuralEncoder, slices: SliceSet, *, split: Split) -> list[str]:
    """Say whether the live model learned from what both are measured on."""
    if not len(split.test):
        return []
    seen = seen_rows(current.provenance, slices, rows=split.test)
    if seen is None:
        return [f"whether {current.bundle_id} learned from these slices, its card does not tell"]
    if not len(seen):
        return []
    share = f"{len(seen)} of these {len(split.test)} slices"
    return [f"{current.bundle_id} learned from {share}, which flatters it"]
