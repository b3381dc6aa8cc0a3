"""``python -m trainer``: the trainer's own commands, such as torchrun starts them.

torchrun --nproc-per-node 4 -m trainer train --config FILE --out RUN
"""

from __future__ import annotations

import os
import sys

import typer

from encoder.errors import LithoscopeError, printable
from trainer.cli import app


def main() -> None:
    """Run the command line; an error that its user can mend is one line, not a traceback."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except (LithoscopeError, OSError) as error:
        # What all processes come upon each of them tells: whose line it is must be seen.
        rank = os.environ.get("RANK", "0")
        name = "trainer" if rank == "0" else f"trainer, process {rank}"
        typer.echo(f"{name}: {printable(str(error))}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
