"""``reindex``: another model's collection is filled while the live one serves, then it is live."""

from __future__ import annotations

import json
import shutil
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
from infra.index_server import stop_server
from infra.settings import load_settings
from infra.site import open_site
from ingest_worker.models import open_target
from ingest_worker.reindex import fill
from lithoscope import app
from search_ui.requests import FileQuery, SearchRequest
from search_ui.service import SearchService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ingest_worker.outcomes import Outcome

ROOT = Path(__file__).resolve().parents[1]
PLANES = 64
VOLUMES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two models, and a home whose index server all tests share."""
    folder = tmp_path_factory.mktemp("site")
    for name, planes in (("old", 1), ("new", PLANES)):
        preprocessing = Preprocessing(size=32, slicing=Slicing(planes=planes))
        encoder = build_encoder("resnet18-imagenet", "seed:0", preprocessing=preprocessing)
        told = {"gate": "gate: passed: no model is live to compare with", "gate_against": ""}
        card = told if name == "new" else {}
        save_bundle(folder / name, encoder, provenance=card)
    yield folder
    stop_server(folder / "home" / "index")


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.out))


def run(*words: object) -> Answer:
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


class Rocks:
    """A library that the old model has indexed, and the new model published beside it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self.bucket = folder / "home" / "bucket"
        self.library = library
        for number in range(3):
            self.draw(f"E1/S{number}/a.png")
        words = ("--encoder", "resnet18-imagenet", "--init", folder / "old")
        self.old = run("ingest", library, *words, "--format", "json").told["model"]
        with open_site(load_settings()) as site:
            self.new = site.models.publish(folder / "new").bundle_id

    def draw(self, name: str) -> Path:
        path = self.library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng([*name.encode()]).integers(0, 255, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    def live(self) -> str:
        with open_site(load_settings()) as site:
            version = site.models.live(site.index)
            assert version is not None
            return version.bundle_id

    def n_filled(self) -> int:
        """Scans that the new model has."""
        with open_site(load_settings()) as site:
            name = site.models.find(self.new).collection
            return site.index.open(name).count_scans() if name in site.index.collections() else 0


@pytest.fixture
def rocks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rocks]:
    monkeypatch.setenv("LITHOSCOPE_HOME", str(folder / "home"))
    monkeypatch.setenv("LITHOSCOPE_DECODE__WORKERS", "1")
    yield Rocks(folder, tmp_path / "rocks")
    with open_site(load_settings()) as site:
        for name in site.index.collections():
            site.index.drop(name, even_live=True)
    shutil.rmtree(folder / "home" / "bucket")


def test_fill_switch_follow_and_roll_back(rocks: Rocks) -> None:
    looked_for = rocks.draw("query.png")
    request = SearchRequest(queries=(FileQuery(path=looked_for),), k=5)
    with open_site(load_settings()) as site, SearchService(site) as service:
        assert service.search(request).model.bundle_id == rocks.old
        kept = run("reindex", "--no-switch")
        assert kept.code == 0
        assert "encoded 3 slices of 3 scans" in kept.out
        assert f"`lithoscope models use {rocks.new}` makes it so" in kept.out
        assert service.search(request).model.bundle_id == rocks.old == rocks.live()
        switched = run("reindex", "--format", "json").told
        assert (switched["model"], switched["switched"]) == (rocks.new, True)
        assert (switched["is_live"], switched["slices_encoded"]) == (True, 0)
        found = service.search(request)  # the service was open all the time
        assert found.model.bundle_id == rocks.new
        assert len(found.hits) == 3
    again = run("reindex")
    assert again.code == 0
    assert "nothing to encode" in again.out

    run("ingest", rocks.draw("E2/S9/late.png"), "--library", rocks.library)
    back = run("models", "rollback")
    assert f"{rocks.old} is live" in back.out
    assert "it is 1 scan behind: `lithoscope reconcile` brings it up to date" in back.out
    assert rocks.live() == rocks.old
    assert run("reconcile").code == 0
    again = run("reindex", rocks.new)
    assert again.code == 0
    assert f"then switches from {rocks.old} to it" in again.out
    assert f"compared it with no model, not with {rocks.old}" in again.err
    assert rocks.live() == rocks.new


