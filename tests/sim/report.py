"""The RESULT of a simulation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.sim.plan import RunResult


def result_of(args: argparse.Namespace, runs: Sequence[RunResult]) -> dict[str, Any]:
    """Return what is printed: the scaled day's figures, those of the full rate beside them, violations of both."""
    first = runs[0]
    result: dict[str, Any] = {
        "tenants": first.tenants,
        "requests": sum(run.outcomes.requests for run in runs),
        "wall_s": round(sum(run.wall_s for run in runs), 1),
        "cpu_s": round(sum(run.cpu_s for run in runs), 1),
        "seed": args.seed,
        "scale": args.scale,
        **figures(first),
        "violations": sum(run.laws.total for run in runs),
    }
    if len(runs) > 1:
        result["full_rate"] = figures(runs[1])
    return result


def figures(run: RunResult) -> dict[str, Any]:
    """Return one run's figures."""
    requests = run.outcomes.requests
    return {
        "simulated_s": run.plan.length_s,
        "run_requests": requests,
        "run_wall_s": round(run.wall_s, 1),
        "run_cpu_s": round(run.cpu_s, 1),
        "us_per_request": round(run.cpu_s / max(1, requests) * 1e6, 1),
        "tiers": run.outcomes.by_tier(),
        "reclaim_s": {
            "slots": _spread(run.slot_reclaims_s),
            "pools": {"bound": run.reclaim_bound_s, **_spread(run.pool_reclaims_s)},
            "lenders_refused": _spread(run.pool_refusals_s),
        },
        "violations_by_law": dict(run.laws.counts),
        "retries": run.outcomes.retries,
        "preempted": run.preempted,
        "gpu_slots": _slots(run),
        "spot_gpus_lost": run.lost_gpus,
        "asks_per_request": round(run.asks / max(1, requests), 3),
        "store_trips_per_request": round(run.store_trips / max(1, requests), 3),
    }


def _spread(waits_s: Sequence[float]) -> dict[str, float]:
    if not waits_s:
        return {"count": 0, "p99": 0.0, "max": 0.0}
    return {
        "count": len(waits_s),
        "p99": round(float(np.percentile(waits_s, 99)), 4),
        "max": round(max(waits_s), 4),
    }


def _slots(run: RunResult) -> dict[str, list[int]]:
    """Return the fewest and the most slots of each region's GPUs."""
    names = run.slots[0] if run.slots else {}
    return {name: [min(one[name] for one in run.slots), max(one[name] for one in run.slots)] for name in names}
