"""What an error tells its reader to do."""

from __future__ import annotations

import pytest

from trunkline_client import (
    Conflict,
    Failure,
    InternalError,
    Overloaded,
    QuotaExhausted,
    ResidencyRefused,
    TrunklineError,
    Unavailable,
)
from trunkline_client.errors import error_class


def _error(reason: str, status: str, **metadata: str) -> TrunklineError:
    return error_class(reason, status)(Failure(reason, status, "text", metadata))


def test_lost_regions_are_waited_for_and_no_router_is_missing() -> None:
    """The router that was asked stands inside; another one in the client's list would not bring a region back."""
    error = _error("NO_ALLOWED_REGION", "UNAVAILABLE", collection="files", triedRegions="eu-west")

    assert isinstance(error, ResidencyRefused)
    assert error.retryable
    assert "allow_partial" in error.hint
    assert "Add a router" not in str(error)


def test_lost_inference_is_told_as_that() -> None:
    """Where the metadata names a space no vector could be had, and min_score is what needs one."""
    error = _error("NO_ALLOWED_REGION", "UNAVAILABLE", space="minilm", triedRegions="")

    assert "min_score" in error.hint
    assert "keywords" in error.hint
    assert "Add a router" not in str(error)


def test_a_router_outside_is_answered_by_adding_one_inside() -> None:
    """The family's advice stands where it fits."""
    assert "Add a router" in _error("RESIDENCY_ROUTER_OUTSIDE", "FAILED_PRECONDITION").hint


@pytest.mark.parametrize(("status", "kind"), [("UNAVAILABLE", Unavailable), ("INTERNAL", InternalError)])
def test_a_status_without_reason_has_its_family_s_advice(status: str, kind: type[TrunklineError]) -> None:
    """Foreign servers and proxies speak in statuses alone."""
    assert _error("", status).hint == kind.advice


@pytest.mark.parametrize(
    ("reason", "status", "kind", "word"),
    [
        ("IN_FLIGHT_LIMIT", "RESOURCE_EXHAUSTED", QuotaExhausted, "at a time"),
        ("BUDGET_SPENT", "RESOURCE_EXHAUSTED", QuotaExhausted, "budget"),
        ("PREEMPTED", "UNAVAILABLE", Overloaded, "borrowed"),
        ("STAGE_DISABLED", "UNAVAILABLE", Unavailable, "operator"),
        ("CHANGES_FROZEN", "FAILED_PRECONDITION", Conflict, "urgent"),
        ("PERMIT_EXPIRED", "FAILED_PRECONDITION", Conflict, "permit"),
    ],
)
def test_admission_says_what_to_do(reason: str, status: str, kind: type[TrunklineError], word: str) -> None:
    """Each refusal of admission has its family, and advice of its own."""
    error = _error(reason, status)

    assert type(error) is kind
    assert word in error.hint
