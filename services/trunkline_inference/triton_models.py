"""The model server port over Triton: small requests, two clocks, and answers that are checked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from trunkline_inference.errors import TritonExpiredError, malformed_output, of_triton
from trunkline_inference.models import InputKind, ServedModel
from trunkline_inference.triton_client import ModelProbe
from trunkline_inference.triton_requests import MAX_PASSAGES, SCOPE_PARAMETER, chunks, scope_of, text_input
from trunkline_mesh import metrics
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.deadline import HOP_RESERVE_S, Deadline
from trunkline_mesh.errors import BackendTimeout, DeadlineExceeded, first_domain_error

T = TypeVar("T")

UNIT_TOLERANCE: Final = 1e-3

_QUEUE_MARGIN_S: Final = 0.005
"""A request that leaves Triton's queue with less than this left could not be answered in time."""
_CALL_SECONDS: Final = metrics.histogram(
    "inference_model_call_seconds", "Time of calls to the model server.", ("model",)
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what is under way and of what is waited for."""

    queries_in_flight: int
    passages_in_flight: int
    """Few: queries overtake passages in Triton's queue, but not those that run."""
    scores_in_flight: int
    call_timeout_s: float
    """Longest time that one request to Triton may take."""
    patience_s: float
    """An expiry after at least this long speaks against Triton, even if it was the caller's deadline that set it."""


@dataclass(frozen=True, slots=True)
class Breakers:
    """One for each kind of work, so that slow writes cannot cut off queries."""

    queries: Breaker
    passages: Breaker
    scores: Breaker


class TritonModels:
    """`ModelServer` over `tritonclient`."""

    def __init__(self, client: Any, probe: ModelProbe, *, breakers: Breakers, limits: Limits) -> None:
        """Use an open client."""
        self._client = client
        self._probe = probe
        self._embed_breakers = {InputKind.QUERY: breakers.queries, InputKind.PASSAGE: breakers.passages}
        self._score_breaker = breakers.scores
        self._limits = limits
        self._slots = {
            InputKind.QUERY: asyncio.Semaphore(limits.queries_in_flight),
            InputKind.PASSAGE: asyncio.Semaphore(limits.passages_in_flight),
        }
        self._score_slots = asyncio.Semaphore(limits.scores_in_flight)

    def ready(self, model: ServedModel) -> bool:
        """Return True if the model answered its last probe."""
        return self._probe.ready(model)

    async def embed(
        self, model: ServedModel, texts: Sequence[str], kind: InputKind, *, tenant_id: str, deadline: Deadline
    ) -> Sequence[bytes]:
        """As `ModelServer.embed`: in requests of a few texts, queries before passages."""

        async def one(chunk: Sequence[str]) -> list[bytes]:
            async with self._slots[kind]:
                return await self._embed_chunk(model, chunk, kind, tenant_id, deadline)

        return [vector for vectors in await self._in_time(deadline, one, chunks(texts)) for vector in vectors]

    async def score(
        self, model: ServedModel, query: str, passages: Sequence[str], *, tenant_id: str, deadline: Deadline
    ) -> Sequence[float]:
        """As `ModelServer.score`: in requests of a few passages, so that several callers take turns."""

        async def one(chunk: Sequence[str]) -> list[float]:
            async with self._score_slots:
                inputs = [text_input("QUERY", [query], (1, 1)), text_input("PASSAGES", chunk, (1, len(chunk)))]
                answer = await self._infer(
                    self._score_breaker, model, inputs, "SCORES", _PRIORITY[InputKind.QUERY], tenant_id, deadline
                )
            if answer.shape != (1, len(chunk)) or not np.isfinite(answer).all():
                raise malformed_output()
            scores: list[float] = answer[0].tolist()
            return scores

        scores: list[float] = []
        for start in range(0, len(passages), MAX_PASSAGES):
            scores += (await self._in_time(deadline, one, [passages[start : start + MAX_PASSAGES]]))[0]
        return scores

    async def _embed_chunk(
        self, model: ServedModel, chunk: Sequence[str], kind: InputKind, tenant_id: str, deadline: Deadline
    ) -> list[bytes]:
        inputs = [text_input("TEXT", chunk, (len(chunk), 1))]
        remembered_for = tenant_id if kind is InputKind.PASSAGE else ""
        answer = await self._infer(
            self._embed_breakers[kind], model, inputs, "EMBEDDING", _PRIORITY[kind], remembered_for, deadline
        )
        if answer.shape != (len(chunk), model.dimension):
            raise malformed_output()
        lengths = np.linalg.norm(answer, axis=1)
        if not (np.abs(lengths - 1.0) <= UNIT_TOLERANCE).all():  # also false for NaN
            raise malformed_output()
        return [row.tobytes() for row in answer.astype("<f4", copy=False)]

    async def _in_time(
        self, deadline: Deadline, work: Callable[[Sequence[str]], Awaitable[T]], parts: Sequence[Sequence[str]]
    ) -> list[T]:
        """Run `work` on every part at once; waiting for slots ends with the deadline, and one failure ends all.

        A request to Triton expires a reserve earlier, so that its expiry is seen for what it is.
        """
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                if len(parts) == 1:
                    return [await work(parts[0])]
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(_run(work, part)) for part in parts]
        except TimeoutError as exc:
            raise DeadlineExceeded from exc
        except ExceptionGroup as exc:
            error = first_domain_error(exc)
            if error is None:
                raise
            raise error from exc
        return [task.result() for task in tasks]

    async def _infer(
        self,
        breaker: Breaker,
        model: ServedModel,
        inputs: Sequence[InferInput],
        output: str,
        priority: int,
        tenant_id: str,
        deadline: Deadline,
    ) -> npt.NDArray[np.float32]:
        """Send one request within `deadline`, under both of Triton's clocks, and return its output."""
        hop = deadline.within(self._limits.call_timeout_s, reserve_s=HOP_RESERVE_S)
        patient = hop.at_s < deadline.at_s - HOP_RESERVE_S  # our own limit, not the caller's, is the shorter one

        async def send() -> Any:
            timeout_s = hop.require(2 * _QUEUE_MARGIN_S)
            try:
                return await self._client.infer(
                    model.backend_name,
                    inputs,
                    outputs=[InferRequestedOutput(output)],
                    priority=priority,
                    timeout=int((timeout_s - _QUEUE_MARGIN_S) * 1e6),  # in the queue, microseconds
                    client_timeout=timeout_s,  # in all, seconds: cancels at the server too
                    parameters={SCOPE_PARAMETER: scope_of(tenant_id)} if tenant_id else None,
                )
            except InferenceServerException as exc:
                error = of_triton(exc.status(), exc.message())
                if isinstance(error, TritonExpiredError):
                    if patient or timeout_s >= self._limits.patience_s:
                        raise BackendTimeout from exc
                    raise DeadlineExceeded from exc
                raise error from exc

        with _CALL_SECONDS.labels(model.backend_name).time():
            result = await breaker.call(send)
        array: npt.NDArray[np.float32] | None = result.as_numpy(output)
        if array is None or array.dtype != np.float32:
            raise malformed_output()
        return array


_PRIORITY: Final = {InputKind.QUERY: 1, InputKind.PASSAGE: 2}
"""Triton's levels: 1 goes first, 0 would be the model's default."""


async def _run(work: Callable[[Sequence[str]], Awaitable[T]], part: Sequence[str]) -> T:
    return await work(part)
