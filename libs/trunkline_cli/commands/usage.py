"""`trunkline usage account`, `verify` and `prune`: journals of usage, read from their folders. They need no service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.groups import YesOption
from trunkline_cli.options import JsonOption
from trunkline_cli.output import Output, progress
from trunkline_cli.usage.days import checked_day, days_of

if TYPE_CHECKING:
    from trunkline_usage.account import Account

_NOT_WHOLE: Final = "see `trunkline usage verify`; --allow-damaged counts what can be read"

Folders = Annotated[
    list[Path],
    typer.Argument(help="Folders of journals; what is below them is read, too.", exists=True, file_okay=False),
]


@guarded
def account(
    folders: Folders,
    day: Annotated[str, typer.Option("--day", help="One day, YYYY-MM-DD, in the tenants' own time zones.")] = "",
    month: Annotated[str, typer.Option("--month", help="One month, YYYY-MM.")] = "",
    first_day: Annotated[str, typer.Option("--from", help="First day.")] = "",
    last_day: Annotated[str, typer.Option("--to", help="Last day.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="One tenant; without, all of them.")] = "",
    label: Annotated[str, typer.Option("--label", help="Label whose values are told apart.")] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write, .csv or .json; whole or not there.", dir_okay=False),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="Price file, for the currency.", exists=True, dir_okay=False)
    ] = None,
    spill: Annotated[
        Path | None,
        typer.Option("--spill", help="Folder for copies of large journals while they are read.", file_okay=False),
    ] = None,
    allow_damaged: Annotated[bool, typer.Option("--allow-damaged", help="Count what can be read.")] = False,
    csv_output: Annotated[bool, typer.Option("--csv", help="Print the account as CSV.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Add up what was used."""
    from trunkline_usage.account import Wanted
    from trunkline_usage.account import account as made_from
    from trunkline_usage.prices import PriceFileError, read_prices

    if output is not None and output.suffix not in (".csv", ".json"):
        raise CliError("--output must name a .csv or a .json file", code=Exit.USAGE)
    wanted = Wanted(*days_of(day, month, first_day, last_day), tenant, label)
    try:
        currency = read_prices(prices).currency
    except PriceFileError as exc:
        raise CliError(str(exc), code=Exit.USAGE) from None
    with progress("reading journals") as view:
        made = made_from(
            folders, wanted, spill_root=spill, progress=lambda done, total: view.update(done, total, "bytes")
        )
    if not made.findings.whole and not allow_damaged:
        raise CliError("the journals are not whole, and the account would not be, either", advice=_NOT_WHOLE)
    _tell(made, currency, output, as_csv=csv_output, as_json=json_output)


def _tell(made: Account, currency: str, output: Path | None, *, as_csv: bool, as_json: bool) -> None:
    from trunkline_cli.usage.view import show_account
    from trunkline_usage.export import csv_of, json_of, save

    out = Output(as_json)
    if output is not None:
        digest = save(output, csv_of(made) if output.suffix == ".csv" else json_of(made, currency))
        sys.stderr.write(f"{digest}  {output}\n")
    elif as_csv:
        sys.stdout.buffer.write(csv_of(made))
    elif as_json:
        sys.stdout.buffer.write(json_of(made, currency))
    else:
        show_account(out, made, currency)
    if made.repeats or made.answered_again:
        sys.stderr.write(
            f"{made.repeats:,} repeats are not counted; {made.answered_again:,} requests were answered more than once\n"
        )


@guarded
def verify(folders: Folders, json_output: JsonOption = False) -> None:
    """Check journals."""
    from trunkline_cli.usage.view import findings_data, show_findings
    from trunkline_usage.scan import Scan

    with progress("reading journals") as view:
        scan = Scan(folders, lambda done, total: view.update(done, total, "bytes"))
        for _ in scan.records():
            pass
    out = Output(json_output)
    show_findings(out, scan.findings)
    out.data(findings_data(scan.findings))
    if not scan.findings.whole:
        raise typer.Exit(Exit.FAILED)


@guarded
def prune(
    folders: Folders,
    before: Annotated[str, typer.Option("--before", help="Day, YYYY-MM-DD: what is of it or later stays.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go, and remove nothing.")] = False,
    yes: YesOption = False,
    json_output: JsonOption = False,
) -> None:
    """Remove journals that were exported."""
    from trunkline_usage.prune import old_segments

    with progress("reading journals") as view:
        old = old_segments(folders, checked_day(before), lambda done, total: view.update(done, total, "journals"))
    out = Output(json_output)
    size = sum(each.size_bytes for each in old)
    for each in old:
        out.line(str(each.path))
    if old and not dry_run:
        _confirm(f"Remove these {len(old):,} files, {size:,} bytes? Their account cannot be made again.", out, yes=yes)
        for each in old:
            each.path.unlink(missing_ok=True)
    out.line(f"{len(old):,} files, {size:,} bytes {'would go' if dry_run else 'removed'}")
    out.data({"files": [str(each.path) for each in old], "size_bytes": size, "dry_run": dry_run})


def _confirm(question: str, out: Output, *, yes: bool) -> None:
    if yes:
        return
    if out.as_json or not out.console.is_terminal:
        raise CliError(f"{question} Nobody can be asked here", advice="add --yes", code=Exit.USAGE)
    if not typer.confirm(question):
        raise CliError("nothing was removed", code=Exit.INTERRUPTED)
