"""What holds for every test."""

from __future__ import annotations

import os

import pytest

# Before torch is loaded: threads that wait for each other by spinning are many times slower where
# decoding processes, or whatever else runs on the machine, want the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Modules that tests share. A file of tests names those whose fixtures it takes in pytest_plugins:
# some import what takes seconds, which other files of tests need not wait for.
pytest.register_assert_rewrite(
    "bundle_samples", "index_contract", "ingest_site", "object_stores", "search_world"
)
