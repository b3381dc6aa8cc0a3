"""The model registry on every object store."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from bundle_samples import made_bundle
from encoder.bundle import load_bundle, verify_bundle
from encoder.metric import Metric
from encoder.model_errors import BundleError
from encoder.preprocess import Preprocessing
from infra.folder_store import FolderStore
from infra.indexing.errors import VectorIndexError
from infra.indexing.memory import MemoryStore
from infra.model_registry import ModelRegistry, ModelRegistryError
from infra.vector_index import VectorIndex, collection_name
from object_stores import keys

if TYPE_CHECKING:
    from infra.model_registry import ModelVersion
    from infra.object_store import ObjectStore

pytest_plugins = ["bundle_samples", "object_stores"]


@pytest.fixture
def registry(store: ObjectStore, tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(store, tmp_path / "cache" / "models")


@pytest.fixture
def index() -> VectorIndex:
    return VectorIndex(MemoryStore())


def collect(index: VectorIndex, *versions: ModelVersion) -> None:
    for version in versions:
        index.create(version.collection, dimension=4, metric=Metric.L2)


def test_a_published_bundle_is_told_as_its_manifest_tells_it(
    registry: ModelRegistry, store: ObjectStore, tmp_path: Path
) -> None:
    folder = made_bundle(tmp_path / "b")
    manifest = verify_bundle(folder)
    published = registry.publish(folder)
    assert keys(store) == [
        f"models/dsnn/{manifest.sha256[:12]}/model.json",
        f"models/dsnn/{manifest.sha256[:12]}/weights.safetensors",
    ]
    assert published.bundle_id == manifest.bundle_id
    assert published.collection == collection_name("dsnn", manifest.sha256)
    assert published.fingerprint == (Preprocessing.from_dict(manifest.preprocessing).fingerprint())
    told = ("sha256", "weights_sha256", "manifest_sha256", "dimension", "metric", "init")
    for name in (*told, "encoder", "provenance", "metrics"):
        assert getattr(published, name) == getattr(manifest, name), name
    assert published.published.utcoffset() is not None
    assert registry.versions() == [published]
    assert registry.publish(folder) == published
    assert len(keys(store)) == 2


def test_versions_are_listed_and_found(registry: ModelRegistry, tmp_path: Path) -> None:
    assert registry.versions() == []
    with pytest.raises(ModelRegistryError, match="not published; there are: none"):
        registry.find("dsnn")
    first = registry.publish(made_bundle(tmp_path / "1"))
    other = registry.publish(made_bundle(tmp_path / "2", "dsnn-split"))
    assert {each.bundle_id for each in registry.versions()} == {first.bundle_id, other.bundle_id}
    for ref in (first.bundle_id, f"dsnn/{first.version}", first.collection, "dsnn"):
        assert registry.find(ref) == first
    assert registry.find(" dsnn-split ") == other
    second = registry.publish(made_bundle(tmp_path / "3", seed=1))
    with pytest.raises(ModelRegistryError, match="name one of them") as told:
        registry.find("dsnn")
    assert first.bundle_id in str(told.value)
    assert second.bundle_id in str(told.value)
    with pytest.raises(ModelRegistryError, match=other.bundle_id):
        registry.find("dsnn-000000000000")


def test_a_version_is_never_changed(registry: ModelRegistry, tmp_path: Path) -> None:
    published = registry.publish(made_bundle(tmp_path / "1"))
    with pytest.raises(ModelRegistryError, match="never changed"):
        registry.publish(made_bundle(tmp_path / "2", metrics={"map": 1.0}))
    assert registry.versions() == [published]


def test_a_bundle_that_is_refused_is_not_published(
    registry: ModelRegistry, store: ObjectStore, tmp_path: Path
) -> None:
    folder = made_bundle(tmp_path / "1")
    (folder / "weights.safetensors").write_bytes(b"spoilt")
    with pytest.raises(BundleError):
        registry.publish(folder)
    assert keys(store) == []


def test_a_publication_that_broke_off_is_no_version(
    registry: ModelRegistry, store: ObjectStore, tmp_path: Path
) -> None:
    folder = made_bundle(tmp_path / "1")
    published = registry.publish(folder)
    store.delete(f"models/dsnn/{published.version}/model.json")
    store.put("models/readme.txt", b"hello")
    assert registry.versions() == []
    assert registry.publish(folder).bundle_id == published.bundle_id


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b"\xff",
        b" " * (2 << 20),
        "dimension",
        "provenance",
        "manifest_sha256",
    ],
)
def test_a_damaged_version_is_told_and_mended_by_publishing_again(
    registry: ModelRegistry, store: ObjectStore, tmp_path: Path, damage: bytes | str
) -> None:
    folder = made_bundle(tmp_path / "1")
    published = registry.publish(folder)
    whole = registry.publish(made_bundle(tmp_path / "2", "dsnn-split"))
    key = f"models/dsnn/{published.version}/model.json"
    if isinstance(damage, str):
        content = json.loads(store.read(key))
        content[damage] = {"changed": "1"} if damage == "provenance" else 7
        damage = json.dumps(content).encode()
    store.put(key, damage)
    with pytest.raises(ModelRegistryError, match="publish the model again") as told:
        registry.versions()
    assert key in str(told.value)
    assert "\n" not in str(told.value)
    survey = registry.survey()
    assert survey.versions == (whole,)
    assert survey.problems == (str(told.value),)
    with pytest.raises(ModelRegistryError, match="publish the model again"):
        registry.find("dsnn")
    assert registry.find("dsnn-split") == whole  # another's damage is no matter
    registry.publish(folder)
    assert {each.bundle_id for each in registry.versions()} == {
        published.bundle_id,
        whole.bundle_id,
    }


def test_a_version_in_anothers_place_is_told(
    registry: ModelRegistry, store: ObjectStore, tmp_path: Path
) -> None:
    published = registry.publish(made_bundle(tmp_path / "1"))
    text = store.read(f"models/dsnn/{published.version}/model.json")
    store.put("models/dsnn/0123456789ab/model.json", text)
    with pytest.raises(ModelRegistryError, match=f"0123456789ab.*{published.bundle_id}"):
        registry.versions()


def test_a_fetched_bundle_is_whole_and_kept(
    registry: ModelRegistry, store: ObjectStore, tmp_path: Path
) -> None:
    folder = made_bundle(tmp_path / "1")
    published = registry.publish(folder)
    fetched = registry.fetch(published)
    for name in ("weights.safetensors", "model.json"):
        assert (fetched / name).read_bytes() == (folder / name).read_bytes()
    store.delete(f"models/dsnn/{published.version}/weights.safetensors")
    assert registry.fetch(published) == fetched  # from the cache
    (fetched / "weights.safetensors").write_bytes(b"spoilt on this machine")
    with pytest.raises(ModelRegistryError, match="publish the model again"):
        registry.fetch(published)
    registry.publish(folder)
    assert verify_bundle(registry.fetch(published)).bundle_id == published.bundle_id
    shutil.rmtree(fetched.parent)
    assert verify_bundle(registry.fetch(published)).bundle_id == published.bundle_id
    assert sorted(path.name for path in fetched.parent.iterdir()) == [".lock", fetched.name]


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_what_was_changed_in_the_store_is_not_fetched(
    registry: ModelRegistry, store: ObjectStore, tmp_path: Path, name: str
) -> None:
    published = registry.publish(made_bundle(tmp_path / "1"))
    other = made_bundle(tmp_path / "2", seed=5)
    store.put(f"models/dsnn/{published.version}/{name}", other / name)
    with pytest.raises(ModelRegistryError, match=published.bundle_id):
        registry.fetch(published)


def test_a_real_model_survives_the_registry(original_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    registry = ModelRegistry(FolderStore(tmp_path / "bucket"), tmp_path / "cache")
    fetched = registry.fetch(registry.publish(original_bundle))
    batch = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    encoders = [load_bundle(folder) for folder in (original_bundle, fetched)]
    one, other = (encoder.encode(batch) for encoder in encoders)
    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_the_alias_alone_says_what_is_live(
    registry: ModelRegistry, store: ObjectStore, index: VectorIndex, tmp_path: Path
) -> None:
    first = registry.publish(made_bundle(tmp_path / "1"))
    second = registry.publish(made_bundle(tmp_path / "2", seed=2))
    assert registry.live(index) is None
    assert registry.previous(index) is None
    with pytest.raises(VectorIndexError, match="not found"):
        registry.switch(index, first)
    collect(index, first, second)
    registry.switch(index, first)
    assert registry.live(index) == first
    assert registry.previous(index) is None
    registry.switch(index, first)
    registry.switch(index, second)
    assert (registry.live(index), registry.previous(index)) == (second, first)
    registry.switch(index, first)  # back
    assert (registry.live(index), registry.previous(index)) == (first, second)
    index.make_live(second.collection)  # by another hand: nothing was noted
    assert (registry.live(index), registry.previous(index)) == (second, first)
    store.delete("models/history.json")
    assert (registry.live(index), registry.previous(index)) == (second, None)
    registry.switch(index, first)
    assert registry.previous(index) == second


def test_a_live_model_that_is_not_published_any_more_is_told(
    registry: ModelRegistry, store: ObjectStore, index: VectorIndex, tmp_path: Path
) -> None:
    published = registry.publish(made_bundle(tmp_path / "1"))
    collect(index, published)
    registry.switch(index, published)
    store.delete(f"models/dsnn/{published.version}/model.json")
    with pytest.raises(ModelRegistryError, match=f"{published.collection}: is live, but"):
        registry.live(index)


def test_models_that_are_gone_are_passed_over_when_going_back(
    registry: ModelRegistry, index: VectorIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    versions = [registry.publish(made_bundle(tmp_path / str(n), seed=n)) for n in range(3)]
    collect(index, *versions)
    for version in versions:
        registry.switch(index, version)
    index.drop(versions[1].collection)
    assert registry.previous(index) == versions[0]
    assert versions[1].collection in caplog.text


def test_going_back_twice_goes_further_back(
    registry: ModelRegistry, index: VectorIndex, tmp_path: Path
) -> None:
    first, second, third = (
        registry.publish(made_bundle(tmp_path / str(n), seed=n)) for n in range(3)
    )
    collect(index, first, second, third)
    for version in (first, second, third):
        registry.switch(index, version)
    for expected in (second, first):
        former = registry.previous(index)
        assert former == expected
        assert former is not None
        registry.switch(index, former, is_back=True)
    assert registry.previous(index) is None
    registry.switch(index, third)  # which is led on from anew
    assert registry.previous(index) == first
    assert registry.left(index) == {first.collection, second.collection}


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'[{"collection": "a"}]', b"\xff"])
def test_a_damaged_history_stops_no_switch(
    registry: ModelRegistry,
    store: ObjectStore,
    index: VectorIndex,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: bytes,
) -> None:
    first, second = (registry.publish(made_bundle(tmp_path / str(n), seed=n)) for n in range(2))
    collect(index, first, second)
    registry.switch(index, first)
    store.put("models/history.json", damage)
    with pytest.raises(ModelRegistryError, match=r"models/history.json: damaged"):
        registry.previous(index)
    with caplog.at_level(logging.WARNING):
        registry.switch(index, second)
    assert registry.live(index) == second
    assert registry.previous(index) == first


def test_switches_at_once_are_all_noted(tmp_path: Path, index: VectorIndex) -> None:
    """Each by a registry of its own, as of another process."""
    (tmp_path / "bucket").mkdir()
    store = FolderStore(tmp_path / "bucket")

    def own_registry() -> ModelRegistry:
        return ModelRegistry(store, tmp_path / "cache")

    versions = [own_registry().publish(made_bundle(tmp_path / str(n), seed=n)) for n in range(8)]
    collect(index, *versions)
    with ThreadPoolExecutor(len(versions)) as threads:
        list(threads.map(lambda each: own_registry().switch(index, each), versions))
    noted = [each["collection"] for each in json.loads(store.read("models/history.json"))]
    assert sorted(noted) == sorted(each.collection for each in versions)
    assert noted[-1] == index.live()
    store.close()


def test_reading_versions_loads_no_torch(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    store = FolderStore(tmp_path / "bucket")
    ModelRegistry(store, tmp_path / "cache").publish(made_bundle(tmp_path / "1"))
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from infra.folder_store import FolderStore\n"
        "from infra.model_registry import ModelRegistry\n"
        "import infra.site, infra.coverage, infra.deep_coverage\n"
        "store = FolderStore(Path(sys.argv[1]))\n"
        "print(len(ModelRegistry(store, Path('none')).versions()), 'torch' in sys.modules)\n"
    )
    done = subprocess.run(  # noqa: S603  our own interpreter on our own script
        [sys.executable, "-c", script, str(tmp_path / "bucket")],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "False"]
