from __future__ import annotations

import functools
import hashlib
import socket
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from encoder.model_errors import WeightsError
from infra.settings import SettingsError, load_settings
from infra.weights import PRETRAINED, PretrainedFile, fetch, find_weights

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"stand-in for weights"
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()[:8]


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        del format, args


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A real web server on this machine that publishes one weights file."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / f"net-{CHECKSUM}.pth").write_bytes(CONTENT)
    (folder / "net-00000000.pth").write_bytes(CONTENT)
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings, no cache and no way out of this machine, whatever it has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LITHOSCOPE_WEIGHTS_DIR", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_seed_needs_no_file() -> None:
    assert find_weights("resnet18", "seed:3") is None


def test_a_path_is_its_own_answer(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"")
    assert find_weights("resnet18", str(path)) == path
    assert find_weights("resnet18", str(tmp_path)) == tmp_path


def test_files_bear_torchvisions_names() -> None:
    assert {name: wanted.name for name, wanted in PRETRAINED.items()} == {
        "resnet18": "resnet18-f37072fd.pth",
        "resnet34": "resnet34-b627a593.pth",
    }
    assert PRETRAINED["resnet18"].checksum == "f37072fd"


@pytest.mark.parametrize("place", ["weights", "torch/hub/checkpoints"])
def test_a_damaged_file_is_refused_wherever_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / "resnet18-f37072fd.pth").write_bytes(CONTENT)
    if place == "weights":
        monkeypatch.setenv("LITHOSCOPE_WEIGHTS_DIR", str(tmp_path / place))
    with pytest.raises(WeightsError, match=rf"expected f37072fd…, found {CHECKSUM}…"):
        find_weights("resnet18", "imagenet")


def test_a_failed_download_names_the_way_without_internet() -> None:
    with pytest.raises(WeightsError, match=r"resnet18-f37072fd\.pth: .* LITHOSCOPE_WEIGHTS_DIR"):
        find_weights("resnet18", "imagenet")


def test_a_download_is_kept(tmp_path: Path, site: str) -> None:
    wanted = PretrainedFile(url=f"{site}/net-{CHECKSUM}.pth")
    path = fetch(wanted, tmp_path / "cache")
    assert path == tmp_path / "cache" / f"net-{CHECKSUM}.pth"
    assert path.read_bytes() == CONTENT
    gone = PretrainedFile(url=f"http://127.0.0.1:9/net-{CHECKSUM}.pth")
    assert fetch(gone, tmp_path / "cache") == path


def test_a_download_with_another_checksum_is_not_kept(tmp_path: Path, site: str) -> None:
    wanted = PretrainedFile(url=f"{site}/net-00000000.pth")
    with pytest.raises(WeightsError, match="00000000"):
        fetch(wanted, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_the_site_does_not_have(tmp_path: Path, site: str) -> None:
    with pytest.raises(WeightsError, match="404"):
        fetch(PretrainedFile(url=f"{site}/net-11111111.pth"), tmp_path / "cache")


def test_a_site_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    """The system takes the connection; nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/net-{CHECKSUM}.pth"
        with pytest.raises(WeightsError, match="timed out"):
            fetch(PretrainedFile(url=url), tmp_path / "cache", timeout=0.2)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_lacks_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("LITHOSCOPE_WEIGHTS_DIR", str(tmp_path / "mine"))
    with pytest.raises(WeightsError, match=r"is \S+/mine, which holds no resnet18-f37072fd\.pth"):
        find_weights("resnet18", "imagenet")


def test_the_folder_comes_before_the_cache_and_the_cache_before_the_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: str
) -> None:
    wanted = PretrainedFile(url=f"{site}/net-{CHECKSUM}.pth")
    monkeypatch.setitem(PRETRAINED, "resnet18", wanted)
    cached = tmp_path / "torch" / "hub" / "checkpoints" / wanted.name
    assert find_weights("resnet18", "imagenet") == cached
    assert cached.read_bytes() == CONTENT
    gone = PretrainedFile(url=f"http://127.0.0.1:9/{wanted.name}")
    monkeypatch.setitem(PRETRAINED, "resnet18", gone)
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("LITHOSCOPE_WEIGHTS_DIR", str(tmp_path / "mine"))
    assert find_weights("resnet18", "imagenet") == cached
    own = tmp_path / "mine" / wanted.name
    own.write_bytes(CONTENT)
    assert find_weights("resnet18", "imagenet") == own


def test_a_backbone_without_weights_is_told_the_others() -> None:
    with pytest.raises(WeightsError, match="use one of resnet18, resnet34"):
        find_weights("resnet50", "imagenet")


def test_a_wrong_setting_says_which_what_was_found_and_what_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITHOSCOPE_WEIGHTS_DIR", str(tmp_path / "absent"))
    with pytest.raises(
        SettingsError, match=r"LITHOSCOPE_WEIGHTS_DIR: found '.*absent', allowed: a folder"
    ):
        find_weights("resnet18", "imagenet")


def test_settings_come_from_the_environment_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / ".env").write_text("LITHOSCOPE_WEIGHTS_DIR=one\nUNRELATED=1\n")
    found = load_settings().weights_dir
    assert found is not None
    assert found.name == "one"
    monkeypatch.setenv("LITHOSCOPE_WEIGHTS_DIR", str(tmp_path / "two"))
    assert load_settings().weights_dir == tmp_path / "two"


def test_an_empty_setting_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITHOSCOPE_WEIGHTS_DIR", "")
    assert load_settings().weights_dir is None
