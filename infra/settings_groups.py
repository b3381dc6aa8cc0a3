"""Groups of settings: each is one part of ``LITHOSCOPE_<GROUP>__<NAME>``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)

PREFIX = "LITHOSCOPE_"
DELIMITER = "__"

_PATH_BYTES = 450
"""Longest folder: SQLite takes paths of up to 512 bytes, journals beside its files included."""

_MAX_WORKERS = 256

_GROUP = ConfigDict(frozen=True, extra="forbid")


def env_name(*path: str) -> str:
    """Spell a setting as the environment does: ``env_name("store", "bucket")``."""
    return PREFIX + DELIMITER.join(path).upper()


def user_path(value: object) -> object:
    """Read a path, which may begin at the user's home."""
    return Path(value).expanduser() if isinstance(value, str | Path) else value


def _no_file(path: Path) -> Path:
    """Refuse what is no folder, or leaves no room for the paths of objects and their state."""
    if len(os.fsencode(path.absolute())) > _PATH_BYTES:
        raise ValueError("too long")
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:  # a part that is too long, or may not be looked into
        raise ValueError("no path") from error
    if is_file:
        raise ValueError("a file")
    return path


FolderPath = Annotated[Path, BeforeValidator(user_path), AfterValidator(_no_file)]
"""A folder that may be made yet; its path may begin with ``~``."""

FOLDER_TEXT = f"a folder's path of up to {_PATH_BYTES:,} bytes"
"""What a folder may be, in words."""


class StoreSettings(BaseModel):
    """Where the objects are.

    Attributes:
        kind: A folder, or a bucket of MinIO or any S3 store.
        folder: The folder; None for ``bucket`` in the home folder.
        bucket: Bucket's name.
        endpoint: Host and port of the store.
        access_key: Account.
        secret_key: Its password.
        region: Region that requests are signed for.
        secure: HTTPS, not HTTP.
        notifies: The bucket tells the broker of what happens in it.
    """

    model_config = _GROUP

    kind: Literal["folder", "s3"] = Field(default="folder", description="folder or s3")
    folder: FolderPath | None = Field(default=None, description=f"{FOLDER_TEXT}, or nothing")
    bucket: str = Field(
        default="lithoscope",
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        description="3 to 63 lower-case letters, digits, dots and hyphens",
    )
    endpoint: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.\[\]:-]+$",
        description="host:port, without http:// or a path",
    )
    access_key: SecretStr | None = Field(default=None, description="a text, or nothing")
    secret_key: SecretStr | None = Field(default=None, description="a text, or nothing")
    region: str = Field(default="us-east-1", min_length=1, description="a region's name")
    secure: bool = Field(default=True, description="true (HTTPS) or false (HTTP)")
    notifies: bool = Field(default=True, description="true or false")

    @model_validator(mode="after")
    def _complete(self) -> StoreSettings:
        if self.kind == "s3":
            needed = ("endpoint", "access_key", "secret_key")
            missing = [name for name in needed if getattr(self, name) is None]
            if missing:
                names = ", ".join(env_name("store", name) for name in missing)
                raise ValueError(f"found 's3', which needs {names} as well")
        return self


class IndexSettings(BaseModel):
    """Where the vectors are.

    Attributes:
        address: Address of a Milvus server; None for the embedded one in the home folder.
        token: ``user:password`` for it.
        idle_minutes: After this long without a command the embedded server ends.
    """

    model_config = _GROUP

    address: str | None = Field(
        default=None, pattern=r"^https?://[^/\s]+/?$", description="http://host:port, or nothing"
    )
    token: SecretStr | None = Field(default=None, description="user:password, or nothing")
    idle_minutes: PositiveFloat = Field(
        default=15.0, allow_inf_nan=False, description="minutes, above 0"
    )


class DecodeSettings(BaseModel):
    """What one scan may take when it is read for the index.

    Attributes:
        workers: Processes that decode.
        memory_mib: Memory of each, MiB.
        seconds: Time for one scan.
        download_mib: Largest object that is fetched, MiB.
    """

    model_config = _GROUP

    workers: PositiveInt = Field(
        default=2, le=_MAX_WORKERS, description=f"a whole number from 1 to {_MAX_WORKERS}"
    )
    memory_mib: PositiveInt = Field(default=2048, description="MiB, a whole number from 1")
    seconds: PositiveFloat = Field(
        default=120.0, allow_inf_nan=False, description="seconds, above 0"
    )
    download_mib: PositiveInt = Field(default=65536, description="MiB, a whole number from 1")


class BrokerSettings(BaseModel):
    """Where the stack's tasks and events wait: a Redis or Valkey server.

    Attributes:
        url: Its address; None where commands do all work themselves.
        password: Its password; never a part of the address, which is printed.
        visibility_seconds: A task whose worker gave no sign of life for so long is given to
            another one.
        events_key: List that the object store appends its notifications to.
    """

    model_config = _GROUP

    url: str | None = Field(
        default=None,
        pattern=r"^rediss?://[^/@\s]+(/\d+)?$",
        description="redis://host:port/0, without user and password, or nothing",
    )
    password: SecretStr | None = Field(default=None, description="a text, or nothing")
    visibility_seconds: PositiveInt = Field(
        default=300, description="seconds, a whole number from 1"
    )
    events_key: str = Field(
        default="lithoscope:events",
        pattern=r"^[A-Za-z0-9:._-]{1,128}$",
        description="up to 128 letters, digits, and : . _ -",
    )


class WorkSettings(BaseModel):
    """How the stack shares out its work.

    Attributes:
        batch_keys: Most scans of one task.
        batch_seconds: Longest time that a batch of events is gathered.
        low_water: Below this many waiting scans reconciliation sends more.
        high_water: From this many waiting scans on events are left to reconciliation.
        sweep_seconds: Time between two reconciliations.
    """

    model_config = _GROUP

    batch_keys: PositiveInt = Field(
        default=64, le=1000, description="a whole number from 1 to 1,000"
    )
    batch_seconds: PositiveFloat = Field(
        default=2.0, le=20.0, allow_inf_nan=False, description="seconds, above 0, up to 20"
    )
    low_water: PositiveInt = Field(default=500, description="scans, a whole number from 1")
    high_water: PositiveInt = Field(default=100_000, description="scans, a whole number from 1")
    sweep_seconds: PositiveFloat = Field(
        default=300.0, allow_inf_nan=False, description="seconds, above 0"
    )


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class LogSettings(BaseModel):
    """What services log.

    Attributes:
        format: Lines of text, or one JSON object a line.
        level: Least severity.
    """

    model_config = _GROUP

    format: Literal["text", "json"] = Field(default="text", description="text or json")
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )


class MetricsSettings(BaseModel):
    """Where services answer for their health and figures.

    Attributes:
        port: Port; None for no such endpoint.
        host: Address that it listens on.
    """

    model_config = _GROUP

    port: PositiveInt | None = Field(
        default=None, le=65535, description="a port from 1 to 65535, or nothing"
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="an address of this machine")
