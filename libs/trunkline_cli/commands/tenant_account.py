"""`trunkline tenant usage`, `limits` and `objectives`, and `trunkline levels`: what regions' admission says."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.exits import Exit
from trunkline_cli.groups import At
from trunkline_cli.output import Output
from trunkline_cli.tenant.account import Account, added_up, write_csv
from trunkline_cli.tenant.promise_view import regions_data, show_levels, show_limits, show_objectives
from trunkline_cli.tenant.regions import Told, allowed_regions, ask_regions, show_problems
from trunkline_cli.tenant.words import money
from trunkline_client import UsageClient

TenantArgument = Annotated[str, typer.Argument(help="Tenant.")]
FromOption = Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD, in the tenant's time zone; today.")]
ToOption = Annotated[str, typer.Option("--to", help="Last day; the first one without.")]
LabelOption = Annotated[str, typer.Option("--label", help="Name of a label to tell apart by.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV with a header line; money in millionths.")]
KeyOption = Annotated[str, typer.Option("--key", help="Subject of a credential whose own limits are told, too.")]
RegionOption = Annotated[str | None, typer.Option("--region", help="Ask this region alone.")]

COLUMNS: Final = ("day", "stage", "collection", "label", "count", "tokens", "cost", "prices")

AnswerT = TypeVar("AnswerT")


def usage(
    name: TenantArgument,
    at: At,
    first_day: FromOption = "",
    last_day: ToOption = "",
    label: LabelOption = "",
    as_csv: CsvOption = False,
) -> None:
    """Sum up what a tenant used, by day, stage and collection, over all regions that it may use."""
    told = _ask(at, name, None, lambda client: client.usage(name, first_day=first_day, last_day=last_day, label=label))
    account = added_up([each.answer for each in told if each.answer is not None])
    out = at.out()
    if as_csv:
        write_csv(sys.stdout, account)
        missing = show_problems(Output(False, Console(stderr=True, highlight=False)), told)
        _end(missing=missing)
        return
    _show_account(out, account)
    missing = show_problems(out, told)
    out.data(
        {
            "tenant": name,
            "requests": account.requests,
            "cost_micros": account.cost_micros,
            "currency": ",".join(account.currencies),
            "complete": not (missing or account.truncated),
            "lines": [
                {**line._asdict(), "count": sums.count, "tokens": sums.tokens, "cost_micros": sums.cost_micros}
                for line, sums in account.lines.items()
            ],
            "regions": regions_data(told),
        }
    )
    _end(missing=missing)


def limits(name: TenantArgument, at: At, key: KeyOption = "", region: RegionOption = None) -> None:
    """Tell every limit that holds for a tenant now, and how much of it is used."""
    told = _ask(at, name, region, lambda client: client.limits(name, key=key))
    out = at.out()
    show_limits(out, told)
    missing = show_problems(out, told)
    out.data({"tenant": name, "regions": regions_data(told)})
    _end(missing=missing)


def objectives(
    at: At,
    name: Annotated[str, typer.Argument(help="Tenant; all tiers without.")] = "",
    region: RegionOption = None,
) -> None:
    """Tell what tiers, or a tenant, were promised, and what is left of their error budgets."""
    told = _ask(at, name, region, lambda client: client.objectives(name))
    out = at.out()
    show_objectives(out, told)
    missing = show_problems(out, told)
    out.data({"regions": regions_data(told)})
    _end(missing=missing)


def levels(at: At, region: RegionOption = None) -> None:
    """Tell how much each region leaves out for each tier."""
    told = _ask(at, "", region, lambda client: client.levels())
    out = at.out()
    show_levels(out, told)
    missing = show_problems(out, told)
    out.data({"regions": regions_data(told)})
    _end(missing=missing)


def _ask(
    at: At, tenant: str, region: str | None, ask: Callable[[UsageClient], Awaitable[AnswerT]]
) -> Sequence[Told[AnswerT]]:
    """Ask the regions that a tenant may use; all of them where none is named."""

    async def run() -> Sequence[Told[AnswerT]]:
        target = at.target()
        regions: Sequence[entries_pb.Region]
        async with target.control() as client:
            allowed = (await client.tenant(tenant)).value.jurisdictions if tenant else None
            regions = [(await client.region(region)).value] if region else await allowed_regions(client, allowed)
        return await ask_regions(target, regions, ask)

    return asyncio.run(run())


def _show_account(out: Output, account: Account) -> None:
    currency = "/".join(account.currencies)
    rows = [
        (
            line.day,
            line.stage,
            line.collection,
            line.label_value,
            f"{sums.count:,}",
            f"{sums.tokens:,}",
            money(sums.cost_micros, currency),
            line.price_version,
        )
        for line, sums in account.lines.items()
    ]
    out.table(COLUMNS, rows)
    until = account.complete_until_s
    when = f", complete until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M:%S} UTC" if until else ""
    out.line(f"{account.requests:,} requests, {money(account.cost_micros, currency)}{when}", style="bold")
    if account.truncated:
        out.line("lines were left out: ask for fewer days", style="yellow")


def _end(*, missing: bool) -> None:
    """End as failed where a region did not answer: what was printed is not everything."""
    if missing:
        raise typer.Exit(Exit.FAILED)
