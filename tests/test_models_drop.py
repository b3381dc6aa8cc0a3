"""``models drop``: the way out where other number columns are declared than were indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bundle_samples import made_bundle
from infra.commands.models import drop_model
from infra.folder_store import FolderStore
from infra.indexing.errors import VectorIndexError
from infra.indexing.memory import MemoryStore
from infra.quarantine import CRASH_FAULT, ENCODER_FAULT
from infra.settings import Settings
from infra.site import Site
from infra.vector_index import VectorIndex
from ingest_worker.models import open_target
from memory_site import put_scans, refuse

if TYPE_CHECKING:
    from pathlib import Path


def test_what_a_dropped_model_alone_could_not_index_is_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "bucket").mkdir(parents=True)
    with Site(Settings(home=home), FolderStore(home / "bucket")) as site:
        site.index = VectorIndex(MemoryStore())
        version = site.models.publish(made_bundle(tmp_path / "model"))
        open_target(site, version)
        keys = put_scans(site, *"abcd")
        ours = version.bundle_id
        refuse(site, keys[0], fault=ENCODER_FAULT, model=ours)
        refuse(site, keys[1], fault=ENCODER_FAULT, model=f"another, {ours}")
        refuse(site, keys[2], fault=CRASH_FAULT, model="another")
        refuse(site, keys[3], model=ours)
        assert drop_model(site, ours, even_live=True) == 0
        assert {each.object_key for each in site.quarantine.records()} == set(keys[1:])


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
