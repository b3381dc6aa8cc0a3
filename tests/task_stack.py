"""Every part that stands between an upload and the index, for tests that kill some of them.

MinIO, Redis, a dispatcher and a worker are processes of their own; Milvus is the embedded one: its
server is a process too, and the adapter is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.index_server import stop_server
from infra.s3_store import S3Store
from infra.settings import Settings
from infra.settings_groups import DecodeSettings, WorkSettings
from infra.site import Site
from infra.status import covered
from infra.task_names import ENCODE, MAINTENANCE
from infra.task_queue import TaskQueue
from ingest_worker.models import open_target
from stack_parts import (
    SECONDS_TO_START,
    MinioServer,
    RedisServer,
    Service,
    env_of,
    png,
    small_bundle,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from infra.coverage import Coverage
    from infra.model_versions import ModelVersion
    from infra.vector_index import Collection

EVENTS = "lithoscope:events"
VISIBILITY = 4
TAKEN, WORKS, DISPATCHES = "Task encode_batch", " ready.", "passing on events"
"""What services log."""


class TaskStack:
    """Servers, a published model, and what tests look at them with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broker = RedisServer(folder / "broker")
        self.broker.start()
        self.store = MinioServer(folder / "store", self.broker, events_key=EVENTS)
        self.store.start()
        self.settings = Settings(
            home=folder / "home",
            store=self.store.settings,
            broker=self.broker.settings.model_copy(update={"visibility_seconds": VISIBILITY}),
            work=WorkSettings(batch_keys=8, batch_seconds=0.5),
            decode=DecodeSettings(workers=1, memory_mib=1024),
        )
        self.env = env_of(self.settings)
        init = Service(folder / "init", self.env, "init-stack")
        init.start()
        assert init.process is not None
        assert init.process.wait(SECONDS_TO_START) == 0, init.log
        self.init_log = init.log
        objects = S3Store.from_settings(self.settings.store)
        self.site = Site(self.settings, objects)
        self.queue = TaskQueue(self.settings)
        self.version = self.publish(0)
        self.site.models.switch(self.site.index, self.version)
        self.dispatcher = Service(folder / "dispatcher", self.env, "dispatch")
        self.worker = Service(folder / "worker", self.env, "worker")

    @property
    def live(self) -> Collection:
        return self.site.index.open(self.version.collection)

    def publish(self, seed: int) -> ModelVersion:
        version = self.site.models.publish(small_bundle(self.folder / f"bundle{seed}", seed))
        open_target(self.site, version, adopt=False)
        return version

    def put(self, name: str, seed: int) -> str:
        key = f"scans/E1/S1/{name}"
        self.site.objects.put(key, png(seed))
        return key

    def coverage(self) -> Coverage:
        return covered(self.site, self.version)

    def events(self) -> int:
        """Events that wait, or whose tasks may not be in a queue yet."""
        return self.broker.length(EVENTS) + self.broker.length(f"{EVENTS}:processing")

    def is_settled(self) -> bool:
        """Whether no event and no task is on its way."""
        waiting = [self.queue.waiting(name) for name in (ENCODE, MAINTENANCE)]
        return self.events() == 0 and all(each.tasks + each.running == 0 for each in waiting)

    def is_right(self) -> bool:
        """Whether the index has what the bucket has, as it is now."""
        found = self.coverage()
        wrong = (*found.missing, *found.changed, *found.stale, *found.corrected, *found.orphaned)
        return not wrong and not found.quarantined and self.is_settled()

    def check_rows(self) -> None:
        """Every scan has the rows that its record says, and no others."""
        stored = self.live.stored_generations()
        records = {(r.object_key, r.generation): r.n_slices for r in self.live.records()}
        assert stored == records

    def clear(self) -> None:
        for service in (self.dispatcher, self.worker):
            service.kill()
        self.broker.flush()
        watched = ("scans/", "metadata/")
        count = 0
        for page in list(self.site.objects.pages()):
            for entry in page:
                if not entry.key.startswith("models/"):
                    self.site.objects.delete(entry.key)
                    count += entry.key.startswith(watched)
        wait_until(lambda: self.broker.length(EVENTS) >= count)  # they are not the next test's
        self.broker.flush()
        self.live.remove([record.object_key for record in self.live.records()])

    def close(self) -> None:
        for service in (self.dispatcher, self.worker):
            service.stop()
        self.queue.close()
        self.site.close()
        stop_server(self.site.index_folder)
        self.store.stop()
        self.broker.stop()
