"""Progress bars on the terminal, with the rate and the time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class RateColumn(ProgressColumn):
    """Things done in a second, or in a minute where that is slow."""

    def render(self, task: Task) -> Text:
        """Show the rate, once it is known."""
        if not task.speed:
            return Text("")
        slow = task.speed < 1
        return Text(f"{60 * task.speed:.0f}/min" if slow else f"{task.speed:.0f}/s")


def progress_bar() -> Progress:
    """Return a bar on stderr, which vanishes when done: what stays is the command's answer."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
        redirect_stdout=False,  # it would send to stderr what a file is to hold
    )
