"""Whether a machine has what a site needs, and how to mend what it has not."""

from __future__ import annotations

import os
import platform
import shutil
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped]  # ships no types

from encoder.errors import LithoscopeError, one_line
from infra.bucket_metadata import BucketMetadata
from infra.index_server import find_server
from infra.indexing.schema import ColumnKind
from infra.settings import load_settings
from infra.site import Site
from infra.status import has_index, store_place
from infra.stores import open_object_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from infra.model_versions import ModelVersion
    from infra.settings import Settings

PACKAGES = (
    *("lithoscope", "torch", "torchvision", "numpy", "pymilvus", "milvus-lite", "faiss-cpu"),
    *("grpcio", "minio", "celery", "kombu", "redis"),
    *("pydantic", "safetensors", "tifffile", "typer"),
)
"""Packages whose versions are told: those that differ between machines that behave differently."""

DISK_LEAST_BYTES = 1 << 30
"""Free space below which the index may not be written whole."""

DISK_AMPLE_BYTES = 10 << 30
"""Free space for some 100,000 slices with their pictures."""

MODEL_BYTES = 3 << 30
"""Memory of an encoder at work and the index server beside the decoding processes."""

_INSTALL = "install again: `make venv`, or pip with constraints.txt"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing.

    Attributes:
        name: The thing.
        level: How bad it is.
        text: What was found.
        remedy: What to do about it, or None where nothing is to be done.
    """

    name: str
    level: Level
    text: str
    remedy: str | None = None


def examine() -> Iterator[Finding]:
    """Look at everything, one thing after the other; a fault in one does not keep the next."""
    yield from _versions()
    yield _torch()
    try:
        settings = load_settings()
    except LithoscopeError as error:
        yield Finding("settings", Level.FAIL, str(error), "see docs/settings.md")
        return
    yield Finding("settings", Level.OK, f"home {settings.home.absolute()}")
    yield _disk(settings)
    yield _memory(settings)
    yield from _services(settings)


def _versions() -> Iterator[Finding]:
    yield Finding("python", Level.OK, f"{platform.python_version()}, {platform.platform()}")
    for name in PACKAGES:
        try:
            yield Finding(name, Level.OK, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, Level.FAIL, "not installed", _INSTALL)


def _torch() -> Finding:
    """Whether torch and torchvision fit together, and what they compute on."""
    try:
        import torch  # noqa: PLC0415  two seconds
        import torchvision  # type: ignore[import-untyped]  # noqa: F401, PLC0415  ships no types
    except (ImportError, RuntimeError, OSError) as error:  # a pair that does not fit: each of them
        told = one_line(error)
        return Finding("device", Level.FAIL, f"torch and torchvision do not load: {told}", _INSTALL)
    if torch.cuda.is_available():
        return Finding("device", Level.OK, f"CUDA {torch.cuda.get_device_name()}")
    return Finding("device", Level.OK, f"CPU, {torch.get_num_threads()} threads, no CUDA")


def _disk(settings: Settings) -> Finding:
    place = settings.home.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = f"{free / 2**30:.1f} GiB free at {place}"
    if not os.access(place, os.W_OK | os.X_OK):
        remedy = "make it writable, or set LITHOSCOPE_HOME to a folder of yours"
        return Finding("disk", Level.FAIL, f"{place} can't be written", remedy)
    if free < DISK_AMPLE_BYTES:
        level = Level.FAIL if free < DISK_LEAST_BYTES else Level.WARN
        return Finding("disk", level, text, "make room, or set LITHOSCOPE_HOME to a larger disk")
    return Finding("disk", Level.OK, text)


def _memory(settings: Settings) -> Finding:
    decode = settings.decode
    needed = decode.workers * (decode.memory_mib << 20) + MODEL_BYTES
    memory = psutil.virtual_memory()
    text = (
        f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available; "
        f"{decode.workers} decoding processes may take {needed / 2**30:.1f} with a model"
    )
    if memory.available < needed:
        remedy = "end other programs, or lower LITHOSCOPE_DECODE__WORKERS or __MEMORY_MIB"
        return Finding("memory", Level.WARN, text, remedy)
    return Finding("memory", Level.OK, text)


def _services(settings: Settings) -> Iterator[Finding]:
    try:
        objects = open_object_store(settings)
    except LithoscopeError as error:
        yield Finding("store", Level.FAIL, str(error), "then run `lithoscope doctor` again")
        return
    with Site(settings, objects) as site:
        checks: dict[str, Callable[[Site], Iterator[Finding]]] = {
            "store": _store,
            "metadata": _metadata,
            "broker": _broker,
            "index": _index,
            "model": _model,
        }
        for name, check in checks.items():
            try:
                yield from check(site)
            except (LithoscopeError, OSError) as error:
                yield Finding(name, Level.FAIL, one_line(error), _remedy(name))


def _remedy(name: str) -> str:
    return {
        "store": "see LITHOSCOPE_STORE__… in docs/settings.md",
        "metadata": "see LITHOSCOPE_STORE__… in docs/settings.md",
        "broker": "see LITHOSCOPE_BROKER__… in docs/settings.md",
        "index": "`lithoscope down` and try again; see LITHOSCOPE_INDEX__… in docs/settings.md",
        "model": "publish it again, or make another live: `lithoscope models list`",
    }[name]


def _store(site: Site) -> Iterator[Finding]:
    for _ in site.objects.pages("scans/", page_size=1):
        break
    place = store_place(site.settings)
    if site.settings.store.kind == "folder" and not os.access(place, os.W_OK | os.X_OK):
        yield Finding("store", Level.WARN, f"{place} can only be read", "make it writable")
    else:
        yield Finding("store", Level.OK, f"{site.settings.store.kind} {place}")


def _metadata(site: Site) -> Iterator[Finding]:
    found = BucketMetadata.read(site.objects)
    for problem in found.problems:
        yield Finding("metadata", Level.FAIL, problem, "until then no new scan is indexed")
    for key in found.others:
        yield Finding(
            "metadata", Level.WARN, f"{key} is no table", "store CSV or Excel, or move it"
        )
    if not found.problems:
        count = len(found.etags) - len(found.others)
        yield Finding("metadata", Level.OK, f"tables in metadata/: {count}, all right")


def _broker(site: Site) -> Iterator[Finding]:
    """Whether the broker, where one is set, keeps what is given to it."""
    if site.settings.broker.url is None:
        return
    from infra.broker import broker_calls, open_broker  # noqa: PLC0415  not needed without one

    with closing(open_broker(site.settings)) as client, broker_calls("its state"):
        told = client.info()
    policy, is_kept = told.get("maxmemory_policy"), told.get("aof_enabled") == 1
    text = f"{site.settings.broker.url}, {told.get('redis_version')}"
    if policy != "noeviction":
        text, remedy = (
            f"{text}, drops tasks when its memory is full",
            "--maxmemory-policy noeviction",
        )
    elif not is_kept:
        text, remedy = f"{text}, forgets all tasks when it is restarted", "--appendonly yes"
    else:
        yield Finding("broker", Level.OK, f"{text}, {told.get('used_memory_human')} in use")
        return
    yield Finding("broker", Level.WARN, text, f"start it with {remedy}")


def _index(site: Site) -> Iterator[Finding]:
    address = site.settings.index.address
    if not has_index(site):
        yield Finding(
            "index", Level.OK, f"{site.index_folder}: none yet; `lithoscope ingest` makes it"
        )
        return
    before = None if address else find_server(site.index_folder)
    names = site.index.collections()
    place = address or _server_text(site.index_folder, was_running=before is not None)
    yield Finding("index", Level.OK, f"{place}; collections: {len(names)}")


def _server_text(folder: Path, *, was_running: bool) -> str:
    server = find_server(folder)
    told = f"process {server.pid} on {server.address}" if server else "ended just now"
    return f"{folder}, {told}" + ("" if was_running else " (started for this)")


def _model(site: Site) -> Iterator[Finding]:
    for problem in site.models.survey().problems:
        yield Finding("model", Level.FAIL, problem, "or remove it from the store")
    version = site.models.live(site.index) if has_index(site) else None
    if version is None:
        remedy = "index with one: `lithoscope ingest PATH --encoder dsnn --init seed:0`"
        yield Finding("model", Level.WARN, "none is live: nothing can be searched", remedy)
        return
    yield from _properties(site, version)
    from encoder.bundle import load_bundle  # noqa: PLC0415  torch

    encoder = load_bundle(site.models.fetch(version))
    text = f"{version.bundle_id} loads: {encoder.dimension}-d, {encoder.metric}, {encoder.init}"
    yield Finding("model", Level.OK, text)


def _properties(site: Site, version: ModelVersion) -> Iterator[Finding]:
    """Whether what was declared since the live model indexed its first scan is missing there."""
    there = site.index.open(version.collection).schema.names(ColumnKind.NUMBER)
    lacking = [name for name in site.settings.properties if name not in there]
    if lacking:
        yield Finding(
            "properties",
            Level.WARN,
            f"the live model's index has no column for {', '.join(lacking)}",
            f"`lithoscope models drop {version.bundle_id} --live`, then `lithoscope reindex "
            f"{version.bundle_id}`; or publish another model, whose index has it",
        )
