"""Two published models: tests of a site, which they name ``site``, take them as a fixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bundle_samples import made_bundle
from ingest_worker.models import open_target

if TYPE_CHECKING:
    from pathlib import Path

    from infra.model_registry import ModelVersion
    from infra.site import Site


@pytest.fixture
def models(site: Site, tmp_path: Path) -> list[ModelVersion]:
    """Two, each with a collection; the first is live."""
    made = (made_bundle(tmp_path / str(seed), seed=seed) for seed in range(2))
    versions = [site.models.publish(folder) for folder in made]
    for version in versions:
        open_target(site, version)
    return versions
