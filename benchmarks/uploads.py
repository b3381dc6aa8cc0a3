"""How soon uploads can be searched, and that none is missing: the whole stack, with real servers.

The stack runs as processes of this machine, from docker-compose.yml, with the model that a first
start has (`dsnn`, seed 0). Times are from the object's time in the store, or from the call that
uploads it, to the first look at the index that finds it committed. Parts:

- `single`: one 2D scan after the other, each on an idle stack.
- `bulk`: all of them by `mc cp`.
- `scaling`: the same backlog of scans for one worker and for two, each on one CPU.
- `silent`: without any notification, by the sweep alone.
- `flushed`: the broker loses all its data while tasks wait.

After each, every scan's rows are counted. Ends with 1 where a scan is missing, rows are not exact,
or the aim for single scans is missed. `python benchmarks/uploads.py --help`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import redis
from minio import Minio
from PIL import Image

from encoder.bundle import save_bundle
from encoder.encoders import build_encoder
from infra.task_names import ENCODE
from infra.task_queue import TaskQueue
from native_site import make_live, opened_site, running_stack, settings_of
from upload_watch import Seen, Watch, rows_are_exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.native_stack.stack import NativeStack
    from infra.site import Site
    from infra.vector_index import Collection

AIM_SECONDS = 5.0
"""Longest p95 of a single 2D scan on an idle stack."""

SWEEP_SECONDS = 15
SECONDS_TO_SETTLE = 900.0
SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
POLL_SECONDS = 0.1
PARTS = ("single", "bulk", "scaling", "silent", "flushed")


@dataclass(frozen=True, slots=True)
class Bench:
    """A stack, and what is uploaded to it.

    Attributes:
        stack: The stack.
        site: The same, as a client sees it.
        collection: The live one.
        queue: Its queues.
        scans: Files of 2D scans.
    """

    stack: NativeStack
    site: Site
    collection: Collection
    queue: TaskQueue
    scans: list[Path]

    def put(self, folder: str) -> list[str]:
        """Upload every scan below a folder of the bucket; gives their keys."""
        keys = [f"scans/{folder}/S1/{number}{scan.name}" for number, scan in enumerate(self.scans)]
        for key, scan in zip(keys, self.scans, strict=True):
            self.site.objects.put(key, scan)
        return keys

    def keep_waiting(self, folder: str) -> list[str]:
        """Upload every scan while no worker takes tasks, until tasks for all of them wait."""
        self.stack.pause("worker")
        keys = self.put(folder)
        wait_until(lambda: self.queue.waiting(ENCODE).keys >= len(keys), "tasks for every scan")
        return keys

    def finish(self, called: str, seen: Seen) -> bool:
        """Print what was seen, and say whether every scan is there, with its rows exactly."""
        problem = rows_are_exact(self.site, self.collection)
        print(f"{called:<28}{seen.told()}; rows {problem or 'exact'}", flush=True)
        return problem is None and not seen.missing


def wait_until(is_so: Callable[[], object], called: str) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + SECONDS_TO_SETTLE
    while not is_so():
        if time.monotonic() > deadline:
            sys.exit(f"no {called} after {SECONDS_TO_SETTLE:g} s")
        time.sleep(POLL_SECONDS)


def singles(bench: Bench, count: int) -> bool:
    """Upload one scan after the other, each once the former is searchable."""
    seconds = []
    for number, scan in enumerate(bench.scans[:count]):
        key = f"scans/single/S1/{number}{scan.name}"
        began = time.monotonic()
        bench.site.objects.put(key, scan)
        wait_until(lambda key=key: bench.collection.record(key), key)  # type: ignore[misc]
        seconds.append(time.monotonic() - began)
    print(f"{'first single scan':<28}{seconds[0]:.2f} s", flush=True)
    p95 = float(np.quantile(seconds, 0.95))
    is_well = bench.finish(f"{count} single scans", Seen(seconds, missing=0))
    return is_well and p95 <= AIM_SECONDS


def bulk(bench: Bench, folder: Path) -> bool:
    """Upload all scans at once, with the store's own client."""
    source = folder / "copied"
    source.mkdir()
    for number, scan in enumerate(bench.scans):
        shutil.copy(scan, source / f"{number}{scan.name}")
    keys = [f"scans/bulk/S1/{file.name}" for file in source.iterdir()]
    store = bench.site.settings.store
    account = f"{_plain(store.access_key)}:{_plain(store.secret_key)}"
    env = os.environ | {"MC_HOST_site": f"http://{account}@{store.endpoint}"}
    command = [mc_binary(), "--config-dir", str(folder / "mc"), "cp", "--quiet", "--recursive"]
    began = time.monotonic()
    with Watch(bench.collection, keys) as watch:
        subprocess.run(  # noqa: S603  the store's own client
            [*command, f"{source}/", f"site/{store.bucket}/scans/bulk/S1/"],
            env=env,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        copied = time.monotonic() - began
        watch.wait(SECONDS_TO_SETTLE)
    print(f"{f'mc cp of {len(keys)} scans':<28}{copied:.1f} s", flush=True)
    return bench.finish("  upload to searchable", watch.seen(bench.site.objects))


def scaling(bench: Bench, rounds: int) -> bool:
    """Let one worker, then two, work off the same backlog, in turns."""
    speeds: dict[int, list[float]] = {1: [], 2: []}
    is_well = True
    for number in range(rounds):
        for workers, found in speeds.items():
            if workers == 1:
                bench.stack.stop("worker-2")
            else:
                bench.stack.restart("worker-2")
            keys = bench.keep_waiting(f"scaling{number}of{workers}")
            with Watch(bench.collection, keys) as watch:
                bench.stack.resume("worker")
                watch.wait(SECONDS_TO_SETTLE)
            found.append(len(keys) / watch.seconds)
            is_well &= bench.finish(f"{workers} workers, round {number + 1}", watch.backlog())
    one, two = (statistics.median(each) for each in speeds.values())
    print(
        f"{'1 to 2 workers':<28}{one:.1f} to {two:.1f} scans/s: ratio {two / one:.2f}", flush=True
    )
    return is_well


def silent(bench: Bench) -> bool:
    """Upload with notifications switched off: only the sweep finds the scans."""
    store = bench.site.settings.store
    client = Minio(
        str(store.endpoint), _plain(store.access_key), _plain(store.secret_key), secure=store.secure
    )
    client.delete_bucket_notification(store.bucket)
    keys = bench.put("silent")
    with Watch(bench.collection, keys) as watch:
        watch.wait(SECONDS_TO_SETTLE)
    bench.site.objects.ensure_notifications()  # type: ignore[attr-defined]  # S3Store
    return bench.finish(f"no events, sweep of {SWEEP_SECONDS} s", watch.seen(bench.site.objects))


def flushed(bench: Bench) -> bool:
    """Have the broker lose everything while tasks wait."""
    keys = bench.keep_waiting("flushed")
    settings = bench.site.settings.broker
    client = redis.Redis.from_url(str(settings.url), password=_plain(settings.password))
    with contextlib.closing(client), Watch(bench.collection, keys) as watch:
        client.flushall()
        bench.stack.resume("worker")
        watch.wait(SECONDS_TO_SETTLE)
    return bench.finish("broker flushed", watch.seen(bench.site.objects))


def mc_binary() -> str:
    """Find MinIO's client, by MC_BIN or on PATH."""
    found = shutil.which(os.environ.get("MC_BIN") or "mc")
    if found is None:
        sys.exit("mc is not on this machine; install it: go install github.com/minio/mc@latest")
    return found


def made_scans(folder: Path, count: int) -> list[Path]:
    """Draw 2D scans as thin sections are: colour, 640 by 480."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    files = []
    for number in range(count):
        small = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(small).resize((640, 480)).save(content, "jpeg", quality=90)
        file = folder / f"{number}.jpg"
        file.write_bytes(content.getvalue())
        files.append(file)
    return files


def _plain(secret: object) -> str:
    return str(secret.get_secret_value()) if hasattr(secret, "get_secret_value") else ""


def run(arguments: argparse.Namespace, folder: Path) -> bool:
    """Start a stack, and measure what was asked for."""
    found = sorted(each for each in arguments.rocks.rglob("*") if each.suffix in SUFFIXES)
    scans = found[: arguments.scans] or made_scans(folder / "made", arguments.scans)
    variables = {
        "LITHOSCOPE_WORK__SWEEP_SECONDS": str(SWEEP_SECONDS),
        "LITHOSCOPE_WORK__BATCH_KEYS": str(arguments.batch),
        "LITHOSCOPE_DECODE__WORKERS": "1",
        "LITHOSCOPE_LOG__FORMAT": "text",
    }
    began = time.monotonic()
    with running_stack(folder / "stack", variables, scale={"worker": 2}) as stack:
        print(f"{'stack':<28}healthy after {time.monotonic() - began:.0f} s", flush=True)
        with opened_site(stack) as site, TaskQueue(settings_of(stack)) as queue:
            save_bundle(folder / "bundle", build_encoder("dsnn", "seed:0"))
            version = make_live(site, folder / "bundle")
            wait_until(
                lambda: stack.log("worker").count("its model is open") >= 2,
                "open models",
            )
            stack.stop("worker-2")
            collection = site.index.open(version.collection)
            bench = Bench(stack, site, collection, queue, scans)
            doing: dict[str, Callable[[], bool]] = {
                "single": lambda: singles(bench, min(arguments.singles, len(scans))),
                "bulk": lambda: bulk(bench, folder),
                "scaling": lambda: scaling(bench, arguments.rounds),
                "silent": lambda: silent(bench),
                "flushed": lambda: flushed(bench),
            }
            passes = [doing[part]() for part in PARTS if part in arguments.parts]
            return all(passes)


def main() -> None:
    """Measure and print; end with 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rocks", type=Path, default=Path("none"), help="folder of 2D scans")
    parser.add_argument("--scans", type=int, default=200, help="scans of a part (%(default)s)")
    parser.add_argument("--singles", type=int, default=40, help="single scans (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of scaling (%(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="scans of a task (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the stack ends with this process
    # One CPU for each worker, or two of them would share what one has to itself.
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"aim: p95 of a single scan on an idle stack up to {AIM_SECONDS:g} s")
    with tempfile.TemporaryDirectory(prefix="lithoscope-bench-") as folder:
        is_well = run(arguments, Path(folder))
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
