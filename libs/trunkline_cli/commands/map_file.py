"""`trunkline map export`, `diff` and `import`: the collection map as a YAML file."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Final

import typer

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How, YesOption, confirm
from trunkline_cli.output import progress
from trunkline_client import ControlClient
from trunkline_client.control import HowToChange

if TYPE_CHECKING:
    from trunkline_cli.mapfile.diff import Diff
    from trunkline_cli.mapfile.live import LiveMap
    from trunkline_cli.mapfile.parse import MapFile

# The parts that need PyYAML are imported where they are used: the other commands do without.

MAX_ROUNDS: Final = 3
"""An entry that changes in two steps needs a second comparison; more than two never are."""

FileArgument = Annotated[Path, typer.Argument(help="Map file, YAML.", exists=True, dir_okay=False)]
PruneOption = Annotated[bool, typer.Option("--prune", help="Remove entries that are not in the file; else they stay.")]
AllOption = Annotated[bool, typer.Option("--all", help="Show every entry that differs, not only the first 200.")]


def export(
    at: At,
    file: Annotated[Path | None, typer.Argument(help="File to write; standard output without.", dir_okay=False)] = None,
) -> None:
    """Write the whole map as YAML."""
    live = at.ask(_read)
    out = at.out()
    if file is None and at.json_output:
        raise CliError("--json tells what was written to a file", advice="name a file", code=Exit.USAGE)
    if file is None:
        _write(sys.stdout, live)
        return
    # Whole or not at all: a file that was cut short would read as removals with --prune.
    descriptor, temporary = tempfile.mkstemp(dir=file.absolute().parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            _write(stream, live)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    out.line(f"{live.count:,} entries written to {file}")
    out.data({"file": str(file), "entries": live.count, "map_token": live.map_token.hex()})


def _write(stream: IO[str], live: LiveMap) -> None:
    from trunkline_cli.mapfile.live import shown_state
    from trunkline_cli.mapfile.messages import values_of
    from trunkline_cli.mapfile.schema import EntryKind
    from trunkline_cli.mapfile.write import MapFileWriter

    counts = ", ".join(f"{kind.section} {len(live.entries[kind]):,}" for kind in EntryKind)
    comments = (
        f"Trunkline's collection map: {counts}; policies are not in it.",
        f"Read at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}, {shown_state(live.map_token)}.",
    )
    writer = MapFileWriter(stream, comments)
    for kind in EntryKind:
        for key in sorted(live.entries[kind]):
            writer.entry(kind, values_of(live.entries[kind][key]))


async def _read(client: ControlClient) -> LiveMap:
    from trunkline_cli.mapfile.live import read_live

    with progress("reading the map") as view:
        return await read_live(client, view.update)


def diff(file: FileArgument, at: At, prune: PruneOption = False, everything: AllOption = False) -> None:
    """Show what an import of the file would change."""
    from trunkline_cli.mapfile.parse import read_map_file
    from trunkline_cli.mapfile.show import diff_data, show_diff

    wanted = read_map_file(file)
    live = at.ask(_read)
    found = _compared(wanted, live, prune=prune)
    out = at.out()
    show_diff(out, found, everything=everything)
    out.data({**diff_data(found), "map_token": live.map_token.hex()})


def _compared(file: MapFile, live: LiveMap, *, prune: bool) -> Diff:
    from trunkline_cli.mapfile.diff import compare
    from trunkline_cli.mapfile.parse import problems_found

    found = compare(file, live, prune=prune)
    if found.problems:
        raise problems_found(file.path, list(found.problems))
    return found


def import_map(
    file: FileArgument,
    at: At,
    how: How,
    prune: PruneOption = False,
    resume: Annotated[
        str, typer.Option("--resume", help="Id of an import that was stopped, to go on under the same id.")
    ] = "",
    everything: AllOption = False,
    yes: YesOption = False,
) -> None:
    """Bring the map to what the file says."""
    from trunkline_cli.mapfile.apply import new_import_id
    from trunkline_cli.mapfile.parse import read_map_file
    from trunkline_cli.mapfile.show import diff_data, show_diff

    wanted = read_map_file(file)
    options = how.to_client()
    live = at.ask(_read)
    found = _compared(wanted, live, prune=prune)
    out = at.out()
    show_diff(out, found, everything=everything)
    if how.dry_run or not found.differences:
        out.data({**diff_data(found), "applied": 0, "import_id": "", "map_token": live.map_token.hex()})
        return
    confirm(f"Change {len(found.differences):,} entries of the map?", yes=yes, at=at)
    import_id = resume or new_import_id()
    if not at.json_output:
        sys.stderr.write(f"import {import_id}; if it stops, run the same command again or with --resume {import_id}\n")
    work = _Import(wanted, found, import_id, options, prune=prune)
    applied, map_token = at.ask(work.run)
    out.line(f"{applied:,} entries changed; token {map_token.hex()}")
    out.data({"applied": applied, "import_id": import_id, "map_token": map_token.hex()})


class _Import:
    """One import: as a rule one round; another where an entry changes in two steps."""

    def __init__(self, file: MapFile, found: Diff, import_id: str, how: HowToChange, *, prune: bool) -> None:
        self._file = file
        self._found = found
        self._import_id = import_id
        self._how = how
        self._prune = prune

    async def run(self, client: ControlClient) -> tuple[int, bytes]:
        """Return how many changes were made, and the last one's token. Raises TrunklineError, CliError."""
        from trunkline_cli.mapfile.apply import apply_plan, first_batch_number
        from trunkline_cli.mapfile.plan import plan_import

        number = await first_batch_number(client, self._import_id)
        applied, map_token = 0, b""
        for _ in range(MAX_ROUNDS):
            plan = plan_import(self._found)
            with progress("importing") as view:
                number, map_token = await apply_plan(client, plan, self._import_id, number, self._how, view.update)
            applied += plan.count
            if not plan.another:
                break
            self._found = _compared(self._file, await _read(client), prune=self._prune)
        return applied, map_token
