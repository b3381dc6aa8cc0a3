"""Published models: bundles in the object store, each an immutable version.

``models/<encoder>/<first 12 of SHA-256>/{weights.safetensors,model.json}``. ``model.json`` is
stored last, and is the commit: weights without it are of a publication that did not end.

What is live is the index's alias alone. ``models/history.json`` notes its switches, newest last,
so that one can be undone, and that what was undone is not taken up again unasked.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from encoder.model_errors import BundleError
from infra.model_history import ModelHistory
from infra.model_versions import ModelRegistryError, ModelVersion, read_version
from infra.store_errors import (
    BadKeyError,
    ChecksumError,
    ObjectMissingError,
    ObjectTooLargeError,
    StoreError,
    StoreRefusedError,
)
from infra.vector_index import collection_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from infra.model_history import Switch
    from infra.object_store import ObjectStore
    from infra.vector_index import VectorIndex

__all__ = ["ModelRegistry", "ModelRegistryError", "ModelVersion", "RegistrySurvey"]

MODELS_PREFIX = "models/"

_MANIFEST = "model.json"
_WEIGHTS = "weights.safetensors"
_MANIFEST_BYTES = 1 << 20
_WEIGHTS_BYTES = 64 << 30
_REMEDY = "publish the model again"
_LOG = logging.getLogger(__name__)


class RegistrySurvey(NamedTuple):
    """Everything that is published, right or not.

    Attributes:
        versions: Versions whose ``model.json`` is right, newest last.
        problems: What is wrong with the others, a line each.
    """

    versions: tuple[ModelVersion, ...]
    problems: tuple[str, ...]


class _Place(NamedTuple):
    """Where a version is, or should be."""

    encoder: str
    version: str
    published: datetime

    @property
    def names(self) -> tuple[str, ...]:
        """What the version may be called."""
        return (
            f"{self.encoder}-{self.version}",
            f"{self.encoder}/{self.version}",
            self.collection,
        )

    @property
    def collection(self) -> str:
        return collection_name(self.encoder, self.version)

    def key(self, name: str) -> str:
        return f"{MODELS_PREFIX}{self.encoder}/{self.version}/{name}"


class ModelRegistry:
    """The models of an object store."""

    def __init__(self, objects: ObjectStore, cache: Path) -> None:
        """Keep models in a store.

        Args:
            objects: The store.
            cache: Folder on this machine for bundles in use; made when needed.
        """
        self._objects = objects
        self._cache = cache
        self._history = ModelHistory(objects)

    def publish(self, folder: Path) -> ModelVersion:
        """Store a bundle as a version; again with the same content is fine, and mends damage.

        Args:
            folder: The bundle.

        Raises:
            BundleError: The bundle is refused.
            ModelRegistryError: The version is there with other content.
            StoreError: It can't be stored.
        """
        from encoder.bundle import verify_bundle  # noqa: PLC0415  loads torch

        verify_bundle(folder)
        path = folder / _MANIFEST
        text = path.read_bytes()
        ours = read_version(text, published=datetime.now(UTC))
        place = _Place(ours.encoder, ours.version, ours.published)
        there = self._published(place)
        if there is not None and there.manifest_sha256 != ours.manifest_sha256:
            raise ModelRegistryError(
                f"model {ours.bundle_id}: is published already, with other words or figures about "
                "the same weights; versions are never changed: use the one that is there"
            )
        if not self._has_weights(place, ours.weights_sha256):
            self._objects.put(place.key(_WEIGHTS), folder / _WEIGHTS, sha256=ours.weights_sha256)
        if there is None:
            self._objects.put(place.key(_MANIFEST), text)
        return self.find(ours.bundle_id)

    def versions(self) -> list[ModelVersion]:
        """Every version, newest last.

        Raises:
            ModelRegistryError: One is damaged; the text names it.
        """
        return sorted(map(self._read, self._places()), key=_age)

    def survey(self) -> RegistrySurvey:
        """Every version, and what is wrong with those that are damaged."""
        versions, problems = [], []
        for place in self._places():
            try:
                versions.append(self._read(place))
            except ModelRegistryError as error:
                problems.append(str(error))
        return RegistrySurvey(tuple(sorted(versions, key=_age)), tuple(problems))

    def find(self, ref: str) -> ModelVersion:
        """Find a version.

        Args:
            ref: Its bundle's name, ``encoder/version``, the name of its collection, or the
                encoder's name where that has one version only.

        Raises:
            ModelRegistryError: There is none, or several; or it is damaged.
        """
        places = self._places()
        wanted = ref.strip()
        found = [place for place in places if wanted in place.names]
        found = found or [place for place in places if wanted == place.encoder]
        if len(found) == 1:
            return self._read(found[0])
        there = ", ".join(place.names[0] for place in places) or "none"
        if found:
            names = ", ".join(place.names[0] for place in found)
            raise ModelRegistryError(f"model {ref!r}: there are {names}; name one of them")
        raise ModelRegistryError(f"model {ref!r}: not published; there are: {there}")

    def fetch(self, version: ModelVersion) -> Path:
        """Give a version's bundle as a folder of this machine, every checksum right.

        Args:
            version: From `find`, `versions` or `live`.

        Raises:
            ModelRegistryError: It is missing or damaged in the store.
            StoreError: The store is away.
        """
        folder = self._cache / version.bundle_id
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            with FileLock(self._cache / ".lock"):
                if not _is_whole(folder, version):
                    self._download(version, folder)
        except OSError as error:
            raise StoreRefusedError(
                f"{self._cache}: can't be written ({error.strerror or error}); make room, or "
                "correct LITHOSCOPE_HOME"
            ) from error
        return folder

    def live(self, index: VectorIndex) -> ModelVersion | None:
        """The version whose collection is live; None if none is.

        Raises:
            ModelRegistryError: The live collection's model is missing or damaged.
        """
        name = index.live()
        return None if name is None else self.of_collection(name)

    def of_collection(self, name: str) -> ModelVersion:
        """The version that a live collection is of.

        Args:
            name: Name of the collection.

        Raises:
            ModelRegistryError: Its model is missing or damaged.
        """
        found = [place for place in self._places() if place.collection == name]
        if not found:
            raise ModelRegistryError(
                f"collection {name}: is live, but its model is not published (any more); publish "
                "it again, or make another model live (`lithoscope models use`)"
            )
        return self._read(found[0])

    def switch(
        self,
        index: VectorIndex,
        version: ModelVersion,
        *,
        is_back: bool = False,
        is_asked_for: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Make a version's collection live, at once, and note it.

        That it can't be noted is logged: it is live all the same.

        Args:
            index: The index.
            version: The version.
            is_back: Whether that is to go back to it, from `previous`.
            is_asked_for: Asked once no other process of this machine can switch meanwhile: where
                it answers no, nothing is done.

        Returns:
            Whether it was made live.

        Raises:
            VectorIndexError: It has no collection.
        """
        with self._alone():
            if not is_asked_for():
                return False
            before = index.live()
            index.make_live(version.collection)
            try:
                self._note_switch(version.collection, before=before, is_back=is_back)
            except StoreError as error:
                _LOG.warning(
                    "%s is live, but that can't be noted (%s); to go back, name the former model "
                    "to `lithoscope models use`",
                    version.bundle_id,
                    error,
                )
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process of this machine at a time switch, so that no note is lost."""
        with ExitStack() as stack:
            try:
                self._cache.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(self._cache / ".switch.lock"))
            except OSError as error:  # a home that is only read: it is live all the same
                _LOG.warning("%s: can't be locked (%s)", self._cache, error.strerror or error)
            yield

    def _note_switch(self, collection: str, *, before: str | None, is_back: bool) -> None:
        try:
            self._history.note(collection, before=before, is_back=is_back)
        except ModelRegistryError as error:
            _LOG.warning("%s; begun anew", error)
            self._history.forget()
            self._history.note(collection, before=before, is_back=is_back)

    def previous(self, index: VectorIndex) -> ModelVersion | None:
        """The version that was live before; None if there was none that still can be.

        What was gone back from was not: going back twice goes further back.

        Raises:
            ModelRegistryError: The history, or that version, is damaged.
        """
        live = index.live()
        there = set(index.collections())
        published = {place.collection: place for place in self._places()}
        for name in reversed(self._history.path()):
            if name != live and name in there and name in published:
                return self._read(published[name])
            if name != live:
                _LOG.warning("%s: was live, and is gone since; passed over", name)
        return None

    def switches(self) -> list[Switch]:
        """When which collection became live, newest last.

        Raises:
            ModelRegistryError: The history is damaged.
        """
        return self._history.switches()

    def left(self, index: VectorIndex) -> frozenset[str]:
        """Collections that were live, and were left for another.

        Raises:
            ModelRegistryError: The history is damaged.
        """
        return frozenset(self._history.collections()) - {index.live()}

    def _places(self) -> list[_Place]:
        """Where versions are, oldest first."""
        found = []
        for page in self._objects.pages(MODELS_PREFIX):
            for entry in page:
                parts = entry.key.split("/")
                if len(parts) == 4 and parts[3] == _MANIFEST:
                    found.append(_Place(parts[1], parts[2], entry.modified))
        return sorted(found, key=lambda place: (place.published, place.names))

    def _published(self, place: _Place) -> ModelVersion | None:
        """What is stored at a place, unless it is damaged: then it is to be stored again."""
        try:
            return self._read(place)
        except ObjectMissingError:
            return None
        except ModelRegistryError as error:
            _LOG.warning("%s; stored again", error)
            return None

    def _read(self, place: _Place) -> ModelVersion:
        key = place.key(_MANIFEST)
        try:
            text = self._objects.read(key, max_bytes=_MANIFEST_BYTES)
            found = read_version(text, published=place.published)
        except (ModelRegistryError, ChecksumError, ObjectTooLargeError, BadKeyError) as error:
            raise ModelRegistryError(f"{key}: {error}; {_REMEDY}") from error
        if (found.encoder, found.version) != (place.encoder, place.version):
            raise ModelRegistryError(f"{key}: is that of {found.bundle_id}; {_REMEDY}")
        return found

    def _has_weights(self, place: _Place, sha256: str) -> bool:
        """Whether the weights are there; what can't be told without reading counts as not."""
        try:
            return self._objects.stat(place.key(_WEIGHTS)).sha256 == sha256
        except ObjectMissingError:
            return False

    def _download(self, version: ModelVersion, folder: Path) -> None:
        place = _Place(version.encoder, version.version, version.published)
        draft = Path(tempfile.mkdtemp(prefix=".fetching-", dir=self._cache))
        try:
            for name, limit in ((_WEIGHTS, _WEIGHTS_BYTES), (_MANIFEST, _MANIFEST_BYTES)):
                self._objects.get(place.key(name), draft / name, max_bytes=limit)
            if not _is_whole(draft, version):
                raise ModelRegistryError(
                    f"model {version.bundle_id}: damaged in the store; {_REMEDY}"
                )
            shutil.rmtree(folder, ignore_errors=True)
            draft.chmod(0o755)  # mkdtemp's folders are the owner's alone
            draft.rename(folder)
        except (ObjectMissingError, ChecksumError, ObjectTooLargeError) as error:
            raise ModelRegistryError(
                f"model {version.bundle_id}: incomplete in the store ({error}); {_REMEDY}"
            ) from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _is_whole(folder: Path, version: ModelVersion) -> bool:
    """Whether a folder holds this version's bundle, every checksum right."""
    from encoder.bundle import verify_bundle  # noqa: PLC0415  loads torch

    try:
        return verify_bundle(folder).manifest_sha256 == version.manifest_sha256
    except BundleError as error:
        if folder.exists() and any(folder.iterdir()):
            _LOG.warning("%s", error)
        return False


def _age(version: ModelVersion) -> tuple[datetime, str]:
    return version.published, version.bundle_id
