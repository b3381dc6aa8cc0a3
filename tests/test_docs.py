"""What the docs show must exist: commands, options, make targets, settings, files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from infra.settings import setting_fields
from lithoscope import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def shown(prefix: str) -> list[tuple[str, str]]:
    """Lines of shell blocks that begin with a word, with the page that shows them."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, line) for line in lines if line.startswith(f"{prefix} ")]
    return found


@pytest.mark.parametrize(("page", "line"), shown("lithoscope"))
def test_shown_commands_are_understood(page: str, line: str) -> None:
    del page
    command = typer.main.get_command(app)
    _, *words = shlex.split(line, comments=True)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    context = command.make_context("lithoscope", words)
    assert not context.args


@pytest.mark.parametrize(("page", "line"), shown("make"))
def test_shown_make_targets_exist(page: str, line: str) -> None:
    del page
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert line.split()[1] in targets


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    text = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(LITHOSCOPE_[A-Z_]+)` \| (.+?) \|", text, re.MULTILINE)
    assert [name for name, _ in rows] == list(setting_fields())
    for name, shown_default in rows:
        default = setting_fields()[name].default
        expected = "none" if default in (None, ()) else f"`{str(default).lower()}`"
        assert shown_default.lower() == expected, name


def test_example_environment_names_real_settings() -> None:
    text = (ROOT / ".env.example").read_text()
    names = re.findall(r"^#? ?(LITHOSCOPE_[A-Z_]+)=", text, re.MULTILINE)
    assert names
    assert set(names) <= set(setting_fields())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
