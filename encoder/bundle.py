"""Bundles: an encoder made durable, in a folder of two files.

``weights.safetensors`` holds the tensors; ``model.json`` says what they are: encoder, architecture
with property scalers and fusion, preprocessing, dimension, metric, origin, figures and checksums.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from safetensors import SafetensorError
from safetensors.torch import save_file

from encoder.bundle_manifest import (
    ID_DIGITS,
    MANIFEST_BYTES_MAX,
    SCHEMA_VERSION,
    BundleManifest,
    one_line,
    parse_manifest,
)
from encoder.model_errors import BundleError, WeightsError
from encoder.neural_encoder import NeuralEncoder
from encoder.preprocess import Preprocessing
from encoder.registry import build_model
from encoder.state_files import fit_state, is_safetensors, read_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader

    from torch import Tensor

    from encoder.embedding_model import EmbeddingModel

MANIFEST_NAME = "model.json"
WEIGHTS_NAME = "weights.safetensors"

_PICKLE_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}


def save_bundle(
    folder: Path,
    encoder: NeuralEncoder,
    *,
    provenance: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> BundleManifest:
    """Write an encoder as a bundle. The folder appears whole or not at all.

    Args:
        folder: Folder to make; it must not exist yet: bundles are never changed.
        encoder: What to write.
        provenance: How it came about; None for the encoder's own.
        metrics: Figures of its evaluation; None for the encoder's own.

    Returns:
        What was written into ``model.json``.

    Raises:
        BundleError: The folder exists or can't be written, or what was to be written would be
            refused when it is loaded: weights that aren't finite, a name that the architecture
            may not bear, figures that are no finite numbers.
    """
    if folder.exists():
        raise BundleError(f"{folder}: exists already, and bundles are never changed; name another")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        _write_weights(partial / WEIGHTS_NAME, encoder)
        text = _manifest_text(
            encoder,
            weights_sha256=_file_sha256(partial / WEIGHTS_NAME),
            provenance=encoder.provenance if provenance is None else provenance,
            metrics=encoder.metrics if metrics is None else metrics,
        )
        _write_durably(partial / MANIFEST_NAME, text)
        manifest = parse_manifest(folder, text.encode())
        _read_model(partial, manifest)
        partial.chmod(0o755)  # mkdtemp's folders are the owner's alone
        partial.rename(folder)
    except (OSError, SafetensorError) as error:
        raise _unwritable(folder, error) from error
    except WeightsError as error:
        raise BundleError(f"{folder}: not written: {error}; check the model's weights") from error
    except ValidationError as error:
        raise BundleError(f"{folder}: not written: {one_line(error)}; correct it") from error
    except (PydanticSerializationError, UnicodeError) as error:
        raise BundleError(f"{folder}: not written: {error}; give plain numbers and text") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def load_bundle(folder: Path) -> NeuralEncoder:
    """Read an encoder from a bundle, checking all that ``verify_bundle`` does, and every shape.

    Args:
        folder: The bundle.

    Returns:
        The encoder on the CPU, in evaluation mode; its vectors are those of the one saved.

    Raises:
        BundleError: The bundle is refused; the text tells why.
    """
    manifest = verify_bundle(folder)
    try:
        model = _read_model(folder, manifest)
    except WeightsError as error:
        raise BundleError(
            f"{folder}: weights don't fit the architecture ({error}); publish the model again"
        ) from error
    return NeuralEncoder(
        name=manifest.encoder,
        model=model,
        preprocessing=Preprocessing.from_dict(manifest.preprocessing),
        init=manifest.init,
        bundle_id=manifest.bundle_id,
        provenance=manifest.provenance,
        metrics=manifest.metrics,
    )


def verify_bundle(folder: Path) -> BundleManifest:
    """Check a bundle without building its network.

    Args:
        folder: The bundle.

    Returns:
        Its manifest.

    Raises:
        BundleError: A file is missing or unreadable, the layout is of a newer release, the
            encoder is unknown, a checksum differs, or weights are pickled.
    """
    _refuse_pickles(folder)
    path = folder / MANIFEST_NAME
    try:
        with _open_regular(path) as file:
            text = file.read(MANIFEST_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder}: no bundle, {MANIFEST_NAME} is missing; name the folder that holds it"
        ) from error
    except OSError as error:
        raise BundleError(
            f"{path}: can't be read ({error.strerror}); fetch the bundle again"
        ) from error
    manifest = parse_manifest(path, text)
    _check_weights_file(folder, manifest)
    return manifest


def _read_model(folder: Path, manifest: BundleManifest) -> EmbeddingModel[Any]:
    """Build the network that a manifest tells of, with the weights beside it."""
    with torch.device("meta"):  # shapes only: nothing is drawn
        model = build_model(manifest.architecture)
    state = fit_state(model.state_dict(), read_state(folder / WEIGHTS_NAME))
    model.load_state_dict(state, assign=True)
    return model


def _check_weights_file(folder: Path, manifest: BundleManifest) -> None:
    path = folder / WEIGHTS_NAME
    try:
        with _open_regular(path) as file:
            head = file.read(16)
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(
            f"{path}: can't be read ({error.strerror}); fetch the bundle again"
        ) from error
    # A safetensors file may begin with any two bytes: they are its header's length.
    is_pickle = head[:2] == b"PK" or head[:1] == b"\x80"
    if is_pickle and not is_safetensors(head):
        raise BundleError(
            f"{path}: holds a pickle, which could run code; only safetensors are read: "
            "publish the model again"
        )
    if found != manifest.weights_sha256:
        raise BundleError(
            f"{path}: damaged (SHA-256 expected {manifest.weights_sha256[:ID_DIGITS]}…, "
            f"found {found[:ID_DIGITS]}…); fetch the bundle again"
        )
    if not is_safetensors(head):
        raise BundleError(f"{path}: expected safetensors, found else; publish the model again")


def _open_regular(path: Path) -> BufferedReader:
    """Open a file of a bundle, never by a link out of the folder, nor a pipe, which would block."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BundleError(
            f"{path}: expected a regular file, found a link, folder or pipe; fetch the bundle again"
        )
    return path.open("rb")


