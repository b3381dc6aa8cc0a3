"""``ingest`` and ``reconcile`` as their user runs them, on a real folder and a real index."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from encoder.bundle import save_bundle
from encoder.encoders import build_encoder
from encoder.errors import LithoscopeError
from encoder.preprocess import Preprocessing
from encoder.slicing import Slicing
from infra.settings import load_settings
from infra.site import open_site
from lithoscope import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
ENCODER = "resnet18-imagenet"
TABLE = """Image,Reservoir,Sample,Porosity
E1/S1/a.png,E1,S1,0.21
E1/S2/v.npy,E1,S2,0.1
E2/S3/b.png,E2,S3,
"""


def tiny_bundle(folder: Path, planes: int) -> Path:
    preprocessing = Preprocessing(size=32, slicing=Slicing(planes=planes))
    save_bundle(folder, build_encoder(ENCODER, "seed:0", preprocessing=preprocessing))
    return folder


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models whose slices differ."""
    folder = tmp_path_factory.mktemp("models")
    return tiny_bundle(folder / "four", 4), tiny_bundle(folder / "two", 2)


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


class Rocks:
    """A library, and the commands on it."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.home = folder / "home"
        self.scans = self.home / "bucket" / "scans"
        self.library = folder / "rocks"
        self.model = ("--encoder", ENCODER, "--init", str(bundle))
        for seed, name in enumerate(("E1/S1/a.png", "E2/S3/b.png")):
            picture(self.library / name, seed)
        volume = np.random.default_rng(9).integers(0, 999, (9, 12, 12), dtype=np.uint16)
        (self.library / "E1/S2").mkdir()
        np.save(self.library / "E1/S2/v.npy", volume)
        self.table = self.library / "metadata.csv"
        self.table.write_text(TABLE)

    def run(self, *arguments: object) -> Answer:
        result = CliRunner().invoke(app, list(map(str, arguments)))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    def ingest(self, *paths: Path) -> Answer:
        return self.run("ingest", *(paths or (self.library,)), "--format", "json")

    def reconcile(self, *options: str) -> Answer:
        return self.run("reconcile", *options, "--format", "json")

    def rows(self) -> dict[str, tuple[str | None, float | None]]:
        """Reservoir and porosity of every indexed scan, by its key."""
        with open_site(load_settings()) as site:
            live = site.index.live()
            assert live is not None
            rows = site.index.open(live).rows()
            return {row.object_key: (row.reservoir, row.numbers["porosity"]) for row in rows}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Run a command beside this process; Ctrl-C reaches it."""
        script = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from lithoscope.command import main; main()"
        )
        return subprocess.Popen(  # noqa: S603  our own interpreter on our own script
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def rocks(
    tmp_path: Path, bundles: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rocks]:
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LITHOSCOPE_DECODE__WORKERS", "1")
    made = Rocks(tmp_path, bundles[0])
    yield made
    made.run("down")


def wait_until(is_so: Any, process: subprocess.Popen[str]) -> None:  # noqa: ANN401  any question
    end = time.monotonic() + 90
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_first_run_asks_for_a_model_by_name(rocks: Rocks) -> None:
    with pytest.raises(LithoscopeError, match="--encoder dsnn --init seed:0"):
        rocks.ingest()
    assert list(rocks.scans.rglob("*.*")) == []
    with pytest.raises(LithoscopeError, match="'nonsense'"):
        rocks.run("ingest", rocks.library, "--encoder", "nonsense")
    with pytest.raises(LithoscopeError, match="--encoder"):
        rocks.run("ingest", rocks.library, "--init", "seed:0")


def test_a_library_from_first_to_last_run(rocks: Rocks) -> None:
    first = rocks.run("ingest", f"{rocks.library}/", *rocks.model)
    assert first.code == 0
    assert "copied 3 scans" in first.out
    assert "encoded 6 slices of 3 scans" in first.out
    assert "3 objects: 3 indexed (6 slices); nothing missing" in first.out
    assert ", live" in first.out

    again = rocks.run("ingest", rocks.library)
    assert again.code == 0
    assert "nothing to encode" in again.out
    assert "3 were there already" in again.out

    rocks.table.write_text(TABLE.replace("0.21", "0.33"))
    corrected = rocks.ingest()
    assert (corrected.code, corrected.told["slices_encoded"]) == (0, 0)
    assert corrected.told["outcomes"]["rekeyed"] == 1
    assert rocks.rows()["scans/E1/S1/a.png"] == ("E1", 0.33)

    picture(rocks.library / "E1/S1/a.png", 40)
    changed = rocks.ingest(rocks.library / "E1/S1/a.png").told
    assert (changed["slices_encoded"], changed["outcomes"]["indexed"]) == (1, 1)

    rocks.table.write_text(TABLE.replace("a.png,E1,S1", "a.png,E7,S1"))
    moved = rocks.ingest().told
    assert moved["files"]["moved"] == moved["outcomes"]["removed"] == 1
    assert moved["coverage"]["is_complete"]
    assert set(rocks.rows()) == {
        "scans/E7/S1/E1/S1/a.png",
        "scans/E1/S2/v.npy",
        "scans/E2/S3/b.png",
    }


def test_what_is_wrong_is_told_and_the_rest_goes_on(rocks: Rocks) -> None:
    (rocks.library / "E2/S3/damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (rocks.library / "E2/S3/lone.mhd").write_text(
        "NDims = 3\nDimSize = 6 5 4\nElementType = MET_USHORT\nElementDataFile = lone.raw\n"
    )
    picture(rocks.library / "b.png", 77)
    rocks.table.write_text(f"{TABLE}b.png,E2,S3,\n")
    answer = rocks.run("ingest", rocks.library, *rocks.model, "--format", "json")
    assert answer.code == 1
    refused = {Path(each["path"]).name for each in answer.told["refused"]}
    assert refused == {"lone.mhd", "b.png"}
    assert len(answer.told["refused"]) == 3
    assert [each["object_key"] for each in answer.told["quarantined"]] == [
        "scans/E2/S3/damaged.png"
    ]
    assert answer.told["coverage"] | {"slices": 0} == {
        "objects": 3,
        "indexed": 2,
        "slices": 0,
        "quarantined": 1,
        **dict.fromkeys(("missing", "changed", "stale", "corrected", "unresolved", "orphaned"), 0),
        "is_complete": True,
    }
    again = rocks.run("ingest", rocks.library)
    assert again.code == 1
    assert "damaged.png: quarantined" in again.err
    assert "lone.mhd: refused" in again.err
    assert "1 quarantined; nothing missing" in again.out
    assert rocks.reconcile("--check").code == 0, "what is refused as it is does not differ"

    rocks.table.write_text(TABLE)
    (rocks.library / "b.png").unlink()
    (rocks.library / "E2/S3/lone.raw").write_bytes(np.arange(120, dtype="<u2").tobytes())
    picture(rocks.library / "E2/S3/damaged.png", 5)
    assert rocks.ingest().code == 0
    assert "scans/E2/S3/lone.mha" in rocks.rows()


def test_a_headerless_volume_is_read_as_its_layout_says(rocks: Rocks) -> None:
    path = rocks.library / "E2/S3/v.raw"
    path.write_bytes(np.random.default_rng(1).bytes(5 * 20 * 30))
    with pytest.raises(LithoscopeError, match="raw layout"):
        rocks.run("ingest", path, *rocks.model, "--raw", "many")
    wrong = rocks.run("ingest", path, *rocks.model, "--raw", "5x20x31:uint8", "--format", "json")
    assert wrong.told["quarantined"][0]["reason"].startswith("size mismatch")
    right = rocks.run("ingest", path, "--raw", "5x20x30:uint8", "--format", "json")
    assert (right.code, right.told["slices_encoded"]) == (0, 4)
    other = rocks.run("ingest", path, "--raw", "3x20x50:uint8", "--format", "json")
    assert (other.code, other.told["outcomes"]["indexed"]) == (0, 1)


def test_scans_in_the_bucket_are_indexed_in_place(rocks: Rocks) -> None:
    picture(rocks.scans / "E5/S1/a.png", 1)
    picture(rocks.scans / "E5/S1/b.png", 2)
    one = rocks.run("ingest", rocks.scans / "E5/S1/a.png", *rocks.model, "--format", "json")
    assert one.code == 1
    assert (one.told["coverage"]["indexed"], one.told["coverage"]["missing"]) == (1, 1)
    assert "reconcile" in one.told["notes"][0]
    check = rocks.reconcile("--check", "--deep")
    assert check.code == 1
    assert check.told["differences"]["missing"] == ["scans/E5/S1/b.png"]
    assert rocks.ingest(Path(f"{rocks.scans}/")).code == 0
    with pytest.raises(LithoscopeError, match="not where its scans are"):
        rocks.ingest(rocks.home / "bucket" / "thumbnails")
    assert rocks.ingest(rocks.scans / "E6").told["refused"][0]["path"] == "scans/E6/"


def test_reconcile_follows_what_was_done_by_hand(rocks: Rocks) -> None:
    rocks.run("ingest", rocks.library, *rocks.model)
    (rocks.scans / "E1").rename(rocks.scans / "E9")
    (rocks.scans / "E2/S3/b.png").unlink()
    check = rocks.run("reconcile", "--check")
    assert check.code == 1
    assert "2 missing, 3 indexed without an object" in check.out
    answer = rocks.reconcile("--deep")
    assert (answer.code, answer.told["is_deeply_complete"]) == (0, True)
    assert answer.told["outcomes"]["removed"] == 3
    assert {key: names[0] for key, names in rocks.rows().items()} == {
        "scans/E9/S1/a.png": "E9",
        "scans/E9/S2/v.npy": "E9",
    }
    again = rocks.run("reconcile")
    assert again.code == 0
    assert "nothing to encode" in again.out


def test_a_renamed_reservoir_keeps_its_properties(rocks: Rocks) -> None:
    rocks.run("ingest", rocks.library, *rocks.model)
    own = rocks.home / "bucket/metadata/own.csv"
    own.write_text("object_key,porosity\nscans/E2/S3/b.png,0.4\n")
    (rocks.scans / "E1").rename(rocks.scans / "E9")
    (rocks.scans / "E2").rename(rocks.scans / "E8")
    (table,) = own.parent.glob("rocks-*.csv")
    before = table.read_bytes()
    check = rocks.run("reconcile", "--check")
    assert f"3 scans moved: `lithoscope reconcile` has metadata/{table.name} follow" in check.err
    assert table.read_bytes() == before
    answer = rocks.run("reconcile")
    assert answer.code == 0
    assert f"note: 3 scans moved: metadata/{table.name} follows them\n" in answer.err
    lost = "metadata/own.csv row 2: no scan for 'scans/E2/S3/b.png'"
    assert f"1 row of the bucket's tables is about no scan: {lost}" in answer.err
    assert rocks.rows() == {
        "scans/E9/S1/a.png": ("E9", 0.21),
        "scans/E9/S2/v.npy": ("E9", 0.1),
        "scans/E8/S3/b.png": ("E8", None),
    }
    assert lost in rocks.run("status").out
    own.unlink()
    again = rocks.reconcile()
    assert (again.code, again.told["notes"]) == (0, [])
    assert json.loads(rocks.run("status", "--format", "json").out)["metadata_notes"] == []


def test_ingest_follows_what_was_moved_too(rocks: Rocks, bundles: tuple[Path, Path]) -> None:
    rocks.run("ingest", rocks.library, *rocks.model)
    (rocks.scans / "E1").rename(rocks.scans / "E9")
    inside = rocks.ingest(rocks.scans / "E9").told
    assert "follows them" in inside["notes"][0]
    assert inside["coverage"]["orphaned"] == 2
    assert rocks.rows()["scans/E9/S1/a.png"] == ("E9", 0.21)
    assert rocks.reconcile().code == 0
    (rocks.scans / "E9").rename(rocks.scans / "E5")
    options = ("--encoder", ENCODER, "--init", bundles[1], "--format", "json")
    back = rocks.run("ingest", rocks.library, *options).told  # which says E1 as ever
    assert back["files"] == {"copied": 2, "unchanged": 1, "moved": 2, "refused": 0}
    assert any("its names have moved scans/E5/S1/a.png" in note for note in back["notes"])
    assert rocks.reconcile().code == 0
    assert rocks.rows() == {
        "scans/E1/S1/a.png": ("E1", 0.21),
        "scans/E1/S2/v.npy": ("E1", 0.1),
        "scans/E2/S3/b.png": ("E2", None),
    }


def test_another_model_is_filled_while_the_live_one_stays(
    rocks: Rocks, bundles: tuple[Path, Path]
) -> None:
    first = rocks.run("ingest", rocks.library, *rocks.model, "--format", "json").told
    options = ("--encoder", ENCODER, "--init", bundles[1], "--format", "json")
    other = rocks.run("ingest", rocks.library / "E1", *options).told
    assert first["is_live"]
    assert not other["is_live"]
    assert other["coverage"]["indexed"] == 2
    assert rocks.ingest().told["model"] == first["model"]
    with pytest.raises(LithoscopeError, match="name one of them"):
        rocks.run("ingest", rocks.library, "--encoder", ENCODER)
    filled = rocks.reconcile("--model", other["model"])
    assert (filled.code, filled.told["coverage"]["indexed"]) == (0, 3)
    by_name = rocks.run("ingest", rocks.library, "--encoder", other["model"], "--format", "json")
    assert (by_name.code, by_name.told["slices_encoded"]) == (0, 0)


def test_ctrl_c_leaves_whole_scans_and_the_next_run_goes_on(rocks: Rocks) -> None:
    for number in range(60):
        path = rocks.library / f"E3/S{number}/v.npy"
        path.parent.mkdir(parents=True)
        shutil.copy(rocks.library / "E1/S2/v.npy", path)
        with path.open("r+b") as file:
            file.seek(-2, os.SEEK_END)
            file.write(bytes([number, 0]))
    process = rocks.start("ingest", rocks.library, *rocks.model)
    wait_until(lambda: list((rocks.home / "bucket").glob("thumbnails/*/*/*")), process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "same command goes on" in errors
    assert "Traceback" not in errors
    assert rocks.ingest().code == 0
    deep = rocks.reconcile("--check", "--deep")
    assert (deep.code, deep.told["coverage"]["indexed"]) == (0, 63)


def test_watch_follows_a_folder(rocks: Rocks) -> None:
    rocks.run("ingest", rocks.library, *rocks.model)
    picture(rocks.scans / "E4/S1/early.png", 30)
    process = rocks.start("watch", "--format", "json")
    assert process.stdout is not None
    told = (json.loads(line) for line in process.stdout)

    def outcome(name: str, key: str) -> None:
        """Wait for one outcome; whatever else is told must not be about another scan."""
        for each in told:
            if each.get("outcome") == name and each["object_key"] == key:
                return
            assert "coverage" in each, each
        raise AssertionError(process.communicate())

    try:
        outcome("indexed", "scans/E4/S1/early.png")
        picture(rocks.scans / os.fsdecode(b"E4/S1/a\xfe.png"), 32)
        outcome("quarantined", os.fsdecode(b"scans/E4/S1/a\xfe.png"))
        picture(rocks.scans / "E4/S1/late.png", 31)
        outcome("indexed", "scans/E4/S1/late.png")
        (rocks.scans / "E4/S1/early.png").unlink()
        outcome("removed", "scans/E4/S1/early.png")
        (rocks.home / "bucket/metadata/own.csv").write_text("Reservoir,Sample,phi\nE4,S1,0.4\n")
        outcome("rekeyed", "scans/E4/S1/late.png")
        assert rocks.rows()["scans/E4/S1/late.png"] == ("E4", 0.4)
        (rocks.scans / "E1").rename(rocks.scans / "E9")
        wanted = {"scans/E9/S1/a.png", "scans/E9/S2/v.npy"}
        while wanted:
            each = next(told)
            assert each.get("outcome") in (None, "removed", "indexed"), each
            wanted.discard(each.get("object_key"))
        assert rocks.rows()["scans/E9/S1/a.png"] == ("E9", 0.21)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "note: 2 scans moved: metadata/rocks-" in errors
    assert "goes on" in errors
