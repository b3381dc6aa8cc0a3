"""What workers count and time, and that dashboards and alerts ask for nothing else."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from prometheus_client import REGISTRY

from infra import metrics
from infra.settings import Settings
from infra.settings_groups import BrokerSettings
from infra.stack_metrics import StackCollector
from infra.stack_status import StackView
from ingest_site import flat
from ingest_worker.measuring import measured
from ingest_worker.pipeline import ingest_objects

if TYPE_CHECKING:
    from ingest_site import IngestSite

pytest_plugins = ["ingest_site"]

MONITORING = Path(__file__).resolve().parents[1] / "infra/compose/monitoring"
DASHBOARDS = sorted((MONITORING / "grafana/dashboards").glob("*.json"))
OTHERS = {"up", "process_resident_memory_bytes"}
"""Names that Prometheus and its client give themselves; beside those of the object store."""


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"lithoscope_{name}", labels) or 0.0


class Change:
    """By how much figures grew since."""

    def __init__(self) -> None:
        self._before = self._now()

    def __getitem__(self, name: str) -> float:
        return self._now().get(f"lithoscope_{name}", 0.0) - self._before.get(
            f"lithoscope_{name}", 0.0
        )

    def starting(self, text: str) -> dict[str, float]:
        names = [name.removeprefix("lithoscope_") for name in self._now()]
        return {name: self[name] for name in names if name.startswith(text)}

    @staticmethod
    def _now() -> dict[str, float]:
        return {
            sample.name + "".join(f" {text}" for text in sample.labels.values()): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
            if not sample.name.endswith("_bucket")
        }


def run(world: IngestSite, *keys: str, is_fresh: bool = True) -> None:
    list(measured(ingest_objects(keys, world.context), is_fresh=is_fresh))


def test_outcomes_are_counted_where_a_worker_goes_through_them(world: IngestSite) -> None:
    key = world.put("scans/E1/S1/a.png", flat())
    world.objects.put("scans/E1/S2/b.png", b"\x89PNG\r\n\x1a\n no picture")
    change = Change()
    run(world, key, "scans/E1/S2/b.png", "scans/E1/S3/gone.png")
    run(world, key)
    assert change["objects_total indexed"] == 1
    assert change["objects_total quarantined"] == 1
    assert change["objects_total removed"] == 1
    assert change["objects_total unchanged"] == 1
    assert value("faults_total", fault="crashed the worker") == 0
    assert sum(change.starting("faults_total ").values()) == 1
    assert change["slices_total"] == 1
    for stage, count in (("fetch", 2), ("decode", 2), ("encode", 1)):
        assert change[f"stage_seconds_count {stage}"] == count, stage
    assert change["stage_seconds_count commit"] >= 1
    assert 0 < change["device_busy_seconds_total cpu"] <= change["stage_seconds_sum encode"] + 0.1


def test_an_upload_is_timed_until_it_is_committed(world: IngestSite) -> None:
    key = world.put("scans/E1/S1/a.png", flat())
    time.sleep(0.3)
    change = Change()
    run(world, key)
    assert change["upload_to_searchable_seconds_count"] == 1
    assert 0.3 <= change["upload_to_searchable_seconds_sum"] < 30


def test_what_is_no_upload_is_not_timed(world: IngestSite) -> None:
    key = world.put("scans/E1/S1/a.png", flat())
    change = Change()
    run(world, key, is_fresh=False)
    list(measured(ingest_objects([key], world.context, is_forced=True), is_fresh=True))
    assert change["objects_total indexed"] == 2
    assert change["upload_to_searchable_seconds_count"] == 0


def test_an_overwritten_scan_is_timed_anew(world: IngestSite) -> None:
    key = world.put("scans/E1/S1/a.png", flat())
    run(world, key)
    world.put(key, flat(90, 80, 70))
    change = Change()
    run(world, key)
    assert change["upload_to_searchable_seconds_count"] == 1


def test_work_that_is_broken_off_ends_with_the_measuring(world: IngestSite) -> None:
    keys = [world.put(f"scans/E1/S1/{n}.png", flat(n, n, n)) for n in range(20)]
    change = Change()
    outcomes = measured(ingest_objects(keys, world.context), is_fresh=True)
    next(outcomes)
    outcomes.close()
    assert change["objects_total indexed"] == 1
    assert world.ingest(*keys)  # nothing of the former run holds anything


def test_models_replace_those_that_were_told_before() -> None:
    metrics.tell_models({"dsnn-1": "live", "dsnn-2": "filling"})
    assert value("model_info", model="dsnn-2", role="filling") == 1
    metrics.tell_models({"dsnn-2": "live"})
    assert value("model_info", model="dsnn-2", role="live") == 1
    assert value("model_info", model="dsnn-1", role="live") == 0


def test_the_lag_of_events_is_never_below_zero() -> None:
    change = Change()
    metrics.tell_event("put", stored=time.time() - 2)
    metrics.tell_event("removed", stored=time.time() + 60)  # clocks differ
    metrics.tell_event("damaged")
    assert [change[f"events_total {kind}"] for kind in ("put", "removed", "damaged")] == [1] * 3
    assert change["event_lag_seconds_count"] == 2
    assert change["event_lag_seconds_sum"] == pytest.approx(2, abs=0.5)


@pytest.fixture
def names() -> set[str]:
    """Every name that our services tell."""
    settings = Settings(broker=BrokerSettings(url="redis://127.0.0.1:1/0"))
    with StackView(settings) as view:
        families = [*REGISTRY.collect(), *StackCollector(view).describe()]
    found = set()
    for family in families:
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
        found |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    return {name for name in found if name.startswith("lithoscope_")}


def asked(expression: str) -> set[str]:
    """Names of figures in an expression: words that no bracket follows and no label is."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\b(by|without)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    words = re.findall(r"\b[a-z_]+\b(?!\s*\()", bare)
    return {word for word in words if word not in {"and", "or", "unless"}}


def panels() -> list[tuple[str, str]]:
    return [
        (panel["title"], target["expr"])
        for path in DASHBOARDS
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel["targets"]
    ]


def rules() -> list[tuple[str, str]]:
    told = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))
    return [(rule["alert"], rule["expr"]) for group in told["groups"] for rule in group["rules"]]


