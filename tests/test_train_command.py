"""``lithoscope train`` on a folder of pictures, as its user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from encoder.bundle import load_bundle
from encoder.errors import LithoscopeError
from lithoscope import app
from trainer.training_errors import TrainingError

if TYPE_CHECKING:
    from typer.testing import Result

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = """
[data]
label = "sample"
flips = true
[split]
train = 0.5
val = 0.5
test = 0.0
near_duplicates = false
[model]
encoder = "siamese-resnet34-regression"
init = "seed:1"
size = 32
[pairs]
samples_per_batch = 4
slices_per_sample = 2
[schedule]
epochs = 1
[run]
precision = "fp32"
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two reservoirs of four samples, three pictures each, and one file that is broken."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "rocks"
    lines = ["Image,Porosity,Permeability_mD"]
    for number in range(8):
        sample = folder / f"R{number % 2}" / f"S{number}"
        sample.mkdir(parents=True)
        for view in range(3):
            pixels = generator.integers(0, 100 + 15 * number, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(sample / f"{view}.png")
            lines.append(f"R{number % 2}/S{number}/{view}.png,0.{number + 1},{10 * number + 1}")
    (folder / "R0" / "S0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def command(tmp_path: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app, ["train", *words], env={"LITHOSCOPE_HOME": str(tmp_path / "home")}
    )


def test_train_from_files_to_a_bundle(library: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SETTINGS)
    words = ["--config", str(tmp_path / "small.toml"), "--out", str(tmp_path / "run")]
    words += [f"data.path={library}", "optimiser.lr=2e-4"]
    done = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "lithoscope", "train", *words],
        cwd=ROOT,
        env={**os.environ, "LITHOSCOPE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "24 slices of 24 scans, 8 samples, 2 reservoirs" in done.stdout
    assert "12 to learn from, 12 to validate on, 0 to test on" in done.stdout
    assert "broken.png" in done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "run" / "bundle")
    encoder = load_bundle(tmp_path / "run" / "bundle")
    assert encoder.name == "siamese-resnet34-regression"
    assert json.loads(encoder.provenance["config"])["optimiser"]["lr"] == 2e-4
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["epochs"] == 1

    refused = command(tmp_path, *words)
    assert isinstance(refused.exception, TrainingError)
    assert str(refused.exception).endswith("resume it (--resume), or name another folder")
    again = command(tmp_path, *words, "--resume")
    assert again.exit_code == 0, again.output
    assert again.stdout.splitlines()[-2:] == done.stdout.splitlines()[-2:]


def test_what_can_not_become_a_run_is_told_before_anything_is_decoded(
    library: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for words, told in (
        (["--out", str(tmp_path / "file")], "is a file; name a folder for the run"),
        (["--out", str(tmp_path / "run"), "model.encoder=dsn"], "encoder 'dsn' is unknown"),
    ):
        refused = command(tmp_path, *words, f"data.path={library}")
        assert isinstance(refused.exception, LithoscopeError)
        assert told in str(refused.exception)
    assert not (tmp_path / "home").exists()


def test_nan_in_a_volume_stops_the_run_and_names_it(library: Path, tmp_path: Path) -> None:
    """Both where the volume is decoded, and where the cache remembers what it was."""
    volume = np.random.default_rng(1).normal(size=(4, 40, 40)).astype(np.float32)
    volume[:, 5, 5] = np.nan
    np.save(library / "R1" / "S1" / "volume.npy", volume)
    for _ in range(2):
        done = command(tmp_path, "--out", str(tmp_path / "run"), f"data.path={library}")
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("train: before step 1: R1/S1/volume.npy: ")
        assert "NaN or infinite" in line
    assert not (tmp_path / "run").exists()
