"""Findings name the line of a policy on which something stands."""

from __future__ import annotations

import pytest

from trunkline_cli.policy.lines import Lines

TEXT = """\
# a comment
version: 2
collections:
  debugging:
    keywords:
      - traceback
      - {text: profiler, weight: 2}
  files: {examples: [one, two]}
"""


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("version", 2),
        ("collections.debugging", 4),
        ("collections.debugging.keywords.1.weight", 7),
        ("collections.debugging.keywords[0]", 6),
        ("collections.files.examples.1", 8),
        ("policy.yaml:collections.files", 8),
        ("collections.debugging.patterns.0", 4),  # what is missing is told where it belongs
        ("collections.debugging.keywords.9", 5),
        ("", None),
        ("nothing", None),
    ],
)
def test_paths_have_lines(where: str, line: int | None) -> None:
    """The nearest part that is there gives the line."""
    assert Lines(TEXT).of(where) == line


@pytest.mark.parametrize("text", ["", "a: [", "- a\n- b", "\0", "[" * 5000], ids=repr)
def test_what_is_no_policy_has_no_lines(text: str) -> None:
    """And is no defect."""
    assert Lines(text).of("collections.a") is None
