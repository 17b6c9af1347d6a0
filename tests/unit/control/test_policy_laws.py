"""Laws of policies: whatever is done in whatever order, nothing points to what it was not made for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, MemoryBlobs, new_tenant, soon, use_cases

from trunkline_map.blob import digest_of
from trunkline_map.entries import HeadPointer, PolicyPointer, RolloutState
from trunkline_mesh.errors import DomainError
from trunkline_routing.control.paging import parse_page
from trunkline_routing.control.rollouts import RolloutWish

TEXTS = ("#a", "#b", "#c")
ACTS = st.tuples(
    st.sampled_from(["put", "roll back", "begin", "move", "apply", "drop", "note"]), st.integers(0, len(TEXTS) - 1)
)


class World:
    """A tenant whose policy is changed in every way there is."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        side = use_cases(MemoryStore(), blobs=self.blobs)
        self.tenants, self.cases = side.tenants, side.policies
        self.texts: list[str] = []
        """Of each version."""

    async def pointer(self) -> PolicyPointer:
        return (await self.cases.policies.get("acme", soon())).pointer

    async def act(self, name: str, number: int) -> None:
        before = await self.pointer()
        rollout_id = before.rollout.rollout_id if before.rollout is not None else "0" * 16
        wish = RolloutWish("" if name == "begin" else rollout_id, RolloutState.SHADOW, 0.5)
        policies, rollouts, text = self.cases.policies, self.cases.rollouts, TEXTS[number]
        match name:
            case "put":
                self.texts.append((await policies.put("acme", text, before.revision, OPERATOR, soon())).yaml)
            case "roll back":
                done = await policies.roll_back("acme", number + 1, before.revision, OPERATOR, soon())
                self.texts.append(done.yaml)
            case "begin":
                await rollouts.begin("acme", wish, text, OPERATOR, soon())
            case "move":
                await rollouts.move("acme", wish, OPERATOR, soon())
            case "apply":
                self.texts.append((await rollouts.end("acme", rollout_id, OPERATOR, soon(), apply=True)).yaml)
            case "drop":
                await rollouts.end("acme", rollout_id, OPERATOR, soon(), apply=False)
            case _:
                await self.note(text)

    async def note(self, text: str) -> None:
        content = f"head of {text}".encode()
        head = HeadPointer(digest_of(text.encode()), digest_of(content), 9, "s", "m", "1", "0" * 64)
        await self.blobs.put("eu", content)
        await self.cases.heads.put("acme", head, OPERATOR, soon())

    async def check(self) -> None:
        pointer = await self.pointer()
        assert pointer.version == len(self.texts)
        assert pointer.digest == digest_of(self.texts[-1].encode())
        assert {head.policy_digest for head in pointer.heads} <= {pointer.digest}
        named = [pointer.form_digest, *(head.digest for head in pointer.heads)]
        if pointer.rollout is not None:
            assert pointer.rollout.base_version == pointer.version
            assert pointer.rollout.digest != pointer.digest
            assert {head.policy_digest for head in pointer.rollout.heads} <= {pointer.rollout.digest}
            named += [pointer.rollout.digest, pointer.rollout.form_digest]
        assert all([await self.blobs.exists("eu", digest) for digest in named])
        page = await self.cases.policies.versions("acme", parse_page(0, ""), soon())
        told = [record.digest for record in reversed(page.versions)]
        assert told == [digest_of(text.encode()) for text in self.texts]


async def _live(acts: Sequence[tuple[str, int]]) -> None:
    world = World()
    await world.tenants.put(new_tenant(), OPERATOR, soon())
    world.texts.append((await world.cases.policies.put("acme", TEXTS[0], 0, OPERATOR, soon())).yaml)
    for name, number in acts:
        with suppress(DomainError):  # a refusal leaves everything as it was, which the check shows
            await world.act(name, number)
        await world.check()


@settings(max_examples=60)
@given(st.lists(ACTS, max_size=12))
def test_nothing_points_to_what_it_was_not_made_for(acts: list[tuple[str, int]]) -> None:
    """Heads are of their text, a rollout of the live version, every version of the text that it had."""
    asyncio.run(_live(acts))
