"""Answers as people read them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_cli.output import Output
from trunkline_cli.views import show_search, show_trail, trail_data
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


def test_levels_limits_and_prices_are_told() -> None:
    """A level other than NORMAL and limits that are nearly used up always, the price where somebody asks why."""
    note = quota_pb.LimitNote(
        scope=quota_pb.LIMIT_SCOPE_TENANT,
        period=quota_pb.LIMIT_PERIOD_DAY,
        unit=quota_pb.LIMIT_UNIT_REQUESTS,
        used_part=0.85,
    )
    cost = trail_pb.Cost(reserved_tokens=5, charged_tokens=2, charged_micros=120, price_version="2026-01")
    trail = trail_from_proto(trail_pb.Trail(level=quota_pb.SERVICE_LEVEL_REDUCED, limit_notes=[note], cost=cost))
    quiet, page, asked = (io.StringIO() for _ in range(3))

    show_trail(Output(False, Console(file=quiet)), trail_from_proto(trail_pb.Trail()))
    show_trail(Output(False, Console(file=page)), trail)
    show_trail(Output(False, Console(file=asked)), trail, explain=True)

    assert quiet.getvalue() == ""
    assert page.getvalue().splitlines() == [
        "level        REDUCED",
        "limit        requests of the tenant by day: 85% used",
    ]
    assert "2 of 5 reserved tokens charged, 0.000120 by prices 2026-01" in asked.getvalue()
    assert trail_data(trail)["limit_notes"][0]["used_part"] == 0.85
