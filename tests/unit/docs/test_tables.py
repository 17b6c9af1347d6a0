"""Tables that must be whole: settings, reasons, degradations, methods, metrics, log fields, policies, limits."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Final

import pytest
from tests.unit.docs.policy_fields import policy_fields
from tests.unit.docs.reading import ROOT, blocks, section, shown_default, table

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_admission.policy import POLICY as ADMISSION_POLICY
from trunkline_admission.settings import AdmissionSettings
from trunkline_admission.usage_policy import USAGE_POLICY
from trunkline_client import ClientSettings
from trunkline_inference.policy import POLICY as INFERENCE_POLICY
from trunkline_inference.settings import InferenceSettings
from trunkline_mesh.logs import ALLOWED_FIELDS
from trunkline_mesh.settings import ServiceSettings
from trunkline_mesh.stages import STAGES
from trunkline_policy.document import parse_policy
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import CollectionPolicy
from trunkline_rerank.policy import POLICY as RERANK_POLICY
from trunkline_rerank.settings import RerankSettings
from trunkline_retrieval.policy import POLICY as RETRIEVAL_POLICY
from trunkline_retrieval.settings import RetrievalSettings
from trunkline_routing.control.policy import CONTROL_POLICY
from trunkline_routing.edge import bounds
from trunkline_routing.edge.policy import POLICY as EDGE_POLICY
from trunkline_routing.learner.policy import POLICY as LEARNER_POLICY
from trunkline_routing.settings import RoutingSettings
from trunkline_tiers import default_tiers

OPERATIONS: Final = ROOT / "docs" / "operations.md"
GUIDE: Final = ROOT / "docs" / "guide.md"
ARCHITECTURE: Final = ROOT / "docs" / "architecture.md"

SETTINGS: Final = {
    "All services": ServiceSettings,
    "Routing": RoutingSettings,
    "Retrieval": RetrievalSettings,
    "Rerank": RerankSettings,
    "Inference": InferenceSettings,
    "Admission": AdmissionSettings,
}
POLICIES: Final = (
    EDGE_POLICY,
    CONTROL_POLICY,
    LEARNER_POLICY,
    RETRIEVAL_POLICY,
    RERANK_POLICY,
    INFERENCE_POLICY,
    ADMISSION_POLICY,
    USAGE_POLICY,
)


@pytest.mark.parametrize("heading", SETTINGS)
def test_every_setting_is_listed_with_its_default(heading: str) -> None:
    """Those of a service under its heading, the common ones once."""
    settings = SETTINGS[heading]
    common = ServiceSettings.model_fields if settings is not ServiceSettings else {}
    expected = {
        name.upper(): shown_default(name, field).replace("`", "")
        for name, field in settings.model_fields.items()
        if name not in common
    }

    listed = {row[0]: row[1] for row in table(section(OPERATIONS, heading), "setting")}

    assert listed == expected


def test_a_service_changes_no_common_default() -> None:
    """Which is why the common table holds for all of them."""
    for settings in SETTINGS.values():
        for name, field in ServiceSettings.model_fields.items():
            assert settings.model_fields[name].default == field.default, (settings.__name__, name)


def test_tiers_are_listed() -> None:
    """With their numbers."""
    listed = {row[0]: row[1:] for row in table(section(OPERATIONS, "Admission"), "tier")}

    assert listed == {
        name: [
            str(tier.rank),
            str(tier.tenant.requests_per_day),
            f"{tier.tenant.requests_per_minute:g}",
            f"{tier.tenant.burst_requests:.0f}",
            f"{tier.without_store_share:g}",
        ]
        for name, tier in default_tiers().tiers.items()
    }


def test_every_reason_is_listed_with_its_meaning() -> None:
    """Status, fault and retryability are those of the contract; each says what to do."""
    listed = {row[0]: row[1:] for row in table(section(GUIDE, "Reasons"), "reason")}
    expected = {}
    for value in reasons_pb.ErrorReason.DESCRIPTOR.values:
        spec = value.GetOptions().Extensions[reasons_pb.reason_spec]
        fault = reasons_pb.Fault.Name(spec.fault).removeprefix("FAULT_").lower()
        name = value.name.removeprefix("ERROR_REASON_")
        expected[name] = [spec.status, fault, "yes" if spec.retryable else "no"]
    del expected["UNSPECIFIED"]

    assert {name: row[:3] for name, row in listed.items()} == expected
    assert all(row[3] for row in listed.values())


def test_every_degradation_is_listed() -> None:
    """What it means and what to do about it."""
    listed = {row[0]: row[1:] for row in table(section(GUIDE, "What the trail tells"), "degradation")}
    expected = {
        name.removeprefix("DEGRADATION_REASON_") for name in trail_pb.DegradationReason.DESCRIPTOR.values_by_name
    }

    assert set(listed) == expected - {"UNSPECIFIED"}
    assert all(all(row) for row in listed.values())


def test_every_outcome_of_a_region_is_named() -> None:
    """In the words of the contract."""
    text = section(GUIDE, "What the trail tells")
    expected = {name.removeprefix("ATTEMPT_OUTCOME_") for name in trail_pb.AttemptOutcome.DESCRIPTOR.values_by_name} - {
        "UNSPECIFIED"
    }

    assert {name for name in expected if f"`{name}`" not in text} == set()


def test_every_method_is_listed_with_access_and_times() -> None:
    """As the policy tables have it."""
    expected = {
        path.rpartition(".")[2]: [
            policy.access.value.replace("_", " "),
            f"{policy.cap_s:g} s",
            f"{policy.floor_s * 1000:g} ms",
            f"{policy.weight:g}",
        ]
        for policies in POLICIES
        for path, policy in policies.items()
    }

    assert {row[0]: row[1:] for row in table(section(OPERATIONS, "Methods"), "method")} == expected


def test_every_metric_is_listed() -> None:
    """Those that the sources make, with their labels."""
    made: dict[str, str] = {}
    pattern = re.compile(r"\b(?:counter|gauge|histogram)\(\s*\"(\w+)\",\s*\"[^\"]*\"(?:,\s*\(([^)]*)\))?", re.DOTALL)
    for root in ("libs", "services"):
        for source in (ROOT / root).rglob("*.py"):
            for name, labels in pattern.findall(source.read_text(encoding="utf-8")):
                made[f"trunkline_{name}"] = ", ".join(re.findall(r"\"(\w+)\"", labels))

    listed = {row[0]: row[1] for row in table(section(OPERATIONS, "Metrics"), "metric")}

    assert made
    assert listed == made


def test_every_log_field_is_listed() -> None:
    """The allow-list, whole."""
    line = re.search(r"^Fields: (.*?)\.$", section(OPERATIONS, "Logs"), re.MULTILINE | re.DOTALL)

    assert line is not None
    assert set(re.findall(r"`(\w+)`", line.group(1))) == ALLOWED_FIELDS


def test_the_clients_settings_are_listed_with_their_defaults() -> None:
    """In the guide, since they are arguments and no environment."""
    expected = {}
    for field in fields(ClientSettings):
        default = field.default
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        expected[field.name] = f"{default:g}" if isinstance(default, float) else shown

    listed = table(section(GUIDE, "Repeats"), "setting of ClientSettings")

    assert {row[0]: row[1] for row in listed} == expected


def test_the_policy_example_is_one() -> None:
    """It parses, its rules match what they are meant for, and it names every field of a collection."""
    [example] = blocks(GUIDE, "yaml")
    policy = parse_policy(example)

    decided = LogicalStage(policy).decide("a memory leak, says tracemalloc")

    assert [item.name for item in decided.candidates] == ["debugging"]
    assert all(re.search(rf"^ *{name}:", example, re.MULTILINE) for name in CollectionPolicy.model_fields)


def test_every_field_of_policies_is_listed_with_its_default() -> None:
    """Those of the policy and of everything in it."""
    assert {row[0]: row[1] for row in table(section(GUIDE, "Policy reference"), "field")} == policy_fields()


def test_limits_are_those_of_the_code() -> None:
    """The numbers of the guide and of the README, against the front door's own."""
    guide, readme = section(GUIDE, "Limits"), section(ROOT / "README.md", "Limits")
    numbers = {
        f"{bounds.MAX_TEXT_BYTES:,} bytes": (guide, readme),
        f"1 to {bounds.MAX_TOP_K}": (guide, readme),
        f"1 to {bounds.MAX_VECTOR:,} finite": (guide,),
        f"{bounds.MAX_BATCH} queries": (guide,),
        f"{bounds.MAX_DOCUMENTS} documents": (guide,),
        f"{bounds.MAX_DOCUMENT_TEXT_BYTES:,} bytes": (guide, readme),
        f"{bounds.MAX_STRING_BYTES:,} bytes": (guide,),
        f"{bounds.MAX_DELETES} ids": (guide,),
        f"{bounds.MAX_CONDITIONS} `must`": (readme,),
        f"{bounds.MAX_COLLECTIONS} named": (guide,),
    }

    assert not [(shown, place[:40]) for shown, places in numbers.items() for place in places if shown not in place]


def test_the_stages_are_listed_in_their_order() -> None:
    """Outermost first, as they are composed."""
    listed = [row[0] for row in table(section(ARCHITECTURE, "Stages of a call"), "stage")]

    assert listed == [name for name, _ in STAGES]


def test_every_decision_record_is_in_the_index() -> None:
    """And says its problem, decision, consequences and when it was wrong."""
    folder = ROOT / "docs" / "adr"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    index = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))

    assert index == records
    for name in records:
        text = (folder / name).read_text(encoding="utf-8")
        assert text.startswith(f"# {name[:4]} ")
        for part in ("**Problem.**", "**Decision.**", "**Consequences.**", "**Wrong if**"):
            assert part in text, (name, part)
