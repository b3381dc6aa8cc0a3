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
    BaseModel,
    BeforeValidator,
    DirectoryPath,
    Field,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as UnparsedError

from encoder.errors import LithoscopeError
from infra.indexing.records import slice_columns
from infra.indexing.schema import KEY, VECTOR
from infra.settings_groups import (
    DELIMITER,
    FOLDER_TEXT,
    PREFIX,
    BrokerSettings,
    DecodeSettings,
    FolderPath,
    IndexSettings,
    LogSettings,
    MetricsSettings,
    StoreSettings,
    WorkSettings,
    env_name,
    user_path,
)
from infra.ui_settings import UiSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

__all__ = ["PREFIX", "Settings", "SettingsError", "StoreSettings", "env_name", "load_settings"]

ENV_FILE = ".env"

_TAKEN = frozenset({KEY, VECTOR, *(column.name for column in slice_columns())})
"""Names that no declared property may have."""


_DECIDES = {"store": "kind", "ui": "oidc_metadata_url"}
"""The setting that the others of its group belong to."""


class SettingsError(LithoscopeError):
    """Settings that can't be used."""


class Settings(BaseSettings):
    """What a site may set.

    Attributes:
        home: Folder of everything that embedded commands keep; made when needed.
        weights_dir: Folder with pretrained weight files, for sites without internet.
        properties: Numeric properties that become columns to filter by, beside the built-in ones.
        env: ``local`` lets services start with passwords that everybody knows.
        store: Where the objects are.
        index: Where the vectors are.
        decode: What one scan may take.
        broker: Where tasks and events wait; without one every command does its work itself.
        work: How the work is shared out.
        log: What services log.
        metrics: Where services answer for their health and figures.
        ui: The search page.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",  # other programs' names in .env; ours are checked by load_settings
        frozen=True,
    )

    home: FolderPath = Field(default=Path("lithoscope-data"), description=FOLDER_TEXT)
    weights_dir: Annotated[DirectoryPath, BeforeValidator(user_path)] | None = Field(
        default=None, description="a folder that exists, or nothing"
    )
    properties: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="names joined by commas, each of a-z, 0-9 and _, a letter first, at most 64 "
        "characters, none twice, none that the index has already",
    )
    env: Literal["production", "local"] = Field(
        default="production", description="production or local"
    )
    store: StoreSettings = StoreSettings()
    index: IndexSettings = IndexSettings()
    decode: DecodeSettings = DecodeSettings()
    broker: BrokerSettings = BrokerSettings()
    work: WorkSettings = WorkSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    ui: UiSettings = UiSettings()

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
        wrong = [one for one in error.errors() if one["type"] != "extra_forbidden"]  # unknown names
        problems += [_told(one) for one in wrong]
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
        return f"{env_name(path[0], _DECIDES[path[0]])}: {problem['ctx']['error']}"
    found = "a text" if "SecretStr" in str(field.annotation) else repr(str(problem["input"]))
    return f"{name}: found {found}, allowed: {field.description}"
