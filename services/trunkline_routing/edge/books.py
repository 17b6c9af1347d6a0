"""What the front door keeps of its tenants while it runs: terms, requests under way, usage, and the account of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from trunkline_routing.edge.audited import Audit
from trunkline_routing.edge.in_flight import InFlight
from trunkline_routing.edge.metering import Journal, Meter, Tariff
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.report_sums import Sums
from trunkline_routing.edge.standing import Standing
from trunkline_routing.edge.terms import Reduction, TermsBook
from trunkline_routing.edge.utilisation import Utilisation
from trunkline_routing.settings import RoutingSettings
from trunkline_tiers import TierFile, read_tiers
from trunkline_usage.journal import UsageJournal, open_usage_journal
from trunkline_usage.prices import PriceBook, read_prices
from trunkline_usage.refusal_account import host_name
from trunkline_usage.search_audit import SearchAudit, open_search_audit


@dataclass(frozen=True, slots=True)
class Books:
    """All of it; made once for a process."""

    tiers: TierFile
    standing: Standing
    terms: TermsBook
    in_flight: InFlight
    tariff: Tariff
    meter: Meter
    sums: Sums
    utilisation: Utilisation
    journal: Journal | None
    audit: Audit | None

    def soft_checks(self) -> Mapping[str, Callable[[], bool]]:
        """Return what health tells of the journal and the audit: searches go on without them, but not in silence."""
        kept = {"usage-journal": self.journal, "search-audit": self.audit}
        return {name: partial(_is_healthy, one) for name, one in kept.items() if one is not None}


def build_books(
    settings: RoutingSettings,
    tiers: TierFile,
    prices: PriceBook,
    view: RegionView,
    *,
    journal: Journal | None = None,
    audit: Audit | None = None,
) -> Books:
    """Make the books; no I/O."""
    standing, sums = Standing(), Sums(tiers)
    meter = Meter(prices, journal=journal, region=settings.region)
    terms = TermsBook(
        standing,
        tiers,
        reduction=Reduction(settings.reduced_candidates_part, settings.reduced_cache_stretch),
        is_free=meter.is_free,
        asked=sums.asked,
    )
    return Books(
        tiers=tiers,
        standing=standing,
        terms=terms,
        in_flight=InFlight(tiers),
        tariff=Tariff(settings),
        meter=meter,
        sums=sums,
        utilisation=Utilisation(view, settings.region, tiers),
        journal=journal,
        audit=audit,
    )


@asynccontextmanager
async def open_books(settings: RoutingSettings, view: RegionView) -> AsyncIterator[Books]:
    """Read tiers and prices, open the journal and the audit where there are folders for them; close in reverse order.

    Raises OSError or ValueError for a file or folder that cannot be used.
    """
    name = settings.journal_name or host_name()
    tiers, prices = read_tiers(settings.tiers_path), read_prices(settings.prices_path)
    async with AsyncExitStack() as stack:
        journal: UsageJournal | None = None
        if settings.usage_dir is not None:
            opening = open_usage_journal(settings.usage_dir, name, region=settings.region)
            journal = await stack.enter_async_context(opening)
        audit: SearchAudit | None = None
        if settings.search_audit_dir is not None:
            noting = open_search_audit(
                settings.search_audit_dir,
                name,
                region=settings.region,
                keep_salt_days=settings.search_audit_salt_days,
                keep_days=settings.search_audit_days,
            )
            audit = await stack.enter_async_context(noting)
        yield build_books(settings, tiers, prices, view, journal=journal, audit=audit)


def _is_healthy(one: Journal | Audit) -> bool:
    return one.healthy
