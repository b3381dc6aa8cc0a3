"""Pictures of slices for pages: what was away once is not taken for missing ever after."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from infra.folder_store import FolderStore
from infra.object_store import SMALL_BYTES
from infra.pictures import preview_key
from infra.settings import Settings
from infra.site import Site
from infra.store_errors import StoreAwayError
from search_ui import resources
from search_ui.components.picture_data import picture_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SometimesAway(FolderStore):
    """A store that does not always answer."""

    is_away = False

    def read(self, key: str, *, max_bytes: int = SMALL_BYTES) -> bytes:
        if self.is_away:
            raise StoreAwayError("the object store does not answer; try again")
        return super().read(key, max_bytes=max_bytes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SometimesAway]:
    settings = Settings(home=tmp_path)
    settings.bucket_folder.mkdir(parents=True)
    store = SometimesAway(settings.bucket_folder)
    with Site(settings, store) as site, resources.serving(site):
        yield store


def picture() -> bytes:
    content = io.BytesIO()
    Image.new("L", (30, 20)).save(content, "WEBP")
    return content.getvalue()


def test_a_picture_is_known_again_once_the_store_answers(store: SometimesAway) -> None:
    key = preview_key("scans/E1/S1/once.png", "g1", slice_index=0)
    store.put(key, picture())
    store.is_away = True
    with pytest.raises(StoreAwayError):
        picture_size(key)
    store.is_away = False
    assert picture_size(key) == (30, 20)
    store.is_away = True
    assert picture_size(key) == (30, 20), "it is remembered"


def test_a_picture_that_was_missing_is_seen_when_it_is_there(store: SometimesAway) -> None:
    key = preview_key("scans/E1/S1/later.png", "g1", slice_index=0)
    assert picture_size(key) is None
    store.put(key, picture())
    assert picture_size(key) == (30, 20)
