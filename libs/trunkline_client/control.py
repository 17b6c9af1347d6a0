"""The collection map for operators: regions, tenants, spaces, collections and policies.

Entries are the contract's own messages (`trunkline.control.v1`), so that a newer server's fields survive a
read-modify-write.
"""

from __future__ import annotations

from trunkline_client.control_map import WholeMapClient
from trunkline_client.control_places import PlacesClient
from trunkline_client.control_policies import PoliciesClient
from trunkline_client.control_session import PLAINLY, HowToChange, Versioned, if_known
from trunkline_client.control_tenants import TenantsClient

__all__ = ["PLAINLY", "ControlClient", "HowToChange", "Versioned", "if_known"]


class ControlClient(PlacesClient, TenantsClient, PoliciesClient, WholeMapClient):
    """Reads and changes the map through routers of role control. Every method raises TrunklineError.

    A put needs the entry's current `revision` (0 creates it) and is never repeated once it may have been received:
    after a transport error read the entry back. Give the token of a change to `TrunklineClient.read_after`. Watches
    are async iterators that go on by themselves after a break, at this or another router.
    """
