"""The synthetic library: what it says of its rocks is true, and it is the same everywhere."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name that its manual uses
import tifffile
from typer.testing import CliRunner

from trainer.cli import library_app
from trainer.library_plan import LibraryError, LibraryPlan, LibrarySpec, plan_library
from trainer.rock_families import FAMILIES
from trainer.rock_kin import MAX_RESERVOIRS
from trainer.rock_physics import measure_rock
from trainer.rock_structure import grow_rock
from trainer.synthetic import MadeSample, build_library, grow_sample, scan_sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
SPEC = LibrarySpec(reservoirs=5, samples=2, size=40, seed=7)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LibraryPlan]:
    """A small library, with a kin group of three, one of two, and a volume of every format."""
    out = tmp_path_factory.mktemp("synthetic") / "library"
    return out, build_library(SPEC, out)


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            total.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def metadata(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def truth(folder: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    return {sample["sample"]: sample for sample in content["samples"]}


def read_scan(path: Path) -> tuple[NDArray[Any], float | None]:
    """Pixels and pixel size in micrometres, by other readers than ours."""
    if path.suffix == ".npy":
        return np.load(path), None
    if path.suffix in {".mha", ".nrrd"}:
        image = sitk.ReadImage(path)
        # ITK takes spacings for millimetres; NRRD's are in the unit that its header names.
        factor = 1000.0 if path.suffix == ".mha" else 1.0
        spacing = image.GetSpacing()  # type: ignore[no-untyped-call]  # ships no types
        return sitk.GetArrayFromImage(image), spacing[0] * factor
    with tifffile.TiffFile(path) as file:
        if file.ome_metadata:
            pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
            return file.asarray(), float(pixels["PhysicalSizeX"])
        per_cm, of = file.pages.first.tags["XResolution"].value
        assert file.pages.first.tags["ResolutionUnit"].value == tifffile.RESUNIT.CENTIMETER
        return file.asarray(), 1e4 * of / per_cm


def test_every_row_is_a_file_that_others_read(library: tuple[Path, LibraryPlan]) -> None:
    out, plan = library
    rows = metadata(out)
    written = {str(path.relative_to(out)) for path in out.glob("*/*/*")}
    assert {row["Image"] for row in rows} == written
    assert len(rows) == len(plan.tasks) + SPEC.reservoirs
    for row in rows:
        pixels, pixel_um = read_scan(out / row["Image"])
        assert pixels.dtype == np.uint16
        shape = (40, 40, 40) if row["Modality"] == "micro_ct" else (320, 320, 3)
        assert pixels.shape == shape
        assert row["Image"].split("/")[:2] == [row["Reservoir"], row["Sample"]]
        if pixel_um is not None:
            assert pixel_um == pytest.approx(float(row["Pixelsize_um"]), rel=1e-5)
    suffixes = {"".join(Path(name).suffixes) for name in written}
    assert suffixes == {".tif", ".ome.tif", ".mha", ".nrrd", ".npy"}


def test_properties_are_those_of_the_voxels(library: tuple[Path, LibraryPlan]) -> None:
    out, plan = library
    for task in plan.tasks[::3]:
        told = truth(out)[task.sample]
        rock = grow_sample(task)
        pores = rock.pores
        assert told["porosity"] == pytest.approx(pores.mean(), rel=1e-6)
        assert pores.mean() == pytest.approx(task.recipe.porosity, abs=1 / pores.size)
        walls = sum(int((np.diff(pores.astype(int), axis=axis) != 0).sum()) for axis in range(3))
        surface = 2 / 3 * walls / (40 * 40 * 39) / (task.recipe.voxel_um * 1e-6)
        square_metres = pores.mean() ** 3 / (5 * surface**2)
        assert told["permeability_md"] == pytest.approx(square_metres / 9.869233e-16, rel=1e-6)


def test_the_written_volume_shows_its_pores(library: tuple[Path, LibraryPlan]) -> None:
    out, plan = library
    for task in plan.tasks[::2]:
        rock = grow_sample(task)
        volume, _ = read_scan(out / task.volume_path)
        np.testing.assert_array_equal(volume, scan_sample(task, rock))
        dark = float(np.median(volume[rock.pores]))
        bright = float(np.median(volume[~rock.pores]))
        noise = task.recipe.scanner.noise * task.recipe.scanner.gain
        assert bright - dark > 3 * noise


def test_thin_sections_show_blue_epoxy_in_the_pores(library: tuple[Path, LibraryPlan]) -> None:
    out, plan = library
    for task in plan.tasks:
        if task.thin_section:
            red, _, blue = np.moveaxis(tifffile.imread(out / task.thin_section_path) / 65535, -1, 0)
            assert (blue - red > 0.15).mean() == pytest.approx(task.recipe.porosity, abs=0.04)


def test_a_fifth_of_the_samples_is_not_measured(library: tuple[Path, LibraryPlan]) -> None:
    out, plan = library
    empty = set()
    for row in metadata(out):
        told = truth(out)[row["Sample"]]
        assert told["porosity"] > 0
        if row["Porosity"] or row["Permeability_mD"]:
            assert float(row["Porosity"]) == told["porosity"]
            assert float(row["Permeability_mD"]) == told["permeability_md"]
        else:
            empty.add(row["Sample"])
            assert not told["measured"]
    assert len(empty) == round(len(plan.tasks) / 5)


@pytest.mark.parametrize(("reservoirs", "samples"), [(2, 6), (8, 6), (7, 3), (12, 30)])
def test_unmeasured_samples_are_spread_over_reservoirs(reservoirs: int, samples: int) -> None:
    plan = plan_library(LibrarySpec(reservoirs=reservoirs, samples=samples))
    missing = [task.reservoir for task in plan.tasks if not task.measured]
    assert len(missing) == round(reservoirs * samples / 5)
    counts = [missing.count(reservoir.name) for reservoir in plan.reservoirs]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("count", [2, 3, 5, 8, 21, MAX_RESERVOIRS])
def test_every_reservoir_has_kin_and_strangers_are_other_rocks(count: int) -> None:
    plan = plan_library(LibrarySpec(reservoirs=count, samples=1, seed=count))
    kin = plan.kin()
    assert len(kin) == count
    assert all(1 <= len(names) <= 2 for names in kin.values())
    assert all(name in kin[other] for name, others in kin.items() for other in others)
    for one, other in combinations(plan.reservoirs, 2):
        coarser = abs(math.log(one.recipe.voxel_um / other.recipe.voxel_um))
        if other.name in kin[one.name]:
            assert one.recipe.family == other.recipe.family
            assert coarser < math.log(1.15)
            assert one.recipe != other.recipe
        else:
            assert one.recipe.family != other.recipe.family or coarser > math.log(1.25)


def test_the_nearest_reservoir_in_porosity_and_permeability_is_kin() -> None:
    plan = plan_library(LibrarySpec(reservoirs=12, samples=4, size=32))
    measured: dict[str, list[tuple[float, float]]] = {}
    for task in plan.tasks:
        told = measure_rock(grow_sample(task).pores, task.recipe.voxel_um)
        place = (told.porosity, math.log10(told.permeability_md))
        measured.setdefault(task.reservoir, []).append(place)
    means = {name: np.mean(places, axis=0) for name, places in measured.items()}
    spread = np.std(list(means.values()), axis=0)
    for name, kin in plan.kin().items():
        others = sorted(means, key=lambda other: np.hypot(*((means[other] - means[name]) / spread)))
        assert others[1] in kin


def test_permeability_spans_the_decades_of_reservoir_rock() -> None:
    decades, porosities = [], []
    for place, family in enumerate(FAMILIES):
        rock = grow_rock(family, (40, 40, 40), rng=np.random.default_rng(place))
        properties = measure_rock(rock.pores, family.voxel_um)
        decades.append(math.log10(properties.permeability_md))
        porosities.append(properties.porosity)
    assert -1 < min(decades) < 0.5
    assert 3.5 < max(decades) < 4.2
    assert min(porosities) < 0.07
    assert max(porosities) > 0.33


def test_same_bytes_with_more_processes_and_an_older_processor(
    library: tuple[Path, LibraryPlan], tmp_path: Path
) -> None:
    """PoreSpy's gravity packing fails this: it sorts ties, and numpy's sort uses SIMD."""
    script = (
        "import sys; from pathlib import Path; from trainer.synthetic import *\n"
        "if __name__ == '__main__':\n"
        f"    build_library({SPEC!r}, Path(sys.argv[1]), jobs=2)\n"
    )
    path = tmp_path / "build.py"
    path.write_text(script, encoding="utf-8")
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    environment = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(found),
        "PYTHONPATH": str(ROOT),
    }
    out = tmp_path / "again"
    command = [sys.executable, "-W", "ignore", str(path), str(out)]
    subprocess.run(command, check=True, env=environment)  # noqa: S603  our own interpreter
    assert digest(out) == digest(library[0])


def test_another_seed_is_another_library(library: tuple[Path, LibraryPlan], tmp_path: Path) -> None:
    out = tmp_path / "other"
    spec = LibrarySpec(reservoirs=2, samples=1, size=16, seed=8, thin_sections=0)
    build_library(spec, out)
    assert digest(out) != digest(library[0])
    first, second = (plan_library(LibrarySpec(seed=seed)).tasks[0].recipe for seed in (0, 1))
    assert first != second


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(_: MadeSample) -> None:
        raise KeyboardInterrupt

    spec = LibrarySpec(reservoirs=2, samples=1, size=16, thin_sections=0)
    with pytest.raises(KeyboardInterrupt):
        build_library(spec, tmp_path / "out", on_sample=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "keep.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(LibraryError, match="is not empty; name a new folder or remove it first"):
        build_library(SPEC, tmp_path)
    with pytest.raises(LibraryError, match=r"keep\.txt: is a file"):
        build_library(SPEC, tmp_path / "keep.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["keep.txt"]


def test_an_empty_folder_is_filled_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder, a link and a mounted volume can't be removed and renamed over."""
    spec = LibrarySpec(reservoirs=2, samples=1, size=16, thin_sections=0)
    (tmp_path / "here").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    build_library(spec, tmp_path / "link")
    monkeypatch.chdir(tmp_path / "here")
    build_library(spec, Path())
    assert digest(tmp_path / "here") == digest(tmp_path / "target")
    assert not [path for path in (tmp_path / "here").iterdir() if path.name.startswith(".")]


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LibraryError, match="can't be written") as caught:
        build_library(SPEC, tmp_path / "file" / "out")
    assert "\n" not in str(caught.value)


