"""Who may what on the pages: roles by e-mail address, where people log in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from infra.ui_settings import people

if TYPE_CHECKING:
    from collections.abc import Mapping

    from infra.ui_settings import UiSettings

_NAME_LENGTH = 80
_HOUR = 3600.0


class Role(IntEnum):
    """What somebody may do; each role may what those below it may."""

    VIEWER = 1
    """Search, and look at everything."""
    EDITOR = 2
    """Add scans, and have failed ones tried again."""
    OPERATOR = 3
    """Choose the live model."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who looks at a page.

    Attributes:
        name: What to call them; empty where nobody logs in.
        role: What they may do.
    """

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether they may do what a role may."""
        return self.role >= role


def user_of(settings: UiSettings, claims: Mapping[str, object] | None) -> User | None:
    """Tell who somebody is, and what they may.

    Args:
        settings: Whether people log in, and who may what.
        claims: What the provider says of them; None for somebody who has not logged in.

    Returns:
        None for somebody who may not see anything: they have not logged in, or too long ago, their
        address is not theirs for certain, or no role is theirs.
    """
    if not settings.has_login:
        return User("", Role[settings.role_of_everybody.upper()])
    email = (claims or {}).get("email")
    if not isinstance(email, str) or "@" not in email or _is_doubtful(settings, claims or {}):
        return None
    if has_lapsed(settings, claims or {}):
        return None
    role = _role_of(settings, email)
    if role is None:
        return None
    name = (claims or {}).get("name")
    return User((name if isinstance(name, str) and name else email)[:_NAME_LENGTH], role)


def has_lapsed(settings: UiSettings, claims: Mapping[str, object]) -> bool:
    """Whether somebody logged in too long ago; OpenID providers always tell when that was."""
    began = claims.get("iat")
    if isinstance(began, bool) or not isinstance(began, int | float):
        return True
    return time.time() - began > settings.login_hours * _HOUR


def _is_doubtful(settings: UiSettings, claims: Mapping[str, object]) -> bool:
    """Whether the provider says itself that the address was not checked, or must say it was."""
    told = claims.get("email_verified", not settings.needs_verified_email)
    return str(told).casefold() not in {"true", "1"}


def _role_of(settings: UiSettings, email: str) -> Role | None:
    named = {
        Role.OPERATOR: settings.operators,
        Role.EDITOR: settings.editors,
        Role.VIEWER: settings.viewers,
    }
    address = email.casefold()
    whole_domain = f"*@{address.rpartition('@')[2]}"
    for role, text in named.items():
        if {address, whole_domain, "*"} & set(people(text)):
            return role
    return None
