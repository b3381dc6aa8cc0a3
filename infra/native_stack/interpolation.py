"""Variables in compose files, by the Compose Specification: ``${NAME:-default}`` and its kin."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infra.native_stack.errors import ComposeFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(
    r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<rule>:?[-?+])(?P<text>[^}]*))?\}|(?P<wrong>))"
)


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Put variables into a text.

    Args:
        text: With ``$NAME``, ``${NAME}``, ``${NAME:-default}``, ``${NAME-default}``,
            ``${NAME:?message}``, ``${NAME?message}``, ``${NAME:+other}``, ``${NAME+other}``; ``$$``
            is a dollar sign.
        variables: Their values; one that is not set is empty.

    Raises:
        ComposeFileError: A required one is missing, or a ``$`` means nothing.
    """
    return _VARIABLE.sub(lambda found: _value(found, variables), text)


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    if found["wrong"] is not None:
        raise ComposeFileError(
            f"compose file: found {found.string!r}, in which a $ begins no variable; write $$ "
            "for the sign itself"
        )
    name, rule, text = found["plain"] or found["name"], found["rule"] or "", found["text"] or ""
    value = variables.get(name)
    is_set = bool(value) if rule.startswith(":") else value is not None
    if rule.endswith("+"):
        return text if is_set else ""
    if is_set:
        return value or ""
    if rule.endswith("?"):
        raise ComposeFileError(f"compose file: {name} {text or 'is not set; set it in .env'}")
    return text
