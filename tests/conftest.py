"""What holds for every test."""

from __future__ import annotations

import os

# Before torch is loaded: threads that wait for each other by spinning are many times slower where
# decoding processes, or whatever else runs on the machine, want the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

pytest_plugins = ["index_contract", "object_stores"]
