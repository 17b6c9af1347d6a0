"""Token leases for routers: `open_lease_holder`, `spend` before the work, `refund` what was not used."""

from trunkline_lease.bucket import TokenBucket
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.opening import open_lease_holder
from trunkline_lease.options import LeaseOptions
from trunkline_lease.spent import Spent, TokenSource
from trunkline_lease.stats import LeaseStats

__all__ = ["LeaseHolder", "LeaseOptions", "LeaseStats", "Spent", "TokenBucket", "TokenSource", "open_lease_holder"]
