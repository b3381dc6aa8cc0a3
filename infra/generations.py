"""Names of what a content is under one way of slicing and preprocessing."""

from __future__ import annotations

import hashlib
import json

_DIGITS = 32


def content_of(etag: str, layout: str) -> str:
    """Name what an object holds: its bytes, and how they are laid out where only we are told.

    Args:
        etag: The object's change token.
        layout: From `infra.stored_scans.layout_of`.
    """
    return f"{etag} {layout}" if layout else etag


def generation_of(content: str, fingerprint: str) -> str:
    """Name a content under one fingerprint: rows of two generations are never mixed.

    Args:
        content: From `content_of`.
        fingerprint: `encoder.preprocess.Preprocessing.fingerprint`, with what else changes the
            slices of a scan.

    Returns:
        32 hexadecimal digits.
    """
    text = json.dumps([content, fingerprint])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_DIGITS]