@pytest.mark.parametrize(("title", "expression"), [*panels(), *rules()])
def test_dashboards_and_alerts_ask_for_what_there_is(
    title: str, expression: str, names: set[str]
) -> None:
    found = asked(expression)
    assert found, title
    ours = {name for name in found if not name.startswith("minio_")} - OTHERS
    assert ours <= names, f"{title} asks for what no service tells"


def test_every_figure_is_on_a_dashboard_or_in_an_alert(names: set[str]) -> None:
    shown = {name for _, expression in (*panels(), *rules()) for name in asked(expression)}
    stems = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in shown}
    assert {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in names} == {
        stem for stem in stems if stem.startswith("lithoscope_")
    }


def test_every_alert_has_words_and_a_page_that_says_what_to_do() -> None:
    told = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))
    page = (MONITORING.parents[2] / "docs/operations.md").read_text(encoding="utf-8")
    for group in told["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["summary"], rule
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert f"`{rule['alert']}`" in page, rule["alert"]


def test_panels_do_not_lie_on_each_other() -> None:
    for path in DASHBOARDS:
        told = json.loads(path.read_text(encoding="utf-8"))
        area = np.zeros((200, 24), int)
        for panel in told["panels"]:
            place = panel["gridPos"]
            rows = slice(place["y"], place["y"] + place["h"])
            area[rows, place["x"] : place["x"] + place["w"]] += 1
        assert area.max() == 1
        assert len({panel["id"] for panel in told["panels"]}) == len(told["panels"])


def test_prometheus_asks_services_of_the_compose_file() -> None:
    services = yaml.safe_load((MONITORING.parents[2] / "docker-compose.yml").read_text())[
        "services"
    ]
    told = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    for job in told["scrape_configs"]:
        dns = [(each["names"][0], each["port"]) for each in job.get("dns_sd_configs", [])]
        static = [
            (host, int(port))
            for each in job.get("static_configs", [])
            for host, _, port in (target.partition(":") for target in each["targets"])
        ]
        for name, port in (*dns, *static):
            assert str(port) in services[name]["expose"], job["job_name"]