def _refuse_pickles(folder: Path) -> None:
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; name the folder of a bundle")
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise BundleError(f"{folder}: can't be read ({error.strerror}); allow it") from error
    for path in paths:
        if path.suffix.lower() in _PICKLE_SUFFIXES:
            raise BundleError(
                f"{path}: pickled weights could run code and are refused; "
                "a bundle holds safetensors: publish the model again"
            )


def _manifest_text(
    encoder: NeuralEncoder,
    *,
    weights_sha256: str,
    provenance: Mapping[str, str],
    metrics: Mapping[str, float],
) -> str:
    manifest = BundleManifest(
        schema_version=SCHEMA_VERSION,
        encoder=encoder.name,
        architecture=encoder.architecture,
        preprocessing=encoder.preprocessing.to_dict(),
        dimension=encoder.dimension,
        metric=encoder.metric,
        init=encoder.init,
        provenance=dict(provenance),
        metrics=dict(metrics),
        weights_sha256=weights_sha256,
        sha256="0" * 64,
        manifest_sha256="0" * 64,
    )
    return manifest.signed().model_dump_json(indent=2) + "\n"


def _write_weights(path: Path, encoder: NeuralEncoder) -> None:
    state: dict[str, Tensor] = {
        # Copied: tensors that share memory, as tied weights do, are no safetensors.
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in encoder.model.state_dict().items()
    }
    save_file(state, path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unwritable(folder: Path, error: OSError | SafetensorError) -> BundleError:
    reason = getattr(error, "strerror", None) or error
    return BundleError(
        f"{folder}: can't be written ({reason}); "
        "name a folder that can be made, on a disk with room"
    )
