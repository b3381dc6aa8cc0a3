"""Queues and tasks of the stack, by the names that its services agree on."""

from __future__ import annotations

ENCODE = "encode"
"""Queue of what just came into the bucket."""

MAINTENANCE = "maintenance"
"""Queue of comparisons, and of steps of rollouts."""

BULK = "encode.bulk"
"""Queue of what a new model's collection misses: it has time."""

QUEUES = (ENCODE, MAINTENANCE, BULK)
"""Every queue, the most urgent first: workers empty one before they look at the next, but that
uploads without a pause let maintenance through (`infra.queue_order`).

Maintenance comes before bulk, which it fills: a long rollout must not keep it from being looked
after.
"""

ENCODE_BATCH = "encode_batch"
"""Task: bring a collection up to date with some objects."""

SWEEP = "sweep"
"""Task: compare the bucket with the index, and send what differs."""

DEEP_SWEEP = "deep_sweep"
"""Task: count every row and picture as well."""

ROLLOUT = "rollout"
"""Task: go on with filling a new model's collection."""
