"""``upload`` as its user runs it: into a folder, and into a real bucket whose server goes away."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from infra.s3_store import S3Store
from infra.settings import load_settings
from ingest_worker.cli import app
from object_stores import free_port, keys, running
from programs import minio_binary

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

pytest_plugins = ["object_stores"]

PNG = b"\x89PNG\r\n\x1a\n"
ROOT = Path(__file__).resolve().parents[1]


def upload(*words: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["upload", *words, "--format", "json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "rocks"
    for reservoir, sample in (("E1", "S1"), ("E1", "S2"), ("E2", "S3")):
        (folder / reservoir / sample).mkdir(parents=True)
        (folder / reservoir / sample / "a.png").write_bytes(PNG + sample.encode())
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site in a folder, which the environment names."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    (home / "bucket").mkdir(parents=True)
    monkeypatch.setenv("LITHOSCOPE_HOME", str(home))
    return home


@pytest.fixture
def bucket(minio_endpoint: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    del home
    return opened(minio_endpoint, monkeypatch)


def opened(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """Name a new bucket in the environment, and open it."""
    told = {
        "KIND": "s3",
        "ENDPOINT": endpoint,
        "ACCESS_KEY": "test-account",
        "SECRET_KEY": "test-password",
        "SECURE": "false",
        "BUCKET": f"b{random.getrandbits(60)}",
    }
    for name, value in told.items():
        monkeypatch.setenv(f"LITHOSCOPE_STORE__{name}", value)
    store = S3Store.from_settings(load_settings().store)
    store.ensure_bucket()
    return store


def test_a_folder_takes_scans_once_and_says_what_indexes_them(home: Path, library: Path) -> None:
    code, told = upload(str(library))
    assert (code, told["files"]["copied"], told["files"]["unchanged"]) == (0, 3, 0)
    assert (home / "bucket/scans/E2/S3/a.png").read_bytes() == PNG + b"S3"
    assert told["keys"] == [f"scans/{place}/a.png" for place in ("E1/S1", "E1/S2", "E2/S3")]
    assert upload(str(library))[1]["files"]["unchanged"] == 3
    result = CliRunner().invoke(app, ["upload", str(library)])
    assert "lithoscope reconcile" in result.stdout
    assert not (home / "index").exists()


def test_a_bucket_takes_scans_with_their_checksum(bucket: S3Store, library: Path) -> None:
    code, told = upload(str(library), "--parallel", "2")
    assert (code, told["files"]["copied"]) == (0, 3)
    assert keys(bucket, "scans/") == told["keys"]
    assert all(bucket.stat(key).sha256 for key in told["keys"])
    (library / "E1/S1/a.png").write_bytes(PNG + b"new")
    assert upload(str(library))[1]["files"] == {
        "copied": 1,
        "unchanged": 2,
        "moved": 0,
        "refused": 0,
    }
    assert bucket.read("scans/E1/S1/a.png") == PNG + b"new"
    bucket.close()


def test_what_is_refused_is_told_and_the_rest_is_stored(bucket: S3Store, library: Path) -> None:
    (library / "E1/S1/v.raw").write_bytes(bytes(120))  # nothing tells its layout
    code, told = upload(str(library))
    assert (code, told["files"]["copied"]) == (1, 3)
    assert [Path(each["path"]).name for each in told["refused"]] == ["v.raw"]
    bucket.close()


def test_another_layout_of_the_same_bytes_replaces_the_former(
    bucket: S3Store, library: Path
) -> None:
    (library / "E1/S1/v.raw").write_bytes(bytes(120))
    assert upload(str(library), "--raw", "4x5x6:uint8")[0] == 0
    code, told = upload(str(library), "--raw", "4x6x5:uint8")
    assert (code, told["files"]["copied"]) == (0, 1)
    assert bucket.stat("scans/E1/S1/v.raw").user_metadata["shape"] == "4,6,5"
    bucket.close()


def test_a_server_that_goes_away_meanwhile_is_waited_for(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    binary, port = minio_binary(), free_port()
    library = tmp_path / "rocks/E1/S1"
    library.mkdir(parents=True)
    for number in range(60):
        (library / f"{number}.png").write_bytes(PNG + os.urandom(1 << 20))

    def server() -> AbstractContextManager[str]:
        command = [binary, "server", "--quiet", "--address", f"127.0.0.1:{port}"]
        command += ["--console-address", "127.0.0.1:0", str(tmp_path / "minio")]
        account = {"MINIO_ROOT_USER": "test-account", "MINIO_ROOT_PASSWORD": "test-password"}
        return running(command, port, ready="/minio/health/cluster", env=account)

    with server() as endpoint:
        store = opened(endpoint, monkeypatch)
        command = [sys.executable, "-m", "lithoscope", "upload", str(library.parents[1])]
        uploading = subprocess.Popen(  # noqa: S603  ours
            [*command, "--parallel", "1", "--format", "json"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while not keys(store, "scans/"):
            assert uploading.poll() is None, uploading.communicate()
            time.sleep(0.02)
    assert uploading.stderr is not None
    assert any(b"trying again" in line for line in uploading.stderr)
    with server():
        out, _ = uploading.communicate(timeout=60)
        told = json.loads(out)
        assert (uploading.returncode, told["files"]["copied"]) == (0, 60)
        for key in keys(store, "scans/"):
            source = library / key.rpartition("/")[2]
            assert store.read(key) == source.read_bytes()
        assert len(told["keys"]) == 60
    store.close()
