"""`trunkline region drain` and `undrain`: moves traffic away from a region, waits until it is gone, brings it back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Final

import grpc
import typer

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import At, How
from trunkline_cli.map_view import plain, show_entry
from trunkline_client import ControlClient, Versioned
from trunkline_client.control import HowToChange

RegionName = Annotated[str, typer.Argument(help="The region's name.")]

MAX_WAIT_S: Final = 600.0
ROUTING_SERVICE: Final = "trunkline.routing.v1.RoutingService"
"""Health name by which a region's own routers ask to be left."""

# Two messages of grpc.health.v1, as bytes: a caller's machine need not have the services' packages.
_HEALTH_REQUEST: Final = b"\n" + bytes([len(ROUTING_SERVICE)]) + ROUTING_SERVICE.encode()
_HEALTH_SERVING: Final = b"\x08\x01"


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain came to."""

    region: Versioned[entries_pb.Region]
    routers: Sequence[tuple[str, str]] = ()
    """Each router of the region, and whether it asks to be left: `left`, `serving`, `unreachable`."""


def drain(
    name: RegionName,
    at: At,
    how: How,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the region's own routers ask to be left.")
    ] = True,
    wait_s: Annotated[float, typer.Option("--wait-s", min=0.1, max=MAX_WAIT_S, help="Wait no longer.")] = 30.0,
) -> None:
    """Move searches away from a region."""
    options = how.to_client()

    async def change(client: ControlClient) -> Drained:
        region = await client.drain_region(name, options)
        if how.dry_run or not wait:
            return Drained(region)
        return Drained(region, await _left(client, region, wait_s))

    _show(at, at.ask(change), waited=wait and not how.dry_run, wait_s=wait_s)


def undrain(
    name: RegionName,
    at: At,
    how: How,
    ramp_s: Annotated[
        float | None,
        typer.Option("--ramp-s", min=0, max=3600, help="Seconds until it has its whole share; 60 by default."),
    ] = None,
) -> None:
    """Bring searches back to a region, gradually."""
    options: HowToChange = how.to_client()
    show_entry(at.out(), at.ask(lambda client: client.undrain_region(name, ramp_s, options)))


async def _left(
    client: ControlClient, region: Versioned[entries_pb.Region], wait_s: float
) -> Sequence[tuple[str, str]]:
    """Wait until the change is told to those who watch the map, and the region's routers ask to be left.

    Raises CliError where the change itself is not told in time.
    """
    ends_s = asyncio.get_running_loop().time() + wait_s
    try:
        async with asyncio.timeout(wait_s):
            await _told(client, region.value.region_id)
    except TimeoutError:
        raise CliError(
            "the region is drained in the map, and the control role's watch has not told it yet",
            advice="look at `trunkline map status`",
        ) from None
    left_s = max(0.1, ends_s - asyncio.get_running_loop().time())
    states = await asyncio.gather(*(_router_state(each, left_s) for each in region.value.endpoints.routing))
    return list(zip(region.value.endpoints.routing, states, strict=True))


async def _told(client: ControlClient, region_id: str) -> None:
    async with aclosing(client.watch_regions()) as events:
        async for event in events:
            region = event.written.region
            if region.region_id == region_id and region.state != entries_pb.REGION_STATE_SERVING:
                return


async def _router_state(endpoint: str, within_s: float) -> str:
    """Return what a router of the region says of itself: `left` once it asks to be left."""
    heard = False
    async with grpc.aio.insecure_channel(endpoint) as channel:
        watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/grpc.health.v1.Health/Watch")
        call = watch(_HEALTH_REQUEST, timeout=within_s)
        try:
            async for response in call:
                heard = True
                if response != _HEALTH_SERVING:
                    return "left"
        except grpc.aio.AioRpcError:
            return "serving" if heard else "unreachable"
        finally:
            call.cancel()
    return "serving"


def _show(at: At, drained: Drained, *, waited: bool, wait_s: float) -> None:
    out = at.out()
    region = drained.region.value
    for router, state in drained.routers:
        out.line(f"router {router}: {_WORDS[state]}", style="yellow" if state == "serving" else "")
    serving = [router for router, state in drained.routers if state == "serving"]
    if waited and serving:
        out.line(f"after {wait_s:g} s these still take searches: {', '.join(serving)}", style="yellow")
    elif waited:
        out.line(f"{region.region_id} is told to be left to everybody who watches the map; writes still reach it")
    else:
        out.line(f"{region.region_id}: {entries_pb.RegionState.Name(region.state)}")
    out.data(
        {
            "entry": plain(region),
            "map_token": drained.region.map_token.hex(),
            "waited": waited,
            "routers": [{"router": router, "state": state} for router, state in drained.routers],
        }
    )
    if serving:
        raise typer.Exit(Exit.FAILED)


_WORDS: Final = {
    "left": "asks to be left",
    "serving": "still takes searches",
    "unreachable": "cannot be reached from here, so it is not known; it hears of the map as all others do",
}
