"""The object store that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.folder_store import FolderStore
from infra.s3_store import S3Store
from infra.store_errors import StoreRefusedError

if TYPE_CHECKING:
    from infra.object_store import ObjectStore
    from infra.settings import Settings


def open_object_store(settings: Settings) -> ObjectStore:
    """Open the object store; a folder or bucket that is new is made.

    A folder that the settings name themselves must exist: a disk that is not mounted must not
    become an empty store.

    Raises:
        StoreAwayError: It does not answer, or the named folder is missing.
        StoreRefusedError: The account is wrong or may not.
    """
    if settings.store.kind == "s3":
        bucket = S3Store.from_settings(settings.store)
        bucket.ensure_bucket()
        return bucket
    folder = settings.bucket_folder
    if settings.store.folder is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreRefusedError(
                f"object folder {folder}: can't be made ({error.strerror}); correct LITHOSCOPE_HOME"
            ) from error
    return FolderStore(folder)
