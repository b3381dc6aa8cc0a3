"""Settings: nested names, every fault told with what is allowed, secrets never."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

from infra.settings import SettingsError, load_settings, setting_fields
from infra.site import open_site

SECRET = "hunter2-very-secret"  # noqa: S105  no one's

S3 = {
    "LITHOSCOPE_STORE__KIND": "s3",
    "LITHOSCOPE_STORE__ENDPOINT": "localhost:9000",
    "LITHOSCOPE_STORE__ACCESS_KEY": "account",
    "LITHOSCOPE_STORE__SECRET_KEY": SECRET,
}


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the machine that tests run on."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("LITHOSCOPE_"):
            monkeypatch.delenv(name)


def told(monkeypatch: pytest.MonkeyPatch, **values: str) -> str:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_embedded() -> None:
    settings = load_settings()
    assert settings.home.name == "lithoscope-data"
    assert settings.store.kind == "folder"
    assert settings.bucket_folder == settings.home / "bucket"
    assert settings.index.address is None
    assert settings.properties == ()


def test_environment_and_file_are_nested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(f"{name}={value}" for name, value in S3.items())
    (tmp_path / ".env").write_text(
        f"{text}\nLITHOSCOPE_STORE__BUCKET=in-file\nLITHOSCOPE_STORE__SECURE=false\nOTHER=x\n"
    )
    monkeypatch.setenv("LITHOSCOPE_STORE__BUCKET", "in-environment")
    monkeypatch.setenv("lithoscope_store__region", "eu-west-1")
    store = load_settings().store
    assert (store.kind, store.bucket, store.region) == ("s3", "in-environment", "eu-west-1")
    assert not store.secure
    assert store.secret_key is not None
    assert store.secret_key.get_secret_value() == SECRET


def test_an_empty_value_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in setting_fields():
        monkeypatch.setenv(name, "")
    assert load_settings().properties == ()


def test_paths_may_begin_at_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LITHOSCOPE_HOME", "~/rocks")
    monkeypatch.setenv("LITHOSCOPE_STORE__FOLDER", "~/objects")
    assert load_settings().home == tmp_path / "rocks"
    assert load_settings().bucket_folder == tmp_path / "objects"


def test_declared_properties_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITHOSCOPE_PROPERTIES", "depth_m, clay_fraction")
    assert load_settings().properties == ("depth_m", "clay_fraction")


@pytest.mark.parametrize(
    "wrong",
    ["a b", "a,,b", "1a", "A", "a;b", 'a"', "a,a", ",", "x" * 65, "porosity", "id", "d,extra"],
)
def test_wrong_property_names_are_told(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    text = told(monkeypatch, LITHOSCOPE_PROPERTIES=wrong)
    assert f"LITHOSCOPE_PROPERTIES: found {wrong!r}, allowed: names joined by commas" in text


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("STORE__KIND", "ftp"),
        ("STORE__BUCKET", "Über/Bucket"),
        ("STORE__ENDPOINT", "http://localhost:9000"),
        ("STORE__SECURE", "maybe"),
        ("INDEX__ADDRESS", "localhost"),
        ("INDEX__IDLE_MINUTES", "inf"),
        ("DECODE__WORKERS", "0"),
        ("DECODE__WORKERS", "two"),
        ("DECODE__WORKERS", "100000"),
        ("HOME", "longer/" * 340),
        ("HOME", "long" * 80),
        ("STORE__FOLDER", "longer/" * 340),
        ("DECODE__SECONDS", "-1"),
        ("DECODE__SECONDS", "nan"),
        ("DECODE__MEMORY_MIB", "1.5"),
        ("WEIGHTS_DIR", "no/such/folder"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    full = f"LITHOSCOPE_{name}"
    text = told(monkeypatch, **{full: wrong})
    assert f"{full}: found {wrong!r}, allowed: {setting_fields()[full].description}" in text


def test_every_fault_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("LITHOSCOPE_DECODE__SECONDS=soon\n")
    text = told(monkeypatch, LITHOSCOPE_STORE__KIND="ftp", LITHOSCOPE_HOMES="x")
    for name in ("LITHOSCOPE_DECODE__SECONDS", "LITHOSCOPE_STORE__KIND", "LITHOSCOPE_HOMES"):
        assert name in text


def test_a_file_is_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "LITHOSCOPE_HOME: found" in told(monkeypatch, LITHOSCOPE_HOME=str(tmp_path / "file"))


def test_the_longest_home_takes_what_is_kept_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path.joinpath(*["long" * 20] * 6)
    home = Path(str(home)[:450])
    monkeypatch.setenv("LITHOSCOPE_HOME", str(home))
    with open_site(load_settings()) as site:
        site.objects.put("scans/E1/S1/a.png", b"x")
        assert site.objects.stat("scans/E1/S1/a.png").size == 1
        assert site.attempts.begin({"scans/E1/S1/a.png": "e"}) == {"scans/E1/S1/a.png": 1}
    assert list(home.glob("bucket/.lithoscope/etags.sqlite*"))
    monkeypatch.setenv("LITHOSCOPE_HOME", f"{home}x")
    with pytest.raises(SettingsError, match="LITHOSCOPE_HOME: found"):
        load_settings()


def test_a_bucket_needs_its_account(monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(monkeypatch, LITHOSCOPE_STORE__KIND="s3", LITHOSCOPE_STORE__ACCESS_KEY="account")
    assert "LITHOSCOPE_STORE__KIND" in text
    assert "needs LITHOSCOPE_STORE__ENDPOINT, LITHOSCOPE_STORE__SECRET_KEY" in text


@pytest.mark.parametrize("in_file", [True, False])
@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("LITHOSCOPE_STORE_BUCKET", "LITHOSCOPE_STORE__BUCKET"),
        ("LITHOSCOPE_PROPERTY", "LITHOSCOPE_PROPERTIES"),
        ("LITHOSCOPE_WEIGHTS_DIRS", "LITHOSCOPE_WEIGHTS_DIR"),
        ("LITHOSCOPE_WORK__BATCH_KEY", "LITHOSCOPE_WORK__BATCH_KEYS"),
        ("lithoscope_hom", "LITHOSCOPE_HOME"),
        ("LITHOSCOPE_ZZZZZZZZZZZZZZZZZZ__QQQQQQQQQQQQ", "known are LITHOSCOPE_HOME"),
    ],
)
def test_a_name_that_means_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, meant: str, *, in_file: bool
) -> None:
    if in_file:
        (tmp_path / ".env").write_text(f"{wrong}=x\n")
        text = told(monkeypatch)
    else:
        text = told(monkeypatch, **{wrong: "x"})
    assert f"{wrong.upper()}: no such setting" in text
    assert meant in text


def test_a_group_is_not_set_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (f'{{"secret_key": "{SECRET}"}}', f"broken {SECRET}"):
        text = told(monkeypatch, LITHOSCOPE_STORE=value)
        assert "LITHOSCOPE_STORE: no such setting" in text
        assert SECRET not in text


def test_a_file_that_is_no_text_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"LITHOSCOPE_HOME=\xff\xfe\n")
    assert ".env: found bytes that are not UTF-8" in told(monkeypatch)


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LITHOSCOPE_INDEX__TOKEN", SECRET)
    settings = load_settings()
    for shown in (repr(settings), str(settings), settings.model_dump_json(), f"{settings.store}"):
        assert SECRET not in shown
    monkeypatch.setenv("LITHOSCOPE_STORE__BUCKET", "?")
    monkeypatch.delenv("LITHOSCOPE_STORE__ENDPOINT")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))
