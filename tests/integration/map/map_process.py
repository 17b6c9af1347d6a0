"""A process that watches a map and answers: each line of input is a token in hexadecimal, each line of output says
whether a tenant is on the map at that token, and the version of its policy if it has one. Prints `ready` first.

    python -m tests.integration.map.map_process ENDPOINT TENANT
"""

from __future__ import annotations

import asyncio
import sys

import structlog
from tests.integration.map.writing import seen

from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError


async def serve(endpoint: str, tenant: str) -> None:
    async with open_map_watcher([endpoint]) as watcher:
        await seen(watcher.connected)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                snapshot = await watcher.at_least(bytes.fromhex(line), Deadline.after(30))
                policy = snapshot.policy(tenant)
                answer = str(snapshot.tenant(tenant) is not None)
                answer += f" {policy.version}" if policy is not None else ""
            except DomainError as exc:
                answer = type(exc).__name__
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # the output is for answers
    asyncio.run(serve(sys.argv[1], sys.argv[2]))
