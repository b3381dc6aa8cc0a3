"""Which model ``reindex`` takes unasked, and what it says of another one's gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bundle_samples import made_bundle
from encoder.errors import LithoscopeError
from infra.model_versions import FORCED
from ingest_worker.commands.report import Report
from ingest_worker.models import open_target
from ingest_worker.release import gate_note, newest_released
from memory_site import memory_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from infra.model_registry import ModelVersion
    from infra.site import Site

FIRST = "gate: passed: no model is live to compare with"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with memory_site(tmp_path / "home") as site:
        yield site


def publish(site: Site, folder: Path, **provenance: str) -> ModelVersion:
    """Publish a bundle and make its collection; seeds differ by the folder's name."""
    made = made_bundle(folder, seed=int(folder.name), provenance=provenance)
    version = site.models.publish(made)
    open_target(site, version, adopt=False)
    return version


def chosen(site: Site) -> tuple[ModelVersion, list[str]]:
    report = Report("reindex", as_json=True)
    return newest_released(site, report), report.notes


def test_a_model_that_no_gate_measured_is_named_or_not_taken(site: Site, tmp_path: Path) -> None:
    bare = publish(site, tmp_path / "1")
    with pytest.raises(LithoscopeError, match=rf"name the one to index with: {bare.bundle_id}"):
        chosen(site)
    released = publish(site, tmp_path / "2", gate=FIRST)
    newer = publish(site, tmp_path / "3")
    version, notes = chosen(site)
    assert version == released
    (note,) = notes
    assert note.startswith(f"{newer.bundle_id}: passed over: no release gate measured it")
    assert f"`lithoscope reindex {newer.bundle_id}`" in note


def test_a_model_that_was_left_is_not_taken_up_again(site: Site, tmp_path: Path) -> None:
    good, bad = (publish(site, tmp_path / name, gate=FIRST) for name in ("1", "2"))
    site.models.switch(site.index, good)
    assert chosen(site) == (bad, [])
    site.models.switch(site.index, bad)
    assert chosen(site) == (bad, [])  # it is live: its collection is filled
    site.models.switch(site.index, good)
    version, notes = chosen(site)
    assert version == good
    assert "it was live, and was left for another model" in notes[0]


@pytest.mark.parametrize(
    ("provenance", "live", "told"),
    [
        ({"gate": "gate: passed, against dsnn-1", "gate_against": "dsnn-1"}, "dsnn-1", None),
        ({"gate": "in other words", "gate_against": "dsnn-1"}, "dsnn-1", None),
        ({"gate": "words", "gate_against": "dsnn-1"}, "dsnn-2", "with dsnn-1, not with dsnn-2"),
        ({"gate": FIRST, "gate_against": ""}, "dsnn-2", "with no model, not with dsnn-2"),
        ({"gate": FIRST}, "dsnn-2", "its card does not name the model"),
        ({}, "dsnn-2", "no release gate compared it with dsnn-2"),
        ({}, None, None),
    ],
)
def test_a_gate_that_compared_with_another_model_is_told(
    site: Site, tmp_path: Path, provenance: dict[str, str], live: str | None, told: str | None
) -> None:
    note = gate_note(publish(site, tmp_path / "1", **provenance), live)
    assert note is None if told is None else told in str(note)


def test_a_model_that_was_published_by_force_is_named_or_not_taken(
    site: Site, tmp_path: Path
) -> None:
    released = publish(site, tmp_path / "1", gate=FIRST, gate_outcome="first")
    forced = publish(site, tmp_path / "2", gate="gate: forced", gate_outcome=FORCED)
    version, notes = chosen(site)
    assert version == released
    assert f"{forced.bundle_id}: passed over: the release gate refused it" in notes[0]
