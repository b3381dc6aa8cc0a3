"""Settings, from the environment and ``.env``: every name begins with ``LITHOSCOPE_``.

Groups are joined by two underscores: ``LITHOSCOPE_STORE__BUCKET``.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnparsedError

from encoder.errors import LithoscopeError
from infra.indexing.records import slice_columns
from infra.indexing.schema import KEY, VECTOR

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

PREFIX = "LITHOSCOPE_"

ENV_FILE = ".env"

_DELIMITER = "__"

_TAKEN = frozenset({KEY, VECTOR, *(column.name for column in slice_columns())})
"""Names that no declared property may have."""

_PATH_BYTES = 450
"""Longest folder: SQLite takes paths of up to 512 bytes, journals beside its files included."""

_MAX_WORKERS = 256


class SettingsError(LithoscopeError):
    """Settings that can't be used."""


def _user_path(value: object) -> object:
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


FolderPath = Annotated[Path, BeforeValidator(_user_path), AfterValidator(_no_file)]
"""A folder that may be made yet; its path may begin with ``~``."""

_FOLDER = f"a folder's path of up to {_PATH_BYTES:,} bytes"


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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["folder", "s3"] = Field(default="folder", description="folder or s3")
    folder: FolderPath | None = Field(default=None, description=f"{_FOLDER}, or nothing")
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

    @model_validator(mode="after")
    def _complete(self) -> StoreSettings:
        if self.kind == "s3":
            needed = ("endpoint", "access_key", "secret_key")
            missing = [name for name in needed if getattr(self, name) is None]
            if missing:
                names = ", ".join(env_name("store", name) for name in missing)
                raise ValueError(f"found 's3', which needs {names} as well")
        return self


class DecodeSettings(BaseModel):
    """What one scan may take when it is read for the index.

    Attributes:
        workers: Processes that decode.
        memory_mib: Memory of each, MiB.
        seconds: Time for one scan.
        download_mib: Largest object that is fetched, MiB.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: PositiveInt = Field(
        default=2, le=_MAX_WORKERS, description=f"a whole number from 1 to {_MAX_WORKERS}"
    )
    memory_mib: PositiveInt = Field(default=2048, description="MiB, a whole number from 1")
    seconds: PositiveFloat = Field(
        default=120.0, allow_inf_nan=False, description="seconds, above 0"
    )
    download_mib: PositiveInt = Field(default=65536, description="MiB, a whole number from 1")


class IndexSettings(BaseModel):
    """Where the vectors are.

    Attributes:
        address: Address of a Milvus server; None for the embedded one in the home folder.
        token: ``user:password`` for it.
        idle_minutes: After this long without a command the embedded server ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = Field(
        default=None, pattern=r"^https?://[^/\s]+/?$", description="http://host:port, or nothing"
    )
    token: SecretStr | None = Field(default=None, description="user:password, or nothing")
    idle_minutes: PositiveFloat = Field(
        default=15.0, allow_inf_nan=False, description="minutes, above 0"
    )


class Settings(BaseSettings):
    """What a site may set.

    Attributes:
        home: Folder of everything that embedded commands keep; made when needed.
        weights_dir: Folder with pretrained weight files, for sites without internet.
        properties: Numeric properties that become columns to filter by, beside the built-in ones.
        store: Where the objects are.
        index: Where the vectors are.
        decode: What one scan may take.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=_DELIMITER,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",  # other programs' names in .env; ours are checked by load_settings
        frozen=True,
    )

    home: FolderPath = Field(default=Path("lithoscope-data"), description=_FOLDER)
    weights_dir: Annotated[DirectoryPath, BeforeValidator(_user_path)] | None = Field(
        default=None, description="a folder that exists, or nothing"
    )
    properties: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="names joined by commas, each of a-z, 0-9 and _, a letter first, at most 64 "
        "characters, none twice, none that the index has already",
    )
    store: StoreSettings = StoreSettings()
    index: IndexSettings = IndexSettings()
    decode: DecodeSettings = DecodeSettings()

    @field_validator("properties", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(","))
        wrong = [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name)]
        if wrong or len(set(names)) < len(names) or _TAKEN & set(names):
            raise ValueError("names")
        return names

    @property
    def bucket_folder(self) -> Path:
        """Folder of the objects, where they are in one."""
        return self.store.folder or self.home / "bucket"


def env_name(*path: str) -> str:
    """Spell a setting as the environment does: ``env_name("store", "bucket")``."""
    return PREFIX + _DELIMITER.join(path).upper()


def setting_fields() -> dict[str, FieldInfo]:
    """Every setting by its name in the environment, in the order of their definition."""
    found: dict[str, FieldInfo] = {}
    for name, field in Settings.model_fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            found |= {env_name(name, inner): each for inner, each in group.model_fields.items()}
        else:
            found[env_name(name)] = field
    return found


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: Values or names are wrong; the text tells every one, what was found and
            what is allowed. Secrets are never told.
    """
    problems = _unknown_names()
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [_told(problem) for problem in error.errors()]
    except UnparsedError:  # a whole group in one variable: its name is among the unknown ones
        problems = problems or [f"found what can't be read, allowed: {', '.join(setting_fields())}"]
    except UnicodeDecodeError:
        problems.append(f"{ENV_FILE}: found bytes that are not UTF-8, allowed: UTF-8 text")
    if problems:
        raise SettingsError(f"settings (environment or {ENV_FILE}): {'; '.join(problems)}")
    return settings


def _unknown_names() -> list[str]:
    """Names with our prefix that mean nothing: a typo would silently leave a default standing."""
    try:
        in_file = dotenv_values(ENV_FILE)
    except UnicodeDecodeError:
        return []  # told by load_settings
    known = setting_fields()
    names = sorted({name.upper() for name in (*os.environ, *in_file)})
    problems = []
    for name in names:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            problems.append(f"{name}: no such setting; {hint}")
    return problems


def _told(problem: ErrorDetails) -> str:
    """One fault in words; what was found is left out where it is, or holds, a secret."""
    path = [str(part) for part in problem["loc"]]
    name = env_name(*path[:2]) if env_name(*path[:2]) in setting_fields() else env_name(*path[:1])
    field = setting_fields().get(name)
    if field is None:  # a group as a whole
        return f"{env_name(path[0], 'kind')}: {problem['ctx']['error']}"
    found = "a text" if "SecretStr" in str(field.annotation) else repr(str(problem["input"]))
    return f"{name}: found {found}, allowed: {field.description}"
