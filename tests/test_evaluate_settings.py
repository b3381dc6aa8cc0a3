"""Settings of an evaluation: what a run stored, and what was asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bundle_samples import trained
from encoder.bundle import save_bundle
from infra.settings import load_settings
from trainer.config import TrainConfig
from trainer.contestants import find_contestants
from trainer.descriptions import EvaluationError
from trainer.evaluate_command import EvaluationRequest, run_evaluation
from trainer.library_data import load_slices
from trainer.slice_cache import DataError
from trainer.splits import SplitError, split_slices, write_split

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as training leaves it, of data in a folder with an odd name."""
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path / "home"))
    library = tmp_path / "rocks \U0001faa8\x7f"
    generator = np.random.default_rng(0)
    for number in range(4):
        folder = library / f"R{number % 2}" / f"S{number}"
        folder.mkdir(parents=True)
        Image.fromarray(generator.integers(0, 255, (40, 40)).astype(np.uint8)).save(
            folder / "a.png"
        )
    config = TrainConfig.model_validate(
        {
            "data": {"path": library},
            "model": {"size": 32},
            "split": {"train": 0.5, "val": 0.0, "test": 0.5},
        }
    )
    folder = tmp_path / "run"
    encoder = replace(trained(), preprocessing=config.preprocessing())
    save_bundle(folder / "bundle", encoder)
    (folder / "config.json").write_text(config.model_dump_json())
    slices = load_slices(config, load_settings()).slices
    write_split(folder / "split.json", split_slices(slices, config.split), slices=slices)
    return folder


def test_data_in_a_folder_with_an_odd_name_is_found(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config))  # escaped, as other programs write it
    stored = run_evaluation(EvaluationRequest(models=(str(run),)), load_settings())
    assert len(stored.trial.queries) == 2
    library = next(run.parent.glob("rocks*"))
    named = EvaluationRequest(models=(str(run),), data=library)
    assert len(run_evaluation(named, load_settings()).trial.queries) == 2


def test_a_setting_that_the_first_bundle_would_override_is_refused(run: Path) -> None:
    for setting, found in (("data.planes=5", 90), ("model.size=64", 32), ("data.window=none", "")):
        request = EvaluationRequest(models=(str(run),), overrides=(setting,))
        with pytest.raises(EvaluationError, match=rf"--set {setting}: run was trained .*{found}"):
            run_evaluation(request, load_settings())


def test_data_that_is_not_where_the_run_says_is_to_be_named(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of runs that were trained on a folder relative to another one."""
    library = next(run.parent.glob("rocks*"))
    config = json.loads((run / "config.json").read_text())
    config["data"]["path"] = library.name
    (run / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(run)
    asked = EvaluationRequest(models=(str(run),))
    with pytest.raises(DataError, match=r"/run: its data was in rocks.*where it is now: --data"):
        run_evaluation(asked, load_settings())
    assert run_evaluation(replace(asked, data=library), load_settings()).models
    monkeypatch.chdir(library.parent)
    assert run_evaluation(asked, load_settings()).models


def test_settings_that_a_run_stored_may_be_named(run: Path) -> None:
    asked = EvaluationRequest(models=("dsnn@seed:0",), split=run / "split.json")
    data = next(run.parent.glob("rocks*"))
    tiled = replace(asked, data=data, overrides=("data.tile_min_side=32",))
    with pytest.raises(SplitError, match=r"of other slices .*config.json: --config names them"):
        run_evaluation(tiled, load_settings())
    found = run_evaluation(replace(asked, config=run / "config.json"), load_settings())
    assert len(found.trial.queries) == 2


def test_what_came_into_the_data_since_is_in_no_part(run: Path) -> None:
    late = next(run.parent.glob("rocks*")) / "R1" / "late"
    late.mkdir()
    Image.fromarray(np.arange(1600, dtype=np.uint8).reshape(40, 40)).save(late / "a.png")
    found = run_evaluation(EvaluationRequest(models=(str(run),)), load_settings())
    assert len(found.trial.queries) == 2
    assert "1 sample came since the run began: left out" in found.trial.notes


def test_a_bundle_may_be_named_with_its_encoder(run: Path) -> None:
    settings = load_settings()
    (found,) = find_contestants([f"x=dsnn@{run / 'bundle'}"], settings)
    assert (found.name, found.folder, found.past_is_unknown) == ("x", run / "bundle", False)
    (found,) = find_contestants([f"dsnn@{run}"], settings)
    assert (found.name, found.folder) == ("bundle", run / "bundle")
    with pytest.raises(EvaluationError, match="found a bundle of dsnn, expected one of dsnn-split"):
        find_contestants([f"dsnn-split@{run / 'bundle'}"], settings)
