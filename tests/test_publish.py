"""``publish``: a run into the registry, unless the live model is better."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bundle_samples import trained
from encoder.bundle import load_bundle, save_bundle
from encoder.errors import LithoscopeError
from infra.index_server import stop_server
from infra.model_versions import FORCED, GATE_OUTCOME
from infra.rollout import current_rollout
from infra.settings import Settings, load_settings
from infra.site import open_site
from lithoscope import app
from publish_samples import add_sample, blinded, make_library, make_run
from trainer.finished_run import PublishError, read_run
from trainer.learnt_scans import learnt_entries
from trainer.library_data import load_slices
from trainer.slice_cache import DataError
from trainer.splits import Split, SplitError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from infra.model_versions import ModelVersion


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs that are only read, and a home whose index server all tests share."""
    folder = tmp_path_factory.mktemp("site")
    yield folder
    stop_server(folder / "home" / "index")


@pytest.fixture(scope="module")
def trained_run(library: Path, folder: Path) -> Path:
    return make_run(folder / "run", library, Settings(home=folder / "home"))


@pytest.fixture(scope="module")
def other_run(library: Path, folder: Path) -> Path:
    """Learned from another half."""
    return make_run(folder / "other", library, Settings(home=folder / "home"), seed=5)


@pytest.fixture(scope="module")
def blind_run(trained_run: Path, folder: Path) -> Path:
    return blinded(trained_run, folder / "blind")


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    home = folder / "home"
    (home / "bucket").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("LITHOSCOPE_HOME", str(home))
    yield home
    if (home / "index").exists():
        with open_site(load_settings()) as site:
            for name in site.index.collections():
                site.index.drop(name, even_live=True)
    shutil.rmtree(home / "bucket")


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    return copied(trained_run, tmp_path / "run")


def copied(run: Path, folder: Path) -> Path:
    (folder / "bundle").mkdir(parents=True)
    for path in (*run.glob("*.json"), *run.glob("bundle/*")):
        (folder / path.relative_to(run)).write_bytes(path.read_bytes())
    return folder


def publish(*words: object) -> Result:
    done = CliRunner().invoke(app, ["publish", *map(str, words)])
    if isinstance(done.exception, LithoscopeError):
        raise done.exception
    assert done.exit_code in (0, 1), done.output
    return done


def published() -> list[ModelVersion]:
    with open_site(load_settings()) as site:
        return site.models.versions()


def make_live(bundle: Path) -> str:
    """Publish a bundle as it is, and make it live."""
    with open_site(load_settings()) as site:
        version = site.models.publish(bundle)
    return switch_to(version)


def switch_to(version: ModelVersion) -> str:
    with open_site(load_settings()) as site:
        site.index.create(version.collection, dimension=version.dimension, metric=version.metric)
        site.models.switch(site.index, version)
    return version.bundle_id


def shared(run: Path, part: str, other: Path, learnt: str) -> set[str]:
    """Samples of one run's part that are of another run's too."""
    samples = [json.loads((each / "split.json").read_text())["samples"] for each in (run, other)]
    return set(samples[0][part]) & set(samples[1][learnt])


def release(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "release.json").read_text()))


def test_the_first_model_is_published_with_its_card(run: Path) -> None:
    before = load_bundle(run / "bundle")
    done = publish(run)
    assert done.exit_code == 0
    assert "gate: passed: no model is live" in done.stdout
    (version,) = published()
    assert version.bundle_id == before.bundle_id
    assert done.stdout.splitlines()[-1] == f"next: `lithoscope reindex {version.bundle_id}`"
    assert set(before.provenance) <= set(version.provenance)
    assert version.provenance["gate_against"] == ""
    assert {"revision", "config", "data", "split", "learnt_scans"} <= set(version.provenance)
    assert "18 slices of 9 samples" in version.provenance["measured_on"]
    told = release(run)
    assert told["gate"]["outcome"] == "first"
    figures = told["figures"][version.bundle_id]
    assert version.metrics["test_map_at_10"] == figures["map_at_10"]["value"] == 1.0
    with open_site(load_settings()) as site:
        found = load_bundle(site.models.fetch(version))
        assert found.metrics == version.metrics
    assert load_bundle(run / "bundle").metrics == before.metrics


