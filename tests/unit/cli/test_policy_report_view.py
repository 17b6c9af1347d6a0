"""A routing report as people read it."""

from __future__ import annotations

from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.policy.report_view import report_lines


def test_a_report_tells_the_indicator_its_parts_and_comparisons() -> None:
    """What is below the objective stands out; an arm without samples has no rate; a difference may be chance."""
    report = learning_pb.GetRoutingReportResponse(
        tenant_id="acme",
        accuracy=0.9,
        objective=0.95,
        violated=True,
        parts=[
            learning_pb.AccuracyPart(name="golden", weight=0.5, value=0.9, sample_count=20),
            learning_pb.AccuracyPart(name="feedback", weight=0.3),
        ],
        experiments=[
            learning_pb.ExperimentReport(
                experiment="r1",
                shadow=True,
                arms=[
                    learning_pb.ArmReport(arm="control", sample_count=10, success_count=9),
                    learning_pb.ArmReport(arm="variant"),
                ],
                p_value=1.0,
                shadow_count=4,
                shadow_agreed_count=3,
            )
        ],
        feedback_count=1200,
        distrusted_count=7,
        policy_version=3,
        last_outcome="nothing\nwas better",
    )
    report.retention.FromSeconds(30 * 86_400)

    text = "\n".join(report_lines(report))

    for told in (
        "accuracy    90.0%; objective 95%, BELOW IT; policy version 3",
        "golden     weight 0.5: 90.0% of 20",
        "feedback   weight 0.3: no samples",
        "1,200 kept for 30 days, 7 left out as unreliable",
        "shadow      r1",
        "4 decided by both, 75.0% alike",
        "control  9 of 10 right, 90.0%",
        "variant  0 of 0 right, -",
        "p = 1.000: may be chance",
        "nothing was better",
    ):
        assert told in text


def test_nothing_measured_is_no_accuracy() -> None:
    """A tenant without golden set and feedback has no figure, rather than a bad one."""
    lines = list(report_lines(learning_pb.GetRoutingReportResponse(objective=0.85)))

    assert lines[0].startswith("accuracy    not measured yet; objective 85%")
    assert len(lines) == 2
