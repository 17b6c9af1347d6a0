"""What stands in the front door's configuration."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from trunkline_local.front_cluster import FrontRegion, seconds
from trunkline_local.front_config import front_config, to_yaml
from trunkline_local.front_main import main

_DEPLOY = Path(__file__).parents[3] / "deploy" / "envoy"
_REGIONS = [
    FrontRegion(region_id="us-east", jurisdiction="us", routers=("10.0.0.1:7100", "10.0.0.2:7100")),
    FrontRegion(region_id="eu-west", jurisdiction="eu", routers=("10.1.0.1:7100",)),
    FrontRegion(region_id="us-west", jurisdiction="us", routers=("10.2.0.1:7100",)),
]


def _config() -> dict[str, Any]:
    return front_config(_REGIONS, listen="0.0.0.0:7000", admin="127.0.0.1:9901")


def _regions_of(cluster: Mapping[str, Any]) -> list[tuple[int, str]]:
    places = cluster["load_assignment"]["endpoints"]
    return [(place["priority"], place["locality"]["region"]) for place in places]


def _routes() -> Iterator[dict[str, Any]]:
    [chain] = _config()["static_resources"]["listeners"][0]["filter_chains"]
    [manager] = chain["filters"]
    yield from manager["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]


def _retries(method: str) -> Mapping[str, Any]:
    path = f"/trunkline.routing.v1.RoutingService/{method}"
    found = next(
        route
        for route in _routes()
        if not route["match"]["headers"]
        and (route["match"].get("path") == path or path.startswith(route["match"].get("prefix", "\0")))
    )
    retries: Mapping[str, Any] = found["route"]["retry_policy"]
    return retries


def test_the_file_in_the_tree_is_what_the_program_writes() -> None:
    """The command in its README makes it; nobody edits it by hand."""
    readme = (_DEPLOY / "README.md").read_text()
    command = readme.partition("python -m trunkline_local.front_main ")[2].partition(" > front.yaml")[0]

    assert main(shlex.split(command.replace("\\\n", " "))) == (_DEPLOY / "front.yaml").read_text()


def test_regions_are_priorities_with_the_own_jurisdiction_first() -> None:
    """A region that may hold the nearest one's data goes before one that may not."""
    everywhere, us, eu = _config()["static_resources"]["clusters"]

    assert _regions_of(everywhere) == [(0, "us-east"), (1, "us-west"), (2, "eu-west")]
    assert (us["name"], _regions_of(us)) == ("routers-us", [(0, "us-east"), (1, "us-west")])
    assert (eu["name"], _regions_of(eu)) == ("routers-eu", [(0, "eu-west")])


def test_a_jurisdiction_that_was_asked_for_is_never_left() -> None:
    """The metadata chooses a cluster with its routers alone; an unknown value is refused before any router sees it."""
    routes = list(_routes())
    for route in routes:
        headers = route["match"]["headers"]
        if headers and "string_match" in headers[0]:
            assert route["route"]["cluster"] == f"routers-{headers[0]['string_match']['exact']}"
    [refusing] = [index for index, route in enumerate(routes) if "direct_response" in route]
    assert routes[refusing]["match"]["headers"] == [{"name": "trunkline-jurisdiction", "present_match": True}]
    assert not any(route["match"]["headers"] for route in routes[refusing + 1 :])
    assert all(route["match"]["headers"] for route in routes[:refusing])


@pytest.mark.parametrize("method", ["Upsert", "Delete", "SomethingNew"])
def test_writes_are_repeated_only_if_no_router_saw_them(method: str) -> None:
    """A method that is not known to be a read counts as a write."""
    retries = _retries(method)

    assert set(retries["retry_on"].split(",")) == {"connect-failure", "refused-stream", "reset-before-request"}
    assert "per_try_timeout" not in retries


@pytest.mark.parametrize("method", ["Search", "SearchBatch", "Route"])
def test_reads_are_tried_three_times_at_most(method: str) -> None:
    """Two repeats, each elsewhere, also where a router says UNAVAILABLE or nothing."""
    retries = _retries(method)

    assert {"reset", "unavailable"} < set(retries["retry_on"].split(","))
    assert retries["num_retries"] == 2
    assert retries["per_try_timeout"] == "1s"


def test_nothing_but_searches_writes_and_health_is_let_through() -> None:
    """Control, admission and reflection have no route."""
    paths = {route["match"].get("path") or route["match"]["prefix"] for route in _routes() if "route" in route}
    assert all(path.startswith(("/trunkline.routing.v1.RoutingService/", "/grpc.health.v1.Health/")) for path in paths)


def test_times_are_written_as_envoy_reads_them() -> None:
    """Plain seconds without a superfluous zero."""
    assert [seconds(value) for value in (1.0, 0.5, 10.0, 0.025)] == ["1s", "0.5s", "10s", "0.025s"]


def test_bad_arguments_are_refused() -> None:
    """No region, a region twice, an address that is none, a region without jurisdiction."""
    for bad in (
        [],
        ["0.0.0.0:1", "127.0.0.1:2"],
        ["0.0.0.0:1", "127.0.0.1:2", "a=eu@h:1", "a=eu@h:2"],
        ["0.0.0.0:1", "127.0.0.1:2", "a=eu@h"],
        ["0.0.0.0:1", "127.0.0.1:2", "a@h:1"],
    ):
        with pytest.raises(ValueError, match=r"."):
            main(bad)


def test_it_is_written_as_yaml() -> None:
    """What is written reads back as the same document."""
    assert yaml.safe_load(to_yaml(_config())) == _config()
