"""Policies in YAML: what is refused, and that the refusal says where."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.errors import CollectionUnknown, FieldInvalid
from trunkline_policy import document_yaml
from trunkline_policy.document import check_policy, parse_policy
from trunkline_policy.limits import MAX_POLICY_BYTES
from trunkline_policy.model import Keyword

GOOD = """
version: 2
strategy: logical
space: minilm
language: german
max_collections: 3
thresholds: {logical: 0.7, margin: 0}
fallback: [general]
collections:
  debugging:
    description: Finding faults.
    keywords: [memory leak, {text: c++, weight: 2}]
    patterns: ['\\btraceback\\b']
    examples: [why does it crash]
rules:
  - {name: session, when: {previous: [talks]}, collections: [debugging]}
golden:
  - {query: it crashes, collections: [debugging, crashes]}
"""


def head(more: str) -> str:
    return f"version: 2\n{more}\ncollections: {{a: {{}}}}\n"


def of_a(body: str) -> str:
    return f"version: 2\ncollections:\n  a: {body}\n"


def violations(text: str) -> list[str]:
    with pytest.raises(FieldInvalid) as refused:
        parse_policy(text)
    return [f"{one.field} {one.description}" for one in refused.value.violations]


def test_a_policy_is_read_in_full() -> None:
    """Every kind of field, short forms and long ones."""
    policy = parse_policy(GOOD)
    assert (policy.strategy, policy.space, policy.language) == ("logical", "minilm", "german")
    assert (policy.thresholds.logical, policy.thresholds.margin, policy.thresholds.semantic) == (0.7, 0, 0.5)
    assert policy.names() == {"debugging", "general", "talks", "crashes"}
    assert policy.collections["debugging"].keywords == (Keyword(text="memory leak"), Keyword(text="c++", weight=2))


@pytest.mark.parametrize("strategy", ["explicit", "logical", "semantic", "hybrid", "all"])
def test_a_policy_needs_no_more_than_its_collections(strategy: str) -> None:
    """`explicit` and `all` use nothing else, and the others fall back."""
    assert parse_policy(head(f"strategy: {strategy}")).strategy == strategy


NOT_YAML = {
    "alias": ("version: 2\ncollections: {a: &x {}, b: *x}", "line 2"),
    "billion laughs": (
        "a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nversion: 2\ncollections: {d: {keywords: *c}}",
        "line 2",
    ),
    "the same key twice": ("version: 2\nspace: a\nspace: b\ncollections: {a: {}}", "line 1"),
    "the same collection twice": ("version: 2\ncollections:\n  a: {}\n  a: {keywords: [x]}", "line 3"),
    "deep nesting": ("[" * 5000, "line 1"),
    "deep and closed": ("[" * 100 + "]" * 100, "line 1"),
    "a set": ("version: 2\ncollections:\n  a: {keywords: !!set {x, y}}", "line 3"),
    "a python object": ("version: !!python/object/apply:os.system [ls]\ncollections: {a: {}}", "line 1"),
    "a date that is none": ("version: 2020-13-45\ncollections: {a: {}}", "is not YAML"),
    "not closed": ("version: [1", "is not YAML"),
    "NUL": ("\x00", "is not YAML"),
    "half a character": ("version: 2\nspace: \ud800", "is not YAML"),
    "two documents": ("version: 2\n---\nversion: 2", "is not YAML"),
}
FIELDS = {
    "empty": ("", "policy.yaml "),
    "a list": ("- 1", "policy.yaml "),
    "no version": ("collections: {a: {}}", "policy.yaml:version"),
    "another version": ("version: 3\ncollections: {a: {}}", "policy.yaml:version must be 2, or 1"),
    "a version in words": ("version: '2'\ncollections: {a: {}}", "policy.yaml:version"),
    "no collections": ("version: 2", "policy.yaml:collections Field required"),
    "unknown key": (head("strategie: rules"), "policy.yaml:strategie"),
    "unknown key of a collection": (of_a("{keyword: [x]}"), "policy.yaml:collections.a.keyword"),
    "unknown strategy": (head("strategy: magic"), "policy.yaml:strategy Input should be 'explicit', 'logical'"),
    "threshold": (head("thresholds: {logical: 1.5}"), "policy.yaml:thresholds.logical"),
    "threshold NaN": (head("thresholds: {logical: .nan}"), "policy.yaml:thresholds.logical"),
    "threshold in words": (head("thresholds: {logical: yes}"), "policy.yaml:thresholds.logical"),
    "max_collections": (head("max_collections: 65"), "policy.yaml:max_collections"),
    "fallback": (head("fallback: some"), "policy.yaml:fallback must be all, refuse, none or a list of collections"),
    "empty fallback": (head("fallback: []"), "policy.yaml:fallback must name a collection"),
    "language": (head("language: klingon"), "policy.yaml:language must be none or one of"),
    "collection's name": ("version: 2\ncollections: {'A b': {}}", "policy.yaml:collections.A b"),
    "a list for a collection": (of_a("[]"), "policy.yaml:collections.a Input should be a mapping"),
    "a text for a list": (of_a("{keywords: x}"), "policy.yaml:collections.a.keywords Input should be a list"),
    "a number for a keyword": (of_a("{keywords: [404]}"), "policy.yaml:collections.a.keywords.0"),
    "empty keyword": (of_a("{keywords: ['']}"), "policy.yaml:collections.a.keywords.0.text"),
    "long keyword": (of_a(f"{{keywords: ['{'x' * 65}']}}"), "policy.yaml:collections.a.keywords.0.text"),
    "bad pattern": (of_a("{patterns: [x, '(x']}"), "policy.yaml:collections.a.patterns.1 is no RE2"),
    "bad pattern in full": (of_a("{patterns: [{regex: '(x', weight: 2}]}"), "policy.yaml:collections.a.patterns.0 is"),
    "look-ahead": (of_a("{patterns: ['(?=x)y']}"), "policy.yaml:collections.a.patterns.0"),
    "back-reference": (of_a("{patterns: ['(a)\\1']}"), "policy.yaml:collections.a.patterns.0"),
    "pattern as large as memory": (of_a("{patterns: ['((\\pL{100}){10}){10}']}"), "policy.yaml:collections.a.patterns"),
    "bad pattern of a rule": (
        head("rules: [{name: r, when: {patterns: ['(x']}, collections: [a]}]"),
        "policy.yaml:rules.0.when.patterns.0",
    ),
    "rules of one name": (
        head("rules: [{name: r, when: {}, collections: [a]}, {name: r, when: {}, collections: [a]}]"),
        "policy.yaml:rules.1.name stands twice",
    ),
    "default template": (head("default_template: t"), "policy.yaml:default_template is not among"),
    "default model class": (head("default_model_class: simple"), "policy.yaml:default_model_class is not among"),
    "model class": (head("model_classes: {big: {}}"), "policy.yaml:model_classes.big"),
    "endless cost": (head("budget: {cost_per_1000: .inf}"), "policy.yaml:budget.cost_per_1000"),
    "samples": (head("learning: {min_samples: 20, max_samples: 10}"), "policy.yaml:learning.min_samples"),
    "variable not declared": (
        head("templates: {t: {text: 'a {{question}}'}}"),
        "policy.yaml:templates.t.text uses a variable",
    ),
    "variable not used": (
        head("templates: {t: {text: a, variables: [question]}}"),
        "policy.yaml:templates.t.variables names one that",
    ),
    "variable twice": (
        head("templates: {t: {text: '{{a}}', variables: [a, a]}}"),
        "templates.t.variables names one twice",
    ),
    "open braces": (head("templates: {t: {text: 'a {{'}}"), "policy.yaml:templates.t.text has {{ without }}"),
    "golden template": (head("golden: [{query: x, collections: [], template: t}]"), "policy.yaml:golden.0.template"),
    "golden model class": (
        head("golden: [{query: x, collections: [], model_class: simple}]"),
        "policy.yaml:golden.0.model_class",
    ),
    "experiment that changes nothing": (
        head("experiments: [{name: e, variant: {}}]"),
        "policy.yaml:experiments.0.variant changes nothing",
    ),
    "experiment that changes to the same": (
        head("experiments: [{name: e, variant: {strategy: hybrid, fallback: all}}]"),
        "policy.yaml:experiments.0.variant changes nothing",
    ),
    "experiments of one name": (
        head("experiments: [{name: e, variant: {strategy: all}}, {name: e, variant: {strategy: logical}}]"),
        "policy.yaml:experiments.1.name stands twice",
    ),
}


@pytest.mark.parametrize("kind", [*NOT_YAML, *FIELDS])
def test_bad_policies_are_refused_and_told_where(kind: str) -> None:
    """The author of a policy finds the line or the field."""
    text, where = (NOT_YAML | FIELDS)[kind]
    assert where in " | ".join(violations(text))


def collections(count: int, body: str) -> str:
    return "version: 2\ncollections:\n" + "".join(f"  c{n}: {body}\n" for n in range(count))


AUTOMATON = "version: 2\ncollections:\n" + "".join(
    f"  c{n}:\n    patterns:\n" + "".join(f"      - {n}-{m}\\pL{{8}}\n" for m in range(32)) for n in range(16)
)
"""Patterns each of which RE2 takes, and which are beyond its memory in one automaton."""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("version: 2\n# " + "x" * MAX_POLICY_BYTES, "bytes"),
        (collections(51, f"{{examples: [{', '.join(['x'] * 400)}]}}"), "20000 examples over everything"),
        (collections(200, f"{{keywords: [{', '.join(['x'] * 101)}]}}"), "20000 keywords over everything"),
        (collections(17, f"{{patterns: [{', '.join(['x'] * 31)}]}}"), "512 patterns over everything"),
        (AUTOMATON, "too large together"),
        (of_a(f"{{examples: [{', '.join(['x'] * 2001)}]}}"), "at most 2000"),
        (collections(5_000, "{}"), "at most 1000"),
        (of_a(f"{{examples: [{'x' * 100_000}]}}"), "at most 512 characters"),
    ],
    ids=["bytes", "examples", "keywords", "patterns", "automaton", "one's examples", "collections", "100 KB"],
)
def test_sizes_are_bounded(text: str, what: str) -> None:
    """Over all collections too: each example is embedded, each pattern tried on every query."""
    assert what in " ".join(violations(text))


def test_at_most_sixteen_violations_are_told() -> None:
    """An error's details must fit on the wire."""
    wrong = ", ".join(["''"] * 100)
    assert len(violations(of_a(f"{{keywords: [{wrong}]}}"))) == 16
    assert len(violations(of_a(f"{{patterns: [{', '.join(['(x'] * 32)}]}}"))) == 16


