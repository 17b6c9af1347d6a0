"""A short run of `python -m tests.chaos.etcd`, with callers that wait longer than a busy machine takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.etcd_figures import GOALS, figures_of
from tests.chaos.etcd_run import Options, run
from tests.chaos.etcd_verdict import examples, judge
from tests.fixtures.servers import unavailable
from trunkline_local.errors import BinaryMissingError, ModelRepositoryMissingError

FAULTS = frozenset({"kill_leader", "lose_quorum", "cut_streams", "compact"})


@pytest.mark.timeout(240)
async def test_no_read_and_no_change_is_lost_while_etcd_comes_and_goes(tmp_path: Path) -> None:
    """Under load, without a leader, a quorum or history: no read fails or is stale, no change is missed or repeated."""
    said: list[str] = []
    try:
        seen = await run(Options(seed=7, quick=True, only=FAULTS, deadline_s=9.0), tmp_path / "run", said.append)
    except (BinaryMissingError, ModelRepositoryMissingError) as exc:
        unavailable(exc)
    found = judge(seen.answers, seen.ledger)
    figures = figures_of(seen, found)

    assert {goal: figures[goal] for goal in GOALS} == dict.fromkeys(GOALS, 0), [*said, *examples(found)]
    assert {fault["name"] for fault in figures["faults"]} == FAULTS
    assert all(fault["caught_up_after_s"] is not None for fault in figures["faults"])
    assert figures["reads_with_token"] > 0
    assert figures["relists"] > 0
    assert figures["connections_cut"] > 0
