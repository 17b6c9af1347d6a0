"""Composition of the admission service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline_admission.authority import Authority, open_authority, store_breaker
from trunkline_admission.authority_asks import AuthorityAsks
from trunkline_admission.fitting import bounds_of
from trunkline_admission.home import HomeQuota, Homes, OwnTenantsQuota
from trunkline_admission.leases import Leases
from trunkline_admission.limits_answer import LimitsAnswer
from trunkline_admission.permits import Permits
from trunkline_admission.policy import POLICY, SERVICE
from trunkline_admission.promises import Promises, open_promises, sender
from trunkline_admission.region_leases import open_region_leases, region_options
from trunkline_admission.remote_quota import AdvancePolicy, RemoteQuota
from trunkline_admission.remote_states import states_asker
from trunkline_admission.servicer import AdmissionServicer
from trunkline_admission.settings import AdmissionSettings
from trunkline_admission.standing import Standings
from trunkline_admission.tenants import TenantQuotas
from trunkline_admission.usage_answer import open_usage_answer
from trunkline_admission.usage_policy import USAGE_POLICY, USAGE_SERVICE
from trunkline_admission.usage_servicer import Usage, UsageServicer
from trunkline_lease.asks import AskKeeper
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.opening import open_holder
from trunkline_lease.options import LeaseOptions
from trunkline_map.rank_book import RankBook
from trunkline_map.source import MapSource
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.background import background
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.errors import CredentialMissing
from trunkline_mesh.identity import ServiceToken
from trunkline_mesh.request import AUTHORIZATION_KEY
from trunkline_tiers import TierFile, read_tiers
from trunkline_usage.prices import read_prices
from trunkline_usage.refusal_account import open_refusal_account
from trunkline_usage.turned_away import jurisdiction_by_map

OWN_REFILL_S: Final = 0.5
"""Longest that Admit waits for the authority: its time limit, several times over, for callers that came before."""


@asynccontextmanager
async def open_app(settings: AdmissionSettings) -> AsyncIterator[MeshApp]:
    """Open the map and the quota store, yield the application, close both in reverse. Waits for neither.

    Raises TierFileError, PriceFileError and OSError for files that cannot be read.
    """
    async with open_map_watcher(settings.etcd_access()) as source, open_over(settings, source) as app:
        yield app


@asynccontextmanager
async def open_over(settings: AdmissionSettings, source: MapSource) -> AsyncIterator[MeshApp]:
    """Open everything but the map, which stays the caller's."""
    tiers = read_tiers(settings.tiers_path)
    currency = read_prices(settings.prices_path).currency
    async with AsyncExitStack() as stack:
        channels = await stack.enter_async_context(ChannelPool(max_channels=settings.max_channels))
        authority = await stack.enter_async_context(open_authority(settings, tiers, source))
        promises = await stack.enter_async_context(_promises(settings, source, tiers, authority, channels))
        usage = await stack.enter_async_context(
            open_usage_answer(settings.usage_dir, settings.usage_ledger_path, currency)
        )
        quotas = await stack.enter_async_context(open_home_quota(settings, source, authority, channels))
        tenants, homes = TenantQuotas(source, tiers), Homes(settings.region, source)
        holder = await stack.enter_async_context(open_own_holder(settings, tenants, quotas))
        permits = Permits(
            tenants,
            holder,
            require_inside=homes.require_inside,
            ttl_s=settings.permit_ttl_s,
            max_permits=settings.max_permits,
        )
        await stack.enter_async_context(background(permits.run()))
        regions = OwnTenantsQuota(homes, authority.quotas)
        servicer = AdmissionServicer(
            permits,
            Leases(tenants, quotas, valid_s=settings.lease_valid_s, max_entries=settings.max_lease_tenants),
            Leases(tenants, regions, valid_s=settings.region_lease_valid_s, max_entries=settings.max_lease_tenants),
            promises.desk,
            promises.levels.level_of,
            Standings(tenants, homes.require_inside),
            replica=settings.replica,
        )
        refusals = await stack.enter_async_context(
            open_refusal_account(
                settings,
                "admission",
                region=settings.region,
                jurisdiction_of=jurisdiction_by_map(source, settings.region),
            )
        )
        limits = LimitsAnswer(tenants, promises.with_budgets(quotas), source, promises.levels.level_of)
        yield MeshApp(
            name="admission",
            bindings=(_admission(servicer), _usage(limits, usage, promises, source)),
            checks={"map": source.ready},
            # Without Redis the service still answers, so Redis decides nothing about readiness.
            soft_checks={"redis": authority.quotas.authority_ready, **refusals.soft_checks},
            rank_of=RankBook(source, tiers).rank_of,
            on_refusal=refusals.on_refusal,
        )


