"""From a description to processes: which, with what environment, after which others, and when each is ready.

Pure but for the run directories of Valkey, Triton and the front door, which it makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trunkline_local.addresses import Addresses, RegionAddresses
from trunkline_local.binaries import find_model_repository
from trunkline_local.child import Command
from trunkline_local.etcd import READY_WITHIN_S as ETCD_READY_WITHIN_S
from trunkline_local.etcd import EtcdMember, etcd_command, etcd_ready
from trunkline_local.files import make_private_folder
from trunkline_local.front import READY_WITHIN_S as FRONT_READY_WITHIN_S
from trunkline_local.front import FrontPorts, front_command, front_ready
from trunkline_local.front_cluster import FrontRegion
from trunkline_local.identity import ISSUER, DevIdentity
from trunkline_local.ports import HOST
from trunkline_local.readiness import Check, grpc_answers, redis_ping
from trunkline_local.service_command import services_argv
from trunkline_local.service_env import Seat, Surroundings, service_env, with_prefix
from trunkline_local.spec import CONTROL, FRONT, LEARNER, Layout, Service, StackSpec
from trunkline_local.triton import triton_command, triton_ready
from trunkline_local.valkey import READY_WITHIN_S as VALKEY_READY_WITHIN_S
from trunkline_local.valkey import valkey_command, valkey_url

SIGNING_KEY_FILE = "signing-key.pem"
"""As `DevIdentity` calls it."""

SERVICE_STOP_WITHIN_S = 15.0
"""Above the services' own drain (settle 0.5 s, grace 10 s)."""


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process of a stack."""

    name: str
    """For example `etcd-0`, `triton`, `control`, `us-east/valkey`, `us-east/retrieval`."""
    region_id: str | None
    command: Command
    ready: Check
    ready_within_s: float
    needs: frozenset[str] = field(default_factory=frozenset)
    """Processes that must be ready before it starts."""


@dataclass(frozen=True, slots=True)
class Site:
    """Everything that planning needs: the description, the ports, the identity and the mark of the run."""

    spec: StackSpec
    addresses: Addresses
    identity: DevIdentity
    run_id: str
    log_hash_key: str
    hop_key: str = field(repr=False)
    """Proves ranks between the services of this stack; new with each, and in no file."""

    def log_path(self, name: str) -> Path:
        """Return where a process logs."""
        return self.spec.run_dir / "logs" / f"{name.replace('/', '.')}.log"

    def data_dir(self, *parts: str) -> Path:
        """Return a folder that `keep_data` keeps."""
        return self.spec.run_dir.joinpath("data", *parts)

    def decision_key_path(self, jurisdiction: str) -> Path:
        """Return the key of decision ids that the routers of a jurisdiction share."""
        return self.identity.folder / "decision-keys" / jurisdiction

    @property
    def surroundings(self) -> Surroundings:
        """Return what all services share."""
        return Surroundings(
            issuer=ISSUER,
            jwks_path=self.identity.jwks_path,
            etcd_endpoints=self.addresses.etcd_endpoints,
            triton_endpoint=self.addresses.triton_endpoint,
            blob_dir=self.data_dir("blobs"),
            feedback_dir=self.data_dir("feedback"),
            control_endpoint=self.addresses.control.endpoint,
            signing_key_path=self.identity.folder / SIGNING_KEY_FILE,
            signing_key_id=self.identity.key_id,
            log_hash_key=self.log_hash_key,
            reflection=self.spec.reflection,
            hop_keys=self.hop_key,
        )


def plan_stack(site: Site) -> tuple[ProcessPlan, ...]:
    """Return all processes of a stack. Raises BinaryMissingError or ModelRepositoryMissingError."""
    etcd = _plan_etcd(site)
    etcd_names = frozenset(plan.name for plan in etcd)
    plans = [*etcd, _plan_triton(site), _plan_control(site, etcd_names)]
    for region in site.addresses.regions:
        plans += _plan_region(site, region, etcd_names)
    if site.addresses.front is not None:
        plans.append(_plan_front(site, site.addresses.front))
    return tuple(plans)


def plan_service(site: Site, name: str, seat: Seat) -> ProcessPlan:
    """Return a process of one service of a region, whatever the layout."""
    return _plan_services(site, name, seat.region_id, (seat,), frozenset())


def service_seats(site: Site) -> tuple[Seat, ...]:
    """Return every service's place: the control role, then region by region."""
    seats = [_control_seat(site)]
    for region in site.addresses.regions:
        seats += _region_seats(site, region)
        seats += _learner_seats(site, region)
    return tuple(seats)


def _plan_etcd(site: Site) -> list[ProcessPlan]:
    members = [
        EtcdMember(f"etcd-{index}", site.data_dir(f"etcd-{index}"), client, peer)
        for index, (client, peer) in enumerate(site.addresses.etcd)
    ]
    return [
        ProcessPlan(
            name=member.name,
            region_id=None,
            command=etcd_command(member, members, site.log_path(member.name)),
            ready=etcd_ready(member.endpoint),
            ready_within_s=ETCD_READY_WITHIN_S,
        )
        for member in members
    ]


