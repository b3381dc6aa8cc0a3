"""What a Milvus server's errors mean: it is away, or it refuses."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import grpc
from pymilvus import MilvusException
from pymilvus.client.types import Status
from pymilvus.exceptions import (
    ConnectError,
    ConnectionNotExistException,
    MilvusUnavailableException,
)

if TYPE_CHECKING:
    from pathlib import Path

_STARTING = frozenset(
    {
        2,  # service unavailable
        8,  # rate limit exceeded
        101,  # collection not loaded
        103,  # collection not fully loaded
        106,  # collection on recovering
        201,  # partition not loaded
        202,  # partition not fully loaded
        501,  # channel lack
        503,  # channel not available
        601,  # segment not loaded
        602,  # segment lack
        901,  # node not found
        902,  # node offline
        903,  # node lack
        904,  # node not match
    }
)
"""Codes that a server answers with while it starts or hands over between its parts, although its
health page says that it is well."""

_SHOWN = 300


def is_away(error: MilvusException | grpc.RpcError) -> bool:
    """Whether the server did not answer, or is not ready, rather than refuse."""
    away = ConnectError | ConnectionNotExistException | MilvusUnavailableException
    if isinstance(error, grpc.RpcError | away):
        return True
    if error.code in _STARTING and not isinstance(error.code, grpc.StatusCode):
        return True
    # A status of gRPC's: the client's retries ran out.
    return error.code == Status.CONNECT_FAILED or isinstance(error.code, grpc.StatusCode)


def refused(error: MilvusException | grpc.RpcError, folder: Path | None) -> str:
    """Say that the server refused, and what to do where that is known.

    Args:
        error: What it answered.
        folder: Where it writes, if that is known.
    """
    told = reason(error)
    if os.strerror(errno.ENOSPC) in told:
        place = "the index server's disk" if folder is None else str(folder)
        return f"index: its disk is full ({told}); make room at {place} and do it again"
    return f"index: refused ({told})"


def reason(error: MilvusException | grpc.RpcError) -> str:
    """Tell what the server said, in one line."""
    text = str(error.message if isinstance(error, MilvusException) else error)
    return " ".join(text.split())[:_SHOWN]