def test_all_bad_numbers_are_named_with_their_ranges() -> None:
    with pytest.raises(LibraryError) as caught:
        LibrarySpec(reservoirs=1, samples=0, size=9999)
    assert str(caught.value) == (
        "--reservoirs is 1, allowed are 2 to 60; --samples is 0, allowed are 1 to 500; "
        "--size is 9999, allowed are 16 to 512"
    )


def test_command_builds_and_refuses(tmp_path: Path) -> None:
    out = tmp_path / "library"
    arguments = ["synth", str(out), "--reservoirs", "2", "--samples", "3", "--size", "16"]
    built = CliRunner().invoke(library_app, [*arguments, "--thin-sections", "0", "--jobs", "1"])
    assert built.exit_code == 0, built.output
    assert "6 samples of 2 reservoirs in 1 kin groups, 1 samples unmeasured" in built.stdout
    assert len(metadata(out)) == 6
    again = CliRunner().invoke(library_app, arguments)
    assert again.exit_code == 2
    assert again.stderr.splitlines()[-1] == (
        f"{out}: is not empty; name a new folder or remove it first"
    )
    wrong = CliRunner().invoke(library_app, ["synth", str(tmp_path / "x"), "--jobs", "0"])
    assert wrong.exit_code == 2
    assert "--jobs is 0, allowed are 1 and more" in wrong.stderr


def test_command_line_imports_nothing_heavy() -> None:
    script = "import sys, trainer.cli; print(sorted({'numpy', 'porespy'} & set(sys.modules)))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)  # noqa: S603  our own interpreter
    assert done.stdout.strip() == "[]"
