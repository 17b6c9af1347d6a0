"""Tier files that contradict themselves are refused, with the field's name."""

from pathlib import Path

import pytest
import yaml

from trunkline_tiers import (
    RankShare,
    RankTable,
    TierFileError,
    default_tiers,
    default_tiers_text,
    parse_tiers,
    read_tiers,
)


def changed(path: str, value: object) -> str:
    """Return the default file with one field changed."""
    content = yaml.safe_load(default_tiers_text())
    *folders, name = path.split("/")
    place = content
    for folder in folders:
        place = place[folder]
    place[name] = value
    return yaml.safe_dump(content)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("version", 2, "version"),
        ("tiers", {}, "tiers"),
        ("tiers/free/rank", 1, "share a rank"),
        ("tiers/free/rank", -1, "rank"),
        ("tiers/free/tenant/requests_per_day", 0, "requests_per_day"),
        ("tiers/free/tenant/requests_per_day", 10**9, "must fit into the tier's pool"),
        ("tiers/pro/tenant/requests_per_month", 5, "at least a day's"),
        ("tiers/free/tenant/burst_factor", 0.5, "burst_factor"),
        ("tiers/pro/pool/lendable_percent", 101, "lendable_percent"),
        ("tiers/pro/capacity/weight", 0, "weight"),
        ("tiers/pro/objective/availability", 1, "availability"),
        ("tiers/pro/colour", "red", "colour"),
        ("levels/emergency/utilisation", 0.5, "emergency"),
        ("preempt_after_ms", 0, "preempt_after_ms"),
    ],
)
def test_a_contradiction_is_refused_by_name(path: str, value: object, told: str) -> None:
    """Whoever wrote the file learns which field it is."""
    with pytest.raises(TierFileError, match=told):
        parse_tiers(changed(path, value))


@pytest.mark.parametrize("text", ["", "[]", "tiers: [", "7"])
def test_what_is_no_tier_file_is_refused(text: str) -> None:
    """Whatever it is."""
    with pytest.raises(TierFileError):
        parse_tiers(text)


def test_files_are_bounded_and_utf8(tmp_path: Path) -> None:
    """A wrong path does not fill the memory."""
    path = tmp_path / "tiers.yaml"
    path.write_text(default_tiers_text(), encoding="utf-8")
    assert read_tiers(path) == default_tiers()
    path.write_bytes(b"\xff")
    with pytest.raises(TierFileError, match="UTF-8"):
        read_tiers(path)
    path.write_bytes(b"#" * 70_000)
    with pytest.raises(TierFileError, match="at most"):
        read_tiers(path)


def test_an_unknown_tier_counts_as_the_lowest() -> None:
    """A name that is new in the map shuts nobody out."""
    assert default_tiers().named("gold")[0] == "free"
    assert default_tiers().named("pro")[0] == "pro"


def test_an_unknown_rank_counts_as_the_next_lower_one() -> None:
    """Nobody gains by a wrong rank."""
    table = RankTable([RankShare(2, 10, 1), RankShare(0, 1, 1)])
    assert [table.nearest(rank).rank for rank in (-1, 0, 1, 2, 9)] == [0, 0, 0, 2, 2]


def test_a_table_needs_ranks_once() -> None:
    """No rank has two shares."""
    with pytest.raises(ValueError, match="each once"):
        RankTable([])
    with pytest.raises(ValueError, match="each once"):
        RankTable([RankShare(0, 1, 1), RankShare(0, 2, 1)])
