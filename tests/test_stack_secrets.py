"""Secrets: strong ones are made, nobody else reads them, and none is in the tree."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from infra.native_stack.secrets_file import SECRETS, complete

ROOT = Path(__file__).resolve().parents[1]

PATTERNS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "a GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a password in a URL": r"\b(?:redis|https?|postgres)://[^/\s:@{}<>$]*:[^/\s:@{}<>$]+@(?!only)",
}
DEFAULTS = r"minioadmin|root:Milvus|changeme"
MAY_NAME_DEFAULTS = ("infra/default_secrets.py", "infra/index_password.py", "docs/", "tests/")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607  git of this machine
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("no git history here")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_a_new_file_has_strong_secrets_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    command = [sys.executable, "-m", "infra.native_stack.secrets_file", str(file)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603  our own module
    values = dotenv_values(file)
    assert values.keys() == SECRETS.keys()
    assert len({*values.values()}) == len(values)
    for name, value in values.items():
        assert value is not None
        assert re.fullmatch(r"[\w-]{32}|lithoscope-\w{8}", value), name
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_a_file_names_already_stays(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("BROKER_PASSWORD=mine\n# a note\nexport GRAFANA_PASSWORD=\nOTHER=x")
    assert set(complete(file)) == SECRETS.keys() - {"BROKER_PASSWORD", "GRAFANA_PASSWORD"}
    text = file.read_text()
    assert text.startswith("BROKER_PASSWORD=mine\n# a note\nexport GRAFANA_PASSWORD=\nOTHER=x\n")
    assert complete(file) == []
    assert file.read_text() == text


def test_two_sites_have_different_secrets(tmp_path: Path) -> None:
    for name in ("a", "b"):
        complete(tmp_path / name)
    first, second = dotenv_values(tmp_path / "a"), dotenv_values(tmp_path / "b")
    assert not set(first.values()) & set(second.values())


@pytest.mark.parametrize("what", PATTERNS)
def test_no_secret_is_in_the_tree(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        for match in re.finditer(PATTERNS[what], path.read_text(errors="ignore"))
    ]
    assert found == []


def test_no_default_password_is_in_use() -> None:
    """They are named where they are refused, and nowhere else."""
    found = [
        name
        for path in tracked()
        if not (name := str(path.relative_to(ROOT))).startswith(MAY_NAME_DEFAULTS)
        and re.search(DEFAULTS, path.read_text(errors="ignore"))
    ]
    assert found == []


def test_no_environment_file_is_in_the_tree() -> None:
    names = [path.name for path in tracked()]
    assert [name for name in names if name.startswith(".env")] == [".env.example"]
