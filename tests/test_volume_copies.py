"""Backups of the stack's volumes: the script that `make backup` and `make restore` run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "infra" / "docker" / "volumes.sh"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "backup").mkdir()
    for name in ("objects", "broker"):
        (tmp_path / "volumes" / name / "deep er").mkdir(parents=True)
        (tmp_path / "volumes" / name / "deep er" / "file").write_text(f"{name} as saved")
    (tmp_path / "volumes" / "objects" / ".hidden").write_text("x")
    (tmp_path / "volumes" / "objects" / ".hidden").chmod(0o640)
    return tmp_path


def call(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  our own script
        ["/bin/sh", str(SCRIPT), *words],
        env={"PATH": "/usr/bin:/bin", "VOLUMES_ROOT": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


def text(site: Path, name: str) -> str:
    return (site / "volumes" / name / "deep er" / "file").read_text()


def test_what_is_restored_is_what_was_saved_and_nothing_else(site: Path) -> None:
    assert call(site, "save").returncode == 0
    saved = sorted(path.name for path in (site / "backup").glob("*.tar*"))
    assert saved == ["broker.tar", "broker.tar.sha256", "objects.tar", "objects.tar.sha256"]
    for name in ("objects", "broker"):
        (site / "volumes" / name / "deep er" / "file").write_text("later")
        (site / "volumes" / name / ".later").write_text("later")
    (site / "volumes" / "objects" / ".hidden").unlink()
    assert call(site, "load", "objects").stdout == "objects: restored\n"
    assert text(site, "objects") == "objects as saved"
    assert text(site, "broker") == "later"
    hidden = site / "volumes" / "objects" / ".hidden"
    assert hidden.stat().st_mode & 0o777 == 0o640
    assert not (site / "volumes" / "objects" / ".later").exists()
    assert call(site, "load").returncode == 0
    assert text(site, "broker") == "broker as saved"


def test_a_damaged_backup_is_refused_before_anything_is_replaced(site: Path) -> None:
    assert call(site, "save").returncode == 0
    whole = (site / "backup" / "objects.tar").read_bytes()
    (site / "backup" / "objects.tar").write_bytes(whole[: len(whole) // 3])
    (site / "volumes" / "broker" / "deep er" / "file").write_text("later")
    refused = call(site, "load")
    assert refused.returncode == 2
    assert "objects.tar is not what was saved" in refused.stderr
    assert text(site, "broker") == "later"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("save", "object"), "found no volume object; there are: broker objects"),
        (("load",), "found no backup in that folder"),
        (("load", "objects"), "objects.tar is not what was saved"),
        ((), "found '', expected save or load"),
    ],
)
def test_wrong_calls_say_what_is_right(site: Path, words: tuple[str, ...], told: str) -> None:
    refused = call(site, *words)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert text(site, "objects") == "objects as saved"


def test_every_volume_of_the_stack_is_among_those_that_are_saved() -> None:
    stack = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    overlay = yaml.safe_load((ROOT / "infra/compose/compose.backup.yml").read_text())
    mounted = overlay["services"]["backup"]["volumes"]
    assert {f"{name}:/volumes/{name}" for name in stack["volumes"]} <= set(mounted)
