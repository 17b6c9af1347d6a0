"""Shows a server's limiter on the metrics page, rank by rank."""

from __future__ import annotations

from functools import partial

from trunkline_mesh import metrics
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.preemption import UNITS_PER_SLOT
from trunkline_mesh.rank_lane import RankLane

_PRESSURE = metrics.gauge("limiter_pressure", "Slots held and asked for, as a part of the capacity.", ("service",))
_LIMIT = metrics.gauge("limiter_limit", "Slots that may be held now.", ("service",))
_IN_USE = metrics.gauge("limiter_in_use", "Slots held by calls of a rank.", ("service", "rank"))
_WAITING = metrics.gauge("limiter_waiting", "Calls of a rank that wait for a slot.", ("service", "rank"))
_SHED = metrics.counter("limiter_shed", "Calls of a rank refused a slot.", ("service", "rank"))
_PREEMPTED = metrics.counter("limiter_preempted", "Running calls of a rank ended for others.", ("service", "rank"))


def show(limiter: CapacityLimiter, service: str) -> None:
    """Let the page show this limiter from now on; of several of one service, the last one's gauges stand."""
    _PRESSURE.labels(service).set_function(limiter.pressure)
    _LIMIT.labels(service).set_function(lambda: limiter.limit)
    for lane in limiter.lanes:
        labels = (service, str(lane.rank))
        _IN_USE.labels(*labels).set_function(partial(_slots, lane))
        _WAITING.labels(*labels).set_function(partial(_waiting, lane))
        lane.refusals.twin = lane.own_refusals.twin = _SHED.labels(*labels)
        lane.preemptions.twin = _PREEMPTED.labels(*labels)


def _slots(lane: RankLane) -> float:
    return lane.in_use / UNITS_PER_SLOT


def _waiting(lane: RankLane) -> float:
    return len(lane.queue)
