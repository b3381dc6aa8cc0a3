from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional

from encoder.dsnn import DSNN, DSNNSpec
from encoder.encoders import NeuralEncoder, build_encoder
from encoder.folding import fold_trunks, halve_by_maximum
from encoder.inference import EncodingSession
from encoder.metric import Metric
from encoder.model_errors import EncoderError
from encoder.precision import bf16_gain, measure_gain, working_dtype
from encoder.preprocess import Preprocessing
from encoder.property_targets import DEFAULT_TARGETS, ROCKIR_TARGETS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SMALL = Preprocessing(size=64)
CPU = torch.device("cpu")


def textures(number: int, seed: int = 0) -> NDArray[np.uint8]:
    """Blurred noise, each image of its own grain size and contrast: (number, 64, 64, 3)."""
    generator = torch.Generator().manual_seed(seed)
    images = []
    for _ in range(number):
        cells = int(torch.randint(6, 40, (), generator=generator))
        noise = torch.rand(1, 1, cells, cells, generator=generator)
        image = functional.interpolate(noise, size=(64, 64), mode="bicubic")[0, 0]
        contrast = float(torch.rand((), generator=generator)) * 180 + 60
        images.append((image * contrast).clamp(0, 255).byte())
    return torch.stack(images)[..., None].expand(-1, -1, -1, 3).numpy().copy()


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return textures(9)


@pytest.fixture(scope="module")
def encoder() -> NeuralEncoder:
    """A network that was trained a little: its batch norms are no longer the identity."""
    base = build_encoder("dsnn", "seed:1")
    architecture = DSNNSpec(
        targets=tuple(
            target.model_copy(update={"low": 0.0, "high": 2.0}) for target in DEFAULT_TARGETS
        )
    )
    model = DSNN(architecture)
    model.load_state_dict(base.model.state_dict())
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".bn" in name or ".downsample.1" in name:
                parameter.uniform_(0.5, 1.5, generator=generator)
        model.train()(torch.randn(8, 3, 64, 64, generator=generator))
    return NeuralEncoder(
        name="dsnn",
        model=model.eval(),
        preprocessing=SMALL,
        init="untrained, seed:1",
    )


