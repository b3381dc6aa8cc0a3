"""Names of what a content is under one way of slicing and preprocessing."""

from __future__ import annotations

import hashlib
import json

_DIGITS = 32


def generation_of(etag: str, fingerprint: str) -> str:
    """Name a content under one fingerprint: rows of two generations are never mixed.

    Args:
        etag: The object's change token.
        fingerprint: `encoder.preprocess.Preprocessing.fingerprint`, with what else changes the
            slices of a scan.

    Returns:
        32 hexadecimal digits.
    """
    text = json.dumps([etag, fingerprint])
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_DIGITS]
