"""Models that learned from what they are asked: an evaluation says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18  # type: ignore[import-untyped]  # ships no types

from bundle_samples import trained
from encoder.bundle import load_bundle, save_bundle
from infra.settings import load_settings
from trainer.config import load_config
from trainer.evaluate_command import EvaluationRequest, run_evaluation
from trainer.learnt_scans import learnt_entries, start_entries
from trainer.library_data import load_slices
from trainer.report_tables import report_dict
from trainer.splits import read_split, split_slices, write_split

if TYPE_CHECKING:
    from pathlib import Path

    from infra.settings import Settings
    from trainer.evaluation import EvaluationResult

SAMPLES = 12


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One picture of each sample."""
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for number in range(SAMPLES):
        folder = tmp_path / "library" / f"R{number % 2}" / f"S{number}"
        folder.mkdir(parents=True)
        pixels = generator.integers(0, 255, (40, 40)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "a.png")
    return tmp_path / "library"


def make_run(folder: Path, library: Path, settings: Settings, *, seed: int) -> Path:
    """A folder as training leaves it; half of the samples are for tests."""
    config = load_config(
        None,
        [
            f"data.path={json.dumps(str(library))}",
            "model.size=32",
            "split.train=0.5",
            "split.val=0",
            "split.test=0.5",
            f"split.seed={seed}",
        ],
    )
    encoder = replace(
        trained(), preprocessing=config.preprocessing(), provenance={"data": "not this"}
    )
    save_bundle(folder / "bundle", encoder)
    (folder / "config.json").write_text(config.model_dump_json())
    slices = load_slices(config, settings).slices
    write_split(folder / "split.json", split_slices(slices, config.split), slices=slices)
    return folder


def learnt(result: EvaluationResult) -> dict[str, int | None]:
    return {model["name"]: model["queries_learnt"] for model in report_dict(result)["models"]}


def test_of_each_model_is_told_how_many_queries_it_learned_from(
    library: Path, tmp_path: Path
) -> None:
    settings = load_settings()
    first, second = (
        make_run(tmp_path / name, library, settings, seed=seed)
        for seed, name in enumerate(("first", "second"))
    )
    shutil.copytree(second / "bundle", tmp_path / "copied")
    words = (str(first), str(second), f"within={second / 'bundle'}", str(tmp_path / "copied"))
    result = run_evaluation(EvaluationRequest(models=words), settings)
    asked, trained_on = (
        set(json.loads((run / "split.json").read_text())["samples"][part])
        for run, part in ((first, "test"), (second, "train"))
    )
    shared = len(asked & trained_on)
    assert 0 < shared < len(asked) == SAMPLES // 2
    assert learnt(result) == {"first": 0, "second": shared, "within": shared, "copied": None}
    notes = {model.name: model.note for model in result.models}
    assert notes["first"] == ""
    assert notes["second"] == f"learned from {shared} of the 6 queries, which flatters it"
    assert "does not tell" in notes["copied"]
    told = " ".join(result.trial.notes)
    assert "second: learned from" in told
    assert "copied: its bundle does not tell" in told


def test_a_file_of_weights_does_not_tell(library: Path, tmp_path: Path) -> None:
    settings = load_settings()
    run = make_run(tmp_path / "run", library, settings, seed=0)
    weights = tmp_path / "resnet18.pth"
    torch.save(resnet18().state_dict(), weights)
    words = (str(run), f"file=resnet18-imagenet@{weights}", "seed=resnet18-imagenet@seed:1")
    result = run_evaluation(EvaluationRequest(models=words), settings)
    assert learnt(result) == {"run": 0, "file": None, "seed": 0}


def test_a_run_on_fewer_samples_is_known_by_their_names(library: Path, tmp_path: Path) -> None:
    settings = load_settings()
    run = make_run(tmp_path / "run", library, settings, seed=0)
    folder = library / "R0" / "S99"
    folder.mkdir()
    Image.effect_noise((40, 40), 50).convert("L").save(folder / "a.png")
    result = run_evaluation(EvaluationRequest(models=(str(run),), part="all"), settings)
    assert len(result.trial.queries) == SAMPLES + 1
    assert learnt(result) == {"run": SAMPLES // 2}


def test_what_a_run_began_from_counts_too(library: Path, tmp_path: Path) -> None:
    settings = load_settings()
    run, start = (
        make_run(tmp_path / name, library, settings, seed=seed)
        for seed, name in enumerate(("run", "start"))
    )
    config = load_config(None, [f"data.path={json.dumps(str(library))}", "model.size=32"])
    slices = load_slices(config, settings).slices
    card = {"data": "x"} | learnt_entries(slices, read_split(start / "split.json", slices))
    encoder = load_bundle(run / "bundle")
    before = {**start_entries(card, slices, name="start"), "learnt_untold": "weights file w.pt"}
    shutil.rmtree(run / "bundle")
    save_bundle(run / "bundle", replace(encoder, provenance={**encoder.provenance, **before}))
    result = run_evaluation(EvaluationRequest(models=(str(run),)), settings)
    asked, trained_on = (
        set(json.loads((each / "split.json").read_text())["samples"][part])
        for each, part in ((run, "test"), (start, "train"))
    )
    assert learnt(result) == {"run": len(asked & trained_on)}
    assert "run: began from weights file w.pt, which does not tell" in " ".join(result.trial.notes)
