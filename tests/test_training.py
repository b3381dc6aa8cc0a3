"""Runs as their user sees them: resumed, killed, spoilt, on a full disk."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from encoder.bundle import load_bundle
from encoder.model_errors import EncoderError
from trainer.checkpoints import load_checkpoint
from trainer.run_log import STEPS_NAME, VALIDATIONS_NAME, StepReport
from trainer.training import train
from trainer.training_errors import CheckpointError, NotFiniteError, TrainingError
from training_samples import made_slices, made_split, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trainer.config import TrainConfig
    from trainer.run_log import Validation
    from trainer.training import TrainResult

DSNN = {"encoder": "dsnn"}
EVERY_EPOCH = {"checkpoint_every": 1}


@pytest.fixture(autouse=True)
def one_thread(tmp_path: Path) -> Iterator[None]:
    """Sums in another order are other sums: the number of threads is part of what is repeated.

    Checkpoints are large: they don't outlive their test.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    shutil.rmtree(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TrainResult, list[str]]]:
    """What three epochs come to that nothing interrupts: the result, and the loss of every step."""
    folder = tmp_path_factory.mktemp("whole")
    config = settings(folder, schedule={"epochs": 3})
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    result = train(config, made_slices(), split=made_split(), run_folder=folder / "run")
    torch.set_num_threads(before)
    yield result, losses(folder / "run")
    shutil.rmtree(folder)


def run(config: TrainConfig, folder: Path, **options: object) -> object:
    return train(config, made_slices(), split=made_split(), run_folder=folder, **options)  # type: ignore[arg-type]  # as named


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "bundle" / "weights.safetensors")


def rows(folder: Path, name: str = STEPS_NAME) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def losses(folder: Path) -> list[str]:
    return [row["total"] for row in rows(folder)]


def stop_at(step: int) -> object:
    def watch(report: StepReport | Validation) -> None:
        if isinstance(report, StepReport) and report.step == step:
            raise KeyboardInterrupt

    return watch


@pytest.mark.parametrize(
    ("encoder", "strategy"), [("dsnn", "in-batch"), ("siamese-resnet18", "random")]
)
def test_two_and_two_epochs_are_four(encoder: str, strategy: str, tmp_path: Path) -> None:
    model = {"encoder": encoder}
    pairs = {"strategy": strategy, "pairs_per_batch": 4}
    long = settings(tmp_path, model=model, pairs=pairs, schedule={"epochs": 4})
    whole = train(long, made_slices(), split=made_split(), run_folder=tmp_path / "whole")
    short = settings(tmp_path, model=model, pairs=pairs)
    train(short, made_slices(), split=made_split(), run_folder=tmp_path / "parts")
    parts = train(
        long, made_slices(), split=made_split(), run_folder=tmp_path / "parts", resume=True
    )
    assert (parts.epochs, parts.steps) == (whole.epochs, whole.steps)
    assert parts.final_loss == whole.final_loss
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert [row["step"] for row in rows(tmp_path / "parts")] == [
        str(step) for step in range(1, whole.steps + 1)
    ]
    mine, others = (load_checkpoint(tmp_path / name) for name in ("parts", "whole"))
    assert mine is not None
    assert others is not None
    for found, expected in ((mine.model, others.model), (mine.best, others.best)):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in found)
    for number, moments in others.optimiser.items():
        assert all(torch.equal(mine.optimiser[number][name], moments[name]) for name in moments)


def test_a_run_stopped_between_checkpoints_goes_on_to_the_same_end(tmp_path: Path) -> None:
    schedule = {"epochs": 3, "decay": "cosine"}
    config = settings(tmp_path, schedule=schedule, run=EVERY_EPOCH)
    whole = train(config, made_slices(), split=made_split(), run_folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "stopped", watch=stop_at(4))
    assert len(rows(tmp_path / "stopped")) == 4
    resumed = train(
        config, made_slices(), split=made_split(), run_folder=tmp_path / "stopped", resume=True
    )
    assert resumed.final_loss == whole.final_loss
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")
    found, expected = weights(tmp_path / "stopped"), weights(tmp_path / "whole")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def _train_until_killed(config: TrainConfig, folder: Path) -> None:
    torch.set_num_threads(1)
    run(config, folder)