def test_a_killed_run_is_gone_on_with(rocks: Rocks) -> None:
    for number in range(VOLUMES):
        volume = np.random.default_rng(number).integers(0, 999, (80, 8, 8), dtype=np.uint16)
        path = rocks.library / f"E3/S{number}/v.npy"
        path.parent.mkdir(parents=True)
        np.save(path, volume)
    assert run("ingest", rocks.library).code == 0
    process = subprocess.Popen(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "lithoscope", "reindex", rocks.new],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + 90
    while not rocks.n_filled():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
    process.kill()
    process.communicate()
    assert process.returncode == -9
    done = rocks.n_filled()
    assert 0 < done < VOLUMES + 3
    assert rocks.live() == rocks.old
    assert run("search", "scans/E1/S1/a.png", "--format", "json").told["model"]
    rest = run("reindex", rocks.new, "--format", "json").told
    assert rest["outcomes"]["indexed"] == VOLUMES + 3 - done
    assert rest["coverage"]["slices"] == VOLUMES * PLANES + 3
    assert rest["is_live"]
    assert run("reconcile", "--check", "--deep").code == 0


def test_scans_that_come_meanwhile_are_filled_before_the_switch(rocks: Rocks) -> None:
    late = rocks.draw("E9/S1/late.png")
    (rocks.library / "E1/S0/a.png").touch()
    seen: list[list[str]] = []

    def take(outcomes: Iterator[Outcome], total: int) -> None:
        told: list[str] = []
        for outcome in outcomes:
            if not seen and not told:  # another process uploads, for the live model
                assert run("ingest", late, "--library", rocks.library).code == 0
                (rocks.bucket / "scans/E1/S2/a.png").unlink()
            told.append(outcome.object_key)
        assert len(told) == total
        seen.append(told)

    with open_site(load_settings()) as site:
        target = open_target(site, site.models.find(rocks.new), adopt=False)
        filling = fill(target, take=take)
    assert filling.rounds == len(seen) == 2
    assert "scans/E9/S1/late.png" in seen[1]
    assert filling.coverage.is_complete
    assert (filling.missing, filling.coverage.indexed) == ({}, 3)
    assert rocks.live() == rocks.old


def test_what_would_be_lost_keeps_the_switch_waiting(rocks: Rocks) -> None:
    (rocks.bucket / "scans/E1/S9").mkdir()
    (rocks.bucket / "scans/E1/S9/broken.png").write_bytes(b"no picture")
    table = rocks.bucket / "metadata/own.csv"
    table.parent.mkdir(exist_ok=True)
    table.write_text("object_key,porosity\nscans/E1/S1/a.png,0.2\nscans/E1/S1/a.png,0.3\n")
    refused = run("reindex")
    assert refused.code == 1
    assert rocks.live() == rocks.old
    assert "scans/E1/S1/a.png: indexed by the live model, refused by this one" in refused.err
    assert "not switched: 1 scan would be found no more" in refused.err
    assert "broken.png: quarantined" in refused.err

    told = run("reindex", "--allow-missing", "--format", "json").told
    assert told["switched"]
    assert told["missing"] == {"lost": ["scans/E1/S1/a.png"]}
    assert rocks.live() == rocks.new

    run("models", "rollback")
    table.unlink()
    answer = run("reindex", rocks.new, "--format", "json")
    assert answer.code == 0  # the broken file no model can read
    assert (answer.told["missing"], answer.told["is_live"]) == ({}, True)
    assert answer.told["coverage"]["quarantined"] == 1


def test_without_a_model_it_says_where_one_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITHOSCOPE_HOME", str(tmp_path))
    (tmp_path / "bucket").mkdir()
    with pytest.raises(LithoscopeError, match="`lithoscope publish RUN`"):
        run("reindex")
