"""Policies in YAML: what is refused, and that the refusal says where."""

from __future__ import annotations

import contextlib
import importlib.util
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.errors import CollectionUnknown, FieldInvalid
from trunkline_routing.edge import policy_text
from trunkline_routing.edge.policy_text import MAX_POLICY_BYTES, check_policy, parse_policy

GOOD = """
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


def with_collection(body: str, head: str = "version: 1") -> str:
    return f"{head}\ncollections:\n  debugging: {body}\n"


def violations(text: str) -> list[str]:
    with pytest.raises(FieldInvalid) as refused:
        parse_policy(text)
    return [f"{one.field} {one.description}" for one in refused.value.violations]


def test_a_policy_is_read_in_full() -> None:
    """Every field of the format."""
    policy = parse_policy(GOOD)
    assert (policy.strategy, policy.space, policy.threshold, policy.margin) == ("rules", "minilm", 0.4, 0.1)
    assert policy.names() == {"debugging", "general"}
    assert policy.collections["debugging"].keywords == ("memory leak", "c++")


BAD = {
    "alias": ("version: 1\ncollections: {a: &x {}, b: *x}", "line 2"),
    "billion laughs": (
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nversion: 1\ncollections: {d: {keywords: *c}}",
        "line 2",
    ),
    "the same key twice": ("version: 1\nmargin: 0.1\nmargin: 0.2\ncollections: {a: {}}", "line 1"),
    "the same collection twice": ("version: 1\ncollections:\n  a: {}\n  a: {keywords: [x]}", "line 3"),
    "deep nesting": ("[" * 5000, "line 1"),
    "deep and closed": ("[" * 100 + "]" * 100, "line 1"),
    "a date that is none": ("version: 2020-13-45\ncollections: {a: {}}", "is not YAML"),
    "a python object": ("version: !!python/object/apply:os.system [ls]\ncollections: {a: {}}", "line 1"),
    "not YAML": ("version: [1", "is not YAML"),
    "NUL": ("\x00", "is not YAML"),
    "two documents": ("version: 1\n---\nversion: 1", "is not YAML"),
    "empty": ("", "policy.yaml"),
    "a list": ("- 1", "policy.yaml"),
    "no version": ("collections: {a: {}}", "policy.yaml:version"),
    "another version": (with_collection("{}", "version: 2"), "policy.yaml:version"),
    "no collections": ("version: 1", "policy.yaml:collections"),
    "unknown key": (with_collection("{}", "version: 1\nstrategie: rules"), "policy.yaml:strategie"),
    "unknown key of a collection": (with_collection("{keyword: [x]}"), "policy.yaml:collections.debugging.keyword"),
    "unknown strategy": (with_collection("{}", "version: 1\nstrategy: magic"), "policy.yaml:strategy"),
    "threshold": (with_collection("{}", "version: 1\nthreshold: 1.5"), "policy.yaml:threshold"),
    "threshold NaN": (with_collection("{}", "version: 1\nthreshold: .nan"), "policy.yaml:threshold"),
    "max_collections": (with_collection("{}", "version: 1\nmax_collections: 17"), "policy.yaml:max_collections"),
    "collection's name": ("version: 1\ncollections: {'A b': {}}", "policy.yaml:collections.A b"),
    "empty keyword": (with_collection("{keywords: ['']}"), "policy.yaml:collections.debugging.keywords.0"),
    "long keyword": (with_collection(f"{{keywords: ['{'x' * 65}']}}"), "policy.yaml:collections.debugging.keywords.0"),
    "bad pattern": (with_collection("{patterns: ['(x']}"), "policy.yaml:collections.debugging.patterns"),
    "look-ahead": (with_collection("{patterns: ['(?=x)y']}"), "policy.yaml:collections.debugging.patterns"),
    "back-reference": (with_collection("{patterns: ['(a)\\1']}"), "policy.yaml:collections.debugging.patterns"),
    "pattern as large as memory": (
        with_collection("{patterns: ['((\\pL{100}){10}){10}']}"),
        "policy.yaml:collections.debugging.patterns",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_policies_are_refused_and_told_where(kind: str) -> None:
    """The author of a policy finds the line or the field."""
    text, where = BAD[kind]
    assert where in " | ".join(violations(text))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("version: 1\n# " + "x" * MAX_POLICY_BYTES, "bytes"),
        (
            "version: 1\ncollections:\n"
            + "".join(f"  c{n}: {{examples: [{', '.join(['x'] * 100)}]}}\n" for n in range(6)),
            "examples",
        ),
        (
            "version: 1\ncollections:\n"
            + "".join(f"  c{n}: {{patterns: [{', '.join(['x'] * 32)}]}}\n" for n in range(9)),
            "patterns",
        ),
        (with_collection(f"{{examples: [{', '.join(['x'] * 129)}]}}"), "at most 128"),
        ("version: 1\ncollections:\n" + "".join(f"  c{n}: {{}}\n" for n in range(257)), "at most 256"),
    ],
    ids=["bytes", "examples in all", "patterns in all", "examples", "collections"],
)
def test_sizes_are_bounded(text: str, what: str) -> None:
    """Over all collections too: each example is embedded, each pattern tried on every query."""
    assert what in " ".join(violations(text))


def test_refusals_do_not_quote_the_values() -> None:
    """A policy's content goes into no refusal, which may be logged elsewhere."""
    told = " ".join(violations(with_collection("{keywords: [[hunter2]], threshold: hunter2}")))
    assert "hunter2" not in told


def test_re2_writes_nothing_of_a_tenants_patterns(capfd: pytest.CaptureFixture[str]) -> None:
    """By default it prints bad patterns to stderr, past every allow-list."""
    violations(with_collection("{patterns: ['(hunter2']}"))
    assert "hunter2" not in capfd.readouterr().err


@given(st.text(max_size=300))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    """There is no third outcome."""
    with contextlib.suppress(FieldInvalid):
        assert parse_policy(text).version == 1


def test_the_python_loader_is_as_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml the same is refused."""
    monkeypatch.delattr(yaml, "CSafeLoader")
    spec = importlib.util.spec_from_file_location("policy_text_without_libyaml", policy_text.__file__)
    assert spec is not None
    assert spec.loader is not None
    slow = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, slow)
    spec.loader.exec_module(slow)
    assert issubclass(slow._StrictLoader, yaml.SafeLoader)
    assert slow.parse_policy(GOOD).names() == parse_policy(GOOD).names()
    for kind in ("alias", "billion laughs", "the same key twice", "deep nesting"):
        with pytest.raises(FieldInvalid):
            slow.parse_policy(BAD[kind][0])


def test_a_policy_may_only_name_the_tenants_collections() -> None:
    """Fallbacks included; all that are missing are named."""
    check_policy(GOOD, ["debugging", "general", "more"])
    with pytest.raises(CollectionUnknown) as refused:
        check_policy(GOOD, ["more"])
    assert dict(refused.value.metadata) == {"collections": "debugging,general"}
