"""Draws a run: what came, what was let in and turned away, and how long it took, over the GPUs that there were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import matplotlib as mpl

from tests.sim.world import REGIONS
from trunkline_tiers import TierFile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tests.sim.plan import RunResult

mpl.use("Agg")  # before pyplot: there is no display
from matplotlib import pyplot as plt

COLOURS: Final = {"enterprise": "tab:blue", "pro": "tab:orange", "free": "tab:green"}
EVENT_COLOURS: Final = {
    "viral": "tab:purple",
    "swarm": "tab:green",
    "crunch": "tab:red",
    "batch": "tab:orange",
    "asleep": "tab:gray",
    "morning": "tab:olive",
}


def draw(result: RunResult, tiers: TierFile, path: Path) -> None:
    """Write the picture of a run as PNG."""
    plan = result.plan
    span_s = plan.length_s / plan.spans
    hours = [(plan.start_s + span_s * (number + 0.5)) / 3600 for number in range(plan.spans)]
    figure, panels = plt.subplots(4, 1, figsize=(13, 13), sharex=True)
    for tier in reversed(tiers.by_rank):
        spans = result.outcomes.spans(tier)
        colour = COLOURS.get(tier)
        panels[0].plot(hours, [span.offered / span_s for span in spans], color=colour, linestyle=":", alpha=0.7)
        panels[0].plot(hours, [span.admitted / span_s for span in spans], color=colour, label=tier)
        shed = [100 * span.shed / max(1, span.offered) for span in spans]
        panels[1].plot(hours, shed, color=colour, label=tier)
        panels[2].plot(hours, [span.p95_ms for span in spans], color=colour, label=tier)
        panels[2].axhline(tiers.tiers[tier].objective.p95_ms, color=colour, linestyle="--", alpha=0.5)
    for region in REGIONS:
        panels[3].step(hours[: len(result.slots)], [slots[region] for slots in result.slots], where="mid", label=region)
    panels[0].set_title(
        f"{plan.name}: {result.outcomes.requests:,} requests, {result.laws.total} violations, seed {plan.seed}"
    )
    panels[0].set_ylabel("requests/s\noffered (dotted), admitted")
    panels[1].set_ylabel("errors within quota, %")
    panels[2].set_ylabel("p95, ms\npromise (dashed)")
    panels[2].set_yscale("log")
    panels[3].set_ylabel("GPU slots")
    panels[3].set_xlabel("hour of the day, UTC")
    for panel in panels:
        _mark_events(panel, result)
        panel.legend(loc="upper left", fontsize=8)
        panel.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=90, metadata={"Software": ""})
    plt.close(figure)


def _mark_events(panel: Axes, result: RunResult) -> None:
    for event in result.events:
        kind = event.kind.value
        panel.axvspan(event.start_s / 3600, event.end_s / 3600, color=EVENT_COLOURS[kind], alpha=0.12)
        panel.annotate(
            kind, (event.start_s / 3600, 0.97), xycoords=("data", "axes fraction"), fontsize=7, va="top", alpha=0.7
        )
