"""Folders for temporary files: used, removed, and never another user's."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from encoder.sandbox.scratch import ScratchFolder, without_scratch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def sweep() -> None:
    ScratchFolder().remove()


def test_scratch_folders_in_use_are_left_alone() -> None:
    first = ScratchFolder()
    second = ScratchFolder()
    (first.subfolder() / "spool").write_text("x")
    third = ScratchFolder()
    assert len({first.path, second.path, third.path}) == 3
    assert first.path.is_dir()
    assert second.path.is_dir()
    for folder in (first, second, third):
        folder.remove()
        folder.remove()
        assert not folder.path.exists()


def test_scratch_folder_is_removed_with_its_owner() -> None:
    owner = ScratchFolder()
    path = owner.path
    del owner
    assert not path.exists()


def test_leftovers_are_removed_even_half_removed_ones(temporary: Path) -> None:
    for name in ("lithoscope-scratch-whole", "lithoscope-scratch-half"):
        (temporary / name / "tmp").mkdir(parents=True)
    (temporary / "lithoscope-scratch-whole" / "lock").touch()
    (temporary / "lithoscope-other").mkdir()
    sweep()
    assert [path.name for path in temporary.iterdir()] == ["lithoscope-other"]


def test_a_sweep_follows_no_link(temporary: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "lock").touch()
    (temporary / "lithoscope-scratch-link").symlink_to(precious)
    trap = temporary / "lithoscope-scratch-trap"
    trap.mkdir()
    (trap / "lock").symlink_to(tmp_path / "made")
    sweep()
    assert (precious / "lock").exists()
    assert not (tmp_path / "made").exists()
    assert trap.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only the administrator can give files away")
def test_what_another_user_put_there_is_left_alone(temporary: Path) -> None:
    for name in ("lithoscope-scratch-theirs", "lithoscope-scratch-ours"):
        (temporary / name).mkdir()
        (temporary / name / "lock").touch()
    os.chown(temporary / "lithoscope-scratch-theirs", 12345, 12345)
    sweep()
    assert [path.name for path in temporary.iterdir()] == ["lithoscope-scratch-theirs"]


def test_words_about_a_file_can_do_without_its_place() -> None:
    scratch = ScratchFolder()
    try:
        for folder in (scratch.path, scratch.subfolder()):
            told = f"{folder / 'tmp plug.tif'}: can't be written; {folder / 'b.tif'}: nor that"
            assert without_scratch(told) == "tmp plug.tif: can't be written; b.tif: nor that"
    finally:
        scratch.remove()
