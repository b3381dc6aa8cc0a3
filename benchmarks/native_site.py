"""A whole stack for benchmarks: started from docker-compose.yml as processes of this machine.

Servers are real ones, on free ports; what is missing is named with its install command. Everything
is in one folder, and ends with the block.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from infra.native_stack.plan import make_plan
from infra.native_stack.programs import require_programs
from infra.native_stack.secrets_file import new_secrets
from infra.native_stack.stack import NativeStack
from infra.native_stack.state import StackState
from infra.settings import Settings
from infra.settings_groups import DELIMITER, PREFIX
from infra.site import Site, open_site
from ingest_worker.models import open_target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from infra.model_versions import ModelVersion

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"


def planned(
    folder: Path,
    changes: Mapping[str, str] | None = None,
    *,
    scale: Mapping[str, int] | None = None,
) -> NativeStack:
    """Plan a stack that is not started; its secrets are its own.

    Args:
        folder: Where its data and logs will be.
        changes: Variables of the compose file.
        scale: How many processes of a service, where not one.

    Raises:
        MissingProgramError: Servers are not on this machine; the text says how to install them.
    """
    counts = dict(scale or {})
    variables = {**os.environ, **new_secrets(), **(changes or {})}
    plan = make_plan(folder, [COMPOSE], variables=variables, scale=counts)
    require_programs(list(plan.services.values()))
    return NativeStack(plan, StackState(scale=counts))


@contextlib.contextmanager
def running_stack(
    folder: Path,
    changes: Mapping[str, str] | None = None,
    *,
    scale: Mapping[str, int] | None = None,
) -> Iterator[NativeStack]:
    """Run a stack; what ends is started again, as Docker would.

    Args:
        folder: Where its data and logs are.
        changes: Variables of the compose file.
        scale: How many processes of a service, where not one.

    Yields:
        The stack, once everything in it is healthy.

    Raises:
        NativeStackError: It does not come up.
    """
    stack = planned(folder, changes, scale=scale)
    try:
        with stack.supervised():
            stack.up()
            yield stack
    finally:
        stack.down()


def settings_of(stack: NativeStack) -> Settings:
    """Settings of a client of a stack, whatever this process's own are."""
    values: dict[str, str] = {}
    groups: dict[str, dict[str, str]] = {}
    for name, value in stack.client_settings().items():
        group, _, field = name.removeprefix(PREFIX).lower().partition(DELIMITER)
        if value and field:
            groups.setdefault(group, {})[field] = value
        elif value and name.startswith(PREFIX):
            values[group] = value
    return Settings.model_validate({**values, **groups})


@contextlib.contextmanager
def opened_site(stack: NativeStack) -> Iterator[Site]:
    """Look at a stack's bucket, models and index as a client does."""
    with open_site(settings_of(stack)) as site:
        yield site


def make_live(site: Site, bundle: Path) -> ModelVersion:
    """Publish a bundle, and have searches ask it."""
    version = site.models.publish(bundle)
    open_target(site, version, adopt=False)
    site.models.switch(site.index, version)
    return version
