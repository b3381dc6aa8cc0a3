"""The KAZE baseline on textures that differ in what keypoints see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from encoder.inference import EncodingSession
from encoder.model_errors import EncoderError
from encoder.preprocess import Preprocessing
from trainer.baselines import KazeWords
from trainer.measures import Case, EmbeddedSlices, mean_average_precision

SIZE = 128
PREPROCESSING = Preprocessing(size=SIZE)


def textures(seed: int, *, each: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Discs, and strokes, of drawn places and brightness: (N, S, S, 3) and labels."""
    rng = np.random.default_rng(seed)
    slices, labels = [], []
    for label in (0, 1):
        for _ in range(each):
            image = np.full((SIZE, SIZE), rng.integers(60, 120), np.uint8)
            for _ in range(14):
                x, y = (int(value) for value in rng.integers(0, SIZE, 2))
                grey = int(rng.integers(150, 255))
                if label:
                    cv2.line(image, (x, y), (x, y + int(rng.integers(8, 20))), grey, 2)
                else:
                    cv2.circle(image, (x, y), int(rng.integers(2, 5)), grey, -1)
            slices.append(np.repeat(image[:, :, np.newaxis], 3, axis=2))
            labels.append(label)
    return np.stack(slices), np.array(labels)


def test_textures_are_told_apart_on_slices_that_were_not_seen() -> None:
    training, _ = textures(0, each=20)
    encoder = KazeWords(training, PREPROCESSING, words=32)
    slices, labels = textures(1, each=20)
    vectors = EncodingSession(encoder).encode(slices)
    assert vectors.shape == (len(slices), encoder.dimension)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    embedded = EmbeddedSlices(
        vectors=vectors,
        labels=labels,
        samples=np.arange(len(slices)),
        slices=np.arange(len(slices)),
        metric=encoder.metric,
    )
    assert mean_average_precision(embedded, embedded, k=5, case=Case.QUERY_OUT) > 0.9


def test_the_same_training_gives_the_same_vectors_in_either_layout() -> None:
    training, _ = textures(2)
    one, other = (KazeWords(training, PREPROCESSING, words=16, seed=3) for _ in range(2))
    batch = torch.from_numpy(training[:3])
    torch.testing.assert_close(one.encode(batch), other.encode(batch))
    torch.testing.assert_close(one.encode(batch), one.encode(batch.permute(0, 3, 1, 2)))


def test_slices_without_keypoints() -> None:
    flat = np.full((4, SIZE, SIZE, 3), 128, np.uint8)
    with pytest.raises(EncoderError, match="no keypoints in 4 training slices of 128 pixels"):
        KazeWords(flat, PREPROCESSING)
    with pytest.raises(EncoderError, match="no keypoints in 0"):
        KazeWords(flat[:0], PREPROCESSING)
    training, _ = textures(4)
    encoder = KazeWords(training, PREPROCESSING, words=10_000)
    assert encoder.dimension < 10_000
    vectors = encoder.encode(torch.from_numpy(np.concatenate([flat, training[:1]])))
    assert not vectors[:4].any()
    assert vectors[4].any()


def test_other_batches_are_refused() -> None:
    encoder = KazeWords(textures(5)[0], PREPROCESSING, words=8)
    with pytest.raises(EncoderError, match="expected uint8"):
        encoder.encode(torch.zeros(1, SIZE, SIZE, 3))
