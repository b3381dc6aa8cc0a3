"""The live collection's own encoder, loaded when an image is to be encoded, and kept."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import numpy as np

from encoder.decoding import DecodedScan, DecodeLimits, DecodeOptions, DecoderPool

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.inference import Encoded, EncodingSession
    from encoder.planes import ReadOptions
    from infra.model_versions import ModelVersion
    from infra.site import Site

PICTURE_SIDE = 256
"""Longest side of a query's picture on a sheet, in pixels."""


class QueryEncoder:
    """Decodes and encodes files as ingest does. Any thread may ask; they take turns."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._pool: DecoderPool | None = None
        self._version: ModelVersion | None = None
        self._session: EncodingSession | None = None

    def load(self, version: ModelVersion) -> None:
        """Load a model ahead of the first file.

        Raises:
            LithoscopeError: It can't be loaded.
        """
        with self._lock:
            self._load(version)

    def encode(
        self,
        path: Path,
        version: ModelVersion,
        *,
        read: ReadOptions | None,
        pixel_size_um: float | None = None,
    ) -> Encoded:
        """Turn every slice of a file into a vector, and predict its properties.

        Args:
            path: The file.
            version: The model.
            read: What the reader needs to be told, or None.
            pixel_size_um: Of the file; None for what itself tells.

        Returns:
            Of Q slices.

        Raises:
            ScanError: The file can't be used.
            LithoscopeError: The model can't be loaded.
        """
        with self._lock:
            session = self._load(version)
            options = DecodeOptions.for_encoding(session.encoder.preprocessing, read)
            scan = self._decoders().decode(path, options)
            told = scan.info.pixel_size_um
            return session.encode_and_predict(
                np.stack([piece.pixels for piece in scan.slices]),
                pixel_size_um=told if pixel_size_um is None else pixel_size_um,
            )

    def picture(
        self, path: Path, version: ModelVersion, *, read: ReadOptions | None
    ) -> NDArray[np.uint8]:
        """Draw the middle slice of a file in its own proportions, for people to look at."""
        with self._lock:
            preprocessing = self._load(version).encoder.preprocessing
            whole = DecodeOptions.for_encoding(preprocessing, read)
            n_slices = len(self._decoders().decode(path, whole).slices)
            shown = DecodeOptions(
                read=whole.read,
                slicing=preprocessing.slicing,
                window=preprocessing.window,
                max_side=PICTURE_SIDE,
                indices=frozenset({n_slices // 2}),
            )
            decoded: DecodedScan = self._decoders().decode(path, shown)
            return decoded.slices[0].pixels

    def close(self) -> None:
        """End the decoding process."""
        with self._lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _decoders(self) -> DecoderPool:
        if self._pool is None:
            told = self._site.settings.decode
            limits = DecodeLimits(memory_bytes=told.memory_mib << 20, seconds=told.seconds)
            self._pool = DecoderPool(1, limits)
        return self._pool

    def _load(self, version: ModelVersion) -> EncodingSession:
        from encoder.bundle import load_bundle  # noqa: PLC0415  loads torch
        from encoder.inference import EncodingSession  # noqa: PLC0415  likewise

        if self._session is None or self._version != version:
            self._session = EncodingSession(load_bundle(self._site.models.fetch(version)))
            self._version = version
        return self._session
