"""What differs between two policies is told by what it means."""

from __future__ import annotations

import pytest

from trunkline_policy.diff import MAX_VALUE_CHARS, Change, diff_policies
from trunkline_policy.document import parse_policy
from trunkline_policy.model import RoutingPolicy

BASE = """
version: 2
max_collections: 3
collections:
  billing:
    keywords: [invoice, refund]
    examples: [where is my invoice]
  travel: {description: Trips.}
rules:
  - {name: first, when: {roles: [agent]}, collections: [billing]}
  - {name: second, when: {roles: [boss]}, collections: [travel]}
golden:
  - {query: refund me, collections: [billing]}
"""


def policy(*changes: tuple[str, str]) -> RoutingPolicy:
    text = BASE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_policy(text)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("max_collections: 3", "max_collections: 1", [Change("max_collections", "3", "1")]),
        ("max_collections: 3", "", [Change("max_collections", "3", "2")]),
        ("max_collections: 3", "max_collections: 3\nfallback: [travel]", [Change("fallback", "all", '["travel"]')]),
        ("max_collections: 3", "max_collections: 3\nspace: e5", [Change("space", "none", "e5")]),
        (
            "[invoice, refund]",
            "[invoice, chargeback]",
            [
                Change("collections.billing.keywords", "refund (weight 1.0)", None),
                Change("collections.billing.keywords", None, "chargeback (weight 1.0)"),
            ],
        ),
        (
            "[invoice, refund]",
            "[invoice, {text: refund, weight: -2}]",
            [Change("collections.billing.keywords", "refund (weight 1.0)", "refund (weight -2.0)")],
        ),
        ("Trips.", "Journeys.", [Change("collections.travel.description", "Trips.", "Journeys.")]),
        (
            "  travel: {description: Trips.}",
            "  hotels: {keywords: [room]}",
            [
                Change("collections.travel", "description Trips.", None),
                Change("collections.hotels", None, "1 keywords"),
            ],
        ),
        ("[boss]", "[head]", [
            Change("rules.second.when.roles", "boss", None),
            Change("rules.second.when.roles", None, "head"),
        ]),
        ("query: refund me, collections: [billing]", "query: refund me, collections: []", [
            Change("golden", 'refund me (collections ["billing"])', "refund me (collections [])"),
        ]),
        ("Trips.", "x" * 1000, [
            Change("collections.travel.description", "Trips.", "x" * (MAX_VALUE_CHARS - 1) + "…"),
        ]),
    ],
)  # fmt: skip
def test_each_difference_has_its_place(old: str, new: str, changes: list[Change]) -> None:
    """Values before and after; None where there was nothing."""
    assert diff_policies(policy(), policy((old, new))) == changes


def test_defaults_and_orders_are_no_difference() -> None:
    """A default written out, and collections, keywords and rules in another order, mean the same."""
    same = policy(
        ("[invoice, refund]", "[refund, {text: invoice, weight: 1}]"), ("version: 2", "strategy: hybrid\nversion: 2")
    )
    turned = same.model_copy(
        update={"collections": dict(reversed(list(same.collections.items()))), "rules": same.rules[::-1]}
    )
    assert diff_policies(policy(), turned) == []


def test_a_first_policy_is_all_new() -> None:
    """Defaults are not told; whole collections are told in a line."""
    assert diff_policies(None, policy()) == [
        Change("max_collections", "2", "3"),
        Change("collections.billing", None, "2 keywords, 1 examples"),
        Change("collections.travel", None, "description Trips."),
        Change("rules.first", None, 'when {"roles": ["agent"]}, 1 collections, effect choose, confidence 0.95'),
        Change("rules.second", None, 'when {"roles": ["boss"]}, 1 collections, effect choose, confidence 0.95'),
        Change("golden", None, 'refund me (collections ["billing"])'),
    ]
