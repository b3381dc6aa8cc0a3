"""What the ingest of any object needs, opened once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from encoder.pictures import PictureOptions
from ingest_worker.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from encoder.decoding import DecoderPool
    from encoder.inference import EncodingSession
    from encoder.metadata.records import ScanMetadata
    from encoder.preprocess import Preprocessing
    from encoder.property_targets import PropertyTarget
    from infra.bucket_metadata import BucketMetadata
    from infra.site import Site
    from infra.vector_index import Collection


@dataclass(frozen=True, kw_only=True)
class IngestContext:
    """What the ingest of any object needs.

    Attributes:
        site: Objects, quarantine and attempts.
        collection: What is filled.
        session: The collection's own encoder.
        metadata: The bucket's tables.
        pool: Decodes what nobody vouches for.
        model: The encoder's bundle, for quarantine records.
        pictures: How large pictures of slices are.
        patience: How long services that are away are waited for.
    """

    site: Site
    collection: Collection
    session: EncodingSession
    metadata: BucketMetadata
    pool: DecoderPool
    model: str
    pictures: PictureOptions = field(default_factory=PictureOptions)
    patience: Patience = field(default_factory=Patience)
    _resolving: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def preprocessing(self) -> Preprocessing:
        """How slices are made for the encoder."""
        return self.session.encoder.preprocessing

    @cached_property
    def fingerprint(self) -> str:
        """Names the preprocessing: a part of every generation."""
        return self.preprocessing.fingerprint()

    @cached_property
    def scales_permeability(self) -> bool:
        """Whether the encoder predicts permeability per pixel's area, as RockIR's weights do."""
        architecture = getattr(self.session.encoder, "architecture", None)
        targets: tuple[PropertyTarget, ...] = getattr(architecture, "targets", ())
        return any(
            target.name == "permeability_md" and target.needs_pixel_size for target in targets
        )

    def resolve(self, object_key: str, user_metadata: Mapping[str, str]) -> ScanMetadata:
        """Gather what is known of a scan; any thread may ask.

        Raises:
            MetadataError: Its metadata contradicts itself.
        """
        with self._resolving:
            return self.metadata.resolve(object_key, user_metadata)
