"""``model.json``: what a bundle says of its weights."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from encoder.errors import LithoscopeError
from encoder.metric import Metric
from encoder.model_errors import BundleError
from encoder.preprocess import Preprocessing
from encoder.registry import Architecture, find_entry

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 1
ID_DIGITS = 12
MANIFEST_BYTES_MAX = 1 << 20

_SHA256 = r"^[0-9a-f]{64}$"


class BundleManifest(BaseModel):
    """What ``model.json`` says.

    Attributes:
        schema_version: Version of this layout.
        encoder: Name in the registry.
        architecture: What the network is made of, property scalers included.
        preprocessing: How slices are made for it, as ``Preprocessing.to_dict`` tells.
        dimension: D, length of a vector.
        metric: How vectors are compared.
        init: Where the weights come from, in words.
        provenance: How it came about: code revision, configuration, data.
        metrics: Figures of its evaluation.
        weights_sha256: SHA-256 of the weights file.
        sha256: SHA-256 of everything that vectors depend on (``identity``).
        manifest_sha256: SHA-256 of all the other fields (``digest``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int
    encoder: str
    architecture: Architecture
    preprocessing: dict[str, Any]
    dimension: int
    metric: Metric
    init: str
    provenance: dict[str, str] = Field(default_factory=dict)
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict)
    weights_sha256: str = Field(pattern=_SHA256)
    sha256: str = Field(pattern=_SHA256)
    manifest_sha256: str = Field(pattern=_SHA256)

    @property
    def bundle_id(self) -> str:
        """Name of the bundle: the encoder's, and the first 12 digits of ``sha256``."""
        return f"{self.encoder}-{self.sha256[:ID_DIGITS]}"

    def identity(self) -> str:
        """Hash everything that vectors and predictions depend on.

        The same weights fused or preprocessed otherwise give other vectors, so they are another
        bundle; what is merely told about it (origin, figures) changes nothing.
        """
        return _hash(self, {"encoder", "architecture", "preprocessing", "weights_sha256"})

    def digest(self) -> str:
        """Hash all fields but the digest: origin and figures are trusted too where they are shown.

        It finds damage and careless editing; who changes a bundle on purpose can hash it anew.
        """
        return _hash(self, set(BundleManifest.model_fields) - {"manifest_sha256"})

    def signed(self) -> BundleManifest:
        """Return a copy whose two checksums are right."""
        known = self.model_copy(update={"sha256": self.identity()})
        return known.model_copy(update={"manifest_sha256": known.digest()})


def parse_manifest(path: Path, text: bytes) -> BundleManifest:
    """Understand a ``model.json``.

    Args:
        path: Where it was read, for messages.
        text: What it holds.

    Returns:
        The manifest: its names, its dimension and its checksum agree with each other.

    Raises:
        BundleError: It is of a newer release, damaged, changed, or of an unknown encoder.
    """
    if len(text) > MANIFEST_BYTES_MAX:
        raise BundleError(
            f"{path}: larger than {MANIFEST_BYTES_MAX} bytes, no manifest; fetch the bundle again"
        )
    try:
        content = json.loads(text)
        _check_version(path, content)
        manifest = BundleManifest.model_validate(content)
        _check_meaning(path, manifest)
    except ValidationError as error:
        raise BundleError(f"{path}: {one_line(error)}; fetch the bundle again") from error
    except (ValueError, RecursionError) as error:  # the latter: brackets within brackets
        raise BundleError(f"{path}: no JSON ({error}); fetch the bundle again") from error
    return manifest


def _check_version(path: Path, content: object) -> None:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleError(
            f"{path}: schema_version must be a number from 1, found {version!r}; "
            "fetch the bundle again"
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: schema {version} is newer than {SCHEMA_VERSION}, the newest that this "
            "version of Lithoscope knows; upgrade Lithoscope"
        )


def _check_meaning(path: Path, manifest: BundleManifest) -> None:
    try:
        entry = find_entry(manifest.encoder)
        Preprocessing.from_dict(manifest.preprocessing)
    except LithoscopeError as error:
        raise BundleError(f"{path}: {error}") from error
    architecture = manifest.architecture
    stated = (manifest.dimension, manifest.metric)
    if not entry.admits(architecture) or stated != (architecture.dimension, architecture.metric):
        raise BundleError(
            f"{path}: architecture, dimension or metric are not those of {manifest.encoder!r}; "
            "publish the model again"
        )
    if (manifest.identity(), manifest.digest()) != (manifest.sha256, manifest.manifest_sha256):
        raise BundleError(
            f"{path}: was changed after it was written (its checksum differs); "
            "fetch the bundle again"
        )


def _hash(manifest: BundleManifest, names: set[str]) -> str:
    """Hash some fields as JSON in one fixed form."""
    text = json.dumps(
        manifest.model_dump(mode="json", include=names), sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


def one_line(error: ValidationError) -> str:
    """Tell all problems of a manifest at once."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors()
    )
