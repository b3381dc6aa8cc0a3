"""Which collections are fed with what happens in the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.rollout import filling_collection

if TYPE_CHECKING:
    from infra.site import Site

LIVE = "live"
FILLING = "filling"


def fed_collections(site: Site) -> dict[str, str]:
    """Name the collections that are fed: the live one first, and the one that is being filled.

    Args:
        site: The site.

    Returns:
        `LIVE` or `FILLING`, by collection.

    Raises:
        LithoscopeError: The store or the index is away.
    """
    live = site.index.live()
    filling = filling_collection(site)
    return {name: role for name, role in ((live, LIVE), (filling, FILLING)) if name is not None}
