"""``doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from encoder.errors import printable
from infra.doctor import Finding, Level, examine

_LEVEL_WIDTH = 6
_NAME_WIDTH = 14


def tell_findings(*, as_json: bool) -> int:
    """Look at everything, and tell each as it is found.

    Returns:
        1 if anything fails, else 0.
    """
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _tell(finding)
    fails = sum(finding.level is Level.FAIL for finding in findings)
    if as_json:
        told = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"healthy": not fails, "findings": told}))
    else:
        typer.echo(f"{fails} to mend" if fails else "nothing to mend")
    return 1 if fails else 0


def _tell(finding: Finding) -> None:
    typer.echo(
        f"{finding.level:<{_LEVEL_WIDTH}}{finding.name:<{_NAME_WIDTH}}{printable(finding.text)}"
    )
    if finding.remedy is not None:
        typer.echo(f"{'':<{_LEVEL_WIDTH + _NAME_WIDTH}}{finding.remedy}")
