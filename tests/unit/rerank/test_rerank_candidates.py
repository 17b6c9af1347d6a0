"""As many candidates as fit into the time, and an order that loses none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.rerank.doubles import Clock, TimedScorer

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, DeadlineExceeded, DomainError, Internal, Overloaded
from trunkline_rerank.pace import Pace
from trunkline_rerank.rerank_candidates import Candidate, Ranking, RerankCandidates

RESERVE_S = 0.005


def candidates(scores: Sequence[float]) -> list[Candidate]:
    """Return candidates whose text is their score."""
    return [Candidate(f"c{index}", str(score)) for index, score in enumerate(scores)]


class Bench:
    """The use case on a clock of its own."""

    def __init__(self, cost_s: float = 0.01, *, pace_s: float = 0.01) -> None:
        self.clock = Clock()
        self.scorer = TimedScorer(self.clock, lambda _: cost_s)
        self.pace = Pace(pace_s)
        self.rerank = RerankCandidates(self.scorer, pace=self.pace, reserve_s=RESERVE_S, clock=self.clock)

    async def __call__(self, scores: Sequence[float], *, within_s: float, top_n: int = 100) -> Ranking:
        deadline = Deadline(self.clock.now_s + within_s)
        return await self.rerank("q", candidates(scores), top_n=top_n, model_id="", deadline=deadline)


async def test_with_time_enough_all_are_ordered_by_score() -> None:
    """Best first, ties in their old order, cut at what was wanted."""
    bench = Bench(cost_s=0.001)
    ranking = await bench([1, 3, 2, 3], within_s=10, top_n=3)

    assert [one.candidate_id for one in ranking.results] == ["c1", "c3", "c2"]
    assert (ranking.scored_count, ranking.partial, ranking.model) == (4, False, "default@1")


async def test_what_does_not_fit_stays_in_its_old_order_behind() -> None:
    """A short time scores the first ones only, and the answer comes before the deadline."""
    bench = Bench(cost_s=0.05)
    start_s = bench.clock.now_s
    ranking = await bench(range(20), within_s=0.3)

    assert 0 < ranking.scored_count < 20
    assert ranking.partial
    assert bench.clock.now_s <= start_s + 0.3 - RESERVE_S
    count = ranking.scored_count
    assert [one.candidate_id for one in ranking.results[count:]] == [f"c{index}" for index in range(count, 20)]
    assert not any(one.scored or one.score for one in ranking.results[count:])


async def test_remembered_passages_are_scored_in_few_calls() -> None:
    """Batches grow while they are quick: 20 candidates take three calls."""
    bench = Bench(cost_s=0.0005, pace_s=0.03)
    ranking = await bench(range(20), within_s=0.15)

    assert ranking.scored_count == 20
    assert bench.scorer.batches == [2, 6, 12]


async def test_a_slow_surprise_costs_one_batch() -> None:
    """Passages that turn out slow after quick ones are cut off; the quick ones' scores are kept."""
    bench = Bench()
    bench.scorer = TimedScorer(bench.clock, lambda text: 0.001 if float(text) < 2 else 0.2)
    bench.rerank = RerankCandidates(bench.scorer, pace=bench.pace, reserve_s=RESERVE_S, clock=bench.clock)
    ranking = await bench(range(20), within_s=0.15)

    assert ranking.scored_count == 2
    assert ranking.partial


async def test_nothing_scored_in_time_is_a_refusal() -> None:
    """Neither when the first passage takes too long, nor when no time was left to begin with."""
    bench = Bench(cost_s=1.0)
    for within_s in (0.1, RESERVE_S, 0.0):
        with pytest.raises(DeadlineExceeded):
            await bench(range(3), within_s=within_s)


async def test_the_first_candidate_is_tried_whatever_the_guess() -> None:
    """A pessimistic pace must not refuse what would have been quick, or it would never learn better."""
    bench = Bench(cost_s=0.001, pace_s=10.0)
    ranking = await bench(range(20), within_s=0.1)

    assert ranking.scored_count == 20
    assert bench.pace.s_per_passage < 10.0


@pytest.mark.parametrize("failure", [BackendUnavailable(), Overloaded()], ids=["unavailable", "overloaded"])
async def test_a_failure_after_some_scores_is_a_partial_answer(failure: DomainError) -> None:
    """What was scored is worth more than an error."""
    bench = Bench()
    bench.scorer.failure_at = (1, failure)
    ranking = await bench(range(20), within_s=10)

    assert ranking.scored_count == 2
    assert ranking.partial


@pytest.mark.parametrize("batch", [0, 1])
async def test_a_failure_before_any_score_and_a_defect_are_passed_on(batch: int) -> None:
    """There is nothing to answer with, or nothing to trust."""
    bench = Bench()
    failure = Internal() if batch else BackendUnavailable()
    bench.scorer.failure_at = (batch, failure)
    with pytest.raises(type(failure)):
        await bench(range(20), within_s=10)


@given(
    scores=st.lists(st.floats(-10, 10), min_size=1, max_size=100),
    costs_s=st.lists(st.floats(0, 0.1), min_size=1, max_size=100),
    within_s=st.floats(0.006, 2),
    pace_s=st.floats(1e-5, 1),
    top_n=st.integers(1, 100),
)
def test_the_answer_is_a_prefix_of_a_permutation_and_in_time(
    scores: list[float], costs_s: list[float], within_s: float, pace_s: float, top_n: int
) -> None:
    """Whatever the passages cost and whatever was guessed: no candidate is invented or doubled, the scored ones are a
    prefix of the candidates in the order of their scores, the others follow as they were, and time is kept."""
    clock = Clock()
    given_candidates = candidates(scores)
    cost_of = {text: costs_s[index % len(costs_s)] for index, (_, text) in enumerate(given_candidates)}
    rerank = RerankCandidates(
        TimedScorer(clock, cost_of.__getitem__), pace=Pace(pace_s), reserve_s=RESERVE_S, clock=clock
    )
    deadline = Deadline(clock.now_s + within_s)
    try:
        ranking = asyncio.run(rerank("q", given_candidates, top_n=top_n, model_id="", deadline=deadline))
    except DeadlineExceeded:
        assert clock.now_s <= deadline.at_s
        return
    ids = [one.candidate_id for one in ranking.results]

    assert clock.now_s <= deadline.at_s
    assert len(ids) == min(top_n, len(scores))
    assert len(set(ids)) == len(ids)
    assert set(ids) <= {candidate.candidate_id for candidate in given_candidates}
    scored = [one for one in ranking.results if one.scored]
    assert ranking.results[: len(scored)] == scored
    assert {one.candidate_id for one in scored} <= {f"c{index}" for index in range(ranking.scored_count)}
    assert [one.score for one in scored] == sorted((one.score for one in scored), reverse=True)
    rest = [int(one.candidate_id[1:]) for one in ranking.results if not one.scored]
    assert rest == list(range(ranking.scored_count, ranking.scored_count + len(rest)))
    assert ranking.partial == (ranking.scored_count < len(scores))
