"""Passwords that everybody knows: refused by name, never repeated."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from infra.default_secrets import refuse_default_secrets
from infra.settings import Settings, SettingsError
from infra.settings_groups import BrokerSettings, IndexSettings, StoreSettings

GOOD = "fRq3-0pLx9-Zt7u"


def settings(
    *, store: str = GOOD, token: str | None = f"root:{GOOD}", broker: str | None = GOOD, **more: str
) -> Settings:
    return Settings.model_validate(
        {
            "store": StoreSettings(
                kind="s3",
                endpoint="object-store:9000",
                access_key=SecretStr("lithoscope"),
                secret_key=SecretStr(store),
            ),
            "index": IndexSettings(
                address=more.pop("index", "http://milvus:19530"),
                token=None if token is None else SecretStr(token),
            ),
            "broker": BrokerSettings(
                url=more.pop("url", "redis://broker:6379/0"),
                password=None if broker is None else SecretStr(broker),
            ),
            **more,
        }
    )


def test_passwords_of_ones_own_and_embedded_sites_pass() -> None:
    refuse_default_secrets(Settings())
    refuse_default_secrets(settings())
    refuse_default_secrets(settings(broker=None, url="redis://127.0.0.1:6379/0"))
    refuse_default_secrets(settings(broker=None, url="redis://localhost:6379/0"))
    refuse_default_secrets(settings(broker=None, url="redis://[::1]:6379/0"))
    refuse_default_secrets(settings(token=None, index="http://127.0.0.1:19530"))


@pytest.mark.parametrize("known", ["minioadmin", "MinioAdmin", "password", "changeme", " admin "])
def test_the_stores_default_is_refused(known: str) -> None:
    with pytest.raises(SettingsError, match=r"^LITHOSCOPE_STORE__SECRET_KEY: ") as caught:
        refuse_default_secrets(settings(store=known))
    assert known.strip() not in str(caught.value).replace("a password that", "")


@pytest.mark.parametrize("token", ["root:Milvus", "root:", "root", "", "admin:milvus", None])
def test_an_index_that_others_reach_needs_a_token_of_ones_own(token: str | None) -> None:
    with pytest.raises(SettingsError, match=r"^LITHOSCOPE_INDEX__TOKEN: "):
        refuse_default_secrets(settings(token=token))


def test_a_token_that_names_no_user_is_judged_as_it_is() -> None:
    refuse_default_secrets(settings(token=GOOD))


@pytest.mark.parametrize("broker", [None, "", "redis"])
def test_a_broker_that_others_reach_needs_a_password(broker: str | None) -> None:
    with pytest.raises(SettingsError, match=r"^LITHOSCOPE_BROKER__PASSWORD: "):
        refuse_default_secrets(settings(broker=broker))


def test_every_one_is_named_at_once_and_local_sites_may() -> None:
    all_known = {"store": "minioadmin", "token": "root:Milvus", "broker": "redis"}
    with pytest.raises(SettingsError) as caught:
        refuse_default_secrets(settings(**all_known))
    for name in ("STORE__SECRET_KEY", "INDEX__TOKEN", "BROKER__PASSWORD"):
        assert f"LITHOSCOPE_{name}" in str(caught.value)
    refuse_default_secrets(settings(**all_known, env="local"))
