"""`trunkline up`, `trunkline down`, `trunkline status`."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline_cli.exits import CliError, Exit, guarded, not_running
from trunkline_cli.options import JsonOption, RunDirOption
from trunkline_cli.output import Output, progress
from trunkline_cli.target import DEFAULT_TENANT, find_run_dir

if TYPE_CHECKING:
    from trunkline_local import Progress, StackSpec, StackState

_SERVING_WITHIN_S = 90.0


@guarded
def up(
    regions: Annotated[
        list[str] | None, typer.Option("--region", help="REGION=JURISDICTION; repeat it. Three by default.")
    ] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="Tenant to create, allowed everywhere.")] = DEFAULT_TENANT,
    tier: Annotated[str, typer.Option("--tier", help="Its tier.")] = "enterprise",
    small: Annotated[
        bool, typer.Option("--small", help="One process for each region: less memory, quicker start.")
    ] = False,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Go on with the documents and the map of an earlier stack.")
    ] = False,
    front: Annotated[
        bool, typer.Option("--front", help="Start an Envoy before all routers, for callers without our client.")
    ] = False,
    run_dir: RunDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Start a local stack that goes on running: regions of five services over one etcd and one Triton."""
    from trunkline_local import start_background

    spec = _spec(find_run_dir(run_dir), regions or [], small=small, keep_data=keep_data, front=front)
    out = Output(json_output)
    with progress("starting") as view:

        def told(step: Progress) -> None:
            view.update(step.ready, step.total, f"{step.name} {step.state}")

        state = asyncio.run(start_background(spec, on_progress=told))
    where = "" if run_dir is None else f" --run-dir {shlex.quote(str(state.run_dir))}"
    try:
        asyncio.run(_make_usable(state, tenant, tier))
    except BaseException:
        sys.stderr.write(f"The stack runs, but not all of it is usable; stop it with `trunkline down{where}`.\n")
        raise
    _describe(out, state, tenant, where)
    out.data({"tenant": tenant, "stack": state.model_dump(mode="json")})


def _spec(run_dir: Path, regions: list[str], *, small: bool, keep_data: bool, front: bool) -> StackSpec:
    from trunkline_local import DEFAULT_REGIONS, Layout, RegionSpec, StackSpec

    named = []
    for item in regions:
        region, equals, jurisdiction = item.partition("=")
        if not equals:
            raise CliError(f"--region needs REGION=JURISDICTION, not {item!r}", code=Exit.USAGE)
        named.append({"region_id": region, "jurisdiction": jurisdiction})
    try:
        return StackSpec(
            run_dir=run_dir,
            regions=tuple(RegionSpec.model_validate(item) for item in named) or DEFAULT_REGIONS,
            layout=Layout.PER_REGION if small else Layout.PER_SERVICE,
            keep_data=keep_data,
            front=front,
        )
    except ValueError as exc:  # pydantic's ValidationError is one
        raise CliError(f"this stack cannot be: {exc}", code=Exit.USAGE) from None


async def _make_usable(state: StackState, tenant: str, tier: str) -> None:
    """Write regions, space and the tenant to the map, and wait until every region has caught up."""
    from trunkline_local.seeding import TenantSeed, seed_map

    token = await asyncio.to_thread(state.tokens["operator"].read_text)
    await seed_map(state, token, tenants=[TenantSeed(tenant, tier)])
    await _all_serving(state)


async def _all_serving(state: StackState) -> None:
    from functools import partial

    from trunkline_local.readiness import eventually, grpc_serving

    endpoints = [endpoint for region in state.regions for endpoint in region.endpoints.values()]
    held = await asyncio.gather(
        *(eventually(partial(grpc_serving, endpoint), within_s=_SERVING_WITHIN_S) for endpoint in endpoints)
    )
    if not all(held):
        raise CliError("the stack runs, but not every service is ready", advice="see `trunkline status` and its logs")


def _describe(out: Output, state: StackState, tenant: str, where: str) -> None:
    """Print what listens where and what to try; `where` are the options by which other commands find this stack."""
    from trunkline_local import DevIdentity, Service

    rows = [
        (region.region_id, region.jurisdiction, *(f"{name} {endpoint}" for name, endpoint in region.endpoints.items()))
        for region in state.regions
    ]
    out.table(("region", "jurisdiction", "", "", "", "", ""), rows)
    out.line(f"control {state.control_endpoint}, etcd {','.join(state.etcd_endpoints)}, Triton {state.triton_endpoint}")
    out.line("All regions share this etcd and this Triton: one failure domain that production does not have.")
    if state.front_endpoint is not None:
        out.line(f"front door {state.front_endpoint}, its admin page {state.front_admin_endpoint}")
    token = DevIdentity.load(state.identity_dir).mint("developer", tenant=tenant)
    routing = next(iter(state.regions)).endpoints[Service.ROUTING]
    search = "trunkline.routing.v1.RoutingService/Search"
    as_tenant = f"--tenant {tenant}{where}"
    out.line()
    out.line(f"A token of tenant {tenant}, good for 12 hours (another one: `trunkline token {as_tenant}`):")
    out.line(f"  export TOKEN={token}")
    out.line("Try:")
    out.line(f"  grpcurl -plaintext {routing} list")
    question = '{"text": "How?", "top_k": 3}'
    out.line(f"  grpcurl -plaintext -H \"authorization: Bearer $TOKEN\" -d '{question}' {routing} {search}")
    out.line(f"  trunkline ingest docs --collection guide --create {as_tenant}")
    out.line(f'  trunkline search "How do I start?" --collection guide {as_tenant} --explain')
    out.line(f"Stop it with `trunkline down{where}`.")


@guarded
def down(run_dir: RunDirOption = None, json_output: JsonOption = False) -> None:
    """Stop the local stack; no process of it is left."""
    from trunkline_local import stop_background

    folder = find_run_dir(run_dir)
    if not (folder / "stack.json").is_file():
        raise not_running(folder)
    asyncio.run(stop_background(folder))
    out = Output(json_output)
    out.line(f"The stack in {folder} is stopped.")
    out.data({"stopped": True, "run_dir": str(folder)})


@guarded
def status(run_dir: RunDirOption = None, json_output: JsonOption = False) -> None:
    """Show what runs where. Exit code 4 if no stack runs."""
    folder = find_run_dir(run_dir)
    if not (folder / "stack.json").is_file():
        raise not_running(folder)
    from trunkline_local import read_status

    found = read_status(folder)
    if found.state is None:
        raise not_running(folder)
    out = Output(json_output)
    _show_status(out, found.state, running=found.running)
    out.data({"running": found.running, "stale": found.stale, "stack": found.state.model_dump(mode="json")})
    if not found.running:
        raise typer.Exit(Exit.NOT_RUNNING)


def _show_status(out: Output, state: StackState, *, running: bool) -> None:
    since = f"for {time.time() - state.started_at_s:.0f} s" if running else "no longer"
    out.line(f"{state.phase if running else 'not running'}: {state.run_dir}, {since}, {state.layout}")
    out.table(
        ("process", "state", "pid", "log"),
        [(item.name, str(item.state), str(item.pid or "-"), str(item.log_path)) for item in state.processes],
    )
    for region in state.regions:
        endpoints = ", ".join(f"{name} {endpoint}" for name, endpoint in region.endpoints.items())
        out.line(f"{region.region_id} ({region.jurisdiction}): {endpoints}")
    out.line(f"control {state.control_endpoint}")
    if state.front_endpoint is not None:
        out.line(f"front door {state.front_endpoint}")
