"""When the service calls itself ready."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.retrieval.test_use_cases import RecordingStore

from trunkline_map.entries import StoreEntry
from trunkline_map.source import MapHolder
from trunkline_map.testing import StaticMap, region, static_map
from trunkline_mesh.app import MeshApp
from trunkline_retrieval.app import compose
from trunkline_retrieval.settings import RetrievalSettings


def app(*stores: StoreEntry, ready: bool, with_map: bool = True) -> MeshApp:
    """Compose the service over a default store that is ready or not, in a region with these other stores."""

    class DefaultStore(RecordingStore):
        def ready(self) -> bool:
            return ready

    source = static_map(replace(region("eu-west", "eu"), stores=stores))
    return compose(RetrievalSettings(region="eu-west"), source if with_map else unloaded(), DefaultStore())


def unloaded() -> StaticMap:
    """Return a map that was never loaded."""
    source = StaticMap()
    assert isinstance(source, MapHolder)
    return source


@pytest.mark.parametrize(
    ("stores", "ready", "with_map", "serves"),
    [
        ((), True, True, True),
        ((), False, True, False),
        ((StoreEntry("box", "engine:box"),), False, True, True),
        ((), False, False, False),
    ],
    ids=["all well", "no other store", "others live", "no map yet"],
)
def test_a_lost_default_store_takes_no_other_stores_collections_with_it(
    stores: tuple[StoreEntry, ...], ready: bool, with_map: bool, serves: bool
) -> None:
    """The region stays SERVING where it has other stores, and `dependency/store` says what is lost."""
    composed = app(*stores, ready=ready, with_map=with_map)
    assert composed.checks["stores"]() is serves
    assert composed.soft_checks["store"]() is ready
