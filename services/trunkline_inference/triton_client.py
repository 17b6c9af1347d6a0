"""Opening a client of Triton that notices a frozen server, and telling which models answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from trunkline_inference.models import ServedModel
from trunkline_mesh.background import background
from trunkline_mesh.logs import get_logger

MAX_MESSAGE_BYTES: Final = 8 << 20

_CHANNEL_ARGS: Final = (
    # `KeepAliveOptions` has no ping timeout, and without one a frozen server is noticed after a minute. These replace
    # the client's own options altogether. Triton 2.51 cuts a connection off (`too_many_pings`) that pings more than
    # twice without data: a call of 9 s alone on its connection ended so, one of 14 s beside the probes below did not.
    # They send data several times between two pings, so their period stays below the pings'.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),
)

log = get_logger("inference.triton")


@asynccontextmanager
async def open_triton(endpoint: str) -> AsyncIterator[Any]:
    """Open a client of the Triton at `host:port`; does not wait for a connection."""
    client = InferenceServerClient(endpoint, channel_args=_CHANNEL_ARGS)
    try:
        yield client
    finally:
        await client.close()


class ModelProbe:
    """Asks Triton now and then which models are ready, and remembers the answers."""

    def __init__(self, client: Any, models: Sequence[ServedModel], *, interval_s: float, timeout_s: float) -> None:
        """Probe each distinct model of the server every `interval_s`, waiting at most `timeout_s` for an answer."""
        self._client = client
        self._ready = dict.fromkeys((model.backend_name for model in models), False)
        self._interval_s = interval_s
        self._timeout_s = timeout_s

    def ready(self, model: ServedModel) -> bool:
        """Return True if the model answered its last probe."""
        return self._ready.get(model.backend_name, False)

    def all_ready(self) -> bool:
        """Return True if every model answered its last probe."""
        return all(self._ready.values())

    async def poll(self) -> None:
        """Ask once for every model."""
        answers = await asyncio.gather(*map(self._ask, self._ready))
        for name, answer in zip(list(self._ready), answers, strict=True):
            if answer != self._ready[name]:
                log.info("model is ready" if answer else "model is not ready", dependency="triton", model=name)
            self._ready[name] = answer

    async def _ask(self, name: str) -> bool:
        try:
            return bool(await self._client.is_model_ready(name, client_timeout=self._timeout_s))
        except InferenceServerException:
            return False

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)  # the period of a probe: there is no event to wait for
            await self.poll()


@asynccontextmanager
async def open_probe(
    client: Any, models: Sequence[ServedModel], *, interval_s: float, timeout_s: float
) -> AsyncIterator[ModelProbe]:
    """Probe once, for at most `timeout_s`, and in the background until the context ends."""
    probe = ModelProbe(client, models, interval_s=interval_s, timeout_s=timeout_s)
    await probe.poll()
    async with background(probe._run()):  # noqa: SLF001 - the loop belongs to this context
        yield probe
