"""What can be wrong with a native stack."""

from __future__ import annotations

from encoder.errors import LithoscopeError


class NativeStackError(LithoscopeError):
    """A stack that can't be started, found or stopped."""


class ComposeFileError(NativeStackError):
    """A compose file that can't be used here."""


class MissingProgramError(NativeStackError):
    """A server's program that is not on this machine."""
