"""A process on each GPU, without any GPU: what each is told, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from infra.gpu_workers import environments, gpus

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).resolve().parents[1]
WAITING = (
    "import os, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
    "open(os.environ['CUDA_VISIBLE_DEVICES'], 'w').write(os.environ['LITHOSCOPE_METRICS__PORT']); "
    "time.sleep(60)"
)


def begin(folder: Path, script: str, devices: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "infra.gpu_workers", sys.executable, "-c", script]
    changes = {
        "CUDA_VISIBLE_DEVICES": devices,
        "LITHOSCOPE_HOME": str(folder),
        "LITHOSCOPE_METRICS__PORT": "9400",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(command, cwd=folder, env=os.environ | changes)  # noqa: S603  our own module


def wait_for(*files: Path) -> None:
    deadline = time.monotonic() + 30
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_each_process_has_a_gpu_and_a_port_of_its_own(tmp_path: Path) -> None:
    with begin(tmp_path, WAITING, "0,3") as both:
        wait_for(tmp_path / "0", tmp_path / "3")
        both.send_signal(signal.SIGTERM)
        assert both.wait(20) == 0
    assert (tmp_path / "0").read_text() == "9400"
    assert (tmp_path / "3").read_text() == "9401"
    assert (tmp_path / "metrics-ports").read_text() == "9400\n9401"


def test_when_one_ends_all_end(tmp_path: Path) -> None:
    dying = f"import os; os.environ['CUDA_VISIBLE_DEVICES'] == '1' and os._exit(7)\n{WAITING}"
    with begin(tmp_path, dying, "0,1") as both:
        assert both.wait(30) == 7


def test_a_machine_without_a_gpu_runs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []
    assert [one["CUDA_VISIBLE_DEVICES"] for one in environments(gpus())] == [""]
