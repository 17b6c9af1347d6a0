"""`trunkline audit searches`: who searched what, in hashes, read from the folders of the routers' audits."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.options import JsonOption
from trunkline_cli.output import Output
from trunkline_cli.usage.days import checked_day
from trunkline_usage.search_lines import SearchLine
from trunkline_usage.search_reader import Asked, SearchReader


@guarded
def searches(
    folder: Annotated[Path, typer.Argument(help="Folder of the audits.", exists=True, file_okay=False)],
    tenant: Annotated[str, typer.Option("--tenant", help="One tenant; without, all of them.")] = "",
    day: Annotated[str, typer.Option("--day", help="One day, YYYY-MM-DD, in UTC.")] = "",
    caller: Annotated[
        str, typer.Option("--caller", help="A credential's subject; found while the day's salt is kept.")
    ] = "",
    query_file: Annotated[
        Path | None,
        typer.Option(
            "--query-file", help="File with a query's text, to find who asked it.", exists=True, dir_okay=False
        ),
    ] = None,
    denied: Annotated[bool, typer.Option("--denied", help="Only what was denied or failed.")] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="At most so many lines; 0 checks the chains alone.")
    ] = 1000,
    json_output: JsonOption = False,
) -> None:
    """Tell who searched what."""
    query = "" if query_file is None else query_file.read_text(encoding="utf-8").rstrip("\r\n")
    asked = Asked(tenant, checked_day(day), caller, query, denied)
    reader, out = SearchReader(folder), Output(json_output)
    found = reader.searches(asked)
    if json_output:
        for line in islice(found, limit):
            sys.stdout.write(json.dumps(_data(line), ensure_ascii=False) + "\n")
    else:
        out.table(("time", "tenant", "collections", "outcome", "caller", "query", "request"), list(_rows(found, limit)))
    for _ in found:
        pass  # the chain is followed to its end, whatever is printed
    _tell_problems(reader)


def _rows(found: Iterable[SearchLine], limit: int) -> Iterator[tuple[str, ...]]:
    for line in islice(found, limit):
        collections = ",".join(line.collections) or "-"
        hashes = (line.caller[:12] or "-", line.query[:12] or "-")
        yield line.time, line.tenant or "-", collections, line.reason or line.outcome, *hashes, line.request_id


def _data(line: SearchLine) -> dict[str, Any]:
    told = line._asdict()
    del told["number"], told["previous"]
    return told


def _tell_problems(reader: SearchReader) -> None:
    for folder in reader.begins_late:
        sys.stderr.write(
            f"{folder}: older files were taken away; the chain is followed from the first line that is there\n"
        )
    if reader.saltless:
        days = ", ".join(sorted(reader.saltless))
        sys.stderr.write(f"no salt is kept of {days}: nobody can tell any more whose those lines are\n")
    for problem in reader.problems:
        sys.stderr.write(f"{problem.path}, line {problem.line}: {problem.reason}\n")
    if reader.problems:
        raise CliError("the audit is not whole", advice="its files were altered, or a disk failed", code=Exit.FAILED)
