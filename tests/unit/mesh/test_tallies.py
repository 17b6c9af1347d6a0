"""Metrics without a lock read on the page as the client library's own do."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, Histogram, generate_latest

from trunkline_mesh import tallies
from trunkline_mesh.metrics import LATENCY_BUCKETS_S
from trunkline_mesh.tallies import Spread

_names = (f"test_tally_{number}" for number in count())


def sample(name: str, **labels: str) -> float | None:
    """Return what the page tells."""
    return REGISTRY.get_sample_value(f"trunkline_{name}", labels)


def test_counts_stand_on_the_page_by_their_labels() -> None:
    """Each child its own; asking for it again gives the same."""
    name = next(_names)
    made = tallies.counter(name, "Counted.", ("method", "code"))
    made.labels("a", "OK").inc()
    made.labels("a", "OK").inc(2)
    made.labels("b", "OK").inc()
    assert sample(f"{name}_total", method="a", code="OK") == 3
    assert sample(f"{name}_total", method="b", code="OK") == 1
    assert sample(f"{name}_total", method="b", code="CANCELLED") is None


def test_levels_fall_again() -> None:
    """What has ended is in flight no more."""
    name = next(_names)
    level = tallies.gauge(name, "Level.", ("method",)).labels("a")
    level.inc()
    level.inc()
    level.dec()
    assert sample(name, method="a") == 1


@given(st.lists(st.floats(0, 20) | st.sampled_from(LATENCY_BUCKETS_S), max_size=30))
def test_buckets_are_those_of_the_client_library(values: list[float]) -> None:
    """A value that is a bound belongs to its bucket, one above all bounds to the last."""
    theirs = Histogram("x", "x", registry=CollectorRegistry(), buckets=LATENCY_BUCKETS_S)
    ours = Spread(LATENCY_BUCKETS_S)
    for value in values:
        theirs.observe(value)
        ours.observe(value)
    [family] = theirs.collect()
    buckets = [(one.labels["le"], one.value) for one in family.samples if one.name == "x_bucket"]
    assert ours.cumulative() == buckets
    [total] = [one.value for one in family.samples if one.name == "x_sum"]
    assert ours.total == pytest.approx(total)


def test_the_page_shows_a_histogram_whole() -> None:
    """Buckets, count and sum, in the text that is scraped."""
    name = next(_names)
    tallies.histogram(name, "Seconds.", ("method",)).labels("a").observe(0.003)
    page = generate_latest().decode()
    assert f'trunkline_{name}_bucket{{le="0.002",method="a"}} 0.0' in page
    assert f'trunkline_{name}_bucket{{le="0.004",method="a"}} 1.0' in page
    assert f'trunkline_{name}_count{{method="a"}} 1.0' in page
    assert f'trunkline_{name}_sum{{method="a"}} 0.003' in page


def test_a_name_is_given_once_and_labels_are_complete() -> None:
    """Mistakes show when the process starts."""
    name = next(_names)
    made = tallies.counter(name, "Counted.", ("method",))
    with pytest.raises(ValueError, match="Duplicated"):
        tallies.counter(name, "Counted.", ("method",))
    with pytest.raises(ValueError, match="labels"):
        made.labels("a", "b")
