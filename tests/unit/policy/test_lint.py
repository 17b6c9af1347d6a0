"""What lint finds in policies."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from trunkline_policy.document import parse_policy
from trunkline_policy.lint import lint_policy
from trunkline_policy.lint_findings import CODES, MAX_PER_CODE
from trunkline_policy.model import CollectionPolicy, Keyword, Pattern, RoutingPolicy

GUIDE = Path(__file__).parents[3] / "docs" / "guide.md"
TEN = "[a red fox, blue cows, geese fly, hens sit, cats nap, dogs run, rats hide, bees hum, ants dig, elks eat]"
QUIET = f"""
version: 2
collections:
  money: {{description: Money., keywords: [invoice], patterns: ['\\binv-\\d+'], examples: [pay inv-1, {TEN[1:]}}}
golden:
"""
GOLDEN = "".join(f"  - {{query: invoice {number}, collections: [money]}}\n" for number in range(10))
EACH = "fallback: none\nstrategy: logical\ncollections: "
ANIMALS = "fallback: none\ncollections: {" + ", ".join(
    f"c{number}: {{examples: [feed the cat {number}, a dog {number}]}}" for number in range(5)
)


def found(text: str) -> set[str]:
    return {f"{one.code} {one.where}" for one in lint_policy(parse_policy(f"version: 2\n{text}"))}


def test_a_good_policy_has_no_findings() -> None:
    """Nothing is said for the sake of saying something."""
    assert lint_policy(parse_policy(QUIET + GOLDEN)) == []


BAD = {
    "collection-unreachable collections.b": EACH + "{a: {keywords: [x]}, b: {keywords: [{text: y, weight: -1}]}}",
    "description-missing collections.a.description": "collections: {a: {}}",
    "example-astray collections.b.examples.0": "collections: {a: {keywords: [invoice]}, b: {examples: [my invoices]}}",
    "example-contradictory collections.b.examples.0": (
        "collections: {a: {examples: [Pay it]}, b: {examples: ['pay  it']}}"
    ),
    "example-contradictory out_of_scope.0": "collections: {a: {examples: [pay]}}\nout_of_scope: [Pay]",
    "example-repeated collections.a.examples.1": "collections: {a: {examples: [Pay, pay]}}",
    "examples-few collections.a.examples": "collections: {a: {examples: [pay]}}",
    "examples-missing collections.a": "collections: {a: {}}",
    "examples-no-head collections.a.examples": "collections: {a: {examples: [b, c, d, e, f]}}",
    "experiment-off experiments.0": (
        "collections: {a: {}}\nexperiments: [{name: e, share: 0, variant: {strategy: all}}]"
    ),
    "fallback-many fallback": "collections: {" + ", ".join(f"c{number}: {{}}" for number in range(65)) + "}",
    "golden-astray golden.0": (
        "collections: {a: {keywords: [x]}, b: {keywords: [y]}}\ngolden: [{query: an x, collections: [b]}]"
    ),
    "golden-contradictory golden.1": (
        "collections: {a: {}, b: {}}\ngolden: [{query: q, collections: [b]}, {query: Q, collections: [a]}]"
    ),
    "golden-few golden": "collections: {a: {}}\ngolden: [{query: q, collections: [a]}]",
    "golden-in-examples golden.0": "collections: {a: {examples: [q]}}\ngolden: [{query: Q, collections: [a]}]",
    "golden-missing ": "collections: {a: {}}",
    "golden-unreachable golden.0": "fallback: none\ncollections: {a: {}}\ngolden: [{query: q, collections: [b]}]",
    "keyword-everywhere collections.x.keywords.0": ANIMALS + ", x: {keywords: [cats]}}",
    "keyword-function-word collections.a.keywords.0": "collections: {a: {keywords: [The]}}",
    "keyword-overlap collections.b.keywords.1": "collections: {a: {keywords: [invoice]}, b: {keywords: [x, Invoices]}}",
    "keyword-repeated collections.a.keywords.1": "collections: {a: {keywords: [invoice, invoicing]}}",
    "keyword-shadowed collections.a.keywords.0": "collections: {a: {keywords: [memory leak, leaks]}}",
    "keyword-without-words collections.a.keywords.0": "collections: {a: {keywords: [' ']}}",
    "pattern-backtracks collections.a.patterns.0": "collections: {a: {patterns: ['(a+)+$']}}",
    "pattern-matches-everything collections.a.patterns.0": "collections: {a: {patterns: ['x*']}}",
    "pattern-matches-everything rules.0.when.patterns.0": (
        "collections: {a: {}}\nrules: [{name: r, when: {patterns: ['']}, collections: [a]}]".replace("['']", "['.*']")
    ),
    "pattern-matches-most collections.x.patterns.0": ANIMALS + ", x: {patterns: ['\\b[a-z]+\\b']}}",
    "pattern-overlap collections.a.patterns.0": "collections: {a: {patterns: ['inv.*']}, b: {keywords: [invoice]}}",
    "pattern-repeated collections.b.patterns.0": "collections: {a: {patterns: [x]}, b: {patterns: [x]}}",
    "rule-redundant rules.1": (
        "collections: {a: {}}\nrules:\n"
        "  - {name: wide, when: {roles: [x, y]}, collections: [a]}\n"
        "  - {name: narrow, when: {roles: [x], keywords: [z]}, collections: [a]}"
    ),
    "rule-shadowed rules.0": (
        "collections: {a: {}}\nrules:\n"
        "  - {name: narrow, when: {roles: [x], keywords: [z]}, collections: [a]}\n"
        "  - {name: wide, when: {roles: [x]}, collections: [a], effect: exclude}"
    ),
    "rule-unconditional rules.0": "collections: {a: {}}\nrules: [{name: r, when: {}, collections: [a]}]",
    "scope-astray out_of_scope.0": "collections: {a: {keywords: [invoice]}}\nout_of_scope: [an invoice]",
    "template-default-missing templates": "collections: {a: {}}\ntemplates: {t: {text: x, description: d}}",
    "template-unused templates.u": (
        "collections: {a: {}}\ntemplates: {t: {text: x}, u: {text: x}}\ndefault_template: t"
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_it_is_found_where_it_is(what: str) -> None:
    """Each code, with its place."""
    assert what in found(BAD[what])


def test_every_code_is_shown_to_be_found() -> None:
    """A new code needs a policy that has it."""
    assert {what.split(" ")[0] for what in BAD} == set(CODES)


ASTRAY = "collections: {a: {keywords: [x]}, b: {}}\ngolden: [{query: x, collections: [b]}]"
SURER = (
    "collections: {a: {}}\nrules:\n  - {name: r, when: {roles: [x]}, collections: [a]}\n"
    "  - {name: s, when: {roles: [y]}, collections: [a], confidence: 1}"
)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("keyword-overlap", "collections: {a: {keywords: [invoice]}, b: {keywords: [{text: invoice, weight: -1}]}}"),
        ("keyword-overlap", "language: none\ncollections: {a: {keywords: [invoice]}, b: {keywords: [invoices]}}"),
        ("keyword-overlap", "collections: {a: {keywords: [x]}}\ntemplates: {t: {text: y, keywords: [x]}}"),
        ("keyword-shadowed", "collections: {a: {keywords: [memory leak, {text: leak, weight: -1}]}}"),
        ("keyword-function-word", "language: german\ncollections: {a: {keywords: [the]}}"),
        ("pattern-overlap", "collections: {a: {patterns: ['inv\\d']}, b: {keywords: [invoice]}}"),
        ("examples-missing", "strategy: logical\ncollections: {a: {keywords: [x]}}"),
        ("collection-unreachable", "collections: {a: {}}"),
        ("collection-unreachable", "fallback: [a]\ncollections: {a: {}}"),
        ("collection-unreachable", "strategy: explicit\nfallback: none\ncollections: {a: {}}"),
        ("golden-unreachable", "fallback: [b]\ncollections: {a: {}}\ngolden: [{query: q, collections: [b]}]"),
        ("golden-astray", "strategy: semantic\n" + ASTRAY),
        ("example-astray", "collections: {a: {keywords: [x]}, b: {keywords: [y], examples: [x or y]}}"),
        ("rule-redundant", SURER),
    ],
)  # fmt: skip
def test_what_is_right_is_not_found(code: str, text: str) -> None:
    """Negative weights, other families, other languages and other strategies are no mistakes."""
    assert code not in {one.split(" ")[0] for one in found(text)}


def test_of_two_equal_rules_one_is_redundant() -> None:
    """Not both: whoever removes both has neither."""
    text = (
        "collections: {a: {}}\nrules:\n  - {name: r, when: {roles: [x]}, collections: [a]}\n"
        "  - {name: s, when: {roles: [x]}, collections: [a]}"
    )
    assert {one for one in found(text) if one.startswith("rule-redundant")} == {"rule-redundant rules.1"}


def test_findings_of_one_kind_are_bounded() -> None:
    """The rest is a number."""
    names = ", ".join(f"c{number}: {{examples: [x], description: y}}" for number in range(MAX_PER_CODE + 50))
    told = [
        one for one in lint_policy(parse_policy(f"version: 2\ncollections: {{{names}}}")) if one.code == "examples-few"
    ]
    assert len(told) == MAX_PER_CODE + 1
    assert told[-1].message == "and 50 more of these"


def test_a_large_policy_takes_seconds_at_most() -> None:
    """1,000 collections: no step compares all pairs. Two seconds is the aim; the bound allows for a busy machine."""
    policy = RoutingPolicy.model_validate({
        "version": 2,
        "collections": {
            f"c{number}": CollectionPolicy(
                keywords=tuple(Keyword(text=f"w{number} x{turn}") for turn in range(20)),
                patterns=(Pattern(regex=f"id{number}-\\d+"),) if number < 500 else (),
                examples=tuple(f"where is w{number} of x{turn} in place {turn}" for turn in range(20)),
            )
            for number in range(1_000)
        },
    })  # fmt: skip
    start = time.process_time()
    lint_policy(policy)
    assert time.process_time() - start < 20


def test_the_guide_has_every_code() -> None:
    """With its level, and nothing else."""
    section = GUIDE.read_text().split("### Policies: what lint finds", 1)[1].split("\n### ", 1)[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.+) \|$", section, re.MULTILINE)
    assert {code: (level, text) for code, level, text in rows} == dict(CODES)
