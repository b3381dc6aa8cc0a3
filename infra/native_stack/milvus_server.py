"""Milvus's standalone server of PyPI's package ``milvus``, in the place of this process.

The package's own command stays alive when its server ends, and chooses the port of the health page
itself: neither can be watched, or killed for a test. This makes the same preparations and then
becomes the server.

Run by ``python -m infra.native_stack.milvus_server FOLDER METRICS_PORT NAME=PORT...``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from filelock import FileLock

PORT_NAMES = (
    "etcd",
    "etcd_peer",
    "root_coord",
    "proxy_internal",
    "query_coord",
    "query_node",
    "index_coord",
    "index_node",
    "data_coord",
    "data_node",
)
"""Ports beside that of its clients (``proxy``) which a server has for itself."""

_ETCD = """\
listen-client-urls: {client}
advertise-client-urls: {client}
listen-peer-urls: {peer}
initial-advertise-peer-urls: {peer}
initial-cluster: default={peer}
"""
"""Without it the etcd inside takes 2379 and 2380, whatever else is said, and a second one fails."""


def programs_folder() -> Path:
    """Where the unpacked server is: a quarter of a gigabyte that every stack shares."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "lithoscope" / "milvus"


def main(folder: Path, *, metrics_port: str, ports: dict[str, int]) -> None:
    """Become the server.

    Args:
        folder: Where its data are.
        metrics_port: Port of its health page and metrics.
        ports: Its other ports, by name.
    """
    import milvus  # noqa: PLC0415  half a second that reading the names above need not cost

    programs = programs_folder() / milvus.__version__
    programs.mkdir(parents=True, exist_ok=True)
    with FileLock(programs / ".lock"):
        milvus._initialize_data_files(str(programs))  # noqa: SLF001  the package has no other way
    etcd, peer = (f"http://127.0.0.1:{ports.pop(name)}" for name in ("etcd", "etcd_peer"))
    config = milvus.MilvusServerConfig(data_dir=str(folder))
    config.resolve_storage()
    for name, port in ports.items():
        config.set(f"{name}_port", port)
    # Its own look at each port takes one that has lingering connections of a killed server for
    # taken; the server itself does not mind them.
    config.write_config()
    etcd_file = folder / "configs" / "etcd.yaml"
    etcd_file.write_text(_ETCD.format(client=etcd, peer=peer), encoding="utf-8")
    binaries = programs / "bin"
    environment = os.environ | {
        "DEPLOY_MODE": "STANDALONE",
        "ETCD_CONFIG_PATH": str(etcd_file),
        "LD_LIBRARY_PATH": f"{binaries}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "METRICS_PORT": metrics_port,
        "MILVUS_RUN_DIR": str(folder / "run"),
    }
    os.chdir(folder)  # it looks for configs/milvus.yaml below
    os.execve(binaries / "milvus", ["milvus", "run", "standalone"], environment)  # noqa: S606  no shell


if __name__ == "__main__":
    named = (pair.split("=", 1) for pair in sys.argv[3:])
    main(
        Path(sys.argv[1]).resolve(),
        metrics_port=sys.argv[2],
        ports={name: int(port) for name, port in named},
    )
