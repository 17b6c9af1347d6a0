"""A router-like process: answers requests over gRPC and writes a usage journal before each answer leaves.

    python -m tests.integration.usage.answering ROOT REPLICA

It prints its port. A request's body is its id; every fifth first attempt fails after work, as an overloaded stage does.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Final

import grpc

from trunkline_usage.journal import UsageJournal, open_usage_journal
from trunkline_usage.records import OK, StageUse, UsageRecord

METHOD: Final = "/tests.Answering/Ask"
ATTEMPT: Final = "attempt"


def documents_of(request_id: str) -> int:
    """Return what a request of this id uses."""
    return int(request_id) % 97 + 1


def fails_at_first(request_id: str) -> bool:
    """Return True if the first attempt of a request fails after work."""
    return int(request_id) % 5 == 0


def record_of(request_id: str, outcome: str) -> UsageRecord:
    """Return what is written of a request."""
    count = documents_of(request_id)
    uses = (StageUse("write", "notes", count, count, 10 * count),)
    return UsageRecord(request_id, "acme", time.time(), "eu-west", "write", uses, (), "1", outcome)


async def serve(root: Path, replica: str) -> None:
    """Serve until killed."""
    async with open_usage_journal(root, replica, region="eu-west") as journal:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((_Handler(journal),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await server.wait_for_termination()


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, journal: UsageJournal) -> None:
        self._journal = journal

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        return grpc.unary_unary_rpc_method_handler(self._ask)

    async def _ask(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        request_id = request.decode()
        first = dict(context.invocation_metadata() or ()).get(ATTEMPT) == "1"
        fails = first and fails_at_first(request_id)
        self._journal.append(record_of(request_id, "OVERLOADED" if fails else OK))
        await self._journal.written()
        # Time in which a kill falls between the record and the answer.
        await asyncio.sleep(random.random() * 0.004)
        if fails:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded")
        return request


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2]))
