"""Roles by e-mail address, and what is no login."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import ValidationError

from infra.ui_settings import UiSettings
from search_ui.access import Role, User, user_of

LOGIN: dict[str, Any] = {
    "url": "https://rocks.example.org",
    "oidc_metadata_url": "https://id.example.org/.well-known/openid-configuration",
    "oidc_client_id": "lithoscope",
    "oidc_client_secret": "s",
    "cookie_secret": "c" * 32,
}
PEOPLE = UiSettings(
    **LOGIN,
    viewers="*@example.org, guest@else.where",
    editors="ed@example.org",
    operators="Op@Example.org",
)


def claims(email: object, **more: object) -> dict[str, object]:
    return {"email": email, "iat": time.time() - 60, **more}


@pytest.mark.parametrize(
    ("email", "role"),
    [
        ("anybody@example.org", Role.VIEWER),
        ("guest@else.where", Role.VIEWER),
        ("ED@example.org", Role.EDITOR),
        ("op@example.org", Role.OPERATOR),
        ("op@example.org.evil", None),
        ("other@else.where", None),
        ("example.org", None),
        ("*@example.org", Role.VIEWER),
        ("*", None),
        ("", None),
        (None, None),
        (["op@example.org"], None),
    ],
)
def test_roles_go_by_address(email: object, role: Role | None) -> None:
    found = user_of(PEOPLE, claims(email))
    assert (found and found.role) == role


def test_each_role_may_what_those_below_it_may() -> None:
    editor = User("", Role.EDITOR)
    assert editor.may(Role.VIEWER)
    assert editor.may(Role.EDITOR)
    assert not editor.may(Role.OPERATOR)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        claims("op@example.org", email_verified=False),
        claims("op@example.org", email_verified="false"),
        claims("op@example.org", iat=time.time() - 13 * 3600),
        claims("op@example.org", iat=None),
    ],
)
def test_what_is_no_login(told: dict[str, object] | None) -> None:
    assert user_of(PEOPLE, told) is None


def test_an_address_that_the_provider_says_nothing_of_may_be_refused() -> None:
    strict = PEOPLE.model_copy(update={"needs_verified_email": True})
    for told, counts in (({}, False), ({"email_verified": True}, True)):
        assert user_of(PEOPLE, claims("op@example.org", **told)) is not None
        assert (user_of(strict, claims("op@example.org", **told)) is not None) is counts


def test_without_a_login_everybody_has_the_role_that_is_set() -> None:
    assert user_of(UiSettings(), None) == User("", Role.OPERATOR)
    assert user_of(UiSettings(anonymous="viewer"), None) == User("", Role.VIEWER)


@pytest.mark.parametrize(
    ("host", "published_on", "role"),
    [
        ("127.0.0.1", None, Role.OPERATOR),
        ("::1", None, Role.OPERATOR),
        ("localhost", None, Role.OPERATOR),
        ("0.0.0.0", None, Role.VIEWER),  # noqa: S104  compared, not opened
        ("::", None, Role.VIEWER),
        ("10.0.0.5", None, Role.VIEWER),
        ("rocks.example.org", None, Role.VIEWER),
        ("0.0.0.0", "127.0.0.1", Role.OPERATOR),  # noqa: S104  of a container
        ("0.0.0.0", "0.0.0.0", Role.VIEWER),  # noqa: S104  likewise
        ("127.0.0.1", "10.0.0.5", Role.VIEWER),  # behind a proxy that says so
    ],
)
def test_without_a_login_only_those_at_this_machine_are_operators(
    host: str, published_on: str | None, role: Role
) -> None:
    settings = UiSettings(host=host, published_on=published_on)
    assert user_of(settings, None) == User("", role)
    told = settings.model_copy(update={"anonymous": "operator"})
    assert user_of(told, None) == User("", Role.OPERATOR)


@pytest.mark.parametrize("name", ["url", "oidc_client_id", "oidc_client_secret", "cookie_secret"])
def test_a_login_needs_all_of_it(name: str) -> None:
    told = {other: value for other, value in LOGIN.items() if other != name}
    with pytest.raises(ValidationError, match=f"LITHOSCOPE_UI__{name.upper()}"):
        UiSettings(**told, viewers="*")


def test_a_site_begins_at_the_root_of_its_host() -> None:
    with pytest.raises(ValidationError, match="url"):
        UiSettings(**LOGIN | {"url": "https://example.org/rocks"}, viewers="*")
    UiSettings(**LOGIN | {"url": "https://rocks.example.org/"}, viewers="*")


def test_a_login_needs_somebody_who_may() -> None:
    with pytest.raises(ValidationError, match="nobody who may"):
        UiSettings(**LOGIN)


@pytest.mark.parametrize("text", ["a b@c.d", "nobody", "a@b;c@d", "@"])
def test_lists_of_people_that_are_none(text: str) -> None:
    with pytest.raises(ValidationError):
        UiSettings(**LOGIN, viewers=text)
