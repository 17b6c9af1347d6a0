"""Where everything in a stack listens, chosen before anything starts, so that all can be told of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trunkline_local.front import FrontPorts
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.spec import Layout, RegionSpec, Service, StackSpec
from trunkline_local.triton import TritonPorts


@dataclass(frozen=True, slots=True)
class Listener:
    """The two ports of a service."""

    grpc_port: int
    metrics_port: int

    @property
    def endpoint(self) -> str:
        """Return `host:port` of its gRPC."""
        return f"{HOST}:{self.grpc_port}"

    @classmethod
    def take(cls, ports: PortAllocator) -> Listener:
        """Take two free ports."""
        return cls(ports.take(), ports.take())


@dataclass(frozen=True, slots=True)
class RegionAddresses:
    """Ports of one region."""

    region: RegionSpec
    valkey_port: int
    services: Mapping[Service, Listener]
    learner: Listener | None = None
    """Where its learner listens, if it has one: a process of its own in every layout."""

    @classmethod
    def take(cls, region: RegionSpec, layout: Layout, ports: PortAllocator, *, learner: bool) -> RegionAddresses:
        """Take the ports of a region; a process has one page of metrics, whatever the number of its services."""
        listeners = {service: Listener.take(ports) for service in Service}
        if layout is Layout.PER_REGION:
            page = next(iter(listeners.values())).metrics_port
            listeners = {service: Listener(each.grpc_port, page) for service, each in listeners.items()}
        return cls(region, ports.take(), listeners, Listener.take(ports) if learner else None)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Ports of a whole stack."""

    etcd: tuple[tuple[int, int], ...]
    """Client and peer port of each member."""
    triton: TritonPorts
    control: Listener
    regions: tuple[RegionAddresses, ...]
    front: FrontPorts | None = None

    @classmethod
    def take(cls, spec: StackSpec, ports: PortAllocator) -> Addresses:
        """Take as many free ports as the stack needs. Raises PortsExhaustedError."""
        return cls(
            etcd=tuple((ports.take(), ports.take()) for _ in range(spec.etcd_members)),
            triton=TritonPorts.take(ports),
            control=Listener.take(ports),
            regions=tuple(
                RegionAddresses.take(region, spec.layout, ports, learner=spec.learners) for region in spec.regions
            ),
            front=FrontPorts.take(ports) if spec.front else None,
        )

    @property
    def etcd_endpoints(self) -> tuple[str, ...]:
        """Return `host:port` of every member."""
        return tuple(f"{HOST}:{client}" for client, _ in self.etcd)

    @property
    def triton_endpoint(self) -> str:
        """Return `host:port` of Triton's gRPC."""
        return f"{HOST}:{self.triton.grpc}"
