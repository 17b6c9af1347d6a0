"""The servers that the bench of admission compares with, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from trunkline_local import LocalStack
from trunkline_local.identity import ISSUER
from trunkline_local.ports import PortAllocator


@asynccontextmanager
async def server_process(
    local: LocalStack, module: str, prefix: str, settings: Mapping[str, str]
) -> AsyncIterator[str]:
    """Run a module that serves with the stack's credentials, its settings with `prefix`; yield its address."""
    ports = PortAllocator()
    listen = f"127.0.0.1:{ports.take()}"
    ports.close()
    common = {"LISTEN": listen, "JWKS": str(local.identity.jwks_path), "ISSUER": ISSUER}
    env = os.environ | {f"{prefix}{name}": value for name, value in {**common, **settings}.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=env, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        yield listen
    finally:
        process.terminate()
        await process.wait()