@pytest.fixture(scope="module")
def plain(encoder: NeuralEncoder, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return encoder.encode(torch.tensor(images)).numpy()


def error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest distance between two vectors that should be the same, relative to their length."""
    distances = np.linalg.norm(found - expected, axis=1)
    return float((distances / np.linalg.norm(expected, axis=1)).max())


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_float32_sessions_agree_with_plain_encoding(
    encoder: NeuralEncoder,
    images: NDArray[np.uint8],
    plain: NDArray[np.float32],
    batch_size: int,
) -> None:
    session = EncodingSession(encoder, device="cpu", precision="fp32", batch_size=batch_size)
    found = session.encode(images)
    assert found.dtype == np.float32
    assert found.shape == (9, 512)
    assert error(found, plain) < 1e-5


def test_bf16_sessions_agree_to_their_rounding(
    encoder: NeuralEncoder, images: NDArray[np.uint8], plain: NDArray[np.float32]
) -> None:
    found = EncodingSession(encoder, device="cpu", precision="bf16").encode(images)
    assert found.dtype == np.float32
    assert 1e-6 < error(found, plain) < 0.02


def test_bf16_finds_the_same_neighbours() -> None:
    """Recall@10 of bf16 vectors against plain float32 ones, on an untrained network."""
    pictures = textures(200, seed=4)
    encoder = build_encoder("resnet18-imagenet", "seed:0", preprocessing=SMALL)
    exact = encoder.encode(torch.tensor(pictures)).double()
    quick = torch.tensor(
        EncodingSession(encoder, device="cpu", precision="bf16").encode(pictures)
    ).double()
    neighbours = [
        torch.cdist(vectors, vectors).fill_diagonal_(torch.inf).topk(10, largest=False).indices
        for vectors in (exact, quick)
    ]
    shared = [
        len(set(one) & set(other))
        for one, other in zip(*(found.tolist() for found in neighbours), strict=True)
    ]
    assert np.mean(shared) / 10 >= 0.95


def test_the_encoder_itself_is_left_as_it_was(
    encoder: NeuralEncoder, images: NDArray[np.uint8], plain: NDArray[np.float32]
) -> None:
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    EncodingSession(encoder, device="cpu", precision="bf16").encode(images)
    after = encoder.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.requires_grad for parameter in encoder.model.parameters())
    np.testing.assert_array_equal(encoder.encode(torch.tensor(images)).numpy(), plain)


def test_predictions_come_with_the_vectors(
    encoder: NeuralEncoder, images: NDArray[np.uint8], plain: NDArray[np.float32]
) -> None:
    session = EncodingSession(encoder, device="cpu", precision="fp32", batch_size=4)
    found = session.encode_and_predict(images)
    features = encoder.model.features(encoder.standardised(torch.tensor(images)))
    expected = encoder.model.predict(features)
    assert error(found.vectors, plain) < 1e-5
    assert found.porosity is not None
    assert found.permeability_md is not None
    assert expected.porosity is not None
    assert expected.permeability_md is not None
    np.testing.assert_allclose(found.porosity, expected.porosity.detach(), atol=1e-4)
    np.testing.assert_allclose(found.permeability_md, expected.permeability_md.detach(), rtol=1e-3)


def test_pixel_sizes_reach_the_slice_that_they_belong_to(images: NDArray[np.uint8]) -> None:
    base = build_encoder("dsnn", "seed:1", preprocessing=SMALL)
    architecture = DSNNSpec(targets=ROCKIR_TARGETS)
    model = DSNN(architecture).eval()
    model.load_state_dict(base.model.state_dict())
    imported = NeuralEncoder(name="dsnn", model=model, preprocessing=SMALL, init="RockIR")
    session = EncodingSession(imported, device="cpu", precision="fp32", batch_size=2)
    unit = session.encode_and_predict(images, pixel_size_um=1.0).permeability_md
    sizes = np.array([1.0, 2.0, np.nan, 4.0, 1.0, 3.0, 1.0, 1.0, 10.0])
    each = session.encode_and_predict(images, pixel_size_um=sizes).permeability_md
    assert unit is not None
    assert each is not None
    np.testing.assert_allclose(each, unit * sizes**2)
    assert session.encode_and_predict(images).permeability_md is None


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_queries_weigh_the_branches(images: NDArray[np.uint8], weight: float) -> None:
    encoder = build_encoder("dsnn-split", "seed:1", preprocessing=SMALL)
    session = EncodingSession(encoder, device="cpu", precision="fp32")
    stored = session.encode(images).astype(np.float64)
    query = session.encode_query(images[:1], weight=weight).astype(np.float64)
    looks = stored[:1, :512] @ stored[:, :512].T
    behaves = stored[:1, 512:] @ stored[:, 512:].T
    expected = weight * looks + (1 - weight) * behaves
    np.testing.assert_allclose(query @ stored.T, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["dsnn", "resnet18-imagenet"])
def test_queries_of_other_encoders_can_not_be_weighed(name: str, images: NDArray[np.uint8]) -> None:
    session = EncodingSession(build_encoder(name, "seed:1", preprocessing=SMALL), device="cpu")
    with pytest.raises(EncoderError, match="dsnn-split"):
        session.encode_query(images, weight=0.5)


@dataclass
class MeanColour:
    """An encoder without a network: the mean of each channel, or NaN for what is all black."""

    name: str = "mean-colour"
    dimension: int = 3
    metric: Metric = Metric.L2
    preprocessing: Preprocessing = SMALL
    init: str = "none"
    bundle_id: str | None = None

    def encode(self, batch: Tensor) -> Tensor:
        means = batch.float().mean(dim=(1, 2))
        return torch.where(means > 0, means, torch.nan)


def test_any_encoder_can_be_run(images: NDArray[np.uint8]) -> None:
    session = EncodingSession(MeanColour(), device="cpu", batch_size=2)
    found = session.encode_and_predict(images)
    np.testing.assert_allclose(found.vectors, images.mean(axis=(1, 2)), rtol=1e-5)
    assert found.porosity is None
    with pytest.raises(EncoderError, match="no branches to weigh"):
        session.encode_query(images, weight=0.5)


def test_vectors_that_are_not_finite_never_leave(images: NDArray[np.uint8]) -> None:
    spoilt = images.copy()
    spoilt[[3, 5]] = 0
    with pytest.raises(EncoderError, match=r"2 of 9 vectors are not finite.* slice 3"):
        EncodingSession(MeanColour(), device="cpu").encode(spoilt)


def test_no_slices_give_no_vectors(encoder: NeuralEncoder) -> None:
    session = EncodingSession(encoder, device="cpu", precision="fp32")
    none = np.empty((0, 64, 64, 3), dtype=np.uint8)
    found = session.encode_and_predict(none, pixel_size_um=np.empty(0))
    assert found.vectors.shape == (0, 512)
    assert found.porosity is not None
    assert found.permeability_md is not None
    assert found.porosity.shape == found.permeability_md.shape == (0,)
    assert EncodingSession(MeanColour(), device="cpu").encode_and_predict(none).porosity is None


def test_views_that_run_backwards_are_encoded(images: NDArray[np.uint8]) -> None:
    session = EncodingSession(MeanColour(), device="cpu")
    found = session.encode(images[::-1, :, ::-1, ::-1])
    np.testing.assert_allclose(found, images.mean(axis=(1, 2))[::-1, ::-1], rtol=1e-5)


def test_read_only_slices_are_encoded(encoder: NeuralEncoder, images: NDArray[np.uint8]) -> None:
    """Arrays from other processes and memory maps can't be written to."""
    frozen = images.copy()
    frozen.flags.writeable = False
    session = EncodingSession(encoder, device="cpu", precision="fp32")
    np.testing.assert_array_equal(session.encode(frozen), session.encode(images))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, 32, 32, 3), np.uint8), ((2, 64, 64), np.uint8), ((2, 64, 64, 3), np.float32)],
)
def test_slices_of_another_size_or_type_are_refused(
    encoder: NeuralEncoder, shape: tuple[int, ...], dtype: type
) -> None:
    session = EncodingSession(encoder, device="cpu", precision="fp32")
    with pytest.raises(EncoderError, match=r"expected uint8 of shape \(N, 64, 64, 3\), found"):
        session.encode(np.zeros(shape, dtype=dtype))


