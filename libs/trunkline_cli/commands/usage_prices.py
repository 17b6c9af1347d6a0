"""`trunkline usage prices show` and `check`: price files. They need no service."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline_cli.exits import CliError, guarded
from trunkline_cli.options import JsonOption
from trunkline_cli.output import Output

if TYPE_CHECKING:
    from trunkline_usage.prices import PriceBook


@guarded
def show(
    file: Annotated[
        Path | None, typer.Argument(help="Price file; the package's own without.", exists=True, dir_okay=False)
    ] = None,
    yaml_output: Annotated[bool, typer.Option("--yaml", help="Print the package's own file, to begin with.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show all versions of the prices."""
    if yaml_output:
        from trunkline_usage.prices import default_prices_text

        sys.stdout.write(default_prices_text())
        return
    _show(_read(file), Output(json_output))


@guarded
def check(
    files: Annotated[list[Path], typer.Argument(help="Price files.", exists=True, dir_okay=False)],
    json_output: JsonOption = False,
) -> None:
    """Say whether price files are right, and which version holds now."""
    out = Output(json_output)
    told = []
    for file in files:
        now = (book := _read(file)).at(time.time())
        out.line(f"{file}: {len(book.lists)} versions, {now.version} holds now, in {book.currency}")
        told.append({"file": str(file), "versions": len(book.lists), "now": now.version, "currency": book.currency})
    out.data({"files": told})


def _read(file: Path | None) -> PriceBook:
    from trunkline_usage.prices import PriceFileError, read_prices

    try:
        return read_prices(file)
    except PriceFileError as exc:
        raise CliError(str(exc)) from None


def _show(book: PriceBook, out: Output) -> None:
    now = book.at(time.time())
    rows, data = [], []
    for each in book.lists:
        day = datetime.fromtimestamp(each.starts_at_s, UTC).date().isoformat()
        prices = (f"{micros / 1e6:f}" for micros in each.micros.values())
        rows.append((each.version, day, *prices, "now" if each is now else ""))
        data.append({"version": each.version, "effective_from": day, "micros": dict(each.micros), "now": each is now})
    out.table(("version", "from", *now.micros, ""), rows)
    out.line(f"{book.currency} for one of each")
    out.data({"currency": book.currency, "versions": data})
