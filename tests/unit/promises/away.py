"""Reports without a store: the desk and the levels of one replica alone, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.budgets import Budgets
from trunkline_admission.level_keeper import LevelKeeper
from trunkline_admission.promise_store import PromiseStore, StoreClock
from trunkline_admission.report_desk import ReportDesk
from trunkline_admission.report_queue import ReportQueue
from trunkline_admission.windows import ReportWindows
from trunkline_map.entries import TenantEntry, TenantLimits
from trunkline_map.testing import StaticMap, region, static_map, tenant
from trunkline_mesh.errors import BackendUnavailable
from trunkline_tiers import default_tiers

START_S = 1_800_000_000.0


class Away:
    """A store that cannot be reached, or fails and answers as it is told to."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.failures: list[Exception] = []
        self.asked: list[tuple[str, Sequence[str], Sequence[Any]]] = []

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """Answer from `answers` by the script's name."""
        self.asked.append((script, keys, args))
        if self.failures:
            raise self.failures.pop(0)
        if script in self.answers:
            return self.answers[script]
        raise BackendUnavailable


class Costs:
    """Notes what is to be told to home regions."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int]] = []

    def add(self, region_id: str, tenant_id: str, cost_micros: int) -> None:
        """Note it."""
        self.told.append((region_id, tenant_id, cost_micros))


class Alone:
    """One replica in eu-1 whose store is away. `home` names the region that keeps all budgets."""

    def __init__(self, home: str = "eu-1") -> None:
        self.now_s = START_S
        self.away = Away()
        self.source: StaticMap = static_map(
            region("eu-1", "eu"),
            region(home, "eu", admission="127.0.0.1:1"),
            tenant("acme", "eu"),
            tenant("foreign", "us"),
            TenantEntry(
                "spender", "pro", frozenset({"eu"}), limits=TenantLimits(budget_micros_per_month=100), revision=1
            ),
        )
        self.tiers = default_tiers()
        self.windows, self.budgets = ReportWindows(), Budgets()
        self.clock = StoreClock(lambda: self.now_s)
        self.store = PromiseStore(self.away, "test", self.clock)
        self.keeper = LevelKeeper(self.tiers, self.store, self.windows)
        self.costs = Costs()
        self.desk = ReportDesk(
            self.source, self.tiers, "eu-1", self.keeper, self.windows, self.budgets, self.clock, self.costs
        )
        self.queue = ReportQueue(self.store, self.desk.counted, lambda: self.now_s)
        self.desk.bind(self.queue)


def report(
    sequence: int, *tenants: tuple[str, int], tier: str = "pro", utilisation: float = 0.0, router: str = "r"
) -> admission_pb.ReportRequest:
    """Return a report of one tier, and of tenants with their costs."""
    return admission_pb.ReportRequest(
        router=router,
        sequence=sequence,
        window=Duration(seconds=1),
        tiers=[admission_pb.TierReport(tier=tier, calls=10, utilisation=utilisation)],
        tenants=[admission_pb.TenantReport(tenant_id=name, calls=1, cost_micros=cost) for name, cost in tenants],
    )
