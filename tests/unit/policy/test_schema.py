"""The JSON schema for editors says what the parser says, as far as a schema can."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

from trunkline_mesh.errors import FieldInvalid
from trunkline_policy.document import parse_policy
from trunkline_policy.document_yaml import load_yaml
from trunkline_policy.schema import policy_schema

POLICIES = [
    file.read_text()
    for file in (resources.files("trunkline_cli") / "demo" / "policies").iterdir()
    if "version: 2" in file.read_text()
]


def errors(text: str) -> list[str]:
    document = json.loads(json.dumps(load_yaml(text)))
    return [error.json_path for error in jsonschema.Draft202012Validator(policy_schema()).iter_errors(document)]


def test_it_is_a_schema_of_the_stated_draft() -> None:
    """Editors find out the draft by `$schema`."""
    schema = policy_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$id"].startswith("https://")


@pytest.mark.parametrize("text", POLICIES)
def test_the_demonstrations_policies_pass(text: str) -> None:
    """Whole policies that people write."""
    assert errors(text) == []


def test_short_forms_pass() -> None:
    """A keyword and a pattern may be a text alone, or have a weight."""
    text = """
version: 2
fallback: [b]
collections:
  a: {keywords: [x, {text: y, weight: -1}], patterns: ['x', {regex: y, weight: 3}]}
experiments: [{name: e, variant: {fallback: none, thresholds: {logical: 1}}}]
"""
    parse_policy(text)
    assert errors(text) == []


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("strategy: magic", "$.strategy"),
        ("strategie: all", "$"),
        ("thresholds: {logical: 2}", "$.thresholds.logical"),
        ("fallback: some", "$.fallback"),
        ("fallback: []", "$.fallback"),
        ("max_collections: 0", "$.max_collections"),
        ("templates: {'A b': {text: x}}", "$.templates"),
        ("templates: {t: {}}", "$.templates.t"),
        ("model_classes: {big: {}}", "$.model_classes"),
        ("rules: [{name: r, when: {role: [x]}, collections: [a]}]", "$.rules[0].when"),
        ("templates: {t: {text: x, keywords: ['']}}", "$.templates.t.keywords[0]"),
        ("templates: {t: {text: x, patterns: [{regex: x, weight: 11}]}}", "$.templates.t.patterns[0]"),
        ("learning: {mode: always}", "$.learning.mode"),
    ],
)
def test_what_is_wrong_fails_in_both(more: str, where: str) -> None:
    """The editor underlines what the parser would refuse."""
    text = f"version: 2\n{more}\ncollections: {{a: {{}}}}"
    assert where in errors(text)
    with pytest.raises(FieldInvalid):
        parse_policy(text)


def test_every_field_is_described() -> None:
    """Editors show the description; a new field without one fails when the schema is made."""
    schema = policy_schema()

    def fields(part: dict[str, Any]) -> list[dict[str, Any]]:
        found = list(part.get("properties", {}).values())
        return found + [field for one in part.get("anyOf", []) for field in fields(one)]

    told = [field for part in (schema, *schema["$defs"].values()) for field in fields(part)]
    assert len(told) > 80
    assert [field for field in told if not field["description"].endswith(".")] == []
