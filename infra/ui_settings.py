"""Settings of the search page: ``LITHOSCOPE_UI__<NAME>``."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)

from infra.settings_groups import env_name

_PEOPLE = r"^\s*(\*|[^\s,;@]*@[^\s,;@]+)(\s*,\s*(\*|[^\s,;@]*@[^\s,;@]+))*\s*$"
_PEOPLE_TEXT = (
    "e-mail addresses joined by commas; *@example.org for all of a domain, * for everybody; or "
    "nothing"
)
_URL = r"^https?://[^\s/?#]+(/[^\s?#]*)?$"
_SITE = r"^https?://[^\s/?#]+/?$"
"""The pages and their pictures have addresses that begin at the root of their host."""

_SECRET_LENGTH = 32


class UiSettings(BaseModel):
    """The search page.

    Attributes:
        host: Address that it listens on.
        published_on: Address of the machine that its port is published on, where that is another
            one, as of a container; None for ``host``.
        port: Port that it listens on.
        upload_mib: Largest file that is taken from a browser, MiB.
        uploads_mib: Most that browsers may have sent together, MiB: it is held in memory until
            it is kept, and what was refused as long as its page is open.
        keep_queries_days: How long uploaded query images are kept, so that a link to a search
            works for others; 0 keeps none.
        keep_queries_gib: How much room they may take together, GiB: the oldest make room for
            new ones.
        url: Address that people reach it at, where they log in.
        oidc_metadata_url: Where the OpenID provider describes itself; None for no login.
        oidc_client_id: What the provider knows the page as.
        oidc_client_secret: Password of the page at the provider.
        cookie_secret: What the browser's cookies are signed with.
        needs_verified_email: Whether addresses count only if the provider says that it has
            verified them; else those that it says nothing of count too.
        login_hours: How long a login holds.
        anonymous: Role of everybody where nobody logs in; None for operator where only this
            machine reaches the page, and viewer elsewhere.
        viewers: Who may search, where people log in.
        editors: Who may add scans as well.
        operators: Who may choose the live model as well.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", min_length=1, description="an address of this machine")
    published_on: str | None = Field(default=None, description="an address, or nothing")
    port: PositiveInt = Field(default=8501, le=65535, description="a port from 1 to 65535")
    upload_mib: PositiveInt = Field(default=512, description="MiB, a whole number from 1")
    uploads_mib: PositiveInt = Field(default=2048, description="MiB, a whole number from 1")
    keep_queries_days: NonNegativeInt = Field(
        default=30, le=36_500, description="days, a whole number from 0"
    )
    keep_queries_gib: PositiveFloat = Field(
        default=20.0, allow_inf_nan=False, description="GiB, above 0"
    )
    url: str | None = Field(
        default=None,
        pattern=_SITE,
        description="http(s)://host[:port] without a path, or nothing",
    )
    oidc_metadata_url: str | None = Field(
        default=None,
        pattern=_URL,
        description="https://…/.well-known/openid-configuration, or nothing",
    )
    oidc_client_id: str | None = Field(default=None, description="a text, or nothing")
    oidc_client_secret: SecretStr | None = Field(default=None, description="a text, or nothing")
    cookie_secret: SecretStr | None = Field(
        default=None,
        min_length=_SECRET_LENGTH,
        description=f"at least {_SECRET_LENGTH} random characters, or nothing",
    )
    needs_verified_email: bool = Field(default=False, description="true or false")
    login_hours: PositiveFloat = Field(
        default=12.0, allow_inf_nan=False, description="hours, above 0"
    )
    anonymous: Literal["viewer", "editor", "operator"] | None = Field(
        default=None, description="viewer, editor or operator, or nothing"
    )
    viewers: str | None = Field(default=None, pattern=_PEOPLE, description=_PEOPLE_TEXT)
    editors: str | None = Field(default=None, pattern=_PEOPLE, description=_PEOPLE_TEXT)
    operators: str | None = Field(default=None, pattern=_PEOPLE, description=_PEOPLE_TEXT)

    @model_validator(mode="after")
    def _complete(self) -> UiSettings:
        if self.oidc_metadata_url is not None:
            needed = ("url", "oidc_client_id", "oidc_client_secret", "cookie_secret")
            missing = [name for name in needed if getattr(self, name) is None]
            if missing:
                names = ", ".join(env_name("ui", name) for name in missing)
                raise ValueError(f"found a provider to log in at, which needs {names} as well")
            if not (self.viewers or self.editors or self.operators):
                names = ", ".join(
                    env_name("ui", name) for name in ("viewers", "editors", "operators")
                )
                raise ValueError(f"found a provider to log in at and nobody who may: set {names}")
        return self

    @property
    def has_login(self) -> bool:
        """Whether people log in."""
        return self.oidc_metadata_url is not None

    @property
    def role_of_everybody(self) -> str:
        """What anybody may where nobody logs in."""
        if self.anonymous is not None:
            return self.anonymous
        return "operator" if _is_loopback(self.published_on or self.host) else "viewer"


def _is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address; of other names that is not known."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address.casefold() == "localhost"


def people(text: str | None) -> tuple[str, ...]:
    """Take a list of people apart; addresses are compared without case."""
    return tuple(part.casefold() for part in re.split(r"[\s,]+", text or "") if part)
