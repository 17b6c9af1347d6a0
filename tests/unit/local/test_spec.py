"""The description of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trunkline_local.errors import SpecError
from trunkline_local.spec import Layout, RegionSpec, StackSpec

RUN_DIR = Path("/nowhere/run")


def test_default_has_the_three_regions_of_the_demo() -> None:
    """Without further words a stack has us-east, eu-west and ap-south in three jurisdictions."""
    spec = StackSpec(run_dir=RUN_DIR)
    assert [(region.region_id, region.jurisdiction) for region in spec.regions] == [
        ("us-east", "us"),
        ("eu-west", "eu"),
        ("ap-south", "apac"),
    ]


def test_travels_as_json_unchanged() -> None:
    """What the supervisor reads is what the command line wrote."""
    spec = StackSpec(
        run_dir=RUN_DIR,
        regions=(RegionSpec(region_id="eu-west", jurisdiction="eu"),),
        layout=Layout.PER_REGION,
        launcher=("/bin/echo", "x"),
        settings={"routing": {"LOG_LEVEL": "debug"}, "control": {"LOG_LEVEL": "info"}},
    )
    assert StackSpec.from_json(spec.to_json()) == spec


def test_is_frozen() -> None:
    """A description does not change under a running stack."""
    spec = StackSpec(run_dir=RUN_DIR)
    with pytest.raises(ValidationError, match="frozen"):
        spec.etcd_members = 3  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"run_dir": Path("relative")}, "absolute", id="relative run_dir"),
        pytest.param({"regions": ()}, "at least 1", id="no region"),
        pytest.param({"regions": [{"region_id": "Us_East", "jurisdiction": "us"}]}, "pattern", id="bad name"),
        pytest.param({"regions": [{"region_id": "a", "jurisdiction": "us"}] * 2}, "differ", id="region twice"),
        pytest.param({"regions": [{"region_id": "control", "jurisdiction": "us"}]}, "control", id="reserved name"),
        pytest.param({"etcd_members": 2}, "1 or 3", id="two members"),
        pytest.param({"etcd_members": 3, "keep_data": True}, "keep_data", id="keep three members' data"),
        pytest.param({"settings": {"router": {}}}, "router", id="settings of no service"),
        pytest.param({"ports": 1}, "Extra inputs", id="unknown field"),
    ],
)
def test_refuses_what_cannot_run(fields: dict[str, Any], message: str) -> None:
    """A mistake is told by its field before anything starts."""
    with pytest.raises(ValidationError, match=message):
        StackSpec.model_validate({"run_dir": RUN_DIR} | fields)


def test_broken_json_is_a_spec_error() -> None:
    """The supervisor's caller gets one kind of error for every mistake in a description."""
    with pytest.raises(SpecError):
        StackSpec.from_json('{"run_dir": 5')
