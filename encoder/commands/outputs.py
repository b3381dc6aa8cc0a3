"""Files that commands write: checked before the work, and under their name only when whole."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from encoder.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def check_output(path: Path, *, inputs: Iterable[Path], suffix: str) -> None:
    """Refuse an output that can't or shouldn't be written, before anything is done for it.

    Args:
        path: File to write; one that is there already is replaced.
        inputs: Files that are read.
        suffix: Extension that the file must have.

    Raises:
        OutputError: The text says why.
    """
    try:
        reason = _objection(path, inputs, suffix=suffix)
    except OSError as error:
        reason = f"can't be written ({error.strerror})"
    if reason:
        raise OutputError(f"{path}: {reason}; name a new {suffix} file in a folder of yours")


def _objection(path: Path, inputs: Iterable[Path], *, suffix: str) -> str | None:
    if path.suffix.lower() != suffix:
        return f"isn't named like a {suffix} file"
    if not path.parent.is_dir():
        return "its folder doesn't exist"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return "its folder can't be written to"
    if path.is_symlink() or (path.exists() and not path.is_file()):
        return "is there already, and no plain file"
    if path.exists() and any(path.samefile(each) for each in inputs if each.exists()):
        return "is one of the files to read"
    return None


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Write a file beside its place, and put it there when it is whole.

    Args:
        path: File to write; one that is there already is replaced.

    Yields:
        Path to write to: of this writer alone, in the same folder.

    Raises:
        OutputError: The file can't be put there.
    """
    try:
        number, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    os.close(number)
    partial = Path(name)
    try:
        yield partial
        try:
            partial.chmod(0o666 & ~_umask())
            partial.replace(path)
        except OSError as error:
            raise unwritable(path, error) from error
    finally:
        partial.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> OutputError:
    """Tell that a file can't be written, and what helps."""
    return OutputError(
        f"{path}: can't be written ({error.strerror or error}); "
        "name a file in a folder that can be written to and has room"
    )


def _umask() -> int:
    """Temporary files are their owner's alone; results are as readable as other new files."""
    umask = os.umask(0)
    os.umask(umask)
    return umask
