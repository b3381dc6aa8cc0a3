"""A published model: what its ``model.json`` says, read without loading torch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from encoder.errors import LithoscopeError, one_line
from encoder.metric import Metric
from encoder.preprocess import Preprocessing
from infra.vector_index import collection_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

ID_DIGITS = 12
"""Digits of a bundle's SHA-256 that name it."""

GATE = "gate"
"""Entry of a model's provenance that tells, in words, what the release gate found."""

GATE_OUTCOME = "gate_outcome"
"""Entry that says in a word what it found: ``passed``, ``first`` or `FORCED`."""

FORCED: Final = "forced"
"""A refusal that was overruled: what was published so goes live by its name only."""

GATE_AGAINST = "gate_against"
"""Entry that names the bundle that the gate compared it with; empty where it was none."""

_CHECKSUM = "manifest_sha256"


class ModelRegistryError(LithoscopeError):
    """A model that is not published, or not as it was when it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A published bundle.

    Attributes:
        encoder: Name of the encoder.
        version: First 12 digits of ``sha256``.
        sha256: SHA-256 of everything that its vectors depend on.
        weights_sha256: SHA-256 of its weights file.
        manifest_sha256: SHA-256 of all that its ``model.json`` says.
        dimension: D, length of a vector.
        metric: How vectors are compared.
        init: Where the weights come from, in words.
        provenance: How it came about.
        metrics: Figures of its evaluation.
        fingerprint: Fingerprint of its preprocessing.
        published: When it was, UTC.
    """

    encoder: str
    version: str
    sha256: str
    weights_sha256: str
    manifest_sha256: str
    dimension: int
    metric: Metric
    init: str
    provenance: Mapping[str, str]
    metrics: Mapping[str, float]
    fingerprint: str
    published: datetime

    @property
    def bundle_id(self) -> str:
        """Its name: the encoder's, and the first digits of ``sha256``."""
        return f"{self.encoder}-{self.version}"

    @property
    def collection(self) -> str:
        """Name of the collection that holds its vectors."""
        return collection_name(self.encoder, self.sha256)


def read_version(text: bytes, *, published: datetime) -> ModelVersion:
    """Understand a ``model.json``; whether the network can be built shows when it is loaded.

    Args:
        text: What it holds.
        published: When it was stored.

    Raises:
        ModelRegistryError: It is no manifest, or was changed after it was written.
    """
    try:
        found = _checked(json.loads(text))
        return ModelVersion(
            encoder=str(found["encoder"]),
            version=str(found["sha256"])[:ID_DIGITS],
            sha256=str(found["sha256"]),
            weights_sha256=str(found["weights_sha256"]),
            manifest_sha256=str(found[_CHECKSUM]),
            dimension=int(found["dimension"]),
            metric=Metric(found["metric"]),
            init=str(found["init"]),
            provenance=dict(found["provenance"]),
            metrics=dict(found["metrics"]),
            fingerprint=Preprocessing.from_dict(found["preprocessing"]).fingerprint(),
            published=published,
        )
    except KeyError as error:
        raise ModelRegistryError(f"says nothing of {error}") from error
    except (ValueError, TypeError, RecursionError) as error:
        reason = one_line(error)
        raise ModelRegistryError(f"is no manifest ({reason})") from error
    except ModelRegistryError:
        raise
    except LithoscopeError as error:
        raise ModelRegistryError(str(error)) from error


def _checked(found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    if found[_CHECKSUM] != _digest(found):
        raise ModelRegistryError("was changed after it was written (its checksum differs)")
    return found


def _digest(found: dict[str, Any]) -> str:
    """Hash all but the checksum, as `encoder.bundle_manifest.BundleManifest.digest` does."""
    told = {name: value for name, value in found.items() if name != _CHECKSUM}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
