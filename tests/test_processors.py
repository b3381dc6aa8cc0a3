"""How many CPUs may be used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no processes")
def test_a_process_that_is_pinned_to_one_cpu_uses_one() -> None:
    code = (
        "import os\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from encoder.decoding import DecoderPool\n"
        "from encoder.processors import usable_cpus\n"
        "print(usable_cpus(), DecoderPool().workers, DecoderPool(3).workers)"
    )
    run = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["1", "1", "3"]
