"""What ``status`` tells of a model that is being brought into use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from infra.coverage_words import counted
from infra.rollout import current_rollout

if TYPE_CHECKING:
    from infra.rollout import Rollout
    from infra.site import Site


class RolloutProgress(NamedTuple):
    """How far a rollout is.

    Attributes:
        rollout: Which.
        is_live: Whether its collection is live already, and only caught up.
        indexed: Scans that its collection has.
    """

    rollout: Rollout
    is_live: bool
    indexed: int

    def text(self, scans: int) -> str:
        """Say it in a line.

        Args:
            scans: Number of scans in the bucket.
        """
        name, share = self.rollout.model, f"{self.indexed:,} of {counted(scans, 'scan')} indexed"
        if self.is_live:
            return f"{name} is live, and is caught up in the background: {share}"
        return f"{name} is filled in the background: {share}; it goes live when none is missing"

    def facts(self) -> dict[str, Any]:
        """Give what programs are told."""
        return {
            "model": self.rollout.model,
            "collection": self.rollout.collection,
            "since": self.rollout.since.isoformat(),
            "is_live": self.is_live,
            "indexed": self.indexed,
        }


def rollout_progress(site: Site) -> RolloutProgress | None:
    """Look how far the rollout is; None where there is none.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    rollout = current_rollout(site.objects)
    if rollout is None or rollout.collection not in site.index.collections():
        return None
    return RolloutProgress(
        rollout=rollout,
        is_live=site.index.live() == rollout.collection,
        indexed=site.index.open(rollout.collection).count_scans(),
    )