@asynccontextmanager
async def open_home_quota(
    settings: AdmissionSettings, source: MapSource, authority: Authority, channels: ChannelPool
) -> AsyncIterator[HomeQuota]:
    """Open the quotas of all tenants: this region's authority for its own, leases at other regions for theirs."""
    homes, ask_states = Homes(settings.region, source), states_asker(channels, source)
    options, advances = region_options(settings.region_lease_valid_s), AdvancePolicy(settings.advance_requests)

    def credential() -> Sequence[tuple[str, str]]:
        return _credential(settings)

    async with open_region_leases(settings.region, source, channels, credential, options) as leases:
        away: dict[str, RemoteQuota] = {}

        def at(home: str) -> RemoteQuota:
            if home not in away:
                away[home] = RemoteQuota(
                    home, leases.at(home), authority.quotas, homes.regions_of, advances, ask_states
                )
            return away[home]

        yield HomeQuota(homes, authority.quotas, at)


@asynccontextmanager
async def open_own_holder(
    settings: AdmissionSettings, tenants: TenantQuotas, quotas: HomeQuota
) -> AsyncIterator[LeaseHolder]:
    """Hold leases in this replica, for Admit; what is unused at the end goes back to the quota's keeper.

    It has no safe mode: the authority itself falls back to a share without the store, so one that does not answer at
    all is a replica that is too busy.
    """
    options = LeaseOptions(refill_timeout_s=OWN_REFILL_S, safe_burst_requests=0, safe_burst_tokens=0)

    def asks(keeper: AskKeeper) -> AuthorityAsks:
        return AuthorityAsks(
            keeper, tenants, quotas, valid_s=settings.lease_valid_s, workers=settings.redis_connections
        )

    async with open_holder(asks, options, bounds_of=bounds_of(tenants)) as holder:
        yield holder


@asynccontextmanager
async def _promises(
    settings: AdmissionSettings, source: MapSource, tiers: TierFile, authority: Authority, channels: ChannelPool
) -> AsyncIterator[Promises]:
    path = settings.service_token_path
    async with open_promises(
        authority.scripts,
        store_breaker(settings, "promises"),
        source=source,
        tiers=tiers,
        region=settings.region,
        key_prefix=settings.key_prefix,
        send=None if path is None else sender(channels, source, ServiceToken(path)),
    ) as promises:
        yield promises


def _admission(servicer: AdmissionServicer) -> ServiceBinding:
    return ServiceBinding(
        service=SERVICE,
        servicer=servicer,
        register=admission_grpc.add_AdmissionServiceServicer_to_server,
        policy=POLICY,
    )


def _usage(limits: LimitsAnswer, usage: Usage, promises: Promises, source: MapSource) -> ServiceBinding:
    return ServiceBinding(
        service=USAGE_SERVICE,
        servicer=UsageServicer(limits, usage, promises.objectives, promises.levels, source=source),
        register=usage_grpc.add_UsageServiceServicer_to_server,
        policy=USAGE_POLICY,
    )


def _credential(settings: AdmissionSettings) -> Sequence[tuple[str, str]]:
    if settings.service_token_path is None:
        raise OSError("no service credential is set")
    try:
        return ((AUTHORIZATION_KEY, ServiceToken(settings.service_token_path).header()),)
    except CredentialMissing as exc:
        raise OSError("the service credential cannot be read") from exc
