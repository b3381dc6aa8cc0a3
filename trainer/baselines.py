"""Hand-made descriptors to compare networks with: KAZE as a bag of visual words.

Shapes: N slices, S pixels a side, W words, 64 values of a KAZE descriptor.

KAZE finds and describes keypoints in nonlinear scale space (Alcantarilla, Bartoli & Davison 2012,
ECCV). The paper's Table 1 names it and not how images were compared by it; we take the bag of
visual words (Csurka et al. 2004), so that it has a vector a slice as every other row does: shares
of words, compared by their Hellinger distance (Vedaldi & Zisserman 2012), so that no frequent word
drowns the others. Weights by rarity (tf-idf) did worse: in a texture the frequent words tell most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans

from encoder.metric import Metric
from encoder.model_errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from encoder.preprocess import Preprocessing

WORDS = 256
"""W, unless told otherwise."""

_SLICES_MAX = 2000
"""Slices that a vocabulary is learnt from, at most."""
_DESCRIPTORS_MAX = 200_000


class KazeWords:
    """An encoder by KAZE keypoints, and a vocabulary learnt from training slices."""

    def __init__(
        self,
        training: NDArray[np.uint8],
        preprocessing: Preprocessing,
        *,
        words: int = WORDS,
        seed: int = 0,
    ) -> None:
        """Learn the vocabulary.

        Args:
            training: (N, S, S, 3); an even choice of at most 2,000 is looked at.
            preprocessing: How slices are made for it.
            words: W; fewer where there are fewer different descriptors.
            seed: Of the clustering.

        Raises:
            EncoderError: The training slices have no keypoints.
        """
        self._preprocessing = preprocessing
        self._detector = cv2.KAZE.create()
        chosen = np.unique(np.linspace(0, len(training) - 1, _SLICES_MAX).astype(np.int64))
        described = [self._describe(training[index]) for index in chosen if len(training)]
        pooled = np.concatenate([np.empty((0, 64), np.float32), *described])
        if not len(pooled):
            raise EncoderError(
                f"kaze: no keypoints in {len(described)} training slices of "
                f"{preprocessing.size} pixels; give larger slices, or ones that are less smooth"
            )
        rng = np.random.default_rng(seed)
        if len(pooled) > _DESCRIPTORS_MAX:
            pooled = pooled[rng.choice(len(pooled), _DESCRIPTORS_MAX, replace=False)]
        words = min(words, len(np.unique(pooled, axis=0)))
        self._clusters = MiniBatchKMeans(words, random_state=seed, n_init=3).fit(pooled)
        self._origin = f"{words} words of {len(described)} training slices"

    @property
    def name(self) -> str:
        """What tables call it."""
        return "kaze"

    @property
    def dimension(self) -> int:
        """W."""
        return int(self._clusters.n_clusters)

    @property
    def metric(self) -> Metric:
        """Distance of square roots: Hellinger's."""
        return Metric.L2

    @property
    def preprocessing(self) -> Preprocessing:
        """How slices are made for it."""
        return self._preprocessing

    @property
    def init(self) -> str:
        """Where its vocabulary comes from."""
        return self._origin

    @property
    def bundle_id(self) -> str | None:
        """None: it is learnt anew for each evaluation."""
        return None

    def encode(self, batch: Tensor) -> Tensor:
        """Square roots of the share that each word has of an image's keypoints.

        Args:
            batch: (N, S, S, 3) or (N, 3, S, S), uint8.

        Returns:
            (N, W), float32, of length 1; zeros for an image without keypoints.

        Raises:
            EncoderError: The batch is no such tensor.
        """
        if (
            batch.dtype != torch.uint8
            or batch.ndim != 4
            or 3 not in (batch.shape[1], batch.shape[3])
        ):
            raise EncoderError(
                f"images for kaze: expected uint8 of shape (N, S, S, 3), found {batch.dtype} of "
                f"shape {tuple(batch.shape)}; prepare slices with resize_slice"
            )
        images = batch if batch.shape[3] == 3 else batch.permute(0, 2, 3, 1)
        vectors = np.zeros((len(batch), self.dimension))
        for row, image in enumerate(images.cpu().numpy()):
            counts = self._count(self._describe(image))
            vectors[row] = np.sqrt(counts / max(counts.sum(), 1.0))
        return torch.from_numpy(vectors.astype(np.float32))

    def _describe(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe keypoints: (n, 64)."""
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        keypoints, descriptors = self._detector.detectAndCompute(grey, None)
        if not keypoints:
            return np.empty((0, 64), np.float32)
        return np.asarray(descriptors, np.float32)

    def _count(self, descriptors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Count words: (W,)."""
        number = self.dimension
        if not len(descriptors):
            return np.zeros(number)
        words = self._clusters.predict(descriptors)
        return np.bincount(words, minlength=number).astype(np.float64)