def test_refusals_do_not_quote_the_values() -> None:
    """A policy's content goes into no refusal, which may be logged elsewhere."""
    for text in (
        "{keywords: [[hunter2]], description: [hunter2]}",
        "{patterns: ['(hunter2']}",
        "{description: [hunter2",
    ):
        with pytest.raises(FieldInvalid) as refused:
            parse_policy(of_a(text))
        assert "hunter2" not in "".join(traceback.format_exception(refused.value, limit=0))
        assert "hunter2" not in str(refused.value.violations)


def test_an_endless_key_is_cut() -> None:
    """What a refusal quotes of names is bounded."""
    assert len(" ".join(violations(of_a(f"{{? {'x' * 100_000} : 1}}")))) < 200


def test_re2_writes_nothing_of_a_tenants_patterns(capfd: pytest.CaptureFixture[str]) -> None:
    """By default it prints bad patterns to stderr, past every allow-list."""
    violations(of_a("{patterns: ['(hunter2']}"))
    assert "hunter2" not in capfd.readouterr().err


@given(st.text(max_size=300))
def test_any_text_is_a_policy_or_refused(text: str) -> None:
    """There is no third outcome."""
    with contextlib.suppress(FieldInvalid):
        assert parse_policy(text).version == 2


def test_the_python_loader_is_as_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyYAML was built without libyaml the same is refused."""
    monkeypatch.delattr(yaml, "CSafeLoader")
    spec = importlib.util.spec_from_file_location("yaml_without_libyaml", document_yaml.__file__)
    assert spec is not None
    assert spec.loader is not None
    slow = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, slow)
    spec.loader.exec_module(slow)
    assert issubclass(slow.StrictLoader, yaml.SafeLoader)
    assert slow.load_yaml(GOOD) == document_yaml.load_yaml(GOOD)
    for kind in ("alias", "billion laughs", "the same key twice", "deep nesting", "a set"):
        with pytest.raises(yaml.YAMLError):
            slow.load_yaml(NOT_YAML[kind][0])


def test_a_policy_may_only_name_the_tenants_collections() -> None:
    """Fallbacks, rules and golden queries included; all that are missing are named."""
    check_policy(GOOD, ["debugging", "general", "talks", "crashes", "more"])
    with pytest.raises(CollectionUnknown) as refused:
        check_policy(GOOD, ["more"])
    assert dict(refused.value.metadata) == {"collections": "crashes,debugging,general,talks"}
