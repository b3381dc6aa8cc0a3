from __future__ import annotations

import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional
from torchvision.models import resnet18, resnet34  # type: ignore[import-untyped]  # ships no types

from encoder.backbones import load_trunk, seeded
from encoder.bundle import save_bundle
from encoder.dsnn import DSNN
from encoder.encoders import ENCODERS, build_encoder
from encoder.metric import Metric
from encoder.model_errors import EncoderError, WeightsError
from encoder.preprocess import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

SMALL = Preprocessing(size=64)


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def resnet18_state() -> dict[str, Tensor]:
    """A state dict as torchvision publishes it, classifier included."""
    with seeded(11):
        state: dict[str, Tensor] = resnet18(weights=None).state_dict()
    return state


@pytest.fixture
def resnet18_file(tmp_path: Path, resnet18_state: dict[str, Tensor]) -> Path:
    path = tmp_path / "resnet18.pth"
    torch.save(resnet18_state, path)
    return path


@pytest.mark.parametrize(
    ("name", "dimension", "metric"),
    [
        ("dsnn", 512, Metric.L2),
        ("dsnn-split", 1024, Metric.INNER_PRODUCT),
        ("siamese-resnet18", 512, Metric.L2),
        ("siamese-resnet34", 512, Metric.L2),
        ("siamese-resnet34-regression", 512, Metric.L2),
        ("resnet34-imagenet", 512, Metric.L2),
        ("resnet18-imagenet", 512, Metric.L2),
    ],
)
def test_every_encoder_tells_its_vectors_dimension_and_metric(
    name: str, dimension: int, metric: Metric, images: Tensor
) -> None:
    encoder = build_encoder(name, "seed:3", preprocessing=SMALL)
    vectors = encoder.encode(images)
    assert (encoder.name, encoder.dimension, encoder.metric) == (name, dimension, metric)
    assert (ENCODERS[name].dimension, ENCODERS[name].metric) == (dimension, metric)
    assert vectors.shape == (3, dimension)
    assert vectors.dtype == torch.float32
    assert encoder.init == "untrained, seed:3"
    assert encoder.preprocessing == SMALL


def test_the_registry_has_no_other_encoders() -> None:
    assert list(ENCODERS) == [
        "dsnn",
        "dsnn-split",
        "siamese-resnet18",
        "siamese-resnet34",
        "siamese-resnet34-regression",
        "resnet34-imagenet",
        "resnet18-imagenet",
    ]


def test_vanilla_vectors_are_the_pooled_features_at_length_one(
    images: Tensor, resnet18_file: Path, resnet18_state: dict[str, Tensor]
) -> None:
    encoder = build_encoder(
        "resnet18-imagenet", "imagenet", weights_path=resnet18_file, preprocessing=SMALL
    )
    reference = resnet18(weights=None)
    reference.load_state_dict(resnet18_state)
    reference.fc = torch.nn.Identity()
    scaled = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(SMALL.mean).view(3, 1, 1)) / (
        torch.tensor(SMALL.std).view(3, 1, 1)
    )
    with torch.inference_mode():
        expected = functional.normalize(reference.eval()(scaled))
    torch.testing.assert_close(encoder.encode(images), expected, rtol=1e-4, atol=1e-6)
    assert encoder.init == "ImageNet"


def test_both_orders_of_axes_give_the_same_vectors(images: Tensor) -> None:
    encoder = build_encoder("resnet18-imagenet", "seed:0", preprocessing=SMALL)
    planes_first = images.permute(0, 3, 1, 2).contiguous()
    torch.testing.assert_close(
        encoder.encode(images), encoder.encode(planes_first), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    "batch",
    [
        torch.zeros(1, 64, 64, 3),
        torch.zeros(64, 64, 3, dtype=torch.uint8),
        torch.zeros(1, 64, 64, 1, dtype=torch.uint8),
    ],
    ids=["float", "no batch", "one channel"],
)
def test_batches_of_another_kind_are_refused(batch: Tensor) -> None:
    encoder = build_encoder("resnet18-imagenet", "seed:0", preprocessing=SMALL)
    with pytest.raises(EncoderError, match=r"expected uint8 .* found .*; prepare"):
        encoder.encode(batch)


def test_a_seed_gives_the_same_weights_and_another_seed_others() -> None:
    one, same, other = (
        build_encoder("dsnn", f"seed:{number}").model.state_dict() for number in (4, 4, 5)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["trunk1.conv1.weight"], other["trunk1.conv1.weight"])


def test_threads_that_build_at_once_do_not_mix_their_seeds() -> None:
    seeds = [1, 2, 3, 4] * 2
    alone = {seed: build_encoder("resnet18-imagenet", f"seed:{seed}").model for seed in {*seeds}}
    with ThreadPoolExecutor(len(seeds)) as pool:
        together = list(
            pool.map(lambda seed: build_encoder("resnet18-imagenet", f"seed:{seed}").model, seeds)
        )
    for seed, model in zip(seeds, together, strict=True):
        expected = alone[seed].state_dict()
        assert all(torch.equal(expected[name], item) for name, item in model.state_dict().items())


def test_building_leaves_the_callers_random_numbers_alone(resnet18_file: Path) -> None:
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    build_encoder("dsnn", "seed:1")
    build_encoder("dsnn", "imagenet", weights_path=resnet18_file)
    assert torch.equal(torch.rand(3), expected)


