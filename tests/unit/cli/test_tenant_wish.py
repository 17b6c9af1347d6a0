"""Changes of a tenant as options name them: what is not named stays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.exits import CliError
from trunkline_cli.tenant.options import TenantOptions
from trunkline_cli.tenant.view import tenant_lines
from trunkline_cli.tenant.wish import TenantWish
from trunkline_cli.tenant.words import key_limits_of, labels_of, micros_of, moment_of, money

NOW_S = 1_800_000_000.0


def tenant() -> entries_pb.Tenant:
    entry = entries_pb.Tenant(
        tenant_id="acme",
        tier="pro",
        jurisdictions=["eu"],
        state=entries_pb.TENANT_STATE_SUSPENDED,
        limits=entries_pb.TenantLimits(requests_per_day=5, tokens_per_month=7),
        key_limits=[entries_pb.KeyLimit(subject="ci", requests_per_minute=3)],
        labels={"team": "a"},
        revision=9,
    )
    for seconds in (NOW_S - 1, NOW_S + 60):
        override = entry.overrides.add(limits=entries_pb.TenantLimits(requests_per_day=6))
        override.end_time.seconds = int(seconds)
    return entry


def options(**given: Any) -> TenantOptions:
    fields: dict[str, Any] = dict.fromkeys(TenantOptions.__dataclass_fields__)
    return TenantOptions(**(fields | {"shadow": False, "no_shadow": False, "note": "", "end_override": False} | given))


def test_an_empty_wish_changes_nothing() -> None:
    """What a newer server says of the entry included."""
    assert TenantWish().changed(tenant(), NOW_S) == tenant()


def test_what_is_named_is_changed_and_the_rest_stays() -> None:
    """Limits one by one, labels and keys by name; 0 gives a limit back to the tier."""
    wish = options(
        tier="enterprise",
        requests_per_day=0,
        budget="12.5/month",
        label=["team=b", "cost-centre=42"],
        key=["app=10/200", "ci=0"],
        time_zone="Asia/Tokyo",
    ).wish()

    after = wish.changed(tenant(), NOW_S)

    assert after.limits == entries_pb.TenantLimits(tokens_per_month=7, budget_micros_per_month=12_500_000)
    assert dict(after.labels) == {"team": "b", "cost-centre": "42"}
    assert [(each.subject, each.requests_per_minute, each.requests_per_day) for each in after.key_limits] == [
        ("app", 10, 200)
    ]
    assert (after.tier, after.time_zone, after.revision) == ("enterprise", "Asia/Tokyo", 9)
    assert after.state == entries_pb.TENANT_STATE_SUSPENDED
    assert len(after.overrides) == 2


def test_a_trial_leaves_the_limits_alone() -> None:
    """Limits on trial are a set of their own, which grows and ends."""
    first = options(shadow=True, requests_per_minute=10).wish().changed(tenant(), NOW_S)
    second = options(shadow=True, tokens_per_day=4).wish().changed(first, NOW_S)
    ended = options(no_shadow=True).wish().changed(second, NOW_S)

    assert second.shadow_limits == entries_pb.TenantLimits(requests_per_minute=10, tokens_per_day=4)
    assert second.limits == tenant().limits
    assert ended == tenant()


def test_an_override_is_added_and_those_that_ended_go() -> None:
    """At most eight are kept, so what has ended must not be in the way."""
    wish = options(override_until="2027-12-31T01:00+01:00", requests_per_day=50, note="fair").wish()

    after = wish.changed(tenant(), NOW_S)
    ended = options(end_override=True).wish().changed(after, NOW_S)

    assert [each.limits.requests_per_day for each in after.overrides] == [6, 50]
    assert after.overrides[1].end_time.ToDatetime(UTC) == datetime(2027, 12, 31, tzinfo=UTC)
    assert (after.overrides[1].note, after.limits) == ("fair", tenant().limits)
    assert not ended.overrides


@pytest.mark.parametrize(
    "given",
    [
        {"shadow": True},
        {"override_until": "2027-01-01T00:00Z"},
        {"shadow": True, "override_until": "2027-01-01T00:00Z", "requests_per_day": 5},
        {"note": "why"},
        {"override_until": "2027-01-01", "requests_per_day": 5},
        {"override_until": "soon", "requests_per_day": 5},
        {"budget": "many"},
        {"budget": "-1"},
        {"budget": "0.0000001"},
        {"budget": "nan"},
        {"budget": "1e300"},
        {"label": ["team"]},
        {"label": ["=x"]},
        {"key": ["ci"]},
        {"key": ["ci="]},
        {"key": ["ci=1/"]},
        {"key": ["=1"]},
        {"key": ["ci=-1"]},
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    """Before anything is asked of a server."""
    with pytest.raises(CliError) as refused:
        options(**given).wish()

    assert refused.value.code == 2


def test_options_know_whether_anything_was_named() -> None:
    """Zero and nothing are not the same."""
    assert not options().given()
    assert options(requests_per_day=0).given()
    assert options(time_zone="").given()
    assert options(no_label=["team"]).given()


def test_words_are_read() -> None:
    """Subjects may look like web addresses with a query."""
    assert labels_of(["a=b=c", "d="]) == {"a": "b=c", "d": ""}
    assert list(key_limits_of(["https://x/?a=b=3/4"])) == ["https://x/?a=b"]
    assert moment_of("--x", "2026-12-31T00:00Z") == datetime(2026, 12, 31, tzinfo=UTC)
    assert (micros_of("12.50/month"), micros_of("0.000001"), micros_of("0")) == (12_500_000, 1, 0)


@given(st.integers(0, 10**15))
def test_money_is_written_as_it_is_read(micros: int) -> None:
    """Nothing is rounded away."""
    assert micros_of(money(micros).replace(",", "")) == micros


def test_a_tenant_is_told_in_full() -> None:
    """Every limit with its unit, which override has ended, and what is switched off."""
    entry = TenantWish(limits={"soft_percent": 90}, shadow=True).changed(tenant(), NOW_S)
    entry.overrides[1].note = "fair\x1b[2J"
    entry.limits.budget_micros_per_month = 900_000_000
    entry.disabled_stages.extend([6, 77])  # type: ignore[list-item]  # a newer server's stage

    lines = [*tenant_lines(entry, NOW_S)]

    assert lines[0] == "acme: pro, suspended, in eu"
    assert "limits       5 requests a day, 7 tokens a month, 900.00 a month" in lines
    assert [line.count("has ended") for line in lines if line.startswith("override")] == [1, 0]
    assert "on trial     warned of at 90 %" in lines
    assert "key          ci: 3 requests a minute" in lines
    assert "switched off 77, rerank" in lines
    assert not any("\x1b" in line for line in lines)
