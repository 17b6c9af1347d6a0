"""The real admission service for a front door's tests: over a real store and the front door's own map."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import grpc

from trunkline_admission.app import open_over
from trunkline_admission.settings import AdmissionSettings
from trunkline_lease import LeaseHolder, LeaseOptions, open_lease_holder
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_map.testing import StaticMap
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.serving import start
from trunkline_routing.edge.report_client import ReportClient

PATIENT: Final = LeaseOptions(refill_timeout_s=10.0)
"""A busy machine must not send a test to the safe mode, whose spends no limit counts."""


@dataclass(frozen=True)
class Admission:
    """A running admission service, and what a router has of it."""

    holder: LeaseHolder
    send: ReportClient


@asynccontextmanager
async def open_admission(
    source: StaticMap,
    identity: DevIdentity,
    folder: Path,
    *,
    region: str,
    valkey_url: str,
    options: LeaseOptions = PATIENT,
) -> AsyncIterator[Admission]:
    """Serve admission of a region, and hold leases of it as a router does."""
    token = folder / "service-token"
    token.write_text(identity.mint("routing", roles=("service",)))
    settings = AdmissionSettings(
        region=region,
        jwks=str(identity.jwks_path),
        issuer=ISSUER,
        audience=AUDIENCE,
        service_token_path=token,
        redis_url=valkey_url,
        redis_timeout_s=1.0,
        key_prefix=f"test:{secrets.token_hex(6)}",
        drain_settle_s=0.0,
        drain_grace_s=0.5,
    )
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_over(settings, source))
        running = await start(app, settings, stack)
        address = f"127.0.0.1:{running.port}"
        entry = source.snapshot.region(region)
        assert entry is not None
        source.put(replace(entry, admission_endpoints=(address,)))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        credential = (("authorization", f"Bearer {token.read_text()}"),)
        holder = await stack.enter_async_context(
            open_lease_holder(channel, credential=lambda: credential, options=options)
        )
        channels = await stack.enter_async_context(ChannelPool())
        yield Admission(holder, ReportClient(channels, address, lambda: credential))
