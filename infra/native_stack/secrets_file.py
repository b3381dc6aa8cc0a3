"""Strong secrets for the stack, in ``.env``: written once, completed later, never replaced.

Run by ``python -m infra.native_stack.secrets_file [FILE]``, which needs nothing but Python.
"""

from __future__ import annotations

import os
import re
import secrets
import string
import sys
from pathlib import Path

_SIGNS = string.ascii_letters + string.digits
_LENGTH = 32

SECRETS = {
    "OBJECT_STORE_USER": "lithoscope-",
    "OBJECT_STORE_PASSWORD": "",
    "BROKER_PASSWORD": "",
    "MILVUS_PASSWORD": "",
    "GRAFANA_PASSWORD": "",
}
"""What each is called, and how it begins."""

_HEAD = """\
# Secrets of the stack, made by `make env`; nobody but you may read this file. Each may be changed
# before the first start; docs/operations.md says how to later.
"""


def new_secrets() -> dict[str, str]:
    """Make strong ones: letters and digits only, which need no quoting anywhere."""
    return {
        name: start + "".join(secrets.choice(_SIGNS) for _ in range(8 if start else _LENGTH))
        for name, start in SECRETS.items()
    }


def complete(file: Path) -> list[str]:
    """Add what a file does not name yet; what it names stays, even where it is empty.

    Args:
        file: The file; made where it is not there, for its owner's eyes only.

    Returns:
        Names that were added.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    named = set(re.findall(r"^\s*(?:export\s+)?(\w+)\s*=", text, re.MULTILINE))
    added = {name: value for name, value in new_secrets().items() if name not in named}
    if added:
        head = "" if text else _HEAD
        gap = "\n" if text and not text.endswith("\n") else ""
        lines = "".join(f"{name}={value}\n" for name, value in added.items())
        draft = file.with_name(f"{file.name}.new")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as output:
            output.write(f"{text}{gap}{head}{lines}")
        draft.replace(file)
    return list(added)


def main() -> None:
    """Complete a file, and say what was added."""
    file = Path(sys.argv[1] if len(sys.argv) > 1 else ".env")
    added = complete(file)
    told = f"added {', '.join(added)}" if added else "has every secret already; nothing changed"
    sys.stdout.write(f"{file}: {told}\n")


if __name__ == "__main__":
    main()
