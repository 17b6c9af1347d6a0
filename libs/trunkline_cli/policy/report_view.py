"""How well routing works, as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.output import one_line

SIGNIFICANT = 0.05


def report_lines(report: learning_pb.GetRoutingReportResponse) -> Iterator[str]:
    """Yield a routing report as lines: the indicator, its parts, feedback, comparisons, what the learner did."""
    measured = any(part.sample_count for part in report.parts)
    state = "not measured yet" if not measured else f"{report.accuracy:.1%}"
    below = ", BELOW IT" if report.violated else ""
    yield f"accuracy    {state}; objective {report.objective:.0%}{below}; policy version {report.policy_version}"
    for part in report.parts:
        value = f"{part.value:.1%} of {part.sample_count:,}" if part.sample_count else "no samples"
        yield f"            {part.name:10} weight {part.weight:.1f}: {value}"
    kept_days = report.retention.ToTimedelta().days
    distrusted = f", {report.distrusted_count:,} left out as unreliable" if report.distrusted_count else ""
    yield f"feedback    {report.feedback_count:,} kept for {kept_days} days{distrusted}"
    for experiment in report.experiments:
        yield from _experiment_lines(experiment)
    if report.last_outcome:
        when = report.last_learn_time.ToDatetime().isoformat(sep=" ", timespec="seconds")
        yield f"learner     {when}: {one_line(report.last_outcome, 300)}"


def _experiment_lines(report: learning_pb.ExperimentReport) -> Iterator[str]:
    kind = "shadow" if report.shadow else "comparison"
    yield f"{kind:11} {report.experiment}"
    if report.shadow_count:
        agreed = report.shadow_agreed_count / report.shadow_count
        yield f"            {report.shadow_count:,} decided by both, {agreed:.1%} alike"
    for arm in report.arms:
        rate = f"{arm.success_count / arm.sample_count:.1%}" if arm.sample_count else "-"
        interval = f" (95 %: {arm.success_low:.1%} to {arm.success_high:.1%})" if arm.sample_count else ""
        yield f"            {arm.arm:8} {arm.success_count:,} of {arm.sample_count:,} right, {rate}{interval}"
    if any(arm.sample_count for arm in report.arms):
        verdict = "differ" if report.p_value < SIGNIFICANT else "may be chance"
        yield f"            p = {report.p_value:.3f}: {verdict}"
