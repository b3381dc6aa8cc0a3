"""The demonstration: from synthetic rocks to a trained encoder that answers about unseen ones.

Each step is a command as its user would type it, shown before it runs.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from encoder.bundle import verify_bundle
from encoder.errors import LithoscopeError
from encoder.object_keys import key_of_file
from infra.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from infra.settings import Settings

HOME_VARIABLE = "LITHOSCOPE_HOME"

_SETTINGS = """\
# What `lithoscope demo` trains with; docs/training.md tells of every setting.
[data]
path = {path}
modality = "micro_ct"
planes = 12

[split]
by = "sample"
train = 0.6
val = 0.2
test = 0.2

[model]
encoder = "dsnn"
init = {init}
size = {pixels}

[pairs]
samples_per_batch = {per_batch}
slices_per_sample = 4

[loss]
regression = "smooth_l1"

[optimiser]
lr = 1e-3

[schedule]
epochs = {epochs}
validate_every = {every}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPlan:
    """What to demonstrate.

    Attributes:
        folder: Folder that everything goes into.
        init: Where the encoder's weights begin.
        epochs: How long it is trained.
        pixels: Side of its slices.
        reservoirs: Reservoirs of the library.
        samples: Samples of each.
        size: Edge of their volumes in voxels.
        has_ui: End in the pages, until Ctrl-C.
    """

    folder: Path
    init: str
    epochs: int
    pixels: int
    reservoirs: int
    samples: int
    size: int
    has_ui: bool = True

    @property
    def rocks(self) -> Path:
        """The library."""
        return self.folder / "rocks"

    @property
    def table(self) -> Path:
        """What is measured of it."""
        return self.rocks / "metadata.csv"

    @property
    def settings(self) -> Path:
        """Settings of the training."""
        return self.folder / "train.toml"

    @property
    def run(self) -> Path:
        """The training."""
        return self.folder / "run"

    @property
    def report(self) -> Path:
        """Folder of the evaluation."""
        return self.folder / "evaluation"

    @property
    def sheet(self) -> Path:
        """Picture of the result."""
        return self.folder / "analogs.png"

    @property
    def home(self) -> Path:
        """Folder of the index and the bucket."""
        return self.folder / "data"


def run_demo(plan: DemoPlan) -> None:
    """Build, train, measure, publish, index and search; what an earlier run finished is used again.

    Args:
        plan: What to demonstrate.

    Raises:
        LithoscopeError: The settings name servers, which a demonstration must not fill; or a
            step failed, which has told why itself.
    """
    _check_embedded(load_settings())
    if not plan.table.exists():  # a library appears whole or not at all
        sizes = {"--reservoirs": plan.reservoirs, "--samples": plan.samples, "--size": plan.size}
        options = [word for name, value in sizes.items() for word in (name, str(value))]
        grow = ("library", "synth", str(plan.rocks), *options)
        _run(plan, "A library of synthetic rocks", arguments=grow)
    _write_settings(plan)
    train = ("train", "--config", str(plan.settings), "--out", str(plan.run), "--resume")
    _run(plan, f"A small network learns from it: {plan.epochs} epochs", arguments=train)
    models = (f"untrained=dsnn@{plan.init}", f"trained={plan.run}")
    measure = ("evaluate", *models, "--database", "all", "--out", str(plan.report))
    _run(plan, "How well does it do on samples that it has not seen?", arguments=measure)
    _run(plan, "Into the registry of models", arguments=("publish", str(plan.run)))
    model = ("--encoder", verify_bundle(plan.run / "bundle").bundle_id)
    _run(plan, "Every slice into the index", arguments=("ingest", str(plan.rocks), *model))
    row = _unseen_volume(plan)
    for title, search in _searches(plan, row):
        _run(plan, title, arguments=search)
    typer.echo(
        f"\nTraining did not see sample {row['Sample']} of {row['Reservoir']}: it is in the test "
        f"part of {plan.run / 'split.json'}."
    )
    typer.secho("\nTry next", bold=True)
    for line in ("up", "status", "doctor", f"inspect {shlex.quote(str(plan.rocks))}"):
        typer.echo(f"  {_shown(plan, shlex.split(line))}")
    typer.echo(f"\nThe result sheet is {plan.sheet}, the evaluation {plan.report / 'report.html'}.")
    if plan.has_ui:
        _become(plan, "Search in a browser", arguments=("up",))


