from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from infra.folder_store import FolderStore
from infra.index_server import find_server, stop_server
from infra.indexing.errors import IndexUnavailableError
from infra.s3_store import S3Store
from infra.settings import Settings
from infra.settings_groups import IndexSettings, StoreSettings
from infra.site import open_site
from infra.store_errors import StoreAwayError
from object_stores import settings_of

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["object_stores"]


def test_a_site_keeps_everything_in_its_home(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    with open_site(Settings(home=home)) as site:
        assert isinstance(site.objects, FolderStore)
        assert site.objects.root == home / "bucket"
        assert site.models.versions() == []
        assert list(site.quarantine.records()) == []
        assert site.attempts.begin({"a": "e"}) == {"a": 1}
    assert {path.name for path in home.iterdir()} >= {"bucket", "attempts.sqlite"}
    assert not (home / "index").exists()  # nothing asked for it


def test_the_index_is_opened_when_it_is_asked_for(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    try:
        with open_site(settings) as site:
            assert find_server(site.index_folder) is None
            assert site.index.collections() == []
            assert site.index is site.index
            assert site.models.live(site.index) is None
            server = find_server(tmp_path / "index")
            assert server is not None
        with open_site(settings) as site:
            assert site.index.live() is None
            assert find_server(tmp_path / "index") == server
    finally:
        assert stop_server(tmp_path / "index")


def test_a_bucket_is_opened_and_made(tmp_path: Path, moto_endpoint: str) -> None:
    store = settings_of(moto_endpoint, bucket="made-by-the-site")
    with open_site(Settings(home=tmp_path / "home", store=store)) as site:
        assert isinstance(site.objects, S3Store)
        site.objects.put("scans/E1/S1/a.png", b"x")
    with open_site(Settings(home=tmp_path / "home", store=store)) as site:
        assert site.objects.read("scans/E1/S1/a.png") == b"x"


def test_a_named_folder_that_is_away_is_told(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, store=StoreSettings(folder=tmp_path / "unmounted"))
    with pytest.raises(StoreAwayError, match="unmounted"):
        open_site(settings)


def test_an_index_that_does_not_answer_is_told_when_it_is_asked(tmp_path: Path) -> None:
    index = IndexSettings.model_validate(
        {"address": "http://127.0.0.1:9", "token": "root:secret-word"}
    )
    with open_site(Settings(home=tmp_path, index=index)) as site:
        assert site.models.versions() == []
        with pytest.raises(IndexUnavailableError, match=r"127\.0\.0\.1:9") as told:
            _ = site.index
        assert "secret-word" not in str(told.value)
