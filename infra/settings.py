"""Settings, from the environment and ``.env``: every name begins with ``LITHOSCOPE_``."""

from __future__ import annotations

from pydantic import DirectoryPath, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from encoder.errors import LithoscopeError

PREFIX = "LITHOSCOPE_"


class SettingsError(LithoscopeError):
    """Settings that can't be used."""


class Settings(BaseSettings):
    """What a site may set.

    Attributes:
        weights_dir: Folder with pretrained weight files, for sites without internet.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    weights_dir: DirectoryPath | None = Field(
        default=None, description="a folder that exists, or nothing"
    )


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: Values are wrong; the text names every one, what was found and what is
            allowed.
    """
    try:
        return Settings()
    except UnicodeDecodeError as error:
        raise SettingsError(f".env: isn't UTF-8 ({error.reason}); save it as UTF-8") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{str(problem['loc'][0]).upper()}: found {str(problem['input'])!r}, "
            f"allowed: {Settings.model_fields[str(problem['loc'][0])].description}"
            for problem in error.errors()
        )
        raise SettingsError(f"settings (environment or .env): {problems}") from error
