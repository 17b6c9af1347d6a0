"""`trunkline policy report` and `learn`: how well routing works, and learning from feedback now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from trunkline_cli.commands.policy_measuring import TenantName
from trunkline_cli.groups import At
from trunkline_cli.map_view import plain
from trunkline_cli.options import LearnerOption
from trunkline_client import LearningClient

T = TypeVar("T")


def report(tenant: TenantName, at: At, learner: LearnerOption = None) -> None:
    """Tell how well routing works."""
    from trunkline_cli.policy.report_view import report_lines

    found = _ask(at, tenant, learner or (), lambda client: client.report(tenant_id=tenant))
    out = at.out()
    for line in report_lines(found):
        out.line(line, style="red" if "BELOW IT" in line else "")
    out.data({"report": plain(found)})


def learn(tenant: TenantName, at: At, learner: LearnerOption = None) -> None:
    """Look at the feedback now."""
    found = _ask(at, tenant, learner or (), lambda client: client.learn(tenant_id=tenant))
    out = at.out()
    out.line(found.outcome)
    if found.sample_count:
        out.line(
            f"held-back feedback, {found.sample_count:,} samples: live policy {found.live_success:.1%} right, "
            f"proposal {found.proposal_success:.1%}"
        )
    if found.rollout_id:
        out.line(f"rollout {found.rollout_id}; `trunkline policy rollout show --tenant {tenant}` tells more")
    out.data({"outcome": plain(found)})


def _ask(at: At, tenant: str, learners: Sequence[str], work: Callable[[LearningClient], Awaitable[T]]) -> T:
    from trunkline_cli.policy.learners import learning_client

    async def run() -> T:
        async with await learning_client(at.target(tenant), learners, tenant) as client:
            return await work(client)

    return asyncio.run(run())
