"""``models drop``: the way out where other number columns are declared than were indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bundle_samples import made_bundle
from infra.commands.models import drop_model
from infra.folder_store import FolderStore
from infra.indexing.errors import VectorIndexError
from infra.indexing.memory import MemoryStore
from infra.settings import Settings
from infra.site import Site
from infra.vector_index import VectorIndex
from ingest_worker.models import open_target

if TYPE_CHECKING:
    from pathlib import Path


def test_columns_that_are_declared_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    (home / "bucket").mkdir(parents=True)
    store = MemoryStore()
    with Site(Settings(home=home), FolderStore(home / "bucket")) as site:
        site.index = VectorIndex(store)
        version = site.models.publish(made_bundle(tmp_path / "model"))
        assert open_target(site, version).is_live
    declared = Settings(home=home, properties=("depth_m",))
    with Site(declared, FolderStore(home / "bucket")) as site:
        site.index = VectorIndex(store)
        with pytest.raises(VectorIndexError, match="`lithoscope models drop MODEL --live`"):
            open_target(site, version)
        assert drop_model(site, version.bundle_id, even_live=False) == 1
        assert site.index.live() == version.collection
        assert drop_model(site, version.bundle_id, even_live=True) == 0
        assert site.index.live() is None
        told = capsys.readouterr().out
        assert f"fill it by `lithoscope reindex {version.bundle_id}`" in told
        target = open_target(site, version)
        assert target.is_live
        assert "depth_m" in {column.name for column in target.collection.schema.columns}
