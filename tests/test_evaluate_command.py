"""``evaluate`` on a library of pictures: which models, settings, splits and parts it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bundle_samples import trained
from encoder.bundle import save_bundle
from encoder.model_errors import WeightsError
from infra.model_versions import ModelRegistryError
from infra.settings import load_settings
from infra.site import open_site
from trainer.config import load_config
from trainer.contestants import find_contestants
from trainer.descriptions import EvaluationError
from trainer.evaluate_cli import app
from trainer.evaluate_command import EvaluationRequest, run_evaluation
from trainer.evaluation import evaluate
from trainer.figures import FigureKey
from trainer.library_data import load_slices
from trainer.measures import Case, Measure
from trainer.splits import SplitError, split_slices, write_split

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from trainer.evaluation import EvaluationResult

MAP10 = FigureKey(Measure.STANDARD_MAP, Case.SAMPLE_OUT, "10")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 3 reservoirs with 6 samples each, half of which are measured."""
    root = tmp_path_factory.mktemp("library")
    rng = np.random.default_rng(0)
    lines = ["Image,Porosity,Permeability_mD"]
    for reservoir in range(3):
        for sample in range(6):
            folder = root / f"R{reservoir}" / f"S{sample}"
            folder.mkdir(parents=True)
            coarse = rng.integers(0, 255, (6 + 6 * reservoir, 6 + 6 * reservoir)).astype(np.uint8)
            for view in range(2):
                picture = Image.fromarray(np.roll(coarse, view, axis=0)).resize((64, 64))
                picture.save(folder / f"{view}.png")
                if sample % 2:
                    lines.append(f"R{reservoir}/S{sample}/{view}.png,0.{sample + 1},{10**sample}")
    (root / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def settings(home: Path) -> Settings:
    del home
    return load_settings()


def overrides(library: Path, *, size: int = 48) -> tuple[str, ...]:
    return (
        f"data.path={json.dumps(str(library))}",
        f"model.size={size}",
        "data.window=percentile",
        "split.train=0.5",
        "split.val=0",
        "split.test=0.5",
    )


def make_run(folder: Path, library: Path, settings: Settings, *, size: int = 48) -> Path:
    """A folder as training leaves it."""
    config = load_config(None, overrides(library, size=size))
    encoder = replace(trained(), preprocessing=config.preprocessing())
    save_bundle(folder / "bundle", encoder)
    (folder / "config.json").write_text(config.model_dump_json())
    slices = load_slices(config, settings).slices
    write_split(folder / "split.json", split_slices(slices, config.split), slices=slices)
    return folder


def values(result: EvaluationResult) -> dict[str, float]:
    return {model.name: model.statistics[MAP10].value for model in result.models}


def test_command_prints_figures_and_writes_the_report(library: Path, tmp_path: Path) -> None:
    words = ["kaze", "first=resnet18-imagenet@seed:0"]
    options = [word for text in overrides(library)[1:] for word in ("--set", text)]
    done = CliRunner().invoke(
        app, [*words, "--data", str(library), *options, "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [model["name"] for model in report["models"]] == ["kaze", "first"]
    assert (report["data"]["queries"], report["data"]["query_samples"]) == (18, 9)
    for model in report["models"]:
        figures = {(f["measure"], f["scope"], f["at"]): f["value"] for f in model["figures"]}
        assert f"{figures['mAP (standard)', 'sample out', '10']:.3f}" in done.output
    assert "untrained, seed:0" in " ".join(done.output.split())
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


def test_a_run_brings_its_settings_and_its_split(
    library: Path, tmp_path: Path, settings: Settings
) -> None:
    run = make_run(tmp_path / "runs" / "one", library, settings)
    result = run_evaluation(EvaluationRequest(models=(str(run),)), settings)
    (model,) = result.models
    assert model.name == "one"
    assert model.description.bundle_id is not None
    split = json.loads((run / "split.json").read_text())
    assert result.trial.queries.tolist() == split["test"]
    preprocessing = load_config(None, overrides(library)).preprocessing()
    expected = evaluate({"one": replace(trained(), preprocessing=preprocessing)}, result.trial)
    assert values(result) == pytest.approx(values(expected))
    assert FigureKey("R²", "porosity per sample") in model.statistics


def test_models_of_different_sizes_are_measured_on_the_same_slices(
    library: Path, tmp_path: Path, settings: Settings
) -> None:
    small = make_run(tmp_path / "small", library, settings)
    large = make_run(tmp_path / "large", library, settings, size=64)
    result = run_evaluation(EvaluationRequest(models=(str(small), str(large))), settings)
    first, second = result.models
    assert first.description.slices_id == second.description.slices_id
    assert not np.array_equal(first.description.vectors, second.description.vectors)
    assert set(result.differences(MAP10)) == {"large"}


def test_parts_that_ask_and_are_searched(library: Path, settings: Settings) -> None:
    def trial(**told: str) -> EvaluationResult:
        models = ("resnet18-imagenet@seed:0",)
        request = EvaluationRequest(models=models, overrides=overrides(library), **told)  # type: ignore[arg-type]  # literals
        return run_evaluation(request, settings)

    against = trial(part="test", database="train").trial
    assert not set(against.queries) & set(against.database)
    everything = trial(part="all").trial
    assert len(everything.queries) == len(everything.slices) == 36
    assert "may have been trained on" in " ".join(everything.notes)


def test_what_cannot_be_evaluated_is_refused(
    library: Path, tmp_path: Path, settings: Settings
) -> None:
    def ask(*models: str, data: Path = library) -> None:
        request = EvaluationRequest(models=models, data=data, overrides=overrides(library)[1:])
        run_evaluation(request, settings)

    with pytest.raises(ModelRegistryError, match="not published"):
        ask("nosuchmodel")
    with pytest.raises(EvaluationError, match="give them names, such as first=kaze"):
        ask("kaze", "kaze")
    with pytest.raises(EvaluationError, match=r"no model \(model.json is missing\)"):
        ask(str(library))
    with pytest.raises(WeightsError, match="init 'seed:' is not understood"):
        ask("dsnn@seed:")
    run = make_run(tmp_path / "run", library, settings)
    other = tmp_path / "other" / "R0" / "S0"
    other.mkdir(parents=True)
    Image.effect_noise((64, 64), 50).save(other / "one.png")
    request = EvaluationRequest(models=(str(run),), data=tmp_path / "other")
    with pytest.raises(SplitError, match="is of other slices"):
        run_evaluation(request, settings)
    (run / "config.json").write_text("{")
    with pytest.raises(EvaluationError, match="name the settings by --config"):
        run_evaluation(EvaluationRequest(models=(str(run),)), settings)


def test_published_models_are_found_by_name(
    library: Path, tmp_path: Path, settings: Settings
) -> None:
    run = make_run(tmp_path / "run", library, settings)
    with open_site(settings) as site:
        version = site.models.publish(run / "bundle")
    (found,) = find_contestants([version.bundle_id], settings)
    assert found.name == version.bundle_id
    encoder = found.bundle()
    assert encoder is not None
    assert encoder.bundle_id == version.bundle_id
