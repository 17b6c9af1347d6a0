"""Policies written again: as YAML for people, as a form for routers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.document import MAX_FORM_BYTES, from_form, parse_policy, to_form, to_yaml
from trunkline_policy.model import RoutingPolicy

NAMES = st.from_regex(r"\A[a-z0-9-]{1,12}\Z") | st.sampled_from(["keywords", "no", "1", "null", "1e3"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.sampled_from(
    [
        "no",
        "1:30",
        "=",
        "2020-01-01",
        "- a",
        " a ",
        "a\n  b\n",
        "\n",
        "a: b #c",
        "\u2028",
        "\x85x",
        "\ufeff",
        "~",
        "😀\n|",
    ]
)
SHARES = st.floats(0, 1)
WEIGHTS = st.floats(-10, 10)


def lists(items: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(items, max_size=most).map(tuple)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


PATTERNS = st.sampled_from([r"\bx\d+", "a|b", "'", '"\\\\'])
TARGET: dict[str, st.SearchStrategy[Any]] = {
    "description": TEXTS,
    "keywords": lists(TEXTS | st.fixed_dictionaries({"text": TEXTS, "weight": WEIGHTS})),
    "patterns": lists(PATTERNS | st.fixed_dictionaries({"regex": PATTERNS, "weight": WEIGHTS})),
    "examples": lists(TEXTS),
}
TEMPLATE = st.tuples(
    some(**TARGET, few_shot=lists(st.fixed_dictionaries({"input": TEXTS, "output": TEXTS}))),
    TEXTS.filter(lambda text: "{" not in text),
).map(lambda parts: parts[0] | {"text": parts[1] + "{{question}}", "variables": ("question",)})
CONDITIONS = some(
    roles=lists(TEXTS),
    attributes=st.dictionaries(NAMES, lists(TEXTS), max_size=2),
    previous=lists(NAMES),
    keywords=lists(TEXTS),
    patterns=lists(PATTERNS),
)
RULES = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "when": CONDITIONS, "collections": st.lists(NAMES, min_size=1, max_size=2).map(tuple)},
        optional={"effect": st.sampled_from(["choose", "exclude"]), "confidence": SHARES},
    ),
    max_size=3,
    unique_by=lambda rule: rule["name"],
).map(tuple)
DOCUMENTS = st.fixed_dictionaries(
    {
        "version": st.just(2),
        "collections": st.dictionaries(NAMES, some(**TARGET), min_size=1, max_size=3),
    },
    optional={
        "strategy": st.sampled_from(["explicit", "logical", "semantic", "hybrid", "all"]),
        "language": st.sampled_from(["none", "german"]),
        "max_collections": st.integers(1, 64),
        "thresholds": some(logical=SHARES, similarity=st.none() | SHARES),
        "fallback": st.sampled_from(["all", "refuse", "none"]) | st.lists(NAMES, min_size=1, max_size=2).map(tuple),
        "budget": some(cost_per_1000=st.floats(0, 1e300)),
        "out_of_scope": lists(TEXTS),
        "rules": RULES,
        "templates": st.dictionaries(NAMES, TEMPLATE, max_size=2),
        "model_classes": st.dictionaries(st.sampled_from(["simple", "complex"]), some(**TARGET), max_size=2),
        "experiments": st.just(({"name": "e", "variant": {"max_collections": 63, "fallback": ("x",)}},)),
        "golden": lists(st.fixed_dictionaries({"query": TEXTS, "collections": lists(NAMES)})),
        "classifier": some(enabled=st.booleans(), when=st.just("unsure")),
        "cache": some(ttl_s=st.floats(0, 86_400)),
    },
)


@given(DOCUMENTS)
def test_a_policy_written_and_read_is_the_same(document: dict[str, Any]) -> None:
    """As YAML and as a form, whatever texts are in it."""
    policy = RoutingPolicy.model_validate(document)
    assert parse_policy(to_yaml(policy)) == policy
    assert from_form(to_form(policy)) == policy


@given(DOCUMENTS)
def test_equal_policies_have_equal_forms(document: dict[str, Any]) -> None:
    """The order in which collections are written is no part of a policy; its digest must not tell it."""
    policy = RoutingPolicy.model_validate(document)
    turned = RoutingPolicy.model_validate(
        document | {"collections": dict(reversed(list(document["collections"].items())))}
    )
    assert to_form(policy) == to_form(turned) == to_form(from_form(to_form(policy)))


def test_yaml_is_short_and_in_the_formats_order() -> None:
    """Defaults and default weights are left out; collections stay in their order; texts of many lines are blocks."""
    text = """\
version: 2
max_collections: 1
collections:
  b:
    keywords:
    - traceback
    - text: open source
      weight: -2.0
    patterns:
    - \\d+
  a: {}
templates:
  t:
    text: |-
      one
      two {{x}}
    variables:
    - x
"""
    assert to_yaml(parse_policy(text)) == text


def test_a_form_leaves_out_what_is_default() -> None:
    """So that older routers read it, as long as nothing newer is used."""
    assert to_form(parse_policy("version: 2\nmax_collections: 2\ncollections: {a: {keywords: [é]}}")) == (
        '{"collections":{"a":{"keywords":[{"text":"é"}]}},"version":2}'.encode()
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "no form of a policy"),
        (b'{"version":1,"collections":{"a":{}}}', "version"),
        (json.dumps({"version": 2, "collections": {"a": {"description": "hunter2" * 200}}}).encode(), "description"),
        (json.dumps({"version": 2, "collections": {"a": {"hunter": "hunter2"}}}).encode(), "collections.a.hunter"),
        (b'{"version":2,"collections":' + b"[" * 100_000, "Invalid JSON"),
        (b" " * (MAX_FORM_BYTES + 1), "at most"),
    ],
    ids=["empty", "no text", "a list", "version", "bound", "unknown key", "deep", "long"],
)
def test_other_bytes_are_no_form(content: bytes, what: str) -> None:
    """A damaged blob is refused, and nothing of it is told."""
    with pytest.raises(ValueError, match=what) as refused:
        from_form(content)
    assert "hunter2" not in str(refused.value)
