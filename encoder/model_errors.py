"""Errors of encoders, of their weights and of bundles."""

from __future__ import annotations

from encoder.errors import LithoscopeError


class EncoderError(LithoscopeError):
    """An encoder that was asked for what it can't do, or gave what is no vector."""


class WeightsError(LithoscopeError):
    """Weights that can't be found, read or put into the network."""


class BundleError(LithoscopeError):
    """A bundle that can't be written, or is refused."""
