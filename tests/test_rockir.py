"""``models import-rockir``: checkpoints as RockIR makes them, against torchvision and its heads."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18  # type: ignore[import-untyped]  # ships no types
from typer.testing import CliRunner

from encoder.bundle import load_bundle
from encoder.dsnn import DSNN, BranchFeatures
from encoder.model_errors import WeightsError
from encoder.neural_encoder import standardise
from encoder.rockir import find_checkpoint, import_rockir
from infra.cli import app
from infra.folder_store import FolderStore
from infra.settings import Settings
from infra.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = ("epoch", "rock_epoch", "siam_epoch", "reg_epoch")

_State = OrderedDict[str, Tensor]


def backbone(seed: int) -> nn.Module:
    """ResNet-18 whose statistics were moved, as training moves them."""
    torch.manual_seed(seed)
    network: nn.Module = resnet18(weights=None)
    network.train()(torch.randn(4, 3, 64, 64))
    return network.eval()


class Heads(nn.Module):
    """RockIR's gate and pair classifiers, by its names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc_out, self.fc_out_image, self.fc_out_rock = (
            nn.Sequential(nn.Linear(512, 1), nn.Sigmoid()) for _ in range(3)
        )
        self.fc_fusion = nn.Sequential(nn.Linear(1024, 32), nn.ReLU())
        self.fc_fusion2 = nn.Sequential(nn.Linear(32, 16), nn.ReLU())
        self.fc_fusion3 = nn.Sequential(nn.Linear(16, 2), nn.ReLU())


class Regression(nn.Module):
    """RockIR's regression head, by its names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(512, 64), nn.ReLU())
        self.out_por = nn.Sequential(nn.Linear(64, 1))
        self.out_perm = nn.Sequential(nn.Linear(64, 1))

    def forward(self, pooled: Tensor) -> Tensor:
        hidden = self.fc(pooled)
        return torch.cat([self.out_por(hidden), self.out_perm(hidden)], dim=1)


class RockIR:
    """What RockIR trains, and how it saves that."""

    def __init__(self) -> None:
        self.image, self.rock = backbone(1), backbone(2)
        torch.manual_seed(3)
        self.heads, self.regression = Heads().eval(), Regression().eval()

    def states(self, prefix: str = "module.") -> dict[str, _State]:
        modules = (
            nn.Sequential(*list(self.image.children())[:-2]),
            nn.Sequential(*list(self.rock.children())[:-2]),
            self.heads,
            self.regression,
        )
        return {
            part: OrderedDict((prefix + name, value) for name, value in module.state_dict().items())
            for part, module in zip(PARTS, modules, strict=True)
        }

    def save(self, folder: Path, epoch: int = 920, *, prefix: str = "module.") -> Path:
        folder.mkdir(exist_ok=True)
        for part, state in self.states(prefix).items():
            torch.save(state, folder / f"{part}-{epoch}.pt")
        return folder


@pytest.fixture(scope="module")
def rockir() -> RockIR:
    return RockIR()


@pytest.fixture(scope="module")
def saved(rockir: RockIR, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An epoch's files, to be read only."""
    return rockir.save(tmp_path_factory.mktemp("rockir"), 10)


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """The same, each to be replaced, but not to be written into."""
    linked = tmp_path / "saved"
    linked.mkdir()
    for path in saved.iterdir():
        (linked / path.name).hardlink_to(path)
    return linked


def pooled(network: nn.Module, images: Tensor) -> Tensor:
    """torchvision's own features: what its classifier is given."""
    found: list[Tensor] = []
    hook = network.get_submodule("fc").register_forward_pre_hook(
        lambda _, given: found.append(given[0])
    )
    network(images)
    hook.remove()
    return found[0]


