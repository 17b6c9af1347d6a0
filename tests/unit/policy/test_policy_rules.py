"""Rules of a policy: who asks and what was decided before, with words or without."""

from __future__ import annotations

from typing import Any

import pytest

from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import NOBODY, Caller

FINANCE = Caller(attributes={"department": "finance"})
COLLECTIONS: dict[str, Any] = {"accounts": {"keywords": ["invoice"]}, "reliability": {"keywords": ["alert"]}}


def stage(*rules: dict[str, Any]) -> LogicalStage:
    named = [{"name": f"rule-{number}", **rule} for number, rule in enumerate(rules)]
    return LogicalStage(RoutingPolicy.model_validate({"version": 2, "collections": COLLECTIONS, "rules": named}))


@pytest.mark.parametrize(
    ("when", "caller", "text", "holds"),
    [
        ({"roles": ["analyst", "clerk"]}, Caller(roles=frozenset({"clerk"})), "x", True),
        ({"roles": ["analyst"]}, NOBODY, "x", False),
        ({"attributes": {"department": ["finance", "audit"]}}, FINANCE, "x", True),
        ({"attributes": {"department": ["audit"]}}, FINANCE, "x", False),
        ({"attributes": {"department": ["finance"], "site": ["b"]}}, FINANCE, "x", False),
        ({"previous": ["accounts"]}, Caller(previous=("other", "accounts")), "x", True),
        ({"previous": ["accounts"]}, NOBODY, "x", False),
        ({"keywords": ["burn rate", "budget"]}, NOBODY, "Our budgets?", True),
        ({"keywords": ["burn rate"]}, NOBODY, "burn the rate", False),
        ({"patterns": [r"^q\d"]}, NOBODY, "Q3 please", True),
        ({"keywords": ["budget"], "patterns": [r"q\d"]}, NOBODY, "budget", False),
        ({"keywords": ["budget"], "patterns": [r"q\d"]}, NOBODY, "q3 budget", True),
        ({"attributes": {"department": ["finance"]}, "keywords": ["budget"]}, FINANCE, "budget", True),
        ({"attributes": {"department": ["finance"]}, "keywords": ["budget"]}, NOBODY, "budget", False),
        ({"keywords": [" "]}, NOBODY, " ", False),
        ({}, NOBODY, "anything", True),
    ],
)
def test_everything_that_a_rule_gives_must_hold_and_of_each_list_any_one(
    when: dict[str, Any], caller: Caller, text: str, *, holds: bool
) -> None:
    """A rule that holds proposes its collections with its own confidence."""
    found = stage({"when": when, "collections": ["accounts"], "confidence": 0.9}).decide(text, caller).candidates
    assert [(one.name, one.confidence) for one in found] == ([("accounts", 0.9)] if holds else [])
    assert all(one.reason == "accounts: rule 'rule-0'" for one in found)


def test_a_rule_outweighs_a_keyword_of_another_collection() -> None:
    """Its confidence stands, and takes its part of the rival's."""
    found = stage({"when": {"keywords": ["budget"]}, "collections": ["accounts"]}).decide("alert on the budget")
    assert [(one.name, round(one.confidence, 2)) for one in found.candidates] == [
        ("accounts", 0.95),
        ("reliability", 0.17),
    ]


def test_a_rule_and_a_keyword_together_are_surer_than_the_rule() -> None:
    """They are evidence for the same."""
    found = stage({"when": {}, "collections": ["accounts"]}).decide("invoice")
    assert found.candidates[0].confidence > 0.95
    assert found.candidates[0].reason == "accounts: keyword 'invoice', rule 'rule-0'"


def test_what_a_rule_excludes_is_neither_proposed_nor_a_rival() -> None:
    """And the stage says so, for the stages after it."""
    result = stage({"when": {"roles": ["guest"]}, "collections": ["accounts"], "effect": "exclude"}).decide(
        "invoice alert", Caller(roles=frozenset({"guest"}))
    )
    assert [one.name for one in result.candidates] == ["reliability"]
    assert result.candidates[0].confidence == pytest.approx(0.8)
    assert result.excluded == {"accounts"}


def test_excluding_wins_over_choosing() -> None:
    """Whatever the order."""
    choose: dict[str, Any] = {"when": {}, "collections": ["accounts"]}
    exclude: dict[str, Any] = {"when": {}, "collections": ["accounts"], "effect": "exclude"}
    for rules in ((choose, exclude), (exclude, choose)):
        assert stage(*rules).decide("invoice").candidates == ()


def test_words_against_a_collection_do_not_undo_a_rule() -> None:
    """Its confidence is the least that the collection has."""
    collections = {"a": {"keywords": [{"text": "w", "weight": -9}]}, "b": {"keywords": ["v"]}}
    rules = [{"name": "r", "when": {}, "collections": ["a"], "confidence": 0.7}]
    policy = RoutingPolicy.model_validate({"version": 2, "collections": collections, "rules": rules})
    found = {one.name: one.confidence for one in LogicalStage(policy).decide("w v").candidates}
    assert found == {"a": 0.7, "b": pytest.approx(0.8)}
