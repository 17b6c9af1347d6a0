"""Prometheus metrics: one registry for each process, names prefixed `trunkline_`, labels of few values only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, start_http_server

LATENCY_BUCKETS_S: Final = (
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip


def counter(name: str, doc: str, labels: Sequence[str] = ()) -> Counter:
    """Make a counter `trunkline_{name}_total`."""
    return Counter(f"trunkline_{name}", doc, labels)


def gauge(name: str, doc: str, labels: Sequence[str] = ()) -> Gauge:
    """Make a gauge `trunkline_{name}`."""
    return Gauge(f"trunkline_{name}", doc, labels)


def histogram(
    name: str, doc: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS_S
) -> Histogram:
    """Make a histogram `trunkline_{name}`."""
    return Histogram(f"trunkline_{name}", doc, labels, buckets=buckets)


def serve_metrics(port: int) -> None:
    """Serve the metrics page on loopback in a thread of its own that ends with the process."""
    start_http_server(port, addr="127.0.0.1", registry=REGISTRY)
