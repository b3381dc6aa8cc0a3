"""The compose file: what ops engineers rely on, and how the native stack reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.native_stack.compose_file import Condition, read_services
from infra.native_stack.errors import ComposeFileError
from infra.native_stack.interpolation import interpolated
from infra.native_stack.plan import make_plan
from infra.native_stack.probes import HttpProbe
from infra.native_stack.secrets_file import new_secrets
from infra.settings import setting_fields
from infra.ui_settings import UiSettings

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
OVERLAYS = sorted((ROOT / "infra" / "compose").glob("compose.*.yml"))
OURS = ("init", "dispatcher", "worker", "scheduler", "ui", "cli", "trainer")
LASTING = ("object-store", "milvus", "broker", "dispatcher", "worker", "scheduler", "ui")


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text())["services"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$NAME/${NAME}", "value/value"),
        ("${NONE}", ""),
        ("${NONE:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${EMPTY-other}", ""),
        ("${NAME:+other}", "other"),
        ("${EMPTY:+other}", ""),
        ("${EMPTY+other}", "other"),
        ("${NAME:?is needed}", "value"),
        ("$$NAME costs 5$$", "$NAME costs 5$"),
        ("${A-http://x:1/y}", "http://x:1/y"),
    ],
)
def test_variables_follow_the_specification(text: str, expected: str) -> None:
    assert interpolated(text, {"NAME": "value", "EMPTY": ""}) == expected


@pytest.mark.parametrize("text", ["${NONE:?is needed}", "${EMPTY:?is needed}", "${NONE?is needed}"])
def test_required_variables_are_asked_for(text: str) -> None:
    with pytest.raises(ComposeFileError, match=r"(NONE|EMPTY) is needed"):
        interpolated(text, {"EMPTY": ""})


@pytest.mark.parametrize("text", ["5$", "${", "${1}", "$-"])
def test_a_dollar_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ComposeFileError, match=r"write \$\$"):
        interpolated(text, {})


@pytest.mark.parametrize("name", sorted(set(new_secrets())))
def test_every_secret_is_required(name: str) -> None:
    without = {other: value for other, value in new_secrets().items() if other != name}
    with pytest.raises(ComposeFileError, match=f"{name} is not set - run make env"):
        read_services([COMPOSE], without)


@pytest.mark.parametrize("overlay", [None, *OVERLAYS], ids=lambda path: path and path.name)
def test_every_overlay_can_be_read(overlay: Path | None) -> None:
    services = read_services([COMPOSE, *([overlay] if overlay else [])], new_secrets())
    assert {*OURS, *LASTING} <= services.keys()
    assert all(services[name].is_ours for name in OURS)
    for service in services.values():
        assert service.command or service.name == "grafana"
        assert service.after.keys() <= services.keys()


def test_services_wait_for_what_they_need() -> None:
    services = read_services([COMPOSE], new_secrets())
    for name in ("dispatcher", "worker", "scheduler", "ui"):
        assert services[name].after["init"] is Condition.DONE
        assert services[name].after["broker"] is Condition.HEALTHY
    assert services["worker"].stop_seconds == 15 * 60
    assert services["worker"].command[:2] == ("lithoscope", "worker")


def test_settings_in_it_exist(raw: dict[str, Any]) -> None:
    named = re.findall(r"LITHOSCOPE_[A-Z_]+[A-Z]", COMPOSE.read_text())
    own_names = {name for name in named if not re.search(rf"MINIO_NOTIFY_\w+{name}", str(raw))}
    assert {name for name in own_names if name != "LITHOSCOPE"} <= set(setting_fields())


def test_secrets_come_from_nowhere_but_the_environment(raw: dict[str, Any]) -> None:
    for name, service in raw.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|TOKEN|ROOT_USER", variable):
                is_optional = value == f"${{{variable}:-}}"
                assert ":?" in value or is_optional, f"{name}: {variable}"


def test_no_secret_is_among_the_words_of_a_process(raw: dict[str, Any]) -> None:
    """Everybody on the machine sees those."""
    for name, service in raw.items():
        for part in ("command", "entrypoint", "healthcheck"):
            assert not re.search(r"\$\{\w*(PASSWORD|SECRET|TOKEN)", str(service.get(part))), name


def test_only_pages_console_and_dashboards_are_published_and_to_this_machine_only(
    raw: dict[str, Any],
) -> None:
    published = {name: service["ports"] for name, service in raw.items() if service.get("ports")}
    assert published.keys() == {"object-store", "grafana", "ui"}
    for ports in published.values():
        assert all(port.startswith("${BIND_ADDRESS:-127.0.0.1}:") for port in ports)
    assert yaml.safe_load(COMPOSE.read_text())["networks"]["stack"]["internal"]


@pytest.mark.parametrize(("bind", "role"), [("", "operator"), ("10.0.0.5", "viewer")])
def test_pages_that_others_reach_make_nobody_an_operator_unless_told_to(
    bind: str, role: str
) -> None:
    variables = {**new_secrets(), "BIND_ADDRESS": bind}
    told = read_services([COMPOSE], variables)["ui"].environment
    settings = UiSettings(
        host=told["LITHOSCOPE_UI__HOST"], published_on=told["LITHOSCOPE_UI__PUBLISHED_ON"]
    )
    assert told["LITHOSCOPE_UI__ANONYMOUS"] == ""
    assert settings.role_of_everybody == role


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_checked_restarted_and_limited(raw: dict[str, Any], name: str) -> None:
    service = raw[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    assert service["mem_limit"]
    assert service["networks"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_images_are_pinned(raw: dict[str, Any]) -> None:
    for name, service in raw.items():
        _, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d", tag), name
        assert "latest" not in tag


def test_data_are_in_named_volumes(raw: dict[str, Any]) -> None:
    named = set(yaml.safe_load(COMPOSE.read_text())["volumes"])
    used = {
        volume.split(":")[0]
        for service in raw.values()
        for volume in service.get("volumes", [])
        if not volume.startswith((".", "$"))
    }
    assert used == named


def test_overlays_grow_environment_and_replace_commands(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(
        "services:\n  x:\n    image: i:1\n    command: [a]\n    environment: {A: 1, B: $B}\n"
        "    depends_on: [y]\n  y:\n    image: i:1\n    stop_grace_period: 1m30s\n"
    )
    (tmp_path / "b.yml").write_text(
        "services:\n  x:\n    command: [b, c]\n    environment: [A=2, C=3=4]\n"
    )
    found = read_services([tmp_path / "a.yml", tmp_path / "b.yml"], {"B": "b"})
    assert found["x"].command == ("b", "c")
    assert found["x"].environment == {"A": "2", "B": "b", "C": "3=4"}
    assert found["x"].after == {"y": Condition.STARTED}
    assert found["y"].stop_seconds == 90


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("services: [", "no compose file"),
        ("volumes: {}", "found no services"),
        ("services:\n  x: {image: i, command: 'a b'}", "as a list of words"),
        ("services:\n  x: {image: i, stop_grace_period: soon}", "write it as 90s"),
    ],
)
def test_what_can_not_be_used_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(ComposeFileError, match=told):
        read_services([tmp_path / "x.yml"], {})


def test_pages_run_without_docker_on_this_machine_only(tmp_path: Path) -> None:
    variables = {**new_secrets(), "BIND_ADDRESS": "10.0.0.5"}
    plan = make_plan(tmp_path, [COMPOSE], variables=variables)
    launch = plan.launch("ui-1")
    port = str(plan.ports["ui-1"][8501])
    assert launch.command[-1] == "ui"
    assert launch.environment["LITHOSCOPE_UI__PORT"] == port
    assert launch.environment["LITHOSCOPE_METRICS__PORT"] == port
    for name in ("HOST", "PUBLISHED_ON"):
        assert launch.environment[f"LITHOSCOPE_UI__{name}"] == "127.0.0.1"
    assert launch.probe == HttpProbe(int(port), "/healthz")


def test_torch_is_fetched_again_for_another_pin_only_and_nothing_runs_as_root() -> None:
    text = (ROOT / "infra/docker/Dockerfile").read_text()
    steps = ("COPY constraints.txt ./", "torch torchvision", "COPY pyproject.toml ./", "COPY . .")
    assert sorted(steps, key=text.index) == list(steps)
    assert re.search(r"^USER \d+:\d+$", text, re.MULTILINE)
