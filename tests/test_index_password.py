"""The index's password, where no server is needed: `test_native_stack` asks real ones."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
import pytest
from pydantic import SecretStr
from pymilvus import MilvusException
from pymilvus.grpc_gen import common_pb2, milvus_pb2
from pymilvus.grpc_gen.milvus_pb2_grpc import (
    MilvusServiceServicer,
    add_MilvusServiceServicer_to_server,
)

from infra.index_password import ensure_index_password, is_refusal
from infra.indexing.errors import IndexUnavailableError
from infra.native_stack.ports import choose_ports
from infra.settings_groups import IndexSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


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


class RestartingIndex(MilvusServiceServicer):  # type: ignore[misc]  # generated, without types
    """What a Milvus that was killed says while it still counts its former self among its parts.

    The answers are those of a real one, in which it takes luck to hit the moment.
    """

    def __init__(self, *, faults: int, keeps: bool) -> None:
        self.login = "root:Milvus"
        self.faults = faults
        self.keeps = keeps
        """Whether a change that it reports as failed was made all the same."""

    def Connect(self, _: object, __: object) -> milvus_pb2.ConnectResponse:  # noqa: N802  the protocol's names
        return milvus_pb2.ConnectResponse()

    def ShowCollections(  # noqa: N802
        self, _: object, context: grpc.ServicerContext
    ) -> milvus_pb2.ShowCollectionsResponse:
        sent = dict(context.invocation_metadata())["authorization"]
        if base64.b64decode(sent) != self.login.encode():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
        return milvus_pb2.ShowCollectionsResponse()

    def UpdateCredential(  # noqa: N802
        self, request: milvus_pb2.UpdateCredentialRequest, _: object
    ) -> common_pb2.Status:
        failing, self.faults = self.faults > 0, self.faults - 1
        if not failing or self.keeps:
            self.login = f"root:{base64.b64decode(request.newPassword).decode()}"
        if not failing:
            return common_pb2.Status()
        return common_pb2.Status(
            error_code=common_pb2.UpdateCredentialFailure,
            code=65535,
            reason="UpdateCredentialCache failed, proxyID = 1: session not found->proxy-1",
        )


@contextmanager
def serving(index: RestartingIndex) -> Iterator[IndexSettings]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_MilvusServiceServicer_to_server(index, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield IndexSettings(
            address=f"http://127.0.0.1:{port}", token=SecretStr("root:some-password")
        )
    finally:
        server.stop(grace=None).wait()


@pytest.mark.parametrize("keeps", [False, True])
def test_a_server_that_is_putting_itself_in_order_gets_its_password_in_the_end(keeps: bool) -> None:
    index = RestartingIndex(faults=2, keeps=keeps)
    with serving(index) as settings:
        assert ensure_index_password(settings)
        assert index.login == "root:some-password"
        assert index.faults == (1 if keeps else -1)
        assert not ensure_index_password(settings)


def test_a_server_that_never_sets_its_password_is_told_of_as_one_to_wait_for() -> None:
    with (
        serving(RestartingIndex(faults=100, keeps=False)) as settings,
        pytest.raises(IndexUnavailableError, match=r"session not found->proxy-1\); try again"),
    ):
        ensure_index_password(settings, seconds=0.0)