def test_both_branches_start_from_the_backbone_given(
    resnet18_file: Path, resnet18_state: dict[str, Tensor]
) -> None:
    model = build_encoder("dsnn", str(resnet18_file)).model
    assert isinstance(model, DSNN)
    for name, expected in resnet18_state.items():
        if not name.startswith("fc."):
            assert torch.equal(model.trunk1.state_dict()[name], expected)
            assert torch.equal(model.trunk2.state_dict()[name], expected)


def test_the_origin_names_the_file(resnet18_file: Path) -> None:
    assert build_encoder("dsnn", str(resnet18_file)).init == "weights file resnet18.pth"


def test_safetensors_and_files_without_step_counters_are_read(
    tmp_path: Path, resnet18_state: dict[str, Tensor]
) -> None:
    """torchvision's oldest files lack batch norm's step counters."""
    path = tmp_path / "resnet18.safetensors"
    state = {
        name: tensor
        for name, tensor in resnet18_state.items()
        if not name.endswith("num_batches_tracked")
    }
    save_file(state, path)
    trunk = load_trunk("resnet18", path)
    assert torch.equal(trunk.conv1.weight, resnet18_state["conv1.weight"])


def test_a_bundle_is_a_start_too(tmp_path: Path, images: Tensor) -> None:
    encoder = build_encoder("dsnn", "seed:2", preprocessing=SMALL)
    save_bundle(tmp_path / "bundle", encoder)
    found = build_encoder("dsnn", str(tmp_path / "bundle"))
    assert torch.equal(found.encode(images), encoder.encode(images))
    assert found.init == "untrained, seed:2"
    assert found.bundle_id is not None
    assert found.bundle_id.startswith("dsnn-")
    with pytest.raises(WeightsError, match="holds encoder 'dsnn', not 'dsnn-split'"):
        build_encoder("dsnn-split", str(tmp_path / "bundle"))
    with pytest.raises(WeightsError, match="preprocessing is part of it"):
        build_encoder("dsnn", str(tmp_path / "bundle"), preprocessing=Preprocessing(size=32))


def test_an_unknown_encoder_is_told_the_known_ones() -> None:
    with pytest.raises(EncoderError, match=r"'vgg16' is unknown; use one of dsnn, dsnn-split"):
        build_encoder("vgg16", "seed:0")


def test_imagenet_never_turns_into_a_seed_by_itself() -> None:
    with pytest.raises(WeightsError, match=r"resnet34.* LITHOSCOPE_WEIGHTS_DIR"):
        build_encoder("resnet34-imagenet", "imagenet")


@pytest.mark.parametrize(
    "init",
    [
        "",
        "seed:",
        "seed:-1",
        "seed:1.5",
        f"seed:{2**63}",
        "imagnet",
        "seed:" + "9" * 5000,
        "a" * 5000,
        "a\0b",
    ],
)
def test_inits_that_mean_nothing_are_refused(init: str) -> None:
    with pytest.raises(WeightsError, match=r"imagenet, seed:N \(N from 0, below 2\^63\)") as caught:
        build_encoder("dsnn", init)
    assert len(str(caught.value)) < 400


def test_weights_of_another_network_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "resnet34.pth"
    torch.save(resnet34(weights=None).state_dict(), path)
    with pytest.raises(WeightsError, match=r"not the weights of resnet18 \(layer1.2.* no place"):
        load_trunk("resnet18", path)


@pytest.mark.parametrize(
    ("name", "tensor", "reason"),
    [
        ("conv1.weight", torch.zeros(64, 1, 7, 7), r"shape \(64, 3, 7, 7\), found \(64, 1, 7, 7\)"),
        ("bn1.running_var", torch.full((64,), torch.nan), "not finite"),
        ("bn1.weight", torch.zeros(64, dtype=torch.int64), r"torch\.float32, found torch\.int64"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path,
    resnet18_state: dict[str, Tensor],
    *,
    name: str,
    tensor: Tensor,
    reason: str,
) -> None:
    torch.save({**resnet18_state, name: tensor}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=rf"{name}.*{reason}"):
        load_trunk("resnet18", tmp_path / "odd.pth")


def test_a_missing_tensor_is_named(tmp_path: Path, resnet18_state: dict[str, Tensor]) -> None:
    state = {name: tensor for name, tensor in resnet18_state.items() if name != "bn1.bias"}
    torch.save(state, tmp_path / "short.pth")
    with pytest.raises(WeightsError, match=r"bn1\.bias is missing"):
        load_trunk("resnet18", tmp_path / "short.pth")


class Trap:
    """Unpickling it would make a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return type(self.path).mkdir, (self.path,)


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "trap.pth"
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, path)
    with pytest.raises(WeightsError, match="pickled objects are never run"):
        load_trunk("resnet18", path)
    assert not (tmp_path / "sprung").exists()


def test_files_that_are_no_weights_are_refused_in_one_line(
    tmp_path: Path, resnet18_file: Path
) -> None:
    whole = resnet18_file.read_bytes()
    cases = {
        "empty.pth": b"",
        "text.pth": b"not weights at all",
        "half.pth": whole[: len(whole) // 2],
        "header.safetensors": b"\xff\xff\xff\xff\xff\xff\xff\x7f{" + bytes(100),
        "half.safetensors": np.uint64(1000).tobytes() + b'{"a":',
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    torch.save({"epoch": 3, "state": {}}, tmp_path / "checkpoint.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    names = [*cases, "other.zip", "checkpoint.pth", "list.pth", "absent.pth"]
    for name in names:
        with pytest.raises(WeightsError) as caught:
            load_trunk("resnet18", tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
