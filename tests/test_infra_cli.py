"""``status``, ``models``, ``quarantine``, ``down``, ``doctor``: on sites whose state is known."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bundle_samples import made_bundle
from encoder.errors import LithoscopeError
from infra.cli import app
from infra.commands.models import roll_back, tell_models, use_model
from infra.commands.quarantine import drop, retry, tell_record, tell_records
from infra.commands.status import amount, tell_status
from infra.folder_store import FolderStore
from infra.index_server import find_server
from infra.settings import Settings
from infra.site import Site
from memory_site import NOW, index_scan, memory_site, put_scans, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion

pytest_plugins = ["bundle_samples"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with memory_site(tmp_path / "home") as site:
        yield site


def publish(site: Site, folder: Path) -> ModelVersion:
    """Publish a bundle, and make its collection."""
    version = site.models.publish(folder)
    site.index.create(version.collection, dimension=version.dimension, metric=version.metric)
    return version


def told(capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401  JSON
    return json.loads(capsys.readouterr().out)


def words(capsys: pytest.CaptureFixture[str]) -> str:
    """Output, with blanks as one."""
    return " ".join(capsys.readouterr().out.split())


# --- status ---


def test_status_tells_what_is_there(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, better, bad, missing = put_scans(site, "good", "better", "bad", "missing")
    version = publish(site, made_bundle(tmp_path / "model"))
    site.models.switch(site.index, version)
    index_scan(site, version, key=good)
    index_scan(site, version, key=better, n_slices=4)
    refuse(site, bad)
    tell_status(site, as_json=True)
    found = told(capsys)
    assert found["model"]["name"] == version.bundle_id
    assert found["scans"] == 4
    assert found["coverage"] == {
        "objects": 4,
        "indexed": 2,
        "slices": 7,
        "quarantined": 1,
        "missing": 1,
        "changed": 0,
        "stale": 0,
        "corrected": 0,
        "unresolved": 0,
        "orphaned": 0,
        "is_complete": False,
    }
    assert found["failed"] == [
        {"object_key": bad, "fault": "truncated", "reason": "ends early; copy it again"}
    ]
    bytes_of_scans = sum(len(key) for key in (good, better, bad, missing))
    assert found["sizes"]["scans"] == {"objects": 4, "bytes": bytes_of_scans}
    assert set(found["sizes"]) == {"scans", "models", "quarantine"}
    tell_status(site, as_json=False)
    text = words(capsys)
    assert "4 objects: 2 indexed (7 slices), 1 quarantined; 1 missing" in text
    assert f"failed 1 scan: truncated 1 {bad}: ends early; copy it again" in text
    assert "`lithoscope reconcile` brings the index up to date" in text
    site.objects.delete(missing)
    tell_status(site, as_json=False)
    text = words(capsys)
    assert "3 objects: 2 indexed (7 slices), 1 quarantined; nothing missing" in text
    assert "reconcile" not in text


def test_status_tells_broken_tables(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = publish(site, made_bundle(tmp_path / "model"))
    site.models.switch(site.index, version)
    index_scan(site, version, key=put_scans(site, "a")[0])
    site.objects.put("metadata/rocks.csv", b"object_key,porosity\nscans/E1/S1/a.png,45\n")
    assert tell_status(site, as_json=True) == 0
    assert told(capsys)["metadata_problems"][0].startswith("metadata/rocks.csv")
    tell_status(site, as_json=False)
    text = words(capsys)
    assert "1 object: 1 indexed with former metadata; nothing missing their metadata" in text
    assert "reconcile" not in text


def test_status_tells_all_else_where_the_live_model_is_gone(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = publish(site, made_bundle(tmp_path / "model"))
    site.models.switch(site.index, version)
    for name in ("model.json", "model.safetensors"):
        site.objects.delete(f"models/{version.encoder}/{version.version}/{name}")
    put_scans(site, "a")
    assert tell_status(site, as_json=False) == 1
    assert f"collection {version.collection}: is live, but its model is" in (text := words(capsys))
    assert "scans 1 object" in text
    assert tell_status(site, as_json=True) == 1
    assert version.collection in told(capsys)["model_problem"]


def test_hostile_names_do_not_reach_the_terminal(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.models.switch(site.index, publish(site, made_bundle(tmp_path / "model")))
    (key,) = put_scans(site, "a\x1b[2Jb")
    refuse(site, key, reason="bad\x07bell")
    tell_status(site, as_json=False)
    tell_records(site, "", as_json=False)
    tell_record(site, key, as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    tell_record(site, key, as_json=True)
    assert told(capsys)["object_key"] == key


@pytest.mark.parametrize(
    ("size", "text"),
    [
        *((0, "0 bytes"), (1, "1 byte"), (1023, "1,023 bytes"), (1024, "1.0 KiB")),
        *((1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (3 << 50, "3,072.0 TiB")),
    ],
)
def test_amounts_are_readable(size: int, text: str) -> None:
    assert amount(size) == text


# --- models ---


def test_a_model_is_used_once_it_has_indexed_every_scan(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = put_scans(site, "a", "b")
    old = publish(site, made_bundle(tmp_path / "old"))
    new = publish(site, made_bundle(tmp_path / "new", seed=1))
    for key in (first, second):
        index_scan(site, old, key=key)
    assert use_model(site, old.bundle_id, now=False) == 0
    index_scan(site, new, key=first)
    capsys.readouterr()
    assert use_model(site, new.bundle_id, now=False) == 1
    assert site.index.live() == old.collection
    error = capsys.readouterr().err
    assert f"1 scan behind: fill it by `lithoscope reindex {new.bundle_id}`" in error
    index_scan(site, new, key=second)
    assert use_model(site, new.bundle_id, now=False) == 0
    assert site.index.live() == new.collection
    assert use_model(site, new.bundle_id, now=False) == 0
    assert "is live already" in capsys.readouterr().out


def test_a_model_is_used_at_once_where_that_is_asked_for_and_undone(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_scans(site, "a", "b")
    old = publish(site, made_bundle(tmp_path / "old"))
    new = publish(site, made_bundle(tmp_path / "new", seed=1))
    with pytest.raises(LithoscopeError, match="no former model"):
        roll_back(site)
    assert use_model(site, old.bundle_id, now=True) == 0
    assert use_model(site, new.bundle_id, now=True) == 0
    assert "it is 2 scans behind: `lithoscope reconcile`" in capsys.readouterr().out
    roll_back(site)
    assert site.index.live() == old.collection
    assert "2 scans behind" in capsys.readouterr().out
    with pytest.raises(LithoscopeError, match="what was rolled back from is none"):
        roll_back(site)


def test_models_that_can_not_be_used_are_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(LithoscopeError, match="not published; there are: none"):
        use_model(site, "dsnn", now=True)
    version = site.models.publish(made_bundle(tmp_path / "model"))
    with pytest.raises(LithoscopeError, match=r"has indexed nothing; fill it by `lithoscope rei"):
        use_model(site, "dsnn", now=True)
    assert version.collection not in site.index.collections()


def test_models_are_listed_with_what_they_have_indexed(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tell_models(site, as_json=False) == 0
    assert "none is published" in capsys.readouterr().out
    (key,) = put_scans(site, "a")
    full = publish(site, made_bundle(tmp_path / "full"))
    behind = publish(site, made_bundle(tmp_path / "behind", seed=1))
    bare = site.models.publish(made_bundle(tmp_path / "bare", seed=2))
    index_scan(site, full, key=key)
    site.models.switch(site.index, full)
    assert tell_models(site, as_json=False) == 0
    lines = {line[2:].split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines[full.bundle_id].startswith("* ")
    assert lines[full.bundle_id].endswith("has indexed every scan (3 slices), live")
    assert lines[behind.bundle_id].endswith("1 scan behind")
    assert lines[bare.bundle_id].endswith("has indexed nothing")
    site.objects.put(f"models/dsnn/{bare.version}/model.json", b"{}")
    assert tell_models(site, as_json=True) == 1
    found = told(capsys)
    assert {each["name"]: each["is_live"] for each in found["models"]} == {
        full.bundle_id: True,
        behind.bundle_id: False,
    }
    assert bare.version in found["problems"][0]


# --- quarantine ---


def test_quarantine_is_told(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = put_scans(site, "a", "b")
    refuse(site, first)
    refuse(site, second)
    tell_records(site, "", as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        f"{first}: truncated: ends early; copy it again",
        f"{second}: truncated: ends early; copy it again",
        "2 scans in quarantine",
    ]
    tell_records(site, second, as_json=True)
    (record,) = told(capsys)["records"]
    tell_record(site, second, as_json=True)
    assert told(capsys) == record
    assert record["trace_id"] == "0123abcd"
    assert record["last_attempt"] == NOW.isoformat()
    tell_record(site, second, as_json=False)
    assert "trace_id 0123abcd" in words(capsys)
    with pytest.raises(LithoscopeError, match="not in quarantine"):
        tell_record(site, "scans/E1/S1/c.png", as_json=False)


def test_a_retried_scan_begins_anew_and_a_dropped_one_does_not(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = put_scans(site, "a", "b", "c")
    etags = {key: site.objects.stat(key).etag for key in keys}
    for key in keys:
        refuse(site, key)
    for _ in range(2):
        site.attempts.begin(etags)
    assert retry(site, [keys[0], "scans/none"], every=False) == 1
    output = capsys.readouterr()
    assert "1 scan to be tried again: by `lithoscope reconcile`" in output.out
    assert output.err.startswith("scans/none: not in quarantine")
    assert drop(site, [keys[1]], every=False) == 0
    assert site.attempts.counts(etags) == dict(zip(keys, (0, 2, 2), strict=True))
    assert [record.object_key for record in site.quarantine.records()] == [keys[2]]
    assert retry(site, [], every=True) == 0
    assert site.attempts.counts(etags)[keys[2]] == 0
    assert list(site.quarantine.records()) == []
    for names, every in (([], False), (keys, True)):
        with pytest.raises(LithoscopeError, match="or all of them by --all"):
            retry(site, names, every=every)


# --- the commands themselves ---


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LITHOSCOPE_HOME", "home")
    return tmp_path / "home"


def test_looking_at_an_empty_site_starts_no_server(home: Path) -> None:
    assert json.loads(run("status", "--format", "json"))["model"] is None
    assert "none is published" in run("models", "list")
    assert run("quarantine", "list") == "0 scans in quarantine\n"
    assert run("down") == "no index server runs\n"
    assert not (home / "index").exists()


def test_commands_on_a_site_with_a_live_model(
    home: Path, original_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bucket").mkdir(parents=True)
    with Site(Settings(home=home), FolderStore(home / "bucket")) as site:
        (key,) = put_scans(site, "a")
        version = publish(site, original_bundle)
        index_scan(site, version, key=key)
        site.models.switch(site.index, version)
    assert "1 object: 1 indexed (3 slices); nothing missing" in run("status")
    assert json.loads(run("models", "list", "--format", "json"))["models"][0]["is_live"]
    assert "is live already" in run("models", "use", "dsnn")
    findings = json.loads(run("doctor", "--format", "json"))
    assert findings["healthy"]
    by_name = {finding["name"]: finding for finding in findings["findings"]}
    assert by_name["model"]["text"].startswith(f"{version.bundle_id} loads: 512-d")
    assert "collections: 1" in by_name["index"]["text"]
    assert "properties" not in by_name
    monkeypatch.setenv("LITHOSCOPE_PROPERTIES", "depth_m")
    assert "the live model's index has no column for depth_m" in run("doctor")
    assert find_server(home / "index") is not None
    assert "has ended" in run("down")
    assert find_server(home / "index") is None


def test_doctor_tells_what_is_wrong_and_how_to_mend_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "bucket" / "metadata").mkdir(parents=True)
    (home / "bucket" / "metadata" / "rocks.csv").write_text("object_key,porosity\na.png,45\n")
    assert "fail  metadata" in run("doctor", code=1)
    monkeypatch.setenv("LITHOSCOPE_DECODE__MEMORY_MIB", "1000000000")
    found = {
        each["name"]: each
        for each in json.loads(run("doctor", "--format", "json", code=1))["findings"]
    }
    assert found["memory"]["level"] == "warn"
    assert "LITHOSCOPE_DECODE__WORKERS" in found["memory"]["remedy"]
    assert found["model"]["level"] == "warn"
    monkeypatch.setenv("LITHOSCOPE_STORE__FOLDER", "not/mounted")
    assert "fail  store" in run("doctor", code=1)
    monkeypatch.setenv("LITHOSCOPE_STORE__KIND", "ftp")
    assert "LITHOSCOPE_STORE__KIND: found 'ftp'" in run("doctor", code=1)
