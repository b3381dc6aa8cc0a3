"""Files that came from a browser, and the memory that those of all visitors share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamlit.runtime.uploaded_file_manager import UploadedFile


def let_go(files: Iterable[UploadedFile]) -> None:
    """Forget files that are stored by now: Streamlit holds them as long as their tab is open.

    Args:
        files: The files; their widget must not be shown again.
    """
    context = get_script_run_ctx()
    if context is None or not isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        return  # nothing is in memory
    for each in files:
        context.uploaded_file_mgr.remove_file(context.session_id, each.file_id)
