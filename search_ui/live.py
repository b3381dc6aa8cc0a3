"""The collection that searches are about, and its model: looked up as seldom as it takes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.model_versions import ModelRegistryError, ModelVersion
from search_ui.catalogue import Catalogue
from search_ui.requests import NOTHING_LIVE, SearchError

if TYPE_CHECKING:
    from infra.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """A collection's model.

    Attributes:
        version: The model; None where it is not published.
        problem: Then, why.
    """

    version: ModelVersion | None
    problem: str

    def required(self) -> ModelVersion:
        """The model, to encode with.

        Raises:
            SearchError: It is not published.
        """
        if self.version is None:
            raise SearchError(f"{self.problem}; until then, ask by object key")
        return self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A collection, as long as it is the one that searches are about.

    Attributes:
        catalogue: What is in it.
        model: What its vectors are made by.
    """

    catalogue: Catalogue
    model: LiveModel


class LiveCollection:
    """The collection that the alias names, or one that is named for good. Any thread may ask."""

    def __init__(self, site: Site, name: str | None = None) -> None:
        """Look at a site.

        Args:
            site: The installation.
            name: The collection; None for whichever is live.
        """
        self._site = site
        self._name = name
        self._lock = threading.Lock()
        self._opened: Live | None = None

    def current(self) -> Live:
        """The collection: another one than before as soon as the alias is switched.

        Raises:
            SearchError: No collection is live.
        """
        name = self._name or self._site.index.live()
        if name is None:
            raise SearchError(NOTHING_LIVE)
        with self._lock:
            opened = self._opened
            if opened is not None and opened.catalogue.collection.name == name:
                if opened.model.version is not None:
                    return opened
                catalogue = opened.catalogue
            else:
                catalogue = Catalogue(self._site.index.open(name))
            self._opened = Live(catalogue=catalogue, model=self._model(name))
            return self._opened

    def _model(self, collection: str) -> LiveModel:
        try:
            return LiveModel(version=self._site.models.of_collection(collection), problem="")
        except ModelRegistryError as error:  # one that is mended is found by the next search
            return LiveModel(version=None, problem=str(error))
