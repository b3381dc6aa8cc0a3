"""Bundles that were damaged, changed or made to harm are refused, and say why."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from encoder.bundle import load_bundle, verify_bundle
from encoder.bundle_manifest import BundleManifest
from encoder.model_errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest_plugins = ["bundle_samples"]


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = bundle / "model.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def resigned(bundle: Path) -> None:
    """Make the checksums right again, as one would who writes such a bundle on purpose."""

    path = bundle / "model.json"
    content = json.loads(path.read_text())
    content["weights_sha256"] = hashlib.sha256(
        (bundle / "weights.safetensors").read_bytes()
    ).hexdigest()
    path.write_text(BundleManifest.model_validate(content).signed().model_dump_json())


def test_a_future_schema_asks_for_an_upgrade(bundle: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["schema_version"] = 2
        manifest["quantisation"] = "int4"

    edit(bundle, change)
    with pytest.raises(BundleError, match=r"schema 2 is newer than 1.*upgrade Lithoscope"):
        load_bundle(bundle)


def test_a_flipped_bit_in_the_weights_is_found(bundle: Path) -> None:
    path = bundle / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"weights\.safetensors: damaged \(SHA-256 expected"):
        verify_bundle(bundle)


def test_truncated_weights_are_found(bundle: Path) -> None:
    path = bundle / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BundleError, match="damaged"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "pytorch_model.bin"])
def test_pickled_files_beside_the_weights_are_refused(bundle: Path, name: str) -> None:
    (bundle / name).write_bytes(b"anything")
    with pytest.raises(BundleError, match=rf"{name}: pickled weights"):
        load_bundle(bundle)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickle_under_the_name_of_safetensors_is_refused(bundle: Path, *, legacy: bool) -> None:
    path = bundle / "weights.safetensors"
    torch.save({"weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(BundleError, match="holds a pickle"):
        load_bundle(bundle)


def test_weights_of_other_shapes_are_refused_with_the_tensor(bundle: Path) -> None:
    path = bundle / "weights.safetensors"
    state = load_file(path)
    state["classifier.weight"] = torch.zeros(2, 512)
    save_file(state, path)
    resigned(bundle)
    verify_bundle(bundle)
    with pytest.raises(
        BundleError, match=r"classifier\.weight: expected shape \(1, 512\), found \(2, 512\)"
    ):
        load_bundle(bundle)


def test_weights_that_are_not_finite_are_refused(bundle: Path) -> None:
    path = bundle / "weights.safetensors"
    state = load_file(path)
    state["trunk2.bn1.bias"][3] = torch.inf
    save_file(state, path)
    resigned(bundle)
    with pytest.raises(BundleError, match=r"trunk2\.bn1\.bias holds numbers that are not finite"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoder": "dsnn2"}, "encoder 'dsnn2' is unknown; use one of dsnn"),
        ({"encoder": "dsnn-split"}, "are not those of 'dsnn-split'"),
        ({"dimension": 256}, "architecture, dimension or metric"),
        ({"metric": "IP"}, "architecture, dimension or metric"),
        ({"metric": "manhattan"}, "metric: Input should be 'L2' or 'IP'"),
        ({"weights_sha256": "../../etc"}, "weights_sha256: String should match"),
        ({"init": 3, "surprise": 1}, r"init: .*; surprise: "),
        ({"schema_version": "1"}, "schema_version must be a number"),
        ({"preprocessing": {"size": 64}}, "preprocessing settings"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_manifests_that_make_no_sense_are_refused_with_the_reason(
    bundle: Path, change: dict[str, Any], reason: str
) -> None:
    edit(bundle, lambda manifest: manifest.update(change))
    with pytest.raises(BundleError, match=reason) as caught:
        load_bundle(bundle)
    assert "model.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_changed_fusion_is_noticed(bundle: Path) -> None:
    """The weights' checksum is right, but vectors would be others under the same name."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["architecture"]["fusion"] = "mean-normalised"

    edit(bundle, change)
    with pytest.raises(BundleError, match="was changed after it was written"):
        load_bundle(bundle)


def test_folders_that_are_no_bundles_are_told_apart(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        load_bundle(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"no bundle, model\.json is missing"):
        load_bundle(tmp_path / "empty")
    (bundle / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match=r"weights\.safetensors: can't be read"):
        load_bundle(bundle)
    (bundle / "model.json").write_text("{")
    with pytest.raises(BundleError, match=r"model\.json: no JSON"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"init": "ImageNet"}, "was changed"),
        ({"provenance": {"revision": "fedc321"}}, "was changed"),
        ({"metrics": {"map_at_10": 0.99}}, "was changed"),
    ],
    ids=["origin", "provenance", "figures"],
)
def test_what_is_told_about_a_bundle_can_not_be_changed_unnoticed(
    bundle: Path, change: dict[str, Any], reason: str
) -> None:
    edit(bundle, lambda manifest: manifest.update(change))
    with pytest.raises(BundleError, match=reason):
        verify_bundle(bundle)


@pytest.mark.parametrize("first", [b"\x80\x80", b"PK"], ids=["pickle's", "zip's"])
def test_a_header_whose_length_looks_like_a_pickle_is_none(bundle: Path, first: bytes) -> None:
    """A header may be filled up with blanks to any length."""
    path = bundle / "weights.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    longer = (1 << 16) + int.from_bytes(first, "little")
    path.write_bytes(longer.to_bytes(8, "little") + content[8:end].ljust(longer) + content[end:])
    assert path.read_bytes().startswith(first)
    resigned(bundle)
    assert load_bundle(bundle).name == "dsnn"


def test_weights_that_are_no_safetensors_are_called_so(bundle: Path) -> None:
    (bundle / "weights.safetensors").write_bytes(b"not weights at all")
    resigned(bundle)
    with pytest.raises(BundleError, match="expected safetensors"):
        verify_bundle(bundle)


def test_numbers_too_large_for_the_network_are_refused(bundle: Path) -> None:
    path = bundle / "weights.safetensors"
    state = load_file(path)
    state["gate.0.bias"] = torch.full((32,), 1e300, dtype=torch.float64)
    save_file(state, path)
    resigned(bundle)
    with pytest.raises(BundleError, match=r"gate\.0\.bias .* not finite as torch\.float32"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 200_000, "no JSON"),
        ('{"schema_version": 1, "a": ' + '{"a":' * 100_000, "no JSON"),
        ('{"schema_version": 1}' + " " * (1 << 20), "larger than 1048576 bytes"),
    ],
    ids=["brackets", "braces", "large"],
)
def test_manifests_made_to_harm_are_refused(bundle: Path, text: str, reason: str) -> None:
    (bundle / "model.json").write_text(text)
    with pytest.raises(BundleError, match=reason):
        load_bundle(bundle)


def test_a_size_that_fits_no_memory_is_refused(bundle: Path) -> None:
    edit(bundle, lambda manifest: manifest["preprocessing"].update(size=10**9))
    with pytest.raises(BundleError, match="size must be from 1 to 4096"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_links_and_pipes_are_no_part_of_a_bundle(bundle: Path, tmp_path: Path, name: str) -> None:
    (bundle / name).rename(tmp_path / "elsewhere")
    (bundle / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=rf"{name}: expected a regular file"):
        load_bundle(bundle)
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    with pytest.raises(BundleError, match=rf"{name}: expected a regular file"):
        load_bundle(bundle)
