"""Encoding many slices quickly: in batches, channels-last, in bf16 where the machine gains by it.

Shapes: N slices, S pixels a side, D dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from encoder.folding import fold_trunks
from encoder.model_errors import EncoderError
from encoder.neural_encoder import NeuralEncoder, standardise
from encoder.precision import working_dtype
from encoder.property_targets import PropertyPredictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from encoder.neural_encoder import Encoder
    from encoder.precision import Precision

_PIXELS_AT_A_TIME = 8 * 224 * 224
"""Pixels that a CPU takes through a network at a time: more fall out of its caches (-30 %)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """What an encoder makes of N slices.

    Attributes:
        vectors: (N, D), float32, finite.
        porosity: (N,) predictions as fractions; None where the encoder predicts none.
        permeability_md: (N,) predictions in millidarcy; None likewise, NaN where a pixel size was
            needed and is not known.
    """

    vectors: NDArray[np.float32]
    porosity: NDArray[np.float64] | None
    permeability_md: NDArray[np.float64] | None


class EncodingSession:
    """An encoder on its device, ready to encode. Not to be called by two threads at once.

    The encoder itself is left as it is: a copy is folded and moved. Vectors differ from
    ``Encoder.encode``'s by rounding only: about 1e-6 of their length in float32; in bf16 about
    0.2 %, which leaves 97 % of the ten nearest neighbours the same in an untrained network.

    Attributes:
        encoder: What encodes.
        device: Where it runs.
        dtype: What its convolutions compute in.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        device: torch.device | str | None = None,
        precision: Precision = "auto",
        batch_size: int = 64,
    ) -> None:
        """Prepare an encoder.

        Args:
            encoder: What encodes.
            device: Where; None for CUDA where present, else the CPU.
            precision: ``auto``, or what to force.
            batch_size: Slices that go to the device together.

        Raises:
            ValueError: The batch size is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.encoder = encoder
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = working_dtype(precision, self.device)
        self._batch_size = batch_size
        self._model = (
            fold_trunks(encoder.model, self.dtype).to(self.device)
            if isinstance(encoder, NeuralEncoder)
            else None
        )

    def encode(self, slices: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode slices.

        Args:
            slices: (N, S, S, 3), S being the size of the encoder's preprocessing.

        Returns:
            (N, D).

        Raises:
            EncoderError: The slices are of another shape or type, or a vector is not finite.
        """
        return self.encode_and_predict(slices).vectors

    def encode_and_predict(
        self,
        slices: NDArray[np.uint8],
        *,
        pixel_size_um: float | NDArray[np.float64] | None = None,
    ) -> Encoded:
        """Encode slices and predict their properties, running the backbones once.

        Args:
            slices: (N, S, S, 3), S being the size of the encoder's preprocessing.
            pixel_size_um: Of all slices, or (N,) with NaN where not known. Needed by imported
                RockIR weights only.

        Raises:
            EncoderError: The slices are of another shape or type, or a vector is not finite.
        """
        sizes = np.full(len(slices), np.nan)
        if pixel_size_um is not None:
            sizes[:] = pixel_size_um

        def step(batch: Tensor, place: slice) -> tuple[Tensor, PropertyPredictions]:
            if self._model is None:
                return self.encoder.encode(batch), PropertyPredictions()
            features = self._model.features(standardise(batch, self.encoder.preprocessing))
            size = torch.tensor(sizes[place], device=self.device)
            known = None if pixel_size_um is None else size
            return self._model.embed(features), self._model.predict(features, known)

        return self._run(slices, step)

    def encode_query(self, slices: NDArray[np.uint8], *, weight: float) -> NDArray[np.float32]:
        """Encode slices to ask with, weighing what looks like them against what behaves like them.

        Args:
            slices: (N, S, S, 3), S being the size of the encoder's preprocessing.
            weight: From 0 (behaves like) to 1 (looks like).

        Returns:
            (N, D).

        Raises:
            EncoderError: The encoder can't weigh, the weight is out of range, or as ``encode``.
        """

        def step(batch: Tensor, _: slice) -> tuple[Tensor, PropertyPredictions]:
            if self._model is None:
                raise EncoderError(f"{self.encoder.name} has no branches to weigh; use dsnn-split")
            features = self._model.features(standardise(batch, self.encoder.preprocessing))
            return self._model.embed_query(features, weight=weight), PropertyPredictions()

        return self._run(slices, step).vectors

    @torch.inference_mode()
    def _run(
        self,
        slices: NDArray[np.uint8],
        step: Callable[[Tensor, slice], tuple[Tensor, PropertyPredictions]],
    ) -> Encoded:
        self._check_slices(slices)
        if not len(slices):
            return self._nothing(step)
        parts = [step(batch, place) for place, batch in self._batches(slices)]
        vectors = torch.cat([vectors for vectors, _ in parts]).float().cpu()
        finite = torch.isfinite(vectors).all(dim=1)
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            raise EncoderError(
                f"{self.encoder.name}: {int((~finite).sum())} of {len(vectors)} vectors are not "
                f"finite, the first that of slice {first}; check the weights ({self.encoder.init})"
            )
        return Encoded(
            vectors=vectors.numpy(),
            porosity=_joined([predicted.porosity for _, predicted in parts]),
            permeability_md=_joined([predicted.permeability_md for _, predicted in parts]),
        )

    def _nothing(
        self, step: Callable[[Tensor, slice], tuple[Tensor, PropertyPredictions]]
    ) -> Encoded:
        """Return what no slices give: of one black slice, nothing is kept but what is predicted."""
        size = self.encoder.preprocessing.size
        black = torch.zeros((1, size, size, 3), dtype=torch.uint8, device=self.device)
        _, predicted = step(black, slice(0, 0))
        none = np.empty(0, dtype=np.float64)
        return Encoded(
            vectors=np.empty((0, self.encoder.dimension), dtype=np.float32),
            porosity=None if predicted.porosity is None else none,
            permeability_md=None if predicted.permeability_md is None else none.copy(),
        )

    def _check_slices(self, slices: NDArray[np.uint8]) -> None:
        size = self.encoder.preprocessing.size
        if slices.dtype != np.uint8 or slices.shape[1:] != (size, size, 3):
            raise EncoderError(
                f"slices for {self.encoder.name}: expected uint8 of shape (N, {size}, {size}, 3), "
                f"found {slices.dtype} of shape {slices.shape}; resize them by resize_slice"
            )

    def _batches(self, slices: NDArray[np.uint8]) -> Iterator[tuple[slice, Tensor]]:
        """Cut slices into what the device takes at a time."""
        step = self._batch_size
        if self.device.type == "cpu":
            size = self.encoder.preprocessing.size
            step = min(step, math.ceil(_PIXELS_AT_A_TIME / size**2))
        for start in range(0, len(slices), step):
            place = slice(start, start + step)
            # Copied: the tensor must not share memory that may be read-only, and torch takes no
            # views that run backwards.
            batch = np.ascontiguousarray(slices[place])
            yield place, torch.tensor(batch, device=self.device)


def _joined(parts: list[Tensor | None]) -> NDArray[np.float64] | None:
    known = [part.cpu().numpy() for part in parts if part is not None]
    return np.concatenate(known) if known else None
