"""Errors of the vector index."""

from __future__ import annotations

from encoder.errors import LithoscopeError


class VectorIndexError(LithoscopeError):
    """The index refuses what it was given, or what was asked of it."""


class IndexUnavailableError(VectorIndexError):
    """The index does not answer: try again later."""
