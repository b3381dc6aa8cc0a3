"""Errors of training runs."""

from __future__ import annotations

from encoder.errors import LithoscopeError


class TrainingError(LithoscopeError):
    """A run that can't begin, go on or be resumed."""


class NotFiniteError(TrainingError):
    """A number that is none, in the data or in what the network makes of it: the run is stopped."""


class CheckpointError(TrainingError):
    """A checkpoint that can't be written or read."""