def test_publishing_again_tells_so_and_mends_what_was_damaged(run: Path, home: Path) -> None:
    publish(run)
    before = published()
    (run / "release.json").unlink()
    weights = next((home / "bucket" / "models").rglob("weights.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    for name in (".release-killed", ".release-of-another"):
        (run / name / "bundle").mkdir(parents=True)
    os.utime(run / ".release-killed", (0, 0))
    done = publish(run)
    assert "is published already" in done.stdout
    assert [path.name for path in run.glob(".release-*")] == [".release-of-another"]
    assert "next: `lithoscope reindex" in done.stdout
    assert published() == before
    assert weights.read_bytes() == whole
    assert not (run / "release.json").exists()  # nothing was measured


def test_a_run_that_is_not_finished_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "result.json").unlink()
    with pytest.raises(PublishError, match=r"not finished; .*train --out .*run --resume"):
        publish(run)
    with pytest.raises(PublishError, match="no run"):
        publish(tmp_path / "nowhere")
    (run / "config.json").write_text("{}x")
    (run / "result.json").write_text("{}")
    with pytest.raises(PublishError, match="no settings"):
        publish(run)
    assert published() == []


def test_a_worse_model_is_refused_unless_forced(
    run: Path, blind_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = make_live(run / "bundle")
    worse = copied(blind_run, tmp_path / "worse")
    done = publish(worse)
    assert done.exit_code == 1
    assert f"gate: refused, against {live}: standard mAP@10 is surely worse: -0." in done.stdout
    assert f"{live} learned" not in done.stderr
    assert "--force" in done.stderr
    assert len(published()) == 1
    told = release(worse)
    assert told["gate"]["outcome"] == "refused"
    difference = told["gate"]["differences"]["map_at_10"]
    assert difference["low"] <= difference["value"] <= difference["high"] < 0

    monkeypatch.setenv("LITHOSCOPE_BROKER__URL", "redis://127.0.0.1:1/0")  # as on a stack
    assert "--background" in publish(worse, "--force").stdout, "it goes live by its name only"
    assert release(worse)["gate"]["outcome"] == "forced"
    version = published()[-1]
    assert "forced" in version.provenance["gate"]
    assert version.provenance["gate_against"] == live
    assert version.provenance[GATE_OUTCOME] == FORCED
    assert version.metrics["difference_map_at_10"] == difference["value"]
    with open_site(load_settings()) as site:
        assert site.models.live(site.index) == published()[0]
        assert current_rollout(site.objects) is None


def test_a_better_model_passes_and_its_advantage_is_told(run: Path, blind_run: Path) -> None:
    live = make_live(blind_run / "bundle")
    done = publish(run)
    assert done.exit_code == 0
    assert f"gate: passed, against {live}\n" in done.stdout
    assert "live 0.4" in done.stdout
    assert "difference +0." in done.stdout
    assert release(run)["gate"]["differences"]["map_at_10"]["low"] > 0


@pytest.mark.parametrize("by_card", [True, False])
def test_models_are_compared_on_what_neither_learned_from(
    run: Path, other_run: Path, tmp_path: Path, by_card: bool
) -> None:
    if by_card:
        publish(other_run)
        live = switch_to(published()[0])
    else:  # of a former release: its split is drawn again, by the settings in its bundle
        former = load_bundle(other_run / "bundle")
        kept = {name: former.provenance[name] for name in ("data", "config")}
        save_bundle(tmp_path / "former", replace(former, provenance=kept))
        live = make_live(tmp_path / "former")
    name = load_bundle(run / "bundle").bundle_id
    seen = shared(run, "test", other_run, "train")
    assert 0 < len(seen) <= 5
    done = publish(run, "--force")
    assert f"{live} learned from {2 * len(seen)} of these 18 slices: left out" in done.stderr
    extent = f"{18 - 2 * len(seen)} slices of {9 - len(seen)} samples"
    assert f"measured on {extent} that {name} and {live} did not learn from" in done.stdout
    assert release(run)["measured_on"] in published()[-1].provenance["measured_on"]


def test_where_too_little_is_left_only_force_publishes(
    run: Path, blind_run: Path, tmp_path: Path
) -> None:
    """The live model is far worse, and saw all of the test part but three samples."""
    slices = load_slices(read_run(run).config, load_settings()).slices
    test = np.array(json.loads((run / "split.json").read_text())["test"])
    split = Split(train=test[:-6], val=test[:0], test=test[-6:])
    former = load_bundle(blind_run / "bundle")
    card = {"data": "another"} | learnt_entries(slices, split)
    save_bundle(tmp_path / "live", replace(former, provenance=card))
    live = make_live(tmp_path / "live")
    done = publish(run)
    assert done.exit_code == 1
    told = f"no fair comparison: {live} learned from 12 of these 18 slices, which leaves 3 samples"
    assert f"gate: refused, against {live}: {told}" in done.stdout
    assert "which flatters it" in done.stderr
    assert publish(run, "--force").exit_code == 0
    assert "forced" in published()[-1].provenance["gate"]
    assert published()[-1].provenance["gate_against"] == live


def test_a_run_that_began_from_a_model_is_not_measured_on_what_that_one_learned_from(
    other_run: Path, library: Path, tmp_path: Path
) -> None:
    settings = load_settings()
    start = str(other_run / "bundle")
    tuned = make_run(tmp_path / "tuned", library, settings, init=start)
    name = load_bundle(tuned / "bundle").bundle_id
    seen = shared(tuned, "test", other_run, "train")
    assert seen
    done = publish(tuned)
    told = f"what {name} began from learned from {2 * len(seen)} of these 18 slices: left out"
    assert told in done.stderr
    assert release(tuned)["measured_on"].startswith(f"{18 - 2 * len(seen)} slices")
    # And the gate of a later run knows both.
    live = switch_to(published()[-1])
    third = make_run(tmp_path / "third", library, settings, seed=2)
    known = shared(third, "test", other_run, "train") | shared(third, "test", tuned, "train")
    done = publish(third, "--force")
    assert f"{live} learned from {2 * len(known)} of these 18 slices" in done.stderr

    # A start whose card does not tell.
    former = load_bundle(other_run / "bundle")
    save_bundle(tmp_path / "start", replace(former, provenance={"data": "another"}))
    tuned = make_run(tmp_path / "again", library, settings, init=str(tmp_path / "start"), seed=3)
    done = publish(tuned, "--force")
    told = f"began from {former.bundle_id}, which does not tell whether it learned from these"
    assert told in done.stderr


def test_a_live_model_of_another_kind_is_compared_on_the_same_slices(
    run: Path, tmp_path: Path
) -> None:
    save_bundle(tmp_path / "live", replace(trained(), provenance={}))
    make_live(tmp_path / "live")
    done = publish(run)
    assert done.exit_code == 1
    assert "porosity is not predicted, which the live model does" in done.stdout
    figures = release(run)["figures"]
    assert len(figures) == 2
    assert all("map_at_10" in found for found in figures.values())


def test_a_library_may_have_grown_but_not_lost(
    run: Path, blind_run: Path, library: Path, tmp_path: Path
) -> None:
    grown = tmp_path / "grown"
    for path in library.rglob("*.*"):
        target = grown / path.relative_to(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    add_sample(grown, "R1/S2b", reservoir=1, seed=99)
    done = publish(run, "--data", grown)
    assert "1 sample came since the run began: left out" in done.stderr
    (version,) = published()
    assert "18 slices of 9 samples" in version.provenance["measured_on"]
    test = json.loads((run / "split.json").read_text())["samples"]["test"]
    for path in (grown / test[0]).iterdir():
        path.unlink()
    fresh = copied(blind_run, tmp_path / "fresh")
    with pytest.raises(SplitError, match="is of other slices"):
        publish(fresh, "--data", grown)


def test_a_run_is_published_from_any_folder(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = library.parent / "beside"
    beside.mkdir()
    monkeypatch.chdir(beside)
    run = make_run(tmp_path / "run", Path("..", library.name), load_settings())
    monkeypatch.chdir(tmp_path)
    beside.rmdir()
    config = json.loads((run / "config.json").read_text())
    assert config["data"]["path"] == str(library.resolve())
    config["data"]["path"] = library.name
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match=f"its data was in {library.name}, .*--data"):
        publish(run)
    assert publish(run, "--data", library).exit_code == 0


def test_without_a_test_part_only_force_publishes_beside_a_live_model(
    run: Path, blind_run: Path
) -> None:
    split = json.loads((run / "split.json").read_text())
    split["val"], split["test"] = split["test"], []
    split["samples"]["val"], split["samples"]["test"] = split["samples"]["test"], []
    (run / "split.json").write_text(json.dumps(split))
    make_live(blind_run / "bundle")
    assert publish(run).exit_code == 1
    assert "no test part" in release(run)["gate"]["reasons"][0]
    assert publish(run, "--force").exit_code == 0
    assert published()[-1].provenance["gate_against"] == ""  # nothing was compared
    assert not [name for name in published()[-1].metrics if name.startswith("test_")]
