"""`trunkline ingest`: text files into a collection."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from trunkline_cli.exits import CliError, Exit, guarded
from trunkline_cli.ingest.documents import Source
from trunkline_cli.ingest.run import Ingestion, IngestPlan, IngestReport
from trunkline_cli.ingest.state import IngestState, state_path
from trunkline_cli.map_entries import CollectionChange, split_given, write_collection
from trunkline_cli.options import (
    ControlOption,
    JsonOption,
    NearOption,
    RouterOption,
    RunDirOption,
    TenantOption,
    TokenFileOption,
    TokenOption,
)
from trunkline_cli.output import Output, progress
from trunkline_cli.target import Target, TargetOptions
from trunkline_client import if_known
from trunkline_text import ChunkPolicy, FileLimits

_Create = Annotated[
    bool, typer.Option("--create", help="Create the collection's entry first, or change what the options name of it.")
]
_Placement = Annotated[
    str | None,
    typer.Option("--placement", help="With --create: regions, primary first; a new collection gets all of the stack."),
]
_Jurisdictions = Annotated[
    str | None,
    typer.Option("--jurisdictions", help="With --create: where the data may be; a new collection gets the tenant's."),
]
_Description = Annotated[str | None, typer.Option("--description", help="With --create: what it is about.")]
_Prune = Annotated[bool, typer.Option("--prune", help="Delete documents of earlier runs whose text is gone.")]
_StateFile = Annotated[Path | None, typer.Option("--state", help="Where to note what was sent.")]
_TargetChars = Annotated[int, typer.Option(help="Wished size of a piece in characters.")]
_Workers = Annotated[int, typer.Option(min=1, max=16, help="Batches under way at once.")]
_BatchDeadline = Annotated[float, typer.Option("--deadline", help="Seconds for each batch.")]


@guarded
def ingest(
    path: Annotated[Path, typer.Argument(help="A Markdown, text, HTML or reStructuredText file, or a folder.")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Collection to write to.")],
    create: _Create = False,
    placement: _Placement = None,
    jurisdictions: _Jurisdictions = None,
    description: _Description = None,
    prune: _Prune = False,
    state_file: _StateFile = None,
    target_chars: _TargetChars = 900,
    workers: _Workers = 2,
    deadline_s: _BatchDeadline = 30.0,
    tenant: TenantOption = None,
    routers: RouterOption = None,
    control: ControlOption = None,
    near: NearOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Cut files into pieces and write them; a repeat sends only what changed since."""
    named = TargetOptions(
        run_dir=run_dir,
        routers=routers or (),
        control=control,
        token=token,
        token_file=token_file,
        tenant=tenant,
        near=near,
    )
    change = CollectionChange(
        placement=split_given(placement), jurisdictions=split_given(jurisdictions), description=description
    )
    plan = IngestPlan(
        collection=collection,
        policy=_chunk_policy(target_chars),
        limits=FileLimits(),
        workers=workers,
        deadline_s=deadline_s,
        prune=prune,
    )
    _ingest(
        Output(json_output), Target(named), _source(path, plan.limits), plan, state_file, change if create else None
    )


def _chunk_policy(target_chars: int) -> ChunkPolicy:
    try:
        return ChunkPolicy(target_chars=target_chars, max_chars=max(1300, target_chars * 3 // 2 + 125))
    except ValueError as exc:
        raise CliError(str(exc), code=Exit.USAGE) from None


def _source(path: Path, limits: FileLimits) -> Source:
    try:
        return Source.find(path, limits)
    except FileNotFoundError:
        raise CliError(f"nothing is at {path}", code=Exit.USAGE) from None
    except ValueError as exc:
        raise CliError(str(exc), code=Exit.USAGE) from None


def _ingest(
    out: Output,
    target: Target,
    source: Source,
    plan: IngestPlan,
    state_file: Path | None,
    change: CollectionChange | None,
) -> None:
    """Write the collection's entry if a change of it is wanted, then the documents; print the report."""
    state = IngestState.load(state_file or _state_path(target, plan.collection, source.root))
    map_token = b"" if change is None else asyncio.run(_create(target, plan.collection, change))
    report = _run(target, source, state, plan, map_token)
    _show(out, report, plan, complete=source.complete)
    out.data(asdict(report))


def _run(target: Target, source: Source, state: IngestState, plan: IngestPlan, map_token: bytes) -> IngestReport:
    async def run() -> IngestReport:
        with progress("ingesting") as view:

            def told(done: int, total: int, report: IngestReport) -> None:
                view.update(done, total, f"files, {report.written} written, {report.unchanged} unchanged")

            async with target.client() as client:
                client.read_after(map_token)  # a collection made just now is known where it is written
                return await Ingestion(client, source, state, plan, told).run()

    return asyncio.run(run())


async def _create(target: Target, collection: str, change: CollectionChange) -> bytes:
    """Create the entry, or change one; one that is there keeps the regions and jurisdictions that are not named."""
    async with target.control() as client:
        found = await if_known(client.collection(target.tenant, collection))
        if found is not None and change == CollectionChange():
            return found.map_token
        if found is None and change.placement is None:
            change = replace(change, placement=_all_regions(target))
        return (await write_collection(client, target.tenant, collection, change)).map_token


def _all_regions(target: Target) -> list[str]:
    if not target.is_local:
        raise CliError("a new collection needs --placement", code=Exit.USAGE)
    return [region.region_id for region in target.stack().regions]


def _state_path(target: Target, collection: str, root: Path) -> Path:
    if target.is_local:
        # Beside the stack's data, so that a stack that begins afresh is filled afresh.
        folder = target.stack().run_dir / "data" / "ingest"
        routers = "local"
    else:
        base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
        folder = Path(base) / "trunkline" / "ingest"
        routers = ",".join(sorted(address.target for address in target.routers()))
    return state_path(folder, tenant=target.tenant, collection=collection, root=root, routers=routers)


def _show(out: Output, report: IngestReport, plan: IngestPlan, *, complete: bool) -> None:
    for problem in report.problems:
        out.line(f"passed over: {problem}", style="yellow")
    out.line(
        f"{report.files} files: {report.written} documents written, {report.unchanged} unchanged, "
        f"{report.deleted} deleted"
    )
    if report.vanished > report.deleted:
        left = report.vanished - report.deleted
        advice = (
            "--prune deletes them" if complete and not plan.prune else "not deleted, because files were passed over"
        )
        out.line(f"{left} documents of earlier runs are gone from the files; {advice}")
