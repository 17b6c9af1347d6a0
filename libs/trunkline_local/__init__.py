"""Real servers and whole stacks on one machine, as supervised processes that never outlive their owner.

For development, demonstrations and tests. It starts services only as `python -m trunkline_<service>` with an
environment and imports none of them.
"""

from trunkline_local._guardian import marked_processes
from trunkline_local.background import StackStatus, read_status, start_background, stop_background
from trunkline_local.child import Child, Command
from trunkline_local.doctor import Finding, diagnose
from trunkline_local.errors import (
    BinaryMissingError,
    ChildCrashedError,
    ChildDiedError,
    LocalError,
    ModelRepositoryMissingError,
    NotReadyError,
    PortsExhaustedError,
    PortTakenError,
    ProcessUnknownError,
    RegionUnknownError,
    SpecError,
    StackNotRunningError,
    StackRunningError,
    StackStartError,
)
from trunkline_local.etcd import Etcd, start_etcd
from trunkline_local.host import ProcessHost
from trunkline_local.identity import DevIdentity
from trunkline_local.ports import PortAllocator
from trunkline_local.progress import Progress
from trunkline_local.readiness import wait_ready
from trunkline_local.spec import DEFAULT_REGIONS, Layout, RegionSpec, Service, StackSpec
from trunkline_local.stack import LocalStack, open_stack
from trunkline_local.state import Phase, ProcessRecord, ProcessState, RegionRecord, StackState, read_state
from trunkline_local.triton import Triton, start_triton
from trunkline_local.valkey import Valkey, start_valkey

__all__ = [
    "DEFAULT_REGIONS",
    "BinaryMissingError",
    "Child",
    "ChildCrashedError",
    "ChildDiedError",
    "Command",
    "DevIdentity",
    "Etcd",
    "Finding",
    "Layout",
    "LocalError",
    "LocalStack",
    "ModelRepositoryMissingError",
    "NotReadyError",
    "Phase",
    "PortAllocator",
    "PortTakenError",
    "PortsExhaustedError",
    "ProcessHost",
    "ProcessRecord",
    "ProcessState",
    "ProcessUnknownError",
    "Progress",
    "RegionRecord",
    "RegionSpec",
    "RegionUnknownError",
    "Service",
    "SpecError",
    "StackNotRunningError",
    "StackRunningError",
    "StackSpec",
    "StackStartError",
    "StackState",
    "StackStatus",
    "Triton",
    "Valkey",
    "diagnose",
    "marked_processes",
    "open_stack",
    "read_state",
    "read_status",
    "start_background",
    "start_etcd",
    "start_triton",
    "start_valkey",
    "stop_background",
    "wait_ready",
]
