"""The demonstration: its own commands are run again, and no excluded reservoir is in an answer."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

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
        timeout=300,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    lithoscope("down", cwd=tmp_path, env={"LITHOSCOPE_HOME": "lithoscope-demo/data"})


def test_demo_searches_without_the_excluded_reservoir(folder: Path) -> None:
    small = (
        "--reservoirs",
        "4",
        "--samples",
        "2",
        "--size",
        "32",
        "--encoder",
        "resnet18-imagenet",
    )
    done = lithoscope("demo", *small, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "untrained (seed:0)" in done.stdout
    with Image.open(folder / "lithoscope-demo" / "analogs.png") as sheet:
        assert min(sheet.size) > 300
    shown = [line[2:] for line in done.stdout.splitlines() if line.startswith("$ ")]
    searches = [shlex.split(line) for line in shown if " search " in line]
    assert len(searches) == 3
    for setting, *command in searches:
        name, _, value = setting.partition("=")
        words = command[command.index("search") :]
        answer = lithoscope(*words, "--format", "json", cwd=folder, env={name: value})
        excluded = words[words.index("--exclude-reservoir") + 1]
        hits = json.loads(answer.stdout)["hits"]
        assert hits
        assert excluded not in {hit["reservoir"] for hit in hits}


def test_demo_refuses_to_fill_an_index_of_ones_own(folder: Path) -> None:
    env = {"LITHOSCOPE_INDEX__ADDRESS": "http://127.0.0.1:19530"}
    done = lithoscope("demo", cwd=folder, env=env)
    assert done.returncode == 2
    assert "unset" in done.stderr
    assert not (folder / "lithoscope-demo").exists()
