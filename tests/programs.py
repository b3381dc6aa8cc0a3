"""Programs of others that tests start: on a machine without one its tests are skipped.

On CI (CI is set) that is a failure, and so it is where a variable names what is not there. Such a
variable set to ``none`` says that the program can't be had.
"""

from __future__ import annotations

import os
import shutil

import pytest


def program(*names: str, variable: str, remedy: str) -> str:
    """Find a program.

    Args:
        names: What it may be called on PATH.
        variable: Environment variable that may name it instead.
        remedy: How it is had.

    Returns:
        Its path.
    """
    named = os.environ.get(variable)
    if named == "none":
        pytest.skip(f"{variable}=none: no `{names[0]}` can be had here")
    for name in [named] if named else names:
        found = shutil.which(name)
        if found is not None:
            return found
    missing = f"no `{named or names[0]}`: {remedy}, or name it in {variable} (none: do without)"
    if named or os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def minio_binary() -> str:
    return program("minio", variable="MINIO_BIN", remedy="install MinIO's server")


def redis_binary() -> str:
    remedy = "`apt-get install redis-server`"
    return program("redis-server", "valkey-server", variable="REDIS_BIN", remedy=remedy)


def chromium_binary() -> str:
    remedy = "`apt-get install chromium`"
    return program("chromium", "chromium-browser", variable="CHROMIUM_BIN", remedy=remedy)
