"""From texts to vectors: which place answers, and whose texts they are."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests.unit.inference.doubles import EMBEDDER, REGISTRY, MemoryModels, MemoryVectors, vector_of

from trunkline_inference.embed_texts import EmbedTexts, Texts
from trunkline_inference.local_vectors import LocalVectors
from trunkline_inference.models import InputKind
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, ModelUnknown


class Bench:
    """The use case with its surroundings."""

    def __init__(self, shared: MemoryVectors | None = None) -> None:
        self.models = MemoryModels()
        self.shared = shared or MemoryVectors()
        self.embed = EmbedTexts(REGISTRY, self.models, local=LocalVectors(max_bytes=1 << 20), shared=self.shared)

    async def ask(self, *texts: str, tenant: str = "acme", kind: InputKind = InputKind.QUERY) -> list[bytes]:
        request = Texts(EMBEDDER.model_id, EMBEDDER.revision, texts, kind)
        vectors = await self.embed(request, tenant_id=tenant, deadline=Deadline.after(5))
        self.cached = [vector.cached for vector in vectors]
        return [vector.data for vector in vectors]


async def test_the_model_is_asked_once_for_each_text() -> None:
    """A repeated text comes from the cache, also within one request, and the order is kept."""
    bench = Bench()

    assert await bench.ask("a", "b", "a") == [vector_of("a"), vector_of("b"), vector_of("a")]
    assert bench.cached == [False, False, False]
    assert await bench.ask("b", "c") == [vector_of("b"), vector_of("c")]
    assert bench.cached == [True, False]
    assert bench.models.asked == [["a", "b"], ["c"]]


async def test_another_replica_finds_the_vectors() -> None:
    """What one process computed, another one has from the shared cache."""
    shared = MemoryVectors()
    await Bench(shared).ask("a", "b")
    other = Bench(shared)

    assert await other.ask("b", "c", "a") == [vector_of("b"), vector_of("c"), vector_of("a")]
    assert other.cached == [True, False, True]
    assert other.models.asked == [["c"]]


async def test_tenants_share_no_vectors() -> None:
    """A tenant cannot learn from `cached_count` what another one asked."""
    bench = Bench()
    await bench.ask("secret plan", tenant="acme")
    await bench.ask("secret plan", tenant="rival")

    assert bench.cached == [False]
    assert {key.tenant_id for key in bench.shared.stored} == {"acme", "rival"}


async def test_tenants_do_not_join_each_others_computations() -> None:
    """The same text of two tenants at once is computed twice."""
    bench = Bench()
    bench.models.gate.clear()
    asks = [asyncio.ensure_future(bench.ask("x", tenant=tenant)) for tenant in ("acme", "rival", "acme")]
    for _ in range(10):
        await asyncio.sleep(0)  # every task runs that can
    bench.models.gate.set()
    await asyncio.gather(*asks)

    assert bench.models.asked == [["x"], ["x"]]


@pytest.mark.parametrize(
    "stored",
    [b"", bytes(12), np.array([np.nan, 0, 0, 0], "<f4").tobytes(), np.array([np.inf, 0, 0, 0], "<f4").tobytes()],
    ids=["empty", "short", "nan", "infinite"],
)
async def test_a_spoilt_entry_of_the_shared_cache_is_not_served(stored: bytes) -> None:
    """It is computed again and replaced."""
    bench = Bench()
    await bench.ask("a")
    (key,) = bench.shared.stored
    bench.shared.stored[key] = stored
    other = Bench(bench.shared)

    assert await other.ask("a") == [vector_of("a")]
    assert other.cached == [False]
    assert bench.shared.stored[key] == vector_of("a")


async def test_a_failure_is_not_cached() -> None:
    """After the model server is back, the same text is answered."""
    bench = Bench()
    bench.models.failure = BackendUnavailable()
    with pytest.raises(BackendUnavailable):
        await bench.ask("a")
    bench.models.failure = None

    assert await bench.ask("a") == [vector_of("a")]


@pytest.mark.parametrize(("model_id", "revision"), [("embedder", "2"), ("nobody", "1"), ("scorer", "1"), ("", "")])
async def test_only_exactly_the_served_revision_answers(model_id: str, revision: str) -> None:
    """Another revision is another embedding space."""
    bench = Bench()
    with pytest.raises(ModelUnknown):
        await bench.embed(
            Texts(model_id, revision, ["a"], InputKind.QUERY), tenant_id="acme", deadline=Deadline.after(5)
        )
