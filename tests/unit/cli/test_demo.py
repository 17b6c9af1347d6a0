"""The demonstration's data are sound and its figures right."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_cli.demo.chapters import (
    CALLERS,
    FOLLOW_UP,
    GENERATION,
    LESSON_CALLERS,
    LESSON_COLLECTION,
    LESSON_PROBE,
    LESSON_TENANT,
    LESSON_WORD,
    LESSONS,
    MISTAKE_QUESTION,
    MISTAKE_TENANT,
    SAME_WORDS,
    SESSION,
    mistaken_policy,
)
from trunkline_cli.demo.corpus import demo_documents, fair_shares
from trunkline_cli.demo.notes import NOTES
from trunkline_cli.demo.scenario import LOST_REGION, PRIVATE_COLLECTION, QUESTIONS, TENANTS, TenantPlan
from trunkline_cli.demo.tally import Tally, percentile
from trunkline_local import DEFAULT_REGIONS
from trunkline_policy.cascade import logical_decides
from trunkline_policy.document import check_policy, parse_policy
from trunkline_policy.lint import lint_policy
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import Caller as Asking
from trunkline_text.stdlib_topics import TOPICS


@pytest.mark.parametrize("tenant", TENANTS, ids=lambda tenant: tenant.tenant_id)
def test_each_policy_is_valid_and_names_the_tenant_s_collections(tenant: TenantPlan) -> None:
    """The service itself would take the policy."""
    check_policy(tenant.policy(), tenant.collections)

    assert set(parse_policy(tenant.policy()).collections) == set(tenant.collections)


def test_every_collection_of_the_corpus_has_one_tenant() -> None:
    """At least seven collections of two tenants of different tiers hold all of the documentation."""
    names = [name for tenant in TENANTS for name in tenant.collections]

    assert sorted(names) == sorted([*TOPICS, *NOTES])
    assert len(TOPICS) >= 7
    assert len({tenant.tier for tenant in TENANTS}) == 3


def test_placements_stay_within_their_jurisdictions() -> None:
    """No plan would put data where it may not be, and one collection may be in the lost region alone."""
    jurisdiction = {region.region_id: region.jurisdiction for region in DEFAULT_REGIONS}
    for tenant in TENANTS:
        for plan in tenant.collections.values():
            assert {jurisdiction[region] for region in plan.placement} <= set(plan.jurisdictions)
            assert set(plan.jurisdictions) <= set(tenant.jurisdictions)
    assert TENANTS[0].collections[PRIVATE_COLLECTION].placement == (LOST_REGION,)


def test_the_questions_are_those_that_were_promised() -> None:
    """At least twelve, with the two named ones, one that spans two collections, one for nowhere, one in a hurry."""
    texts = [question.text for question in QUESTIONS]

    assert len(texts) >= 12
    assert "How to debug memory leaks in Python?" in texts
    assert "Explain the difference between async and threading" in texts
    assert any(question.collections is not None and len(question.collections) == 2 for question in QUESTIONS)
    assert any(question.collections == frozenset() for question in QUESTIONS)
    assert any(question.deadline_s < 0.2 for question in QUESTIONS)


def _policy(tenant_id: str) -> RoutingPolicy:
    return parse_policy(next(tenant.policy() for tenant in TENANTS if tenant.tenant_id == tenant_id))


@pytest.mark.parametrize("tenant", TENANTS, ids=lambda tenant: tenant.tenant_id)
def test_lint_has_nothing_to_say_about_the_policies(tenant: TenantPlan) -> None:
    """They are what people copy: neither an error nor a warning."""
    assert [item for item in lint_policy(parse_policy(tenant.policy())) if item.level != "note"] == []


def test_rules_decide_most_questions_and_decide_them_right() -> None:
    """70 to 80 % of the questions, without any embedding."""
    asked = {(question.tenant_id, question.text): question.collections for question in QUESTIONS}
    decided = 0
    for (tenant_id, text), collections in asked.items():
        policy = _policy(tenant_id)
        result = LogicalStage(policy).decide(text)
        if logical_decides(policy, result):
            decided += 1
            assert result.candidates[0].name in (collections or ()), text

    assert 0.7 <= decided / len(asked) <= 0.8


def test_the_same_words_go_where_the_department_s_rules_send_them() -> None:
    """Without a department the rules do not decide."""
    policy = _policy("cedar")
    stage = LogicalStage(policy)

    for caller in CALLERS:
        result = stage.decide(SAME_WORDS, Asking(attributes={"department": caller.department}))
        assert logical_decides(policy, result)
        assert result.candidates[0].name == caller.collection
    assert not logical_decides(policy, stage.decide(SAME_WORDS))


def test_a_follow_up_needs_its_session() -> None:
    """The same words are decided by the decision before them."""
    policy = _policy("aurora")
    stage = LogicalStage(policy)

    assert not logical_decides(policy, stage.decide(FOLLOW_UP))
    assert stage.decide(FOLLOW_UP, Asking(previous=(SESSION[1],))).candidates[0].name == SESSION[1]
    assert {template for _, template in GENERATION} <= set(policy.templates)


def test_the_lesson_is_new_to_the_policy() -> None:
    """Its word stands nowhere in the policy; several people teach it, and nobody teaches what is asked at the end."""
    tenant = next(tenant for tenant in TENANTS if tenant.tenant_id == LESSON_TENANT)

    assert LESSON_WORD not in tenant.policy().lower()
    assert LESSON_COLLECTION in tenant.collections
    assert len(set(LESSONS)) == len(LESSONS) >= 2 * LESSON_CALLERS
    assert all(LESSON_WORD in text for text in (*LESSONS, LESSON_PROBE))
    assert LESSON_PROBE not in LESSONS


def test_the_mistake_is_a_policy_that_sends_a_question_astray() -> None:
    """The service takes it, so that only a roll back helps."""
    text, right, wrong = MISTAKE_QUESTION
    bad = parse_policy(mistaken_policy())

    assert set(bad.collections) == set(_policy(MISTAKE_TENANT).collections)
    assert LogicalStage(bad).decide(text).candidates[0].name == wrong
    assert LogicalStage(_policy(MISTAKE_TENANT)).decide(text).candidates[0].name == right


@given(st.dictionaries(st.text(max_size=4), st.integers(0, 500), min_size=1, max_size=12), st.integers(0, 5000))
def test_shares_are_fair(sizes: dict[str, int], count: int) -> None:
    """All that is wanted is taken, nothing more, and nobody gets less while another gets much more."""
    shares = fair_shares(sizes, count)

    assert sum(shares.values()) == min(count, sum(sizes.values()))
    assert all(0 <= shares[name] <= size for name, size in sizes.items())
    cut = [share for name, share in shares.items() if share < sizes[name]]
    assert not cut or max(shares.values()) - min(cut) <= 1


def test_the_documents_are_enough_and_the_best_known_are_among_them() -> None:
    """2,400 pieces, the modules before their methods."""
    documents = demo_documents(2400)

    assert sum(len(group) for group in documents.values()) == 2400
    titles = {str(item.fields["title"]) for group in documents.values() for item in group}
    assert {"tracemalloc", "asyncio.tasks", "socket", "csv", "pathlib", "datetime", "unittest.mock"} <= titles


def test_percentiles_are_of_the_nearest_rank() -> None:
    """The percentile is a value that occurred."""
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.95) == 4.0
    assert math.isnan(percentile([], 0.5))


def test_a_tally_counts_what_happened() -> None:
    """Queries are answers, errors and refusals; rates are shares of look-ups."""
    tally = Tally(elapsed_s=[0.1, 0.2])
    tally.errors["X"] += 1
    tally.refusals["Y"] += 1
    tally.strategies.update(RULES=3, SEMANTIC=1)
    tally.cache["decision_cache", "hit"] += 3
    tally.cache["decision_cache", "miss"] += 1

    assert tally.queries == 4
    assert (tally.share_by("RULES"), tally.share_by("NONE")) == (0.75, 0.0)
    assert tally.rate("decision_cache", ["hit"]) == 0.75
    assert tally.rate("other", ["hit"]) is None
    assert not tally.check(False, "this was not shown")
    assert tally.failed_checks == ["this was not shown"]
