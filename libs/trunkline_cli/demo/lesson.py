"""Shows a policy that learns: feedback, a proposal with its figures, a shadow, a canary, and the new version live."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from trunkline.control.v1 import policy_service_pb2 as policies_pb
from trunkline_cli.demo.chapters import (
    LESSON_CALLERS,
    LESSON_COLLECTION,
    LESSON_PROBE,
    LESSON_TENANT,
    LESSON_WORD,
    LESSONS,
)
from trunkline_cli.demo.tally import Tally
from trunkline_cli.demo.world import client_for, control_of, learning_of
from trunkline_cli.output import Output
from trunkline_cli.policy.changes import show_differences
from trunkline_cli.policy.files import parsed
from trunkline_client import ControlClient, HowToChange, TrunklineClient
from trunkline_client.learning import LearningClient
from trunkline_policy.diff import diff_policies

if TYPE_CHECKING:
    from trunkline_local import LocalStack

_DEADLINE_S: Final = 5.0
_LEARN_DEADLINE_S: Final = 60.0
_WITHIN_S: Final = 30.0
_PAUSE_S: Final = 0.05
_SHADOWED: Final = 12
_CANARY_SHARE: Final = 0.5
_CANARY_ASKED: Final = 40
_HOW: Final = HowToChange(comment="demonstration")


async def show_lesson(out: Output, stack: LocalStack, map_token: bytes, tally: Tally) -> None:
    """Correct wrong decisions, let the learner propose a policy, and roll it out in steps."""
    out.line(f"birch's people call their numbers library {LESSON_WORD!r}; no policy knows that.", style="bold")
    async with client_for(stack, LESSON_TENANT, "person-0") as client:
        client.read_after(map_token)
        before = await _chosen(client, LESSON_PROBE)
        out.line(f"   before     {LESSON_PROBE} -> {', '.join(before) or 'nowhere'}")
        tally.check(before != [LESSON_COLLECTION], "the policy knew the word before anybody taught it")
        await _correct(out, stack, map_token, tally)
        async with control_of(stack) as control, learning_of(stack, LESSON_TENANT) as learner:
            if await _learned(out, learner, control, tally):
                await _roll_out(out, client, control, learner, tally)


async def _correct(out: Output, stack: LocalStack, map_token: bytes, tally: Tally) -> None:
    kept = wrong = 0
    for number in range(LESSON_CALLERS):
        async with client_for(stack, LESSON_TENANT, f"person-{number + 1}") as client:
            client.read_after(map_token)
            for text in LESSONS[number::LESSON_CALLERS]:
                trail = (await client.route(text, deadline_s=_DEADLINE_S)).trail
                if trail.decision is None or not trail.decision.decision_id:
                    continue
                wrong += [item.collection for item in trail.collections][:1] != [LESSON_COLLECTION]
                answer = await client.feedback(trail.decision.decision_id, text=text, corrected=LESSON_COLLECTION)
                kept += answer.kept
    out.line(f"   feedback   {LESSON_CALLERS} people correct {kept} decisions, of which {wrong} were wrong")
    tally.check(kept == len(LESSONS), f"only {kept} of {len(LESSONS)} corrections were kept")


async def _learned(out: Output, learner: LearningClient, control: ControlClient, tally: Tally) -> bool:
    learned = await learner.learn(tenant_id=LESSON_TENANT, deadline_s=_LEARN_DEADLINE_S)
    out.line(f"   learned    {learned.outcome}")
    if not tally.check(bool(learned.rollout_id), f"the learner proposed nothing: {learned.outcome}"):
        return False
    out.line(
        f"              of {learned.sample_count} held-back samples the live policy gets {learned.live_success:.0%} "
        f"right, the proposal {learned.proposal_success:.0%}"
    )
    live = (await control.policy(LESSON_TENANT)).value
    proposal = (await control.policy(LESSON_TENANT, rollout=True)).value
    show_differences(_Indented(out), diff_policies(parsed(live.yaml, "live"), parsed(proposal.yaml, "proposal"))[:6])
    return True


async def _roll_out(
    out: Output, client: TrunklineClient, control: ControlClient, learner: LearningClient, tally: Tally
) -> None:
    await _move(client, control, policies_pb.ROLLOUT_STATE_SHADOW, 1.0)
    await _ask_some(client, "shadow", _SHADOWED, lambda arms: arms["shadow"] >= _SHADOWED)
    report = await learner.report(tenant_id=LESSON_TENANT)
    shadowed = next((item for item in report.experiments if item.shadow_count), None)
    if shadowed is not None:
        out.line(f"   shadow     {shadowed.shadow_count} decided by both, {shadowed.shadow_agreed_count} of them alike")
    tally.check(shadowed is not None, "no decision was shadowed")
    await _move(client, control, policies_pb.ROLLOUT_STATE_CANARY, _CANARY_SHARE)
    arms = await _ask_some(client, "canary", _CANARY_ASKED, lambda arms: arms["variant"] >= 5 and arms["control"] >= 5)
    out.line(f"   canary     {arms['variant']} queries decided by the proposal, {arms['control']} by the live policy")
    tally.check(arms["variant"] > 0 and arms["control"] > 0, f"the canary's arms are {dict(arms)}")
    await _apply(out, client, control, tally)


async def _apply(out: Output, client: TrunklineClient, control: ControlClient, tally: Tally) -> None:
    rollout = (await control.policy(LESSON_TENANT)).value.rollout
    began_s = time.monotonic()
    applied = await control.end_rollout(LESSON_TENANT, rollout.rollout_id, apply=True, how=_HOW)
    client.read_after(applied.map_token)
    after = await _chosen(client, LESSON_PROBE)
    out.line(
        f"   applied    version {applied.value.version}; {LESSON_PROBE} -> {', '.join(after) or 'nowhere'}, "
        f"{(time.monotonic() - began_s) * 1000:.0f} ms later"
    )
    tally.check(after[:1] == [LESSON_COLLECTION], f"after the lesson the probe went to {after}")
    out.line()


async def _move(
    client: TrunklineClient, control: ControlClient, state: policies_pb.RolloutState.ValueType, share: float
) -> None:
    rollout = (await control.policy(LESSON_TENANT)).value.rollout
    rollout.state, rollout.share = state, share
    moved = await control.put_rollout(LESSON_TENANT, rollout, "", _HOW)
    client.read_after(moved.map_token)


async def _ask_some(
    client: TrunklineClient, what: str, count: int, enough: Callable[[Counter[str]], bool]
) -> Counter[str]:
    """Ask new questions until enough of them took part in the rollout; at most `count` a second for half a minute."""
    arms: Counter[str] = Counter()
    try:
        async with asyncio.timeout(_WITHIN_S):
            for number in itertools.count(1):
                text = f"{LESSONS[number % len(LESSONS)]} ({what} {number})"
                decision = (await client.route(text, deadline_s=_DEADLINE_S)).trail.decision
                for item in () if decision is None else decision.assignments:
                    arms["shadow" if item.shadow else item.arm] += 1
                if number >= count and enough(arms):
                    break
                await asyncio.sleep(_PAUSE_S)
    except TimeoutError:
        pass
    return arms


async def _chosen(client: TrunklineClient, text: str) -> Sequence[str]:
    trail = (await client.route(text, deadline_s=_DEADLINE_S)).trail
    return [item.collection for item in trail.collections]


class _Indented(Output):
    """Prints lines below a chapter's own."""

    def __init__(self, out: Output) -> None:
        super().__init__(out.as_json, out.console)

    def line(self, text: str = "", style: str = "") -> None:
        super().line(f"              {text}", style)
