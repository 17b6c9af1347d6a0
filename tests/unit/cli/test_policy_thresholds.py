"""Fitted thresholds come into a policy's text, and nothing else of it changes."""

from __future__ import annotations

import pytest

from trunkline_cli.exits import CliError
from trunkline_cli.policy.thresholds import thresholds_text, written_into
from trunkline_policy.document import parse_policy
from trunkline_policy.model import Thresholds

FITTED = Thresholds(logical=0.71236, semantic=0.4, in_scope=0.35, margin=0.1)
COLLECTIONS = "collections:\n  a: {keywords: [x]}  # a comment\n"
SHOWN = "thresholds:\n  logical: 0.7124\n  semantic: 0.4\n  in_scope: 0.35\n  margin: 0.1\n"


def test_thresholds_are_shown_as_part_of_a_policy() -> None:
    """To four digits; what is not set stays out."""
    assert thresholds_text(FITTED) == SHOWN


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (f"# mine\nversion: 2\n{COLLECTIONS}", f"# mine\nversion: 2\n{SHOWN}{COLLECTIONS}"),
        (f"{COLLECTIONS}version: 2", f"{COLLECTIONS}version: 2\n{SHOWN}"),
        (
            f"version: 2\nthresholds:\n  # why\n  logical: 0.9  # so\n\n# next\n{COLLECTIONS}",
            f"version: 2\n{SHOWN}\n# next\n{COLLECTIONS}",
        ),
        (f"version: 2\nthresholds: {{logical: 0.9}}\n{COLLECTIONS}", f"version: 2\n{SHOWN}{COLLECTIONS}"),
    ],
)
def test_they_take_their_place(text: str, written: str) -> None:
    """That of the old ones, else behind the version; comments elsewhere stay."""
    assert written_into(text, FITTED) == written
    assert parse_policy(written).thresholds.logical == 0.7124


def test_a_text_without_lines_has_no_place() -> None:
    """It is said, rather than written somewhere."""
    with pytest.raises(CliError, match="no place"):
        written_into("{version: 2, collections: {a: {}}}", FITTED)
