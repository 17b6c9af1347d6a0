"""Leases of quota: `open_lease_holder`, `try_spend` or `spend` before the work, `refund` what was not used."""

from trunkline_lease.asks import Answer, Ask, AskKeeper, Asks
from trunkline_lease.bucket import TokenBucket
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.limit_bounds import Bound, BoundsOf
from trunkline_lease.opening import open_holder, open_lease_holder
from trunkline_lease.options import LeaseOptions
from trunkline_lease.refused import Refused
from trunkline_lease.safe_share import SafeLimits, SafeOf, SafeRate
from trunkline_lease.spent import Spent, TokenSource
from trunkline_lease.stats import LeaseStats
from trunkline_lease.stream import LeaseStream
from trunkline_lease.tenant_lease import Drawn

__all__ = [
    "NOTHING",
    "Answer",
    "Ask",
    "AskKeeper",
    "Asks",
    "Bound",
    "BoundsOf",
    "Charge",
    "Drawn",
    "LeaseHolder",
    "LeaseOptions",
    "LeaseStats",
    "LeaseStream",
    "Refused",
    "SafeLimits",
    "SafeOf",
    "SafeRate",
    "Spent",
    "TokenBucket",
    "TokenSource",
    "open_holder",
    "open_lease_holder",
]
