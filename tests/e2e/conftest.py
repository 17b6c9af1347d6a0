"""One stack of three regions for the whole folder, started when a test first asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.fixtures.servers import unavailable

from trunkline_local.errors import BinaryMissingError, ModelRepositoryMissingError

SCENARIOS = (
    "main_job",
    "search_options",
    "map_changes",
    "choosing",
    "promises",
    "failover",
    "under_load",
    "residency",
    "identity",
    "grpcurl",
    "bad_input",
    "draining",
    "losses",
    "aftermath",
)
"""Modules of tests that share the stack, in the order in which they run. Those behind `failover` need none of the
breakers that it opens; `aftermath` waits for them to close again. `losses` ends with the model server killed."""

pytest.register_assert_rewrite("tests.e2e.account", "tests.e2e.place", *(f"tests.e2e.{name}" for name in SCENARIOS))


@pytest.fixture(scope="session")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[object]:
    """Three regions with their map and documents, everything serving; see `tests.e2e.place.Place`."""
    from tests.e2e.place import open_place  # after its asserts are set to be rewritten

    try:
        async with open_place(tmp_path_factory.mktemp("three-regions") / "run") as opened:
            yield opened
    except (BinaryMissingError, ModelRepositoryMissingError) as exc:
        unavailable(exc)
