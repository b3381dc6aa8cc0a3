"""The live collection's own encoder, loaded when an image is to be encoded, and kept."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from PIL import Image

from encoder.decoding import DecodedScan, DecodeLimits, DecodeOptions, DecoderPool
from encoder.errors import printable
from encoder.sandbox.scratch import ScratchFolder
from search_ui.query_pictures import QueryPicture
from search_ui.requests import SearchError
from search_ui.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.inference import Encoded, EncodingSession
    from encoder.planes import ReadOptions
    from encoder.regions import Region
    from infra.model_versions import ModelVersion
    from infra.site import Site

PICTURE_SIDE = 256
"""Longest side of a query's picture on a sheet, in pixels."""


_REMEMBERED = 32
"""Parts of files whose vectors are kept."""

_AT_ONCE = 16
"""Slices that are encoded before somebody else's turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """What is wanted of a file.

    Attributes:
        read: What its reader needs to be told; None for nothing.
        slice_index: The slice's number; None for all of them.
        region: Part of the slice, or of the whole image; None for all of it.
    """

    read: ReadOptions | None = None
    slice_index: int | None = None
    region: Region | None = None

    def options(self, options: DecodeOptions) -> DecodeOptions:
        """Give options that ask for this part only."""
        indices = None if self.slice_index is None else frozenset({self.slice_index})
        return replace(options, indices=indices, region=self.region)


class QueryEncoder:
    """Decodes and encodes files as ingest does. Any thread may ask.

    Files are decoded beside each other, by as many processes as ingest has; those that encode take
    turns.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._pool_lock = threading.Lock()
        self._pool: DecoderPool | None = None
        self._version: ModelVersion | None = None
        self._session: EncodingSession | None = None
        self._encoded: dict[object, Encoded] = {}

    def load(self, version: ModelVersion) -> None:
        """Load a model ahead of the first file.

        Raises:
            LithoscopeError: It can't be loaded.
        """
        with ThreadPoolExecutor(1) as ahead:  # a decoding process starts while the model is read
            started = ahead.submit(self._start_decoding)
            with self._lock:
                self._load(version)
            started.result()

    def warm_up(self, version: ModelVersion) -> None:
        """Encode a small picture, so that the first file need not wait for what starts with it.

        Raises:
            LithoscopeError: The model can't be loaded, or no process be started.
        """
        self.load(version)
        with self._picture_file() as path:
            self.encode(path, version, part=FilePart())

    def encode(
        self,
        path: Path,
        version: ModelVersion,
        *,
        part: FilePart,
        pixel_size_um: float | None = None,
        watch: Stopwatch | None = None,
    ) -> Encoded:
        """Turn the slices of a file into vectors, and predict their properties.

        What was encoded last is remembered: other filters ask for the same vectors.

        Args:
            path: The file.
            version: The model.
            part: What is wanted of it.
            pixel_size_um: Of the file; None for what itself tells.
            watch: Measures decoding and encoding, or None.

        Returns:
            Of Q slices.

        Raises:
            ScanError: The file can't be used.
            LithoscopeError: The model can't be loaded, or there is no such slice.
        """
        watch = watch or Stopwatch()
        key = (version.bundle_id, path, _signs(path), part, pixel_size_um)
        with self._lock:
            preprocessing = self._load(version).encoder.preprocessing
            if key in self._encoded:
                self._encoded[key] = self._encoded.pop(key)
                return self._encoded[key]
        options = part.options(DecodeOptions.for_encoding(preprocessing, part.read))
        with watch.stage("decode"):
            scan = self._decoders().decode(path, options)  # others may go on meanwhile
        if not scan.slices:
            raise _no_such_slice(scan, part, n_slices=len(options.slicing.places(scan.info)))
        told = scan.info.pixel_size_um
        pixels = np.stack([piece.pixels for piece in scan.slices])
        with watch.stage("encode"):
            encoded = self._in_turns(
                pixels, version, pixel_size_um=told if pixel_size_um is None else pixel_size_um
            )
        with self._lock:
            self._encoded[key] = encoded
            while len(self._encoded) > _REMEMBERED:
                del self._encoded[next(iter(self._encoded))]
        return encoded

    def draw(
        self, path: Path, version: ModelVersion, *, part: FilePart, max_side: int = PICTURE_SIDE
    ) -> QueryPicture:
        """Draw a slice of a file in its own proportions, for people to look at.

        Args:
            path: The file.
            version: The model, which says how scans are shown and cut into slices.
            part: What is wanted: a slice, else the middle plane of a volume, else all of an
                image; and the region of it.
            max_side: Longest side, in pixels.

        Raises:
            ScanError: The file can't be used.
            LithoscopeError: The model can't be loaded, or there is no such slice.
        """
        with self._lock:
            preprocessing = self._load(version).encoder.preprocessing
        slicing = preprocessing.slicing
        shown = DecodeOptions(
            slicing=slicing if part.slice_index is not None else replace(slicing, tiles=1),
            window=preprocessing.window,
            max_side=max_side,
            only_middle=True,
        )
        if part.read is not None:
            shown = replace(shown, read=part.read)
        scan = self._decoders().decode(path, part.options(shown))
        n_slices = len(slicing.places(scan.info))
        if not scan.slices:
            raise _no_such_slice(scan, part, n_slices=n_slices)
        return _picture(scan, part, n_slices=n_slices)

    def close(self) -> None:
        """End the decoding processes."""
        with self._pool_lock:
            if self._pool is not None:
                self._pool.close()
                self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _in_turns(
        self, pixels: NDArray[np.uint8], version: ModelVersion, *, pixel_size_um: float | None
    ) -> Encoded:
        """Encode slices, a few at a time: who asks with one need not wait for all of a volume."""
        parts = []
        for start in range(0, len(pixels), _AT_ONCE):
            with self._lock:
                parts.append(
                    self._load(version).encode_and_predict(
                        pixels[start : start + _AT_ONCE], pixel_size_um=pixel_size_um
                    )
                )
        return _whole(parts)

    def _start_decoding(self) -> None:
        with self._picture_file() as path:
            self._decoders().decode(path, DecodeOptions())

    @contextmanager
    def _picture_file(self) -> Iterator[Path]:
        """A small picture in a file."""
        scratch = ScratchFolder()
        try:
            path = scratch.path / "warm-up.png"
            pixels = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
            Image.fromarray(pixels).save(path)
            yield path
        finally:
            scratch.remove()

    def _decoders(self) -> DecoderPool:
        with self._pool_lock:
            if self._pool is None:
                told = self._site.settings.decode
                limits = DecodeLimits(memory_bytes=told.memory_mib << 20, seconds=told.seconds)
                self._pool = DecoderPool(told.workers, limits)
            return self._pool

    def _load(self, version: ModelVersion) -> EncodingSession:
        from encoder.bundle import load_bundle  # noqa: PLC0415  loads torch
        from encoder.inference import EncodingSession  # noqa: PLC0415  likewise

        if self._session is None or self._version != version:
            self._session = EncodingSession(load_bundle(self._site.models.fetch(version)))
            self._version = version
        return self._session