def test_batches_below_one_are_refused(encoder: NeuralEncoder) -> None:
    with pytest.raises(ValueError, match="at least 1, not 0"):
        EncodingSession(encoder, batch_size=0)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 6), (5, 1), (1, 1)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_pooling_is_exactly_that_of_torch(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    maps = torch.randn(2, 4, *size, generator=torch.Generator().manual_seed(0))
    maps = maps.to(memory_format=layout)
    expected = functional.max_pool2d(maps, kernel_size=3, stride=2, padding=1)
    assert torch.equal(halve_by_maximum(maps), expected)


def test_folding_makes_convolutions_of_batch_norms(encoder: NeuralEncoder) -> None:
    folded = fold_trunks(encoder.model, torch.float32)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in encoder.model.modules())


def test_preparing_a_session_leaves_the_callers_random_numbers_and_threads_alone(
    encoder: NeuralEncoder,
) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    measure_gain(lambda _: 1.0)
    EncodingSession(encoder, device="cpu")
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_num_threads() == threads


def test_a_gain_is_how_many_times_faster_bf16_is() -> None:
    threads = []

    def best_seconds(dtype: torch.dtype) -> float:
        threads.append(torch.get_num_threads())
        return {torch.float32: 6.0, torch.bfloat16: 2.0}[dtype]

    assert measure_gain(best_seconds) == 3.0
    assert threads == [1, 1]


def test_threads_that_measure_at_once_leave_the_number_of_threads_alone() -> None:
    def best_seconds(_: torch.dtype) -> float:
        time.sleep(0.02)
        return 1.0

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(measure_gain, [best_seconds] * 4))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_precision_is_measured_unless_it_is_forced() -> None:
    assert working_dtype("bf16", CPU) == torch.bfloat16
    assert working_dtype("fp32", CPU) == torch.float32
    assert bf16_gain() == bf16_gain() > 0
    expected = torch.bfloat16 if bf16_gain() >= 1.3 else torch.float32
    assert working_dtype("auto", CPU) == expected
