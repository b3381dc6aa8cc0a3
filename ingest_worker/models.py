"""Which model's collection is filled, and what filling it needs."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from encoder.errors import LithoscopeError
from infra.coverage import SCANS, compare
from infra.coverage_pages import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infra.bucket_metadata import BucketMetadata
    from infra.coverage import Coverage
    from infra.model_versions import ModelVersion
    from infra.site import Site
    from infra.vector_index import Collection
    from ingest_worker.context import IngestContext

DEFAULT_INIT = "imagenet"
"""Where the weights of an encoder come from that is asked for by its name alone."""


class FindWeights(Protocol):
    """Finds the file with a backbone's weights."""

    def __call__(self, backbone: str, init: str) -> Path | None:
        """Return its path; None where ``init`` asks for an untrained start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A collection to be filled, and the model that fills it. Opening one loads no network.

    Attributes:
        site: The site.
        version: The model.
        collection: What it has indexed.
        is_live: Whether searches ask it.
    """

    site: Site
    version: ModelVersion
    collection: Collection
    is_live: bool

    def compare(self, metadata: BucketMetadata) -> Coverage:
        """Compare the bucket's scans with the collection.

        Args:
            metadata: The bucket's tables.

        Raises:
            StoreError: The store is away, or may not be read.
            VectorIndexError: The index is away.
        """
        return compare(
            self.site.objects,
            self.collection,
            fingerprint=self.version.fingerprint,
            metadata=metadata,
            quarantine=self.site.quarantine,
        )

    def comparison(self, metadata: BucketMetadata, *, prefix: str = SCANS) -> Comparison:
        """The same comparison, to be made part by part.

        Args:
            metadata: The bucket's tables.
            prefix: What the keys begin with that are compared.
        """
        return Comparison(
            objects=self.site.objects,
            collection=self.collection,
            fingerprint=self.version.fingerprint,
            metadata=metadata,
            quarantine=self.site.quarantine,
            prefix=prefix,
        )


def choose_model(
    site: Site, encoder: str | None, *, init: str | None, find_weights: FindWeights
) -> ModelVersion:
    """Choose a model; one that is asked for by name and start is built, and published.

    Args:
        site: The site.
        encoder: Name of an encoder, or of a published model; None for the live model.
        init: ``imagenet``, ``seed:N``, or the path of a bundle or weights file; None for the
            published model of that name, or ImageNet where none is published.
        find_weights: Finds a backbone's weights.

    Raises:
        LithoscopeError: No model is live, there is no such model, or its weights can't be had.
    """
    if encoder is None:
        if init is not None:
            raise LithoscopeError(f"init {init!r}: needs an encoder's name beside it (--encoder)")
        return _live(site)
    if init is None:
        published = {version.encoder for version in site.models.survey().versions}
        if encoder in published or not _is_encoder(encoder):
            return site.models.find(encoder)
    return _published(site, encoder, init=init or DEFAULT_INIT, find_weights=find_weights)


def open_target(site: Site, version: ModelVersion, *, adopt: bool = True) -> Target:
    """Open a model's collection, which is made if need be, with the columns that are declared.

    Args:
        site: The site.
        version: The model.
        adopt: Make it live if no other is.

    Raises:
        VectorIndexError: The index is away, or the collection is there with other columns.
    """
    collection = site.index.create(
        version.collection,
        dimension=version.dimension,
        metric=version.metric,
        properties=site.settings.properties,
    )
    return _target(site, version, collection=collection, adopt=adopt)


def reopen_target(site: Site, version: ModelVersion, *, adopt: bool = True) -> Target:
    """Open a model's collection that is there: one that is fed goes on with the columns it has.

    Args:
        site: The site.
        version: The model.
        adopt: Make it live if no other is.

    Raises:
        VectorIndexError: The index is away, or the collection is not there.
    """
    collection = site.index.open(version.collection)
    return _target(site, version, collection=collection, adopt=adopt)


def _target(site: Site, version: ModelVersion, *, collection: Collection, adopt: bool) -> Target:
    if adopt and site.index.live() is None:
        site.models.switch(site.index, version)
    return Target(
        site=site,
        version=version,
        collection=collection,
        is_live=site.index.live() == version.collection,
    )


@contextmanager
def open_context(target: Target, metadata: BucketMetadata) -> Iterator[IngestContext]:
    """Load a target's encoder and start the decoding processes.

    Args:
        target: What is filled.
        metadata: The bucket's tables.

    Raises:
        LithoscopeError: The model is missing or damaged.
    """
    from encoder.bundle import load_bundle  # noqa: PLC0415  torch
    from encoder.decoding import DecodeLimits, DecoderPool  # noqa: PLC0415  heavy
    from encoder.inference import EncodingSession  # noqa: PLC0415  torch
    from ingest_worker.context import IngestContext  # noqa: PLC0415  torch

    site = target.site
    decode = site.settings.decode
    limits = DecodeLimits(memory_bytes=decode.memory_mib << 20, seconds=decode.seconds)
    session = EncodingSession(load_bundle(site.models.fetch(target.version)))
    with DecoderPool(decode.workers, limits) as pool:
        yield IngestContext(
            site=site,
            collection=target.collection,
            session=session,
            metadata=metadata,
            pool=pool,
            model=target.version.bundle_id,
        )


def rehearse(context: IngestContext) -> None:
    """Take a made picture through decoder and encoder: what first use loads, is loaded then.

    Raises:
        LithoscopeError: Either of them does not work.
    """
    import numpy as np  # noqa: PLC0415  heavy
    from PIL import Image  # noqa: PLC0415  heavy

    from encoder.cutting import DecodeOptions  # noqa: PLC0415  heavy
    from ingest_worker import pipeline  # noqa: F401, PLC0415  heavy

    options = DecodeOptions.for_encoding(context.preprocessing, pictures=context.pictures)
    with tempfile.TemporaryDirectory(prefix="lithoscope-") as folder:
        path = Path(folder) / "made.png"
        Image.linear_gradient("L").save(path)
        scan = context.pool.decode(path, options)
    context.session.encode_and_predict(np.stack([each.pixels for each in scan.slices]))


def _live(site: Site) -> ModelVersion:
    if (version := site.models.live(site.index)) is not None:
        return version
    names = [version.bundle_id for version in site.models.survey().versions]
    if names:
        raise LithoscopeError(
            f"no model is live; name one with --encoder: {', '.join(names)}, or another encoder"
        )
    raise LithoscopeError(
        "no model is published yet; name an encoder and its start: `--encoder dsnn --init seed:0` "
        "(untrained), `--encoder dsnn --init imagenet`, or another of `lithoscope encoders`"
    )


def _is_encoder(name: str) -> bool:
    from encoder.registry import ENCODERS  # noqa: PLC0415  torch

    return name in ENCODERS


def _published(site: Site, name: str, *, init: str, find_weights: FindWeights) -> ModelVersion:
    from encoder.bundle import save_bundle  # noqa: PLC0415  torch
    from encoder.encoders import build_encoder  # noqa: PLC0415  torch
    from encoder.registry import find_entry  # noqa: PLC0415  torch

    weights = find_weights(find_entry(name).backbone, init)
    encoder = build_encoder(name, init, weights_path=weights)
    with tempfile.TemporaryDirectory(prefix="lithoscope-") as folder:
        bundle = Path(folder) / "bundle"
        save_bundle(bundle, encoder)
        return site.models.publish(bundle)