def _signs(path: Path) -> tuple[int, ...]:
    """What tells that a file is still the same."""
    try:
        found = path.stat()
    except OSError:  # its reader tells why it can't be read
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _no_such_slice(scan: DecodedScan, part: FilePart, *, n_slices: int) -> SearchError:
    return SearchError(
        f"{printable(scan.path.name)}#{part.slice_index}: no such slice; it has "
        + ("0 only" if n_slices == 1 else f"0 to {n_slices - 1}")
    )


def _picture(scan: DecodedScan, part: FilePart, *, n_slices: int) -> QueryPicture:
    info, (shown,) = scan.info, scan.slices
    is_numbered = part.slice_index is not None or info.is_volume
    box = shown.tile
    return QueryPicture(
        pixels=shown.pixels,
        slice_index=shown.index if is_numbered else None,
        n_slices=n_slices,
        is_volume=info.is_volume,
        width_px=info.width if box is None else box.width,
        height_px=info.height if box is None else box.height,
        pixel_size_um=info.pixel_size_um,
        format=info.format,
        notes=info.notes,
    )


def _whole(parts: Sequence[Encoded]) -> Encoded:
    """Put together what was encoded in parts, at least one."""
    first = parts[0]
    return replace(
        first,
        vectors=np.concatenate([part.vectors for part in parts]),
        porosity=_joined([part.porosity for part in parts]),
        permeability_md=_joined([part.permeability_md for part in parts]),
    )


def _joined(parts: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None
