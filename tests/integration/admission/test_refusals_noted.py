"""What admission refuses stands in the audit, in the form of the audit of searches."""

from __future__ import annotations

from pathlib import Path

from tests.integration.admission.conftest import Serve
from tests.integration.admission.test_service import admit, refusal

from trunkline_usage.search_reader import Asked, SearchReader


async def test_refusals_of_admit_are_noted_and_grants_are_not(serve: Serve, valkey_url: str, tmp_path: Path) -> None:
    """Suspended, beyond a quota, under an id that is taken, without a credential: who, and why; none is told twice."""
    admission = await serve(valkey_url, search_audit_dir=tmp_path)
    await admit(admission, "acme", 5, "taken")
    for tenant_id, cost, request_id in (("gone", 1, "r-1"), ("acme", 6, "taken"), ("poor", 9_000, "r-3")):
        await refusal(admit(admission, tenant_id, cost, request_id))

    reader = SearchReader(tmp_path)
    lines = list(reader.searches(Asked()))

    assert [(line.tenant, line.reason, line.request_id) for line in lines] == [
        ("gone", "TENANT_SUSPENDED", "r-1"),
        ("acme", "REQUEST_ID_REUSED", "taken"),
        ("poor", "QUOTA_EXHAUSTED", "r-3"),
    ]
    assert len(list(SearchReader(tmp_path).searches(Asked(caller="caller", denied=True)))) == 3
    assert reader.problems == []
    assert {path.parent.name.partition("-")[0] for path in segments(tmp_path)} == {"admission"}


def segments(root: Path) -> list[Path]:
    """Return the audit's files."""
    return list(root.rglob("*.jsonl"))
