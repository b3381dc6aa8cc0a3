"""The demonstration: its own commands are run again, and nothing it shows was learnt by heart."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from typer.testing import CliRunner

from lithoscope import app

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def lithoscope(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-m", "lithoscope", *words],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    lithoscope("down", cwd=tmp_path, env={"LITHOSCOPE_HOME": "lithoscope-demo/data"})


def test_demo_trains_and_searches_for_what_training_did_not_see(folder: Path) -> None:
    small = ("--reservoirs", "2", "--samples", "6", "--size", "32")
    short = ("--epochs", "1", "--pixels", "32", "--no-ui")
    done = lithoscope("demo", *small, *short, cwd=folder)
    assert done.returncode == 0, done.stderr
    results = folder / "lithoscope-demo"
    with Image.open(results / "analogs.png") as sheet:
        assert min(sheet.size) > 300
    assert (results / "evaluation" / "report.html").exists()
    shown = [shlex.split(line[2:]) for line in done.stdout.splitlines() if line.startswith("$ ")]
    steps = ["library", "train", "evaluate", "publish", "ingest", "search", "search", "search"]
    names = [words[2] if words[1].endswith("lithoscope") else words[4] for words in shown]
    assert names == steps
    split = json.loads((results / "run" / "split.json").read_text())["samples"]
    for setting, *command in shown[-3:]:
        name, _, value = setting.partition("=")
        words = command[command.index("search") :]
        answer = CliRunner().invoke(app, [*words, "--format", "json"], env={name: value})
        found = json.loads(answer.stdout)
        excluded = words[words.index("--exclude-reservoir") + 1]
        assert found["hits"]
        assert excluded not in {hit["reservoir"] for hit in found["hits"]}
        (query,) = found["query"]
        assert f"{query['reservoir']}/{query['sample']}" in split["test"]
        assert f"Training did not see sample {query['sample']}" in done.stdout
        for known in (query, *found["hits"]):
            assert known["predicted_porosity"] is not None
            assert known["predicted_permeability_md"] is not None
    assert re.search(
        r"porosity measured [\d.]+, predicted [\d.]+; "
        r"permeability measured [\d.,]+ mD, predicted [\d.,]+ mD",
        done.stdout,
    )


def test_demo_refuses_to_fill_an_index_of_ones_own(folder: Path) -> None:
    env = {"LITHOSCOPE_INDEX__ADDRESS": "http://127.0.0.1:19530"}
    done = lithoscope("demo", cwd=folder, env=env)
    assert done.returncode == 2
    assert "unset" in done.stderr
    assert not (folder / "lithoscope-demo").exists()
