"""Version 1 of the format is still read, and means what it meant."""

from __future__ import annotations

import pytest

from trunkline_mesh.errors import FieldInvalid
from trunkline_policy.document import parse_policy
from trunkline_policy.model import Keyword, Thresholds

FULL = """
version: 1
strategy: rules
space: minilm
threshold: 0.4
margin: 0.1
max_collections: 2
fallback: [general]
collections:
  debugging:
    description: Finding faults.
    keywords: [memory leak, c++]
    patterns: ['\\btraceback\\b']
    examples: [why does it crash]
"""


def test_everything_of_version_1_is_kept_but_the_margin() -> None:
    """The margin was of cosines; the new one is of confidences."""
    policy = parse_policy(FULL)
    assert (policy.version, policy.strategy, policy.space, policy.max_collections) == (2, "logical", "minilm", 2)
    assert policy.thresholds == Thresholds(similarity=0.4)
    assert (policy.fallback, policy.language) == (("general",), "none")
    one = policy.collections["debugging"]
    assert one.keywords == (Keyword(text="memory leak"), Keyword(text="c++"))
    assert ([two.regex for two in one.patterns], one.examples) == (["\\btraceback\\b"], ("why does it crash",))


def test_the_defaults_are_those_of_version_1() -> None:
    """A policy that said nothing goes on as before: no fallback, three collections, cosines from 0.30."""
    policy = parse_policy("version: 1\ncollections: {a: {}}")
    assert (policy.strategy, policy.fallback, policy.max_collections) == ("hybrid", "none", 3)
    assert policy.thresholds == Thresholds(similarity=0.3)


@pytest.mark.parametrize(
    ("old", "new"), [("rules-then-semantics", "hybrid"), ("rules", "logical"), ("semantics", "semantic")]
)
def test_strategies_have_new_names(old: str, new: str) -> None:
    """Each has one that does the same."""
    assert parse_policy(f"version: 1\nstrategy: {old}\ncollections: {{a: {{}}}}").strategy == new


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("strategy: hybrid", "policy.yaml:strategy"),
        ("threshold: 2", "policy.yaml:threshold"),
        ("rules: []", "policy.yaml:rules"),
        ("fallback: all", "policy.yaml:fallback"),
    ],
)
def test_what_version_1_did_not_know_is_refused_where_it_stands(line: str, where: str) -> None:
    """Nobody gets half of version 2 by accident."""
    with pytest.raises(FieldInvalid) as refused:
        parse_policy(f"version: 1\n{line}\ncollections: {{a: {{}}}}")
    assert [one.field for one in refused.value.violations] == [where]
