"""What an encoder makes of slices that are evaluated, kept so that nothing is encoded twice.

Shapes: R slices, D dimensions.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from encoder.commands.outputs import written_whole
from encoder.errors import LithoscopeError
from encoder.inference import EncodingSession
from encoder.metric import Metric
from trainer.measures import EmbeddedSlices
from trainer.property_measures import PropertyValues

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from encoder.encoders import Encoder
    from encoder.precision import Precision
    from trainer.slice_set import SliceSet

_BLOCK = 512
"""Slices that are read from the cache at a time."""


class EvaluationError(LithoscopeError):
    """Models or slices that can't be evaluated as asked."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Description:
    """Vectors and predictions of one model.

    Attributes:
        name: What tables call the model.
        origin: Where its weights come from, to be shown beside every figure.
        bundle_id: The bundle that it is, or None.
        metric: How vectors are compared.
        slices_id: Fingerprint of the slice set that rows number.
        rows: (R,) slices of the set, ascending.
        vectors: (R, D), float32.
        predicted: Properties of each; None where the model predicts none.
    """

    name: str
    origin: str
    bundle_id: str | None
    metric: Metric
    slices_id: str
    rows: NDArray[np.int64]
    vectors: NDArray[np.float32]
    predicted: PropertyValues | None

    def embedded(self, rows: NDArray[np.int64], slices: SliceSet) -> EmbeddedSlices:
        """Vectors of some slices, labelled by reservoir.

        Args:
            rows: Slices of the set, each of them described.
            slices: The set.

        Raises:
            EvaluationError: One was not described.
        """
        return EmbeddedSlices(
            vectors=self.vectors[self._places(rows)],
            labels=slices.reservoir[rows],
            samples=slices.sample[rows],
            slices=rows,
            metric=self.metric,
        )

    def predictions(self, rows: NDArray[np.int64]) -> PropertyValues | None:
        """Predicted properties of some slices; None where the model predicts none.

        Raises:
            EvaluationError: One was not described.
        """
        return None if self.predicted is None else self.predicted.at(self._places(rows))

    def _places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        places = np.searchsorted(self.rows, rows)
        there = places < len(self.rows)
        there[there] = self.rows[places[there]] == rows[there]
        if not there.all():
            raise EvaluationError(
                f"{self.name}: {int((~there).sum())} of {len(rows)} slices were not encoded; "
                "describe all that are measured"
            )
        return np.asarray(places)


def describe(
    encoder: Encoder,
    slices: SliceSet,
    *,
    rows: NDArray[np.int64],
    name: str | None = None,
    precision: Precision = "auto",
    on_done: Callable[[int], None] = lambda _: None,
) -> Description:
    """Encode slices.

    Args:
        encoder: The model.
        slices: A slice set of the encoder's size.
        rows: Slices to encode, in any order; each is encoded once.
        name: What tables call the model; None for the encoder's name.
        precision: What to compute in.
        on_done: Told how many slices were done, as they are.

    Raises:
        EvaluationError: The slices are of another size than the encoder's.
        EncoderError: A vector is not finite.
    """
    size = encoder.preprocessing.size
    if slices.size != size:
        raise EvaluationError(
            f"{name or encoder.name}: encodes slices of {size} pixels, found {slices.size}; "
            "prepare the slices with the model's own preprocessing"
        )
    session = EncodingSession(encoder, precision=precision)
    rows = np.unique(rows)
    vectors = np.empty((len(rows), encoder.dimension), np.float32)
    predicted = PropertyValues(np.full(len(rows), np.nan), np.full(len(rows), np.nan))
    predicts = False
    for start in range(0, len(rows), _BLOCK):
        place = slice(start, start + _BLOCK)
        chosen = rows[place]
        encoded = session.encode_and_predict(
            slices.pixels[chosen], pixel_size_um=slices.pixel_size_um[chosen]
        )
        vectors[place] = encoded.vectors
        for column, values in zip(
            predicted, (encoded.porosity, encoded.permeability_md), strict=True
        ):
            if values is not None:
                column[place] = values
                predicts = True
        on_done(len(chosen))
    return Description(
        name=name or encoder.name,
        origin=encoder.init,
        bundle_id=encoder.bundle_id,
        metric=encoder.metric,
        slices_id=slices.fingerprint(),
        rows=rows,
        vectors=vectors,
        predicted=predicted if predicts else None,
    )


def write_description(path: Path, description: Description) -> None:
    """Write a description as ``.npz``, whole or not at all.

    Args:
        path: File to write.
        description: What to write.

    Raises:
        OutputError: It can't be written.
    """
    words = {
        "name": description.name,
        "origin": description.origin,
        "bundle_id": description.bundle_id,
        "metric": description.metric.value,
        "slices_id": description.slices_id,
    }
    arrays: dict[str, Any] = {"rows": description.rows, "vectors": description.vectors}
    if description.predicted is not None:
        arrays |= description.predicted._asdict()
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez(file, allow_pickle=False, words=np.array(json.dumps(words)), **arrays)


def read_description(path: Path) -> Description:
    """Read a description back.

    Raises:
        EvaluationError: It can't be read.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        words = json.loads(str(arrays.pop("words")))
        rows, vectors = arrays.pop("rows"), arrays.pop("vectors")
        return Description(
            **(words | {"metric": Metric(words["metric"])}),
            rows=rows,
            vectors=vectors,
            predicted=PropertyValues(**arrays) if arrays else None,
        )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise EvaluationError(
            f"{path}: can't be read ({error}); delete it, and it is made again"
        ) from error


def renamed(description: Description, name: str) -> Description:
    """Return the same under another name."""
    return replace(description, name=name)
