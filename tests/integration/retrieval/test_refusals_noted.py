"""What retrieval refuses stands in the audit, in the form of the audit of searches."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from tests.integration.retrieval.service import search, start_service

from trunkline_usage.search_reader import Asked, SearchReader


async def test_refusals_are_noted(tmp_path: Path) -> None:
    """Who was refused, where and why. What was done is the routers' to note."""
    root = tmp_path / "audit"
    async with AsyncExitStack() as stack:
        service = await start_service(stack, tmp_path, search_audit_dir=root)
        await service.call("Search", search())
        await service.refused("Search", search(), tenant="gone")
        await service.refused("Search", search(collections=["nothing"]))

    lines = list(SearchReader(root).searches(Asked()))

    assert [(line.tenant, line.outcome, line.region, line.jurisdiction) for line in lines] == [
        ("gone", "denied", "eu-west", "eu"),
        ("acme", "denied", "eu-west", "eu"),
    ]
    assert [line.reason for line in lines] == ["TENANT_SUSPENDED", "COLLECTION_UNKNOWN"]
    assert all(line.query == "" and line.collections == () and line.caller for line in lines)
