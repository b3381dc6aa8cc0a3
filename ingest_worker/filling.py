"""Encoding scans together, so that batches are full; one that spoils a batch is found."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from encoder.inference import Encoded
from encoder.model_errors import EncoderError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from encoder.inference import EncodingSession
    from ingest_worker.steps import Prepared


def encode_group(
    group: Sequence[Prepared], session: EncodingSession
) -> list[Encoded | EncoderError]:
    """Encode scans together and predict their properties.

    Args:
        group: Scans whose slices have the encoder's size.
        session: The encoder on its device.

    Returns:
        What each gives, in order: vectors that are finite and of the encoder's size, or why not.
    """
    if not group:
        return []
    try:
        together = _encode(group, session)
    except EncoderError as error:
        if len(group) == 1:
            return [error]
        return [result for each in group for result in encode_group([each], session)]
    ends = np.cumsum([len(each.scan.slices) for each in group])
    starts = [0, *ends[:-1].tolist()]
    return [
        _part(together, slice(start, end)) for start, end in zip(starts, ends.tolist(), strict=True)
    ]


def _encode(group: Sequence[Prepared], session: EncodingSession) -> Encoded:
    pieces = chain.from_iterable(each.scan.slices for each in group)
    pixels = np.stack([piece.pixels for piece in pieces])
    sizes = np.concatenate([np.full(len(each.scan.slices), _pixel_size(each)) for each in group])
    encoded = session.encode_and_predict(pixels, pixel_size_um=sizes)
    expected = (len(pixels), session.encoder.dimension)
    if encoded.vectors.shape != expected:
        raise EncoderError(
            f"{session.encoder.name}: vectors of shape {encoded.vectors.shape}, expected "
            f"{expected}; publish the model again"
        )
    return encoded


def _pixel_size(prepared: Prepared) -> float:
    size = prepared.pixel_size_um
    return np.nan if size is None else size


def _part(encoded: Encoded, place: slice) -> Encoded:
    def cut(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        return None if values is None else values[place]

    return Encoded(
        vectors=encoded.vectors[place],
        porosity=cut(encoded.porosity),
        permeability_md=cut(encoded.permeability_md),
    )
