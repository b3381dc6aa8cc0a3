"""What an S3 store's answers mean: gone, away, or refused."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError, SSLError

from encoder.errors import one_line
from infra.store_errors import (
    ObjectChangedError,
    ObjectMissingError,
    StoreAwayError,
    StoreError,
    StoreRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MISSING = frozenset({"NoSuchKey", "NoSuchObject", "NoSuchVersion"})
_AWAY = frozenset(
    {
        *("InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"),
        *("SlowDownRead", "SlowDownWrite", "ServerNotInitialized", "BadDigest", "IncompleteBody"),
        *("XMinioServerNotInitialized", "XMinioStorageFull", "NoSuchUpload", "Busy"),
    }
)
_REMEDIES = {
    "NoSuchBucket": "make the bucket, or correct LITHOSCOPE_STORE__BUCKET",
    "AccessDenied": "give the account the right to do it",
    "InvalidAccessKeyId": "correct LITHOSCOPE_STORE__ACCESS_KEY",
    "SignatureDoesNotMatch": "correct LITHOSCOPE_STORE__SECRET_KEY",
    "AuthorizationHeaderMalformed": "correct LITHOSCOPE_STORE__REGION",
    "RequestTimeTooSkewed": "set the clock of this machine",
}


@contextlib.contextmanager
def s3_calls(what: str) -> Iterator[None]:
    """Turn the SDK's and the network's errors of a block into the store's.

    Args:
        what: The object's key, or the bucket, for messages.
    """
    try:
        yield
    except S3Error as error:
        raise _of_answer(error, what) from error
    except ServerError as error:
        raise _of_status(error.status_code, what) from error
    except InvalidResponseError as error:
        status = error._code  # noqa: SLF001  the SDK tells it nowhere else
        raise _of_status(status, what) from error
    except (MinioException, HTTPError) as error:
        raise _of_network(error, what) from error


def _of_answer(error: S3Error, what: str) -> StoreError:
    code = error.code or ""
    if code in _MISSING:
        return ObjectMissingError(f"{what}: no such object")
    if code == "PreconditionFailed":
        return ObjectChangedError(f"{what}: is not the version that was meant; look again")
    if code in _AWAY or _is_away(error.response.status):
        return StoreAwayError(f"{what}: the store answered {code}; try again later")
    remedy = _REMEDIES.get(code, "see the store's log")
    return StoreRefusedError(f"{what}: the store answered {code} ({error.message}); {remedy}")


def _of_status(status: int, what: str) -> StoreError:
    """An answer without S3's words: of a proxy, or to a HEAD request, which has no body."""
    if status == 412:
        return ObjectChangedError(f"{what}: is not the version that was meant; look again")
    if _is_away(status):
        return StoreAwayError(f"{what}: answer {status} of the store; try again later")
    return StoreRefusedError(
        f"{what}: answer {status}, which no S3 store gives; correct LITHOSCOPE_STORE__ENDPOINT"
    )


def _is_away(status: int) -> bool:
    """Whether an answer says to come back later: slow, overrun or broken, whatever its words."""
    return status in (408, 429) or status >= 500


def _of_network(error: MinioException | HTTPError, what: str) -> StoreError:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, SSLError):
        return StoreRefusedError(
            f"{what}: no secure connection ({reason}); correct LITHOSCOPE_STORE__SECURE or the "
            "certificate"
        )
    text = one_line(reason)[:200]
    return StoreAwayError(f"{what}: the store did not answer or broke off ({text}); try later")
