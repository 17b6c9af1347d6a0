"""The options by which a tenant's properties and limits are named on the command line."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Final

import typer

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.groups import option, option_group
from trunkline_cli.tenant.wish import TenantWish
from trunkline_cli.tenant.words import key_limits_of, labels_of, micros_of, moment_of

_PLAIN_LIMITS: Final = (
    "requests_per_minute",
    "requests_per_day",
    "requests_per_month",
    "tokens_per_day",
    "tokens_per_month",
    "soft_percent",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantOptions:
    """What was given; None where an option was not."""

    tier: str | None
    jurisdiction: list[str] | None
    requests_per_minute: int | None
    requests_per_day: int | None
    requests_per_month: int | None
    tokens_per_day: int | None
    tokens_per_month: int | None
    budget: str | None
    soft_percent: int | None
    shadow: bool
    no_shadow: bool
    override_until: str | None
    note: str
    end_override: bool
    key: list[str] | None
    time_zone: str | None
    label: list[str] | None
    no_label: list[str] | None

    def given(self) -> bool:
        """Return True if anything was named."""
        return any(getattr(self, each.name) for each in fields(self)) or bool(self.limits()) or self.time_zone == ""

    def limits(self) -> dict[str, int]:
        """Return the limits that were named. Raises CliError."""
        found = {name: getattr(self, name) for name in _PLAIN_LIMITS if getattr(self, name) is not None}
        return found if self.budget is None else {**found, "budget_micros_per_month": micros_of(self.budget)}

    def wish(self) -> TenantWish:
        """Return what to change. Raises CliError for options that contradict each other or say nothing."""
        limits = self.limits()
        self._require_sense(limits)
        return TenantWish(
            tier=self.tier,
            jurisdictions=self.jurisdiction or (),
            time_zone=self.time_zone,
            labels=labels_of(self.label or ()),
            dropped_labels=self.no_label or (),
            key_limits=key_limits_of(self.key or ()),
            limits=limits,
            shadow=self.shadow,
            end_shadow=self.no_shadow,
            override_until=moment_of("--override-until", self.override_until) if self.override_until else None,
            note=self.note,
            end_overrides=self.end_override,
        )

    def _require_sense(self, limits: dict[str, int]) -> None:
        problem = ""
        if self.shadow and self.override_until:
            problem = "--shadow and --override-until are for different limits: run the command twice"
        elif (self.shadow or self.override_until) and not limits:
            problem = f"{'--shadow' if self.shadow else '--override-until'} needs a limit, such as --requests-per-day"
        elif self.note and not self.override_until:
            problem = "--note tells why limits are overridden: add --override-until"
        if problem:
            raise CliError(problem, code=Exit.USAGE)


def _number(name: str, help_text: str, most: int = 10**15) -> object:
    return Annotated[int | None, typer.Option(name, min=0, max=most, help=help_text)]


option_group(
    TenantOptions,
    option("tier", None, Annotated[str | None, typer.Option("--tier", help="Name of a tier; a new tenant's is free.")]),
    option(
        "jurisdiction",
        None,
        Annotated[
            list[str] | None,
            typer.Option("--jurisdiction", help="Where its data may live and its queries may go; repeat it."),
        ],
    ),
    option("requests_per_minute", None, _number("--requests-per-minute", "Lasting rate; 0 for the tier's.", 10**9)),
    option("requests_per_day", None, _number("--requests-per-day", "In its day; 0 for the tier's.", 10**12)),
    option("requests_per_month", None, _number("--requests-per-month", "In its month; 0 for the tier's.", 10**13)),
    option("tokens_per_day", None, _number("--tokens-per-day", "Cost tokens in its day; 0 for no limit.")),
    option("tokens_per_month", None, _number("--tokens-per-month", "Cost tokens in its month; 0 for no limit.")),
    option(
        "budget",
        None,
        Annotated[
            str | None,
            typer.Option("--budget", help="Money in its month, such as 12.50/month; 0 for none. Warned of at 80 %."),
        ],
    ),
    option("soft_percent", None, _number("--soft-percent", "Used part of a limit that is warned of.", 100)),
    option(
        "shadow",
        False,
        Annotated[bool, typer.Option("--shadow", help="The limits named here are on trial: they refuse nobody.")],
    ),
    option("no_shadow", False, Annotated[bool, typer.Option("--no-shadow", help="End the trial.")]),
    option(
        "override_until",
        None,
        Annotated[
            str | None,
            typer.Option(
                "--override-until", help="The limits named here hold until then, such as 2026-12-31T00:00Z, and end."
            ),
        ],
    ),
    option("note", "", Annotated[str, typer.Option("--note", help="Why they are overridden; up to 256 characters.")]),
    option("end_override", False, Annotated[bool, typer.Option("--end-override", help="End all overrides now.")]),
    option(
        "key",
        None,
        Annotated[
            list[str] | None,
            typer.Option(
                "--key", help="SUBJECT=PER_MINUTE or SUBJECT=PER_MINUTE/PER_DAY of one credential; 0 removes. Repeat."
            ),
        ],
    ),
    option(
        "time_zone",
        None,
        Annotated[
            str | None, typer.Option("--time-zone", help="Where its days begin, such as Europe/Berlin; empty for UTC.")
        ],
    ),
    option(
        "label",
        None,
        Annotated[list[str] | None, typer.Option("--label", help="NAME=VALUE, to tell usage apart by; repeat it.")],
    ),
    option(
        "no_label", None, Annotated[list[str] | None, typer.Option("--no-label", help="NAME to remove; repeat it.")]
    ),
)
