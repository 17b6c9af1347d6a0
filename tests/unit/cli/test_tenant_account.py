"""What regions say of a tenant, put together."""

from __future__ import annotations

import io

from rich.console import Console

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_cli.output import Output
from trunkline_cli.tenant.account import LineName, added_up, write_csv
from trunkline_cli.tenant.promise_view import regions_data, show_levels, show_limits, show_objectives
from trunkline_cli.tenant.regions import Told, show_problems


def line(day: str = "2026-05-01", stage: str = "search", count: int = 1, prices: str = "1") -> usage_pb.UsageLine:
    return usage_pb.UsageLine(
        day=day, stage=stage, collection="docs", count=count, tokens=2 * count, cost_micros=3 * count,
        price_version=prices,
    )  # fmt: skip


def output() -> tuple[Output, io.StringIO]:
    stream = io.StringIO()
    return Output(False, Console(file=stream)), stream


def test_accounts_are_added_line_by_line() -> None:
    """Lines of one name become one; those of two price lists stay two."""
    first = usage_pb.GetUsageResponse(lines=[line(count=2), line(stage="rerank")], requests=3, currency="EUR")
    second = usage_pb.GetUsageResponse(lines=[line(count=5), line(prices="2")], requests=6, currency="EUR")
    first.complete_until_time.seconds, second.complete_until_time.seconds = 90, 80

    account = added_up([first, second])

    assert [(name.stage, name.price_version, sums.count) for name, sums in account.lines.items()] == [
        ("rerank", "1", 1),
        ("search", "1", 7),
        ("search", "2", 1),
    ]
    assert account.lines[LineName("2026-05-01", "search", "docs", "", "1")].tokens == 14
    assert (account.requests, account.currencies, account.cost_micros) == (9, ("EUR",), 27)
    assert (account.complete_until_s, account.truncated) == (80, False)


def test_an_account_is_complete_only_as_far_as_every_region_says() -> None:
    """One that does not say leaves it open; without any region nothing was counted."""
    silent, other = usage_pb.GetUsageResponse(truncated=True), usage_pb.GetUsageResponse()
    other.complete_until_time.seconds = 80

    assert added_up([silent, other]).complete_until_s is None
    assert added_up([silent, other]).truncated
    assert added_up([]).complete_until_s is None


def test_an_account_is_written_as_csv() -> None:
    """One line for each, what is in a name quoted where it has to be."""
    odd = line()
    odd.label_value = 'a,"b"'
    stream = io.StringIO()

    write_csv(stream, added_up([usage_pb.GetUsageResponse(lines=[odd], currency="EUR")]))

    assert stream.getvalue() == (
        "day,stage,collection,label_value,price_version,count,tokens,cost_micros,currency\n"
        '2026-05-01,search,docs,"a,""b""",1,1,2,3,EUR\n'
    )


def limits(home: str, used: int = 40) -> usage_pb.GetLimitsResponse:
    day = usage_pb.LimitState(
        scope=quota_pb.LIMIT_SCOPE_TENANT,
        period=quota_pb.LIMIT_PERIOD_DAY,
        unit=quota_pb.LIMIT_UNIT_REQUESTS,
        limit=1000,
        used=used,
        overridden=True,
    )
    day.reset_time.seconds = 1_800_000_000
    budget = usage_pb.LimitState(
        scope=quota_pb.LIMIT_SCOPE_TENANT,
        period=quota_pb.LIMIT_PERIOD_MONTH,
        unit=quota_pb.LIMIT_UNIT_MICROS,
        limit=12_500_000,
        used=13_000_000,
    )
    return usage_pb.GetLimitsResponse(tenant_id="acme", tier="pro", rank=1, limits=[day, budget], home_region=home)


def test_limits_are_those_of_the_region_that_keeps_them() -> None:
    """Others only say who it is; nothing is added up, because there is one limit."""
    out, stream = output()

    show_limits(out, [Told("eu", limits("us")), Told("us", limits("us", used=50))])

    text = stream.getvalue()
    assert "kept by us" in text
    assert "tenant\tday\trequests\t1,000\t50\t950\t\t2027-01-15 08:00\toverride" in text
    assert "tenant\tmonth\tmoney\t12.50\t13.00\t0.00" in text
    assert "\t40\t" not in text


def test_without_the_keeping_region_each_tells_what_it_has() -> None:
    """Better a share than nothing; that the keeper is silent is told."""
    out, stream = output()
    told = [Told("eu", limits("us")), Told("us", None, "BACKEND_UNAVAILABLE: away")]

    show_limits(out, told)
    missing = show_problems(out, told)

    assert missing
    assert "told by eu" in stream.getvalue()
    assert "region us: BACKEND_UNAVAILABLE: away" in stream.getvalue()


def test_promises_and_levels_are_told_by_region() -> None:
    """Values of a newer server are shown by their number."""
    out, stream = output()
    promise = usage_pb.Objective(
        name="pro",
        tier=True,
        availability=0.99,
        calls=1000,
        errors=8,
        spent_part=0.8,
        action=usage_pb.BUDGET_ACTION_FREEZE,
    )
    level = admission_pb.TierLevel(tier="free", level=quota_pb.SERVICE_LEVEL_REDUCED, cause="utilisation")
    newer = admission_pb.TierLevel(tier="pro", level=9)  # type: ignore[arg-type]  # wrong on purpose

    show_objectives(out, [Told("eu", (promise,))])
    show_levels(out, [Told("eu", (level, newer))])

    text = stream.getvalue()
    assert "eu\ttier pro\t0 ms\t99.000%\t1,000\t8\t0\t80%\t0.00\t0.00\t0.00\tfreeze" in text
    assert "eu\tfree\treduced\t\tutilisation" in text
    assert "eu\tpro\tunknown_9" in text
    assert regions_data([Told("eu", (level,)), Told("us", None, "away")]) == {
        "eu": [{"tier": "free", "level": "SERVICE_LEVEL_REDUCED", "cause": "utilisation"}],
        "us": {"problem": "away"},
    }
