"""The probe service as a process of its own: `python -m tests.integration.mesh.probe_server ours|naive PORT`.

What a call does stands in its text: `sleep 0.5` answers after half a second; anything else is echoed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_settings import SettingsConfigDict
from tests.integration.mesh.probe import ProbeServicer, probe_app, start_naive

from trunkline_mesh.app import MeshApp
from trunkline_mesh.server import run_service
from trunkline_mesh.settings import ServiceSettings


class ProbeSettings(ServiceSettings):
    """Settings of the probe process."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_PROBE_", frozen=True, extra="ignore")


async def act(text: str, _context: Any) -> str:
    """Do what the text says."""
    if text.startswith("sleep "):
        await asyncio.sleep(float(text.removeprefix("sleep ")))
    return text


@asynccontextmanager
async def open_app(_settings: ProbeSettings) -> AsyncIterator[MeshApp]:
    """Compose the probe."""
    yield probe_app(ProbeServicer(act))


async def serve_naive(port: int) -> None:
    """Serve as the examples of grpc.aio do: no signal handling."""
    server, _ = await start_naive(ProbeServicer(act), port=port)
    await server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1] == "naive":
        asyncio.run(serve_naive(int(sys.argv[2])))
    else:
        run_service(ProbeSettings, open_app, "probe")
