"""The inference service on a real Triton and a real Valkey."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from tests.integration.inference.service import Inference, serve

from trunkline_local.identity import DevIdentity

Serve = Callable[..., Awaitable[Inference]]


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> DevIdentity:
    """Issue credentials."""
    return DevIdentity.create(tmp_path_factory.mktemp("identity"))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close what a test opened, last first."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
def cache_prefix() -> str:
    """Keep this test's vectors apart from others' in the shared Valkey."""
    return f"test:{uuid.uuid4().hex}"


@pytest.fixture
async def inference(stack: AsyncExitStack, identity: DevIdentity, triton_endpoint: str) -> Inference:
    """Serve without a shared cache."""
    return await serve(stack, identity, triton_endpoint)


@pytest.fixture
async def inference_with_cache(
    stack: AsyncExitStack, identity: DevIdentity, triton_endpoint: str, valkey_url: str, cache_prefix: str
) -> Inference:
    """Serve with the shared cache alone: the process itself remembers nothing."""
    return await serve(
        stack, identity, triton_endpoint, redis_url=valkey_url, cache_prefix=cache_prefix, local_cache_bytes=1
    )
