"""Which collections are fed with what happens in the bucket."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from infra.model_versions import ModelRegistryError
from infra.rollout import filling_collection

if TYPE_CHECKING:
    from infra.site import Site

_LOG = logging.getLogger(__name__)

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
    try:
        filling = filling_collection(site)
    except ModelRegistryError as error:  # the live one is fed all the same
        _LOG.warning("%s", error)
        filling = None
    return {name: role for name, role in ((live, LIVE), (filling, FILLING)) if name is not None}