@pytest.mark.parametrize("prefix", ["module.", ""])
@torch.inference_mode()
def test_encodes_and_predicts_as_rockir_does(tmp_path: Path, rockir: RockIR, prefix: str) -> None:
    folder = rockir.save(tmp_path / "saved", prefix=prefix)
    encoder = import_rockir(find_checkpoint(folder))
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    images = (pixels.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5  # ToTensor, Normalize(0.5, 0.5)
    prepared = standardise(pixels, encoder.preprocessing)
    torch.testing.assert_close(prepared, images, rtol=0, atol=1e-6)
    looks, behaves = pooled(rockir.image, images), pooled(rockir.rock, images)
    model = encoder.model
    assert isinstance(model, DSNN)
    features = model.features(images)
    torch.testing.assert_close(features.f1, looks, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(features.f2, behaves, rtol=1e-5, atol=1e-5)
    unit = (nn.functional.normalize(looks, dim=1) + nn.functional.normalize(behaves, dim=1)) / 2
    torch.testing.assert_close(encoder.encode(pixels), unit, rtol=1e-4, atol=1e-6)
    porosity, permeability = rockir.regression(behaves).double().T
    predicted = model.predict(features, 5.0)
    assert predicted.porosity is not None
    assert predicted.permeability_md is not None
    torch.testing.assert_close(predicted.porosity, porosity.clamp(0, 1), rtol=1e-4, atol=1e-5)
    millidarcy = 10 ** (5 * permeability) * 25.0
    torch.testing.assert_close(predicted.permeability_md, millidarcy, rtol=1e-3, atol=0)
    assert model.predict(features).permeability_md is None


@torch.inference_mode()
def test_pair_heads_are_a_start(saved: Path, rockir: RockIR) -> None:
    """On pooled vectors, without the gate's last ReLU: what docs/encoders.md says."""
    model = import_rockir(find_checkpoint(saved)).model
    assert isinstance(model, DSNN)
    torch.manual_seed(5)
    a, b = (BranchFeatures(torch.randn(4, 512), torch.randn(4, 512)) for _ in range(2))
    told = model.compare(a, b)
    heads = rockir.heads
    w1, w2 = (a.f1 - b.f1).abs(), (a.f2 - b.f2).abs()
    hidden = heads.fc_fusion2(heads.fc_fusion(torch.cat([w1, w2], dim=1)))
    gate = heads.fc_fusion3[0](hidden).softmax(dim=1)
    fused = (gate[:, :1] * w1 + gate[:, 1:] * w2) / 2
    for ours, theirs in (
        (told.gate, gate),
        (told.z.sigmoid(), heads.fc_out(fused)[:, 0]),
        (told.z1.sigmoid(), heads.fc_out_image(w1)[:, 0]),
        (told.z2.sigmoid(), heads.fc_out_rock(w2)[:, 0]),
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def touch(folder: Path, *epochs: int, without: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    for epoch in epochs:
        for part in PARTS:
            if part != without:
                (folder / f"{part}-{epoch}.pt").touch()
    return folder


def test_newest_complete_epoch(tmp_path: Path) -> None:
    folder = touch(tmp_path / "saved", 90, 920)
    touch(folder, 1000, without="rock_epoch")
    (folder / "notes.txt").touch()
    found = find_checkpoint(folder)
    assert found.epoch == 920
    assert found.files == {part: folder / f"{part}-920.pt" for part in PARTS}
    assert find_checkpoint(folder, 90).epoch == 90
    with pytest.raises(WeightsError, match=r"lacks rock_epoch-1000\.pt; .*: epoch 90, 920"):
        find_checkpoint(folder, 1000)


def test_missing_files_are_named_in_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    with pytest.raises(WeightsError, match="can't be listed"):
        find_checkpoint(folder)
    folder.mkdir()
    with pytest.raises(WeightsError, match="no checkpoint of RockIR; expected epoch-N"):
        find_checkpoint(folder)
    for part in ("siam_epoch", "reg_epoch"):
        (folder / f"{part}-920.pt").touch()
    with pytest.raises(WeightsError, match=r"920 lacks epoch-920\.pt, rock_epoch-920\.pt; put"):
        find_checkpoint(folder)


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def without(state: _State, name: str) -> _State:
    return OrderedDict((key, value) for key, value in state.items() if key != name)


def cut(path: Path, _: _State) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def hollow(path: Path, _: _State) -> None:
    with path.open("r+b") as file:
        file.truncate(257 << 20)


def packed(path: Path, _: _State) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(300 << 20))


SPOILT: dict[str, tuple[str, Callable[[Path, _State], object], str]] = {
    "a tensor": ("reg_epoch", lambda path, _: torch.save(torch.zeros(3), path), "found a Tensor"),
    "a whole model": ("reg_epoch", lambda path, _: torch.save(Regression(), path), "never run"),
    "a number": (
        "reg_epoch",
        lambda path, state: torch.save(OrderedDict(state, epoch=3), path),
        "found 'epoch': int",
    ),
    "half a prefix": (
        "siam_epoch",
        lambda path, state: torch.save(
            OrderedDict(
                {name.replace("module.fc_out.", "fc_out."): v for name, v in state.items()}
            ),
            path,
        ),
        "fc_out.0.weight lacks the prefix 'module.'",
    ),
    "a tensor less": (
        "epoch",
        lambda path, state: torch.save(without(state, "module.4.1.conv2.weight"), path),
        "4.1.conv2.weight is missing",
    ),
    "another shape": (
        "rock_epoch",
        lambda path, state: torch.save(
            OrderedDict(state, **{"module.0.weight": torch.zeros(64, 1, 7, 7)}), path
        ),
        r"0.weight: expected shape \(64, 3, 7, 7\), found \(64, 1, 7, 7\)",
    ),
    "not finite": (
        "reg_epoch",
        lambda path, state: torch.save(
            OrderedDict(state, **{"module.fc.0.bias": torch.full((64,), torch.nan)}), path
        ),
        "fc.0.bias holds numbers that are not finite",
    ),
    "the wrong file": (
        "reg_epoch",
        lambda path, _: torch.save(Heads().state_dict(), path),
        "not what RockIR saves under this name",
    ),
    "cut off": ("epoch", cut, "not a file of plain tensors"),
    "too large": ("epoch", hollow, "holds 257 MiB"),
    "too large unpacked": ("siam_epoch", packed, "holds 300 MiB"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_wrong_files_are_refused_in_a_line(
    folder: Path, saved: Path, rockir: RockIR, spoilt: str
) -> None:
    part, spoil, words = SPOILT[spoilt]
    path = folder / f"{part}-10.pt"
    path.unlink()
    shutil.copyfile(saved / path.name, path)
    spoil(path, rockir.states()[part])
    with pytest.raises(WeightsError, match=words) as refused:
        import_rockir(find_checkpoint(folder))
    assert f"{part}-10.pt" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_code_in_a_pickle_is_not_run(tmp_path: Path, folder: Path) -> None:
    planted = tmp_path / "planted"
    (folder / "reg_epoch-10.pt").unlink()
    torch.save({"module.fc.0.weight": Planted(planted)}, folder / "reg_epoch-10.pt")
    with pytest.raises(WeightsError, match="pickled objects are never run"):
        import_rockir(find_checkpoint(folder))
    assert not planted.exists()
    (folder / "reg_epoch-10.pt").unlink()
    (folder / "reg_epoch-10.pt").mkdir()
    with pytest.raises(WeightsError, match="no regular file"):
        import_rockir(find_checkpoint(folder))


def test_the_command_publishes(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("LITHOSCOPE_HOME", str(home))
    done = CliRunner().invoke(app, ["models", "import-rockir", str(folder)])
    assert done.exit_code == 0, done.output
    with Site(Settings(home=home), FolderStore(home / "bucket")) as site:
        (version,) = site.models.versions()
        encoder = load_bundle(site.models.fetch(version))
    assert f"lithoscope ingest PATH --encoder {version.bundle_id}" in done.output
    assert (encoder.name, encoder.init) == ("dsnn", "RockIR, epoch 10")
    assert (encoder.preprocessing.size, encoder.preprocessing.window) == (224, "none")
    assert "before its softmax" in encoder.provenance["notes"]
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    ours = import_rockir(find_checkpoint(folder)).encode(pixels)
    torch.testing.assert_close(encoder.encode(pixels), ours, rtol=0, atol=0)
    missing = CliRunner().invoke(app, ["models", "import-rockir", str(folder), "--epoch", "40"])
    assert missing.exit_code != 0
    assert "epoch 40 lacks epoch-40.pt, rock_epoch-40.pt" in str(missing.exception)
