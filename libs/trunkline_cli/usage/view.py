"""How accounts and what is wrong with journals are shown."""

from __future__ import annotations

from typing import Any

from trunkline_cli.output import Output
from trunkline_usage.account import Account
from trunkline_usage.scan import Findings


def show_account(out: Output, made: Account, currency: str) -> None:
    """Print an account as a table with its totals."""
    rows = [
        (
            heading.tenant_id,
            heading.day,
            heading.stage,
            heading.collection or "-",
            *((heading.label_value or "-",) if made.wanted.label else ()),
            f"{amount.count:,}",
            f"{amount.tokens:,}",
            money(amount.cost_micros),
            heading.price_version,
        )
        for heading, amount in made.lines
    ]
    label = (made.wanted.label,) if made.wanted.label else ()
    out.table(("tenant", "day", "stage", "collection", *label, "count", "tokens", currency, "prices"), rows)
    cost = sum(amount.cost_micros for _, amount in made.lines)
    out.line(f"{sum(made.requests.values()):,} requests, {money(cost)} {currency}")


def show_findings(out: Output, found: Findings) -> None:
    """Print what was read, and what is damaged or missing."""
    for problem in found.problems:
        place = f", line {problem.line}" if problem.line else ""
        out.line(f"{problem.path}{place}: {problem.reason}", style="red")
    told = f"{found.records:,} records in {found.files:,} files of {found.folders:,} journals"
    wrong = [
        f"{count:,} {what}"
        for count, what in (
            (found.damaged, "damaged"),
            (found.missing, "missing"),
            (found.missing_files, "files missing"),
            (found.torn, "torn ends (a writer that is at it, or a lost power)"),
        )
        if count
    ]
    out.line(f"{told}; {', '.join(wrong) or 'whole'}")


def findings_data(found: Findings) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "journals": found.folders,
        "files": found.files,
        "records": found.records,
        "damaged": found.damaged,
        "missing": found.missing,
        "missing_files": found.missing_files,
        "torn": found.torn,
        "whole": found.whole,
        "problems": [{"file": str(each.path), "line": each.line, "reason": each.reason} for each in found.problems],
    }


def money(micros: int) -> str:
    """Return millionths of a currency as a decimal number, exactly."""
    return f"{micros // 1_000_000:,}.{micros % 1_000_000:06d}"