def _write_settings(plan: DemoPlan) -> None:
    text = _SETTINGS.format(
        path=json.dumps(str(plan.rocks)),
        init=json.dumps(plan.init),
        pixels=plan.pixels,
        epochs=plan.epochs,
        per_batch=max(
            2, min(16, plan.reservoirs * plan.samples // 2)
        ),  # three fifths are trained on
        every=max(1, plan.epochs // 5),
    )
    plan.settings.write_text(text, encoding="utf-8")


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
        f"What is this file like, without reservoir {reservoir}? Training did not see its sample",
        ["search", str(plan.rocks / image), *out, "-k", "8", "--sheet", str(plan.sheet)],
    )
    yield (
        "What is slice 6 of this indexed scan like, of measured porosity 0.05 to 0.35?",
        ["search", f"{key}#6", *out, "--where", "porosity=0.05:0.35", "--unmeasured", "drop"],
    )
    yield (
        "Which reservoirs are like this scan, among what was imaged like it?",
        ["search", key, *out, "--group-by", "reservoir", "--modality", "micro_ct"],
    )


def _unseen_volume(plan: DemoPlan) -> Mapping[str, str]:
    """The first measured volume of the split's test part: not chosen by how well it does."""
    try:
        split = json.loads((plan.run / "split.json").read_text(encoding="utf-8"))
        unseen = set(split["samples"]["test"])
        with plan.table.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                is_unseen = f"{row['Reservoir']}/{row['Sample']}" in unseen
                is_measured = row["Porosity"] and row["Permeability_mD"]
                if row["Modality"] == "micro_ct" and is_unseen and is_measured:
                    return row
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LithoscopeError(
            f"{plan.folder}: its library or split can't be read ({error}); remove the folder to "
            "begin anew"
        ) from error
    raise LithoscopeError(
        f"{plan.table}: no measured micro-CT scan in the test part; make more samples (--samples)"
    )


def _run(plan: DemoPlan, title: str, *, arguments: Sequence[str]) -> None:
    _tell(plan, title, arguments=arguments)
    environment = {**os.environ, HOME_VARIABLE: str(plan.home)}
    command = [sys.executable, "-m", "lithoscope", *arguments]
    done = subprocess.run(command, env=environment, check=False)  # noqa: S603  our own command
    if done.returncode != 0:
        shown = _shown(plan, arguments)
        raise LithoscopeError(
            f"demo: `{shown}` ended with {done.returncode}; mend what it says above"
        )


def _become(plan: DemoPlan, title: str, *, arguments: Sequence[str]) -> NoReturn:
    """Run the last command in this process's place: Ctrl-C is for it alone."""
    _tell(plan, title, arguments=arguments)
    sys.stderr.flush()
    command = [sys.executable, "-m", "lithoscope", *arguments]
    os.execve(sys.executable, command, {**os.environ, HOME_VARIABLE: str(plan.home)})  # noqa: S606  our own command


def _tell(plan: DemoPlan, title: str, *, arguments: Sequence[str]) -> None:
    typer.secho(f"\n{title}", bold=True)
    typer.secho(f"$ {_shown(plan, arguments)}", fg=typer.colors.CYAN)
    sys.stdout.flush()


def _shown(plan: DemoPlan, words: Sequence[str]) -> str:
    called = Path(sys.argv[0])
    is_by_name = called.name == "lithoscope"
    command = [str(called)] if is_by_name else [sys.executable, "-m", "lithoscope"]
    return f"{HOME_VARIABLE}={shlex.quote(str(plan.home))} {shlex.join([*command, *words])}"
