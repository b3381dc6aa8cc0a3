"""Having a bucket tell of what happens in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minio.notificationconfig import NotificationConfig, PrefixFilterRule, QueueConfig

from infra.s3_errors import s3_calls
from infra.store_errors import StoreAwayError, StoreRefusedError

if TYPE_CHECKING:
    from minio import Minio

TARGET = "arn:minio:sqs::LITHOSCOPE:redis"
"""Name of the broker in the object store: its settings are ``MINIO_NOTIFY_REDIS_…_LITHOSCOPE``."""

WATCHED = ("scans/", "metadata/")
"""Where others put objects: the rest we write ourselves."""

EVENTS = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
"""Uploads, overwrites and copies; deletions."""

_OUR_PREFIX = "lithoscope-"


def ensure_notifications(client: Minio, bucket: str) -> bool:
    """Have a bucket tell of its scans and tables; what else it is to tell stays as it is.

    Args:
        client: The store's.
        bucket: The bucket; it is there.

    Returns:
        Whether something had to be changed.

    Raises:
        StoreAwayError: The store does not answer, or does not reach the broker.
        StoreRefusedError: The account may not, or the store has no such target.
    """
    with s3_calls(f"notifications of bucket {bucket}"):
        found = client.get_bucket_notification(bucket_name=bucket)
    queues = found.queue_config_list or []
    wanted = [_config(prefix) for prefix in WATCHED]
    ours = [each for each in queues if (each.config_id or "").startswith(_OUR_PREFIX)]
    if sorted(map(_told, ours)) == sorted(map(_told, wanted)):
        return False
    config = NotificationConfig(
        cloud_func_config_list=found.cloud_func_config_list,
        queue_config_list=[*(each for each in queues if each not in ours), *wanted],
        topic_config_list=found.topic_config_list,
    )
    try:
        with s3_calls(f"notifications of bucket {bucket}"):
            client.set_bucket_notification(bucket_name=bucket, config=config)
    except StoreRefusedError as error:
        if "ARN" not in str(error):
            raise
        # MinIO says the same of a target that it does not know and of one that it does not reach
        raise StoreAwayError(
            f"{error}; expected the target {TARGET}: set MINIO_NOTIFY_REDIS_…_LITHOSCOPE for the "
            "object store, and see whether it reaches the broker"
        ) from error
    return True


def _config(prefix: str) -> QueueConfig:
    return QueueConfig(
        queue=TARGET,
        events=EVENTS,
        config_id=f"{_OUR_PREFIX}{prefix.strip('/')}",
        prefix_filter_rule=PrefixFilterRule(prefix),
    )


def _told(config: QueueConfig) -> tuple[str, str, str, list[str]]:
    prefix = config.prefix_filter_rule.value if config.prefix_filter_rule else ""
    return config.config_id or "", config.queue or "", prefix, sorted(config.events)
