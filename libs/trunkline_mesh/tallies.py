"""Prometheus metrics of one event loop: counted without a lock, put together when the page is read.

A counter of the client library takes a lock for each count, about 0.8 us, a histogram 2 us: every call pays several of
them. These are for what the event loop's thread alone counts; `metrics` has those for several threads.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Final, Generic, TypeVar

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from trunkline_mesh.metrics import LATENCY_BUCKETS_S

ChildT = TypeVar("ChildT")


class Count:
    """One count, or level."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        """Begin with 0."""
        self.value = 0.0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""
        self.value += amount

    def dec(self) -> None:
        """Take 1 off, from a level."""
        self.value -= 1


class Spread:
    """How often values fell into each bucket."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Begin with none; `bounds` are the highest values of the buckets, rising, without infinity."""
        self._bounds: Final = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return each bucket's bound and the values up to it, as Prometheus counts them."""
        names = (*map(str, self._bounds), "+Inf")
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class _Tallies(Collector, Generic[ChildT]):
    """A metric's children by their labels' values. There must be few: they stay for the process's life."""

    def __init__(self, name: str, doc: str, labels: Sequence[str]) -> None:
        self._name: Final = f"trunkline_{name}"
        self._doc: Final = doc
        self._labels: Final = tuple(labels)
        self._children: Final[dict[tuple[str, ...], ChildT]] = {}
        REGISTRY.register(self)

    def labels(self, *values: str) -> ChildT:
        """Return the child of these labels' values; bind it where it is used often. ValueError for too few or many."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self._name} has the labels {self._labels}")
            child = self._children[values] = self._child()
        return child

    def collect(self) -> Iterable[Metric]:
        """Show all children; called by the page's thread while the loop may add some."""
        yield self._family(list(self._children.items()))

    @abstractmethod
    def _child(self) -> ChildT:
        """Make a child that has counted nothing."""

    @abstractmethod
    def _family(self, children: Iterable[tuple[tuple[str, ...], ChildT]]) -> Metric:
        """Return the samples of these children."""


class LoopCounter(_Tallies[Count]):
    """Counts that only rise."""

    def _child(self) -> Count:
        return Count()

    def _family(self, children: Iterable[tuple[tuple[str, ...], Count]]) -> Metric:
        family = CounterMetricFamily(self._name, self._doc, labels=self._labels)
        for values, child in children:
            family.add_metric(values, child.value)
        return family


class LoopGauge(_Tallies[Count]):
    """Levels that rise and fall."""

    def _child(self) -> Count:
        return Count()

    def _family(self, children: Iterable[tuple[tuple[str, ...], Count]]) -> Metric:
        family = GaugeMetricFamily(self._name, self._doc, labels=self._labels)
        for values, child in children:
            family.add_metric(values, child.value)
        return family


class LoopHistogram(_Tallies[Spread]):
    """Values by bucket."""

    def _child(self) -> Spread:
        return Spread(LATENCY_BUCKETS_S)

    def _family(self, children: Iterable[tuple[tuple[str, ...], Spread]]) -> Metric:
        family = HistogramMetricFamily(self._name, self._doc, labels=self._labels)
        for values, child in children:
            family.add_metric(values, child.cumulative(), child.total)
        return family


def counter(name: str, doc: str, labels: Sequence[str]) -> LoopCounter:
    """Make a counter `trunkline_{name}_total`. Raises ValueError for a name that is taken."""
    return LoopCounter(name, doc, labels)


def gauge(name: str, doc: str, labels: Sequence[str]) -> LoopGauge:
    """Make a gauge `trunkline_{name}`. Raises ValueError for a name that is taken."""
    return LoopGauge(name, doc, labels)


def histogram(name: str, doc: str, labels: Sequence[str]) -> LoopHistogram:
    """Make a histogram `trunkline_{name}` of seconds. Raises ValueError for a name that is taken."""
    return LoopHistogram(name, doc, labels)
