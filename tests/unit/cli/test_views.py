"""Answers as people read them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_cli.output import Output
from trunkline_cli.views import show_search
from trunkline_client import Document, Hit, RouterAddress, SearchResult
from trunkline_client.trail import trail_from_proto


@pytest.mark.parametrize(
    ("text", "shown"),
    [("Stop\n\nThe end.", "The end."), ("Stop it with a signal.", "Stop it with a signal."), ("", "")],
)
def test_a_heading_is_not_shown_twice_and_no_word_is_lost(text: str, shown: str) -> None:
    """The heading line above a text is left out; a sentence that begins with the same word is whole."""
    page = io.StringIO()
    hit = Hit(Document("a.md:1", text, {"section": "Stop"}), "guide", 0.5, "RERANK", "eu-west")
    result = SearchResult((hit,), trail_from_proto(trail_pb.Trail()), RouterAddress("eu-west", "h:1"), ())

    show_search(Output(False, Console(file=page)), result)

    assert page.getvalue().splitlines()[2].strip() == shown
