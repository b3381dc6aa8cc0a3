"""The index's password, where no server is needed: `test_native_stack` asks real ones."""

from __future__ import annotations

import pytest
from pydantic import SecretStr
from pymilvus import MilvusException

from infra.index_password import ensure_index_password, is_refusal
from infra.indexing.errors import IndexUnavailableError
from infra.native_stack.ports import choose_ports
from infra.settings_groups import IndexSettings


def nobodys() -> IndexSettings:
    port = choose_ports({"index": [19530]}, fixed=False)["index"][19530]
    return IndexSettings(address=f"http://127.0.0.1:{port}", token=SecretStr("root:some-password"))


def test_an_index_that_is_away_is_waited_for_and_told() -> None:
    with pytest.raises(IndexUnavailableError, match="does not answer"):
        ensure_index_password(nobodys(), seconds=0.0)


@pytest.mark.parametrize(("text", "said_no"), [("auth check failure", True), ("not ready", False)])
def test_attempts_that_are_raised_from_each_other_are_looked_at_once(
    text: str, said_no: bool
) -> None:
    """As the client's are, where a server is starting while it is asked."""
    first, second = MilvusException(message="nor now"), MilvusException(message=text)
    first.__cause__, second.__cause__ = second, first
    assert is_refusal(first) is said_no
