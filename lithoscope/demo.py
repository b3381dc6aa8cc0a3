"""The demonstration: a library of synthetic rocks, indexed and searched by the commands themselves.

Each step is a command as its user would type it, shown before it runs.
"""

from __future__ import annotations

import csv
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from encoder.errors import LithoscopeError
from encoder.object_keys import key_of_file
from infra.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infra.settings import Settings

HOME_VARIABLE = "LITHOSCOPE_HOME"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What to demonstrate.

    Attributes:
        folder: Folder that everything goes into.
        encoder: Name of the encoder.
        init: Where its weights come from.
        library: Options of ``library synth``.
    """

    folder: Path
    encoder: str
    init: str
    library: tuple[str, ...]

    @property
    def rocks(self) -> Path:
        """The library."""
        return self.folder / "rocks"

    @property
    def sheet(self) -> Path:
        """Picture of the result."""
        return self.folder / "analogs.png"

    @property
    def home(self) -> Path:
        """Folder of the index and the bucket."""
        return self.folder / "data"


def run_demo(plan: DemoPlan) -> None:
    """Build, index and search; a library that an earlier run has finished is used again.

    Args:
        plan: What to demonstrate.

    Raises:
        LithoscopeError: The settings name servers, which a demonstration must not fill; or a
            step failed, which has told why itself.
    """
    _check_embedded(load_settings())
    table = plan.rocks / "metadata.csv"
    if not table.exists():  # a library appears whole or not at all
        grow = ("library", "synth", str(plan.rocks), *plan.library)
        _run(plan, "A library of synthetic rocks", arguments=grow)
    model = ("--encoder", plan.encoder, "--init", plan.init)
    _run(plan, "Every slice into the index", arguments=("ingest", str(plan.rocks), *model))
    for title, search in _searches(plan, _first_volume(table)):
        _run(plan, title, arguments=search)
    typer.secho("\nTry next", bold=True)
    for line in ("status", "doctor", f"inspect {shlex.quote(str(plan.rocks))}", "search --help"):
        typer.echo(f"  {_shown(plan, shlex.split(line))}")
    typer.echo(f"\nThe result sheet is {plan.sheet}.")
    if plan.init.startswith("seed:"):
        typer.echo(
            f"The encoder is untrained ({plan.init}): what it finds looks alike in texture only."
        )


def _check_embedded(settings: Settings) -> None:
    is_own = settings.store.kind == "folder" and settings.store.folder is None
    if not is_own or settings.index.address is not None:
        raise LithoscopeError(
            "demo: the settings name an object store or index of your own, expected none; unset "
            "LITHOSCOPE_STORE__KIND, LITHOSCOPE_STORE__FOLDER and LITHOSCOPE_INDEX__ADDRESS for it"
        )


def _searches(plan: DemoPlan, row: Mapping[str, str]) -> Iterable[tuple[str, list[str]]]:
    reservoir, image = row["Reservoir"], Path(row["Image"])
    key = str(key_of_file(image, reservoir=reservoir, sample=row["Sample"]))
    out = ["--exclude-reservoir", reservoir]
    yield (
        f"What is this file like, without reservoir {reservoir}?",
        ["search", str(plan.rocks / image), *out, "-k", "8", "--sheet", str(plan.sheet)],
    )
    yield (
        "What is slice 10 of this indexed scan like, of measured porosity 0.05 to 0.35?",
        ["search", f"{key}#10", *out, "--where", "porosity=0.05:0.35", "--unmeasured", "drop"],
    )
    yield (
        "Which reservoirs are like this scan?",
        ["search", key, *out, "--group-by", "reservoir"],
    )


def _first_volume(table: Path) -> Mapping[str, str]:
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["Modality"] == "micro_ct":
                return row
    raise LithoscopeError(f"{table}: no micro-CT scan in it; remove its folder to build it anew")


def _run(plan: DemoPlan, title: str, *, arguments: Sequence[str]) -> None:
    typer.secho(f"\n{title}", bold=True)
    typer.secho(f"$ {_shown(plan, arguments)}", fg=typer.colors.CYAN)
    sys.stdout.flush()
    environment = {**os.environ, HOME_VARIABLE: str(plan.home)}
    command = [sys.executable, "-m", "lithoscope", *arguments]
    done = subprocess.run(command, env=environment, check=False)  # noqa: S603  our own command
    if done.returncode != 0:
        shown = _shown(plan, arguments)
        raise LithoscopeError(
            f"demo: `{shown}` ended with {done.returncode}; mend what it says above"
        )


def _shown(plan: DemoPlan, words: Sequence[str]) -> str:
    called = Path(sys.argv[0])
    is_by_name = called.name == "lithoscope"
    command = [str(called)] if is_by_name else [sys.executable, "-m", "lithoscope"]
    return f"{HOME_VARIABLE}={shlex.quote(str(plan.home))} {shlex.join([*command, *words])}"