def _plan_triton(site: Site) -> ProcessPlan:
    spec, ports = site.spec, site.addresses.triton
    folder = make_private_folder(spec.run_dir / "triton")
    repository = find_model_repository(spec.model_repository)
    command = triton_command(site.run_id, ports, folder, site.log_path("triton"), repository)
    return ProcessPlan("triton", None, command, triton_ready(f"{HOST}:{ports.http}"), spec.triton_ready_within_s)


def _plan_front(site: Site, ports: FrontPorts) -> ProcessPlan:
    regions = [
        FrontRegion(
            region_id=each.region.region_id,
            jurisdiction=each.region.jurisdiction,
            routers=(each.services[Service.ROUTING].endpoint,),
        )
        for each in site.addresses.regions
    ]
    command = front_command(FRONT, ports, site.spec.run_dir / FRONT, site.log_path(FRONT), regions)
    return ProcessPlan(FRONT, None, command, front_ready(ports), FRONT_READY_WITHIN_S)


def _plan_control(site: Site, needs: frozenset[str]) -> ProcessPlan:
    seat = _control_seat(site)
    return _plan_services(site, CONTROL, None, (seat,), needs)


def _plan_region(site: Site, region: RegionAddresses, etcd: frozenset[str]) -> list[ProcessPlan]:
    region_id = region.region.region_id
    valkey = _plan_valkey(site, region)
    seats = _region_seats(site, region)
    needs = etcd | {valkey.name}
    learners = [
        _plan_services(site, f"{region_id}/{LEARNER}", region_id, (seat,), etcd)
        for seat in _learner_seats(site, region)
    ]
    if site.spec.layout is Layout.PER_REGION:
        return [valkey, _plan_services(site, f"{region_id}/services", region_id, seats, needs), *learners]
    singles = [_plan_services(site, f"{region_id}/{seat.service}", region_id, (seat,), needs) for seat in seats]
    return [valkey, *singles, *learners]


def _plan_valkey(site: Site, region: RegionAddresses) -> ProcessPlan:
    name = f"{region.region.region_id}/valkey"
    port = region.valkey_port
    command = valkey_command(
        name,
        port,
        site.data_dir(region.region.region_id, "valkey"),
        site.log_path(name),
        max_memory_bytes=site.spec.valkey_max_memory_bytes,
    )
    return ProcessPlan(
        name, region.region.region_id, command, lambda: redis_ping(f"{HOST}:{port}"), VALKEY_READY_WITHIN_S
    )


def _plan_services(
    site: Site, name: str, region_id: str | None, seats: Sequence[Seat], needs: frozenset[str]
) -> ProcessPlan:
    env: dict[str, str] = {}
    for seat in seats:
        own = site.spec.settings.get(_settings_of(seat), {})
        env |= service_env(seat, site.surroundings) | with_prefix(seat.service, own)
    endpoints = [seat.listener.endpoint for seat in seats]

    async def ready() -> bool:
        return all(await asyncio.gather(*map(grpc_answers, endpoints)))

    # Routing listens last: it is asked as soon as it does, and should not find its own region's services missing.
    argv = services_argv([seat.service for seat in reversed(seats)], site.spec.launcher)
    command = Command(
        name, argv, site.log_path(name), env=env, cwd=site.spec.run_dir, stop_within_s=SERVICE_STOP_WITHIN_S
    )
    return ProcessPlan(name, region_id, command, ready, site.spec.service_ready_within_s, needs)


def _settings_of(seat: Seat) -> str:
    """Return under which name the caller gives a seat's settings."""
    return CONTROL if seat.control else LEARNER if seat.learner else seat.service


def _control_seat(site: Site) -> Seat:
    return Seat(
        service=Service.ROUTING,
        region_id=CONTROL,
        listener=site.addresses.control,
        token_path=site.identity.token_path(f"service-{CONTROL}"),
        data_dir=site.data_dir(CONTROL),
        control=True,
    )


def _region_seats(site: Site, region: RegionAddresses) -> tuple[Seat, ...]:
    region_id = region.region.region_id
    return tuple(
        Seat(
            service=service,
            region_id=region_id,
            listener=region.services[service],
            token_path=site.identity.token_path(f"service-{region_id}-{service}"),
            data_dir=site.data_dir(region_id, service),
            valkey_url=valkey_url(region.valkey_port),
            inference_endpoint=region.services[Service.INFERENCE].endpoint,
            admission_endpoint=region.services[Service.ADMISSION].endpoint,
            decision_key_path=site.decision_key_path(region.region.jurisdiction)
            if service is Service.ROUTING
            else None,
            usage_dir=site.data_dir(region_id, "usage"),
            search_audit_dir=site.data_dir(region_id, "searches"),
        )
        for service in Service
    )


def _learner_seats(site: Site, region: RegionAddresses) -> tuple[Seat, ...]:
    """Return the place of the region's learner, if it has one."""
    if region.learner is None:
        return ()
    region_id = region.region.region_id
    seat = Seat(
        service=Service.ROUTING,
        region_id=region_id,
        listener=region.learner,
        token_path=site.identity.token_path(f"service-{region_id}-{LEARNER}"),
        data_dir=site.data_dir(region_id, LEARNER),
        learner=True,
    )
    return (seat,)