def test_a_run_killed_at_any_moment_resumes_to_the_same_loss(
    whole: tuple[TrainResult, list[str]], tmp_path: Path
) -> None:
    expected, expected_losses = whole
    config = settings(tmp_path, schedule={"epochs": 3}, run=EVERY_EPOCH)
    generator = np.random.default_rng()
    after = int(generator.integers(1, expected.steps))
    child = multiprocessing.get_context("spawn").Process(
        target=_train_until_killed, args=(config, tmp_path / "killed")
    )
    child.start()
    table = tmp_path / "killed" / STEPS_NAME
    deadline = time.monotonic() + 300
    while child.is_alive() and time.monotonic() < deadline:
        if table.exists() and len(table.read_text().splitlines()) > after:
            break
        time.sleep(0.005)
    time.sleep(float(generator.uniform(0, 0.2)))  # into a step, or the writing of a checkpoint
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    resumed = train(
        config, made_slices(), split=made_split(), run_folder=tmp_path / "killed", resume=True
    )
    assert resumed.final_loss == expected.final_loss, f"killed after step {after}"
    assert losses(tmp_path / "killed") == expected_losses


def test_a_run_learns_and_leaves_a_bundle(tmp_path: Path) -> None:
    config = settings(tmp_path, model=DSNN, schedule={"epochs": 5})
    seen: list[StepReport | Validation] = []
    result = train(
        config, made_slices(), split=made_split(), run_folder=tmp_path / "run", watch=seen.append
    )
    steps = [each for each in seen if isinstance(each, StepReport)]
    assert steps[-1].total < 0.8 * steps[0].total
    assert steps[-1].regression < steps[0].regression
    assert {row["map_at_10"] for row in rows(tmp_path / "run", VALIDATIONS_NAME)} <= {
        str(each.map_at_10) for each in seen if not isinstance(each, StepReport)
    }
    encoder = load_bundle(result.bundle)
    assert encoder.init == "trained, begun from untrained, seed:0"
    assert encoder.metrics["validation_map_at_10"] == result.best_map
    assert json.loads(encoder.provenance["config"]) == config.model_dump(mode="json")
    # Scalers and statistics are those of the slices that it learned from.
    slices, chosen = made_slices(), made_split().train
    porosity = encoder.architecture.targets[0]  # type: ignore[union-attr]  # a DSNN's
    assert porosity.low == pytest.approx(np.nanmin(slices.porosity[chosen]))
    assert porosity.high == pytest.approx(np.nanmax(slices.porosity[chosen]))
    grey = slices.pixels[chosen] / 255
    assert encoder.preprocessing.mean[0] == pytest.approx(grey.mean(), rel=1e-9)
    assert encoder.preprocessing.std[0] == pytest.approx(grey.std(), rel=1e-9)
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_a_finished_run_is_not_made_again(tmp_path: Path) -> None:
    config = settings(tmp_path)
    first = train(config, made_slices(), split=made_split(), run_folder=tmp_path / "run")
    before = losses(tmp_path / "run")
    again = train(
        config, made_slices(), split=made_split(), run_folder=tmp_path / "run", resume=True
    )
    assert replace(again, seconds=first.seconds) == first
    assert losses(tmp_path / "run") == before
    longer = settings(tmp_path, schedule={"epochs": 3})
    with pytest.raises(KeyboardInterrupt):
        run(longer, tmp_path / "run", resume=True, watch=stop_at(5))
    assert weights(tmp_path / "run")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["epochs"] == 2
    with pytest.raises(TrainingError, match="holds a run already"):
        run(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"optimiser": {"lr": 1e-4}}, "optimiser.lr"),
        ({"run": {"seed": 1}}, "run.seed"),
        ({"schedule": {"decay": "cosine", "epochs": 4}}, "schedule.epochs"),
    ],
)
def test_resuming_with_other_settings_is_refused(
    changes: dict[str, dict[str, object]], named: str, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(settings(tmp_path, run=EVERY_EPOCH), tmp_path / "run", watch=stop_at(3))
    with pytest.raises(TrainingError, match=f"other settings: .*{named}"):
        run(settings(tmp_path, **changes), tmp_path / "run", resume=True)
    other = replace(made_slices(), scan_names=tuple("abcdef"))
    with pytest.raises(TrainingError, match="other slices"):
        train(
            settings(tmp_path), other, split=made_split(), run_folder=tmp_path / "run", resume=True
        )


def test_a_number_that_is_none_stops_the_run_and_names_its_file(tmp_path: Path) -> None:
    slices = made_slices()
    slices.porosity[5] = np.inf
    config = settings(tmp_path, model=DSNN)
    with pytest.raises(NotFiniteError) as stopped:
        train(config, slices, split=made_split(), run_folder=tmp_path / "run")
    message = str(stopped.value)
    assert message.startswith("step ")
    assert "R1/S1/scan.tif, slice 1;" in message
    assert "regression inf" in message
    assert load_checkpoint(tmp_path / "run") is None


def test_a_learning_rate_that_explodes_stops_the_run(tmp_path: Path) -> None:
    config = settings(tmp_path, optimiser={"lr": 1e30}, run={"clip": None}, schedule={"epochs": 3})
    with pytest.raises(NotFiniteError, match=r"step \d+.*lower optimiser\.lr"):
        run(config, tmp_path / "run")


def test_a_full_disk_leaves_the_former_checkpoint(
    whole: tuple[TrainResult, list[str]], tmp_path: Path
) -> None:
    config = settings(tmp_path, schedule={"epochs": 3}, run=EVERY_EPOCH)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(report: StepReport | Validation) -> None:
        if isinstance(report, StepReport) and report.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, hard))  # below the weights

    try:
        with pytest.raises(CheckpointError, match="former checkpoints are as they were"):
            run(config, tmp_path / "run", watch=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = load_checkpoint(tmp_path / "run")
    assert kept is not None
    assert kept.state.epoch == 1
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["epoch-000001"]
    resumed = train(
        config, made_slices(), split=made_split(), run_folder=tmp_path / "run", resume=True
    )
    assert resumed.final_loss == whole[0].final_loss


def test_training_stops_when_validation_gains_no_more(tmp_path: Path) -> None:
    slices = made_slices()
    slices.pixels[:] = slices.pixels[0]  # nothing to tell apart: no epoch is better
    config = settings(tmp_path, schedule={"epochs": 6, "patience": 2})
    result = train(config, slices, split=made_split(), run_folder=tmp_path / "run")
    assert result.stopped_early
    assert (result.epochs, result.best_epoch) == (3, 1)


def test_without_validation_slices_the_last_weights_are_kept(tmp_path: Path) -> None:
    split = replace(made_split(), val=np.empty(0, np.int64))
    config = settings(tmp_path, schedule={"patience": 1})
    result = train(config, made_slices(), split=split, run_folder=tmp_path / "run")
    assert (result.best_map, result.best_epoch, result.epochs) == (None, 2, 2)
    last = load_checkpoint(tmp_path / "run")
    assert last is not None
    assert all(
        torch.equal(last.model[name], tensor) for name, tensor in weights(tmp_path / "run").items()
    )


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({"encoder": "resnet18-imagenet"}, EncoderError, "can't be trained"),
        ({"encoder": "dsnn", "fusion": "split"}, TrainingError, "dsnn-split"),
        ({"encoder": "siamese-resnet18", "fusion": "split"}, TrainingError, "one branch"),
        ({"size": 64}, TrainingError, "32 pixels a side, model.size is 64"),
    ],
)
def test_settings_that_do_not_fit_the_network_are_refused(
    model: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        run(settings(tmp_path, model=model), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_bundle_can_be_trained_on(tmp_path: Path) -> None:
    first = train(
        settings(tmp_path, model=DSNN), made_slices(), split=made_split(), run_folder=tmp_path / "a"
    )
    model = {"encoder": "dsnn", "init": str(first.bundle)}
    second = train(
        settings(tmp_path, model=model),
        made_slices(1),
        split=made_split(),
        run_folder=tmp_path / "b",
    )
    begun, ended = load_bundle(first.bundle), load_bundle(second.bundle)
    assert ended.preprocessing == begun.preprocessing
    assert ended.architecture == begun.architecture
    assert ended.bundle_id != begun.bundle_id
    assert begun.bundle_id is not None
    assert begun.bundle_id in ended.init
