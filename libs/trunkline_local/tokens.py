"""The tokens that a stack writes to files: one for the operator, one for each service."""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline_local.identity import LIFETIME_S
from trunkline_local.plan import Site, service_seats

OPERATOR: Final = "operator"
"""Name of the token with the roles operator and admin, for whoever runs the stack."""
RENEW_EVERY_S: Final = LIFETIME_S / 3


def write_tokens(site: Site) -> None:
    """Sign all tokens and write them, each in one step, mode 0600."""
    identity = site.identity
    identity.write_token(OPERATOR, identity.mint("local-operator", roles=("operator", "admin")))
    for seat in service_seats(site):
        token = identity.mint(f"trunkline-{seat.service}@{seat.region_id}", roles=("service",))
        identity.write_token(seat.token_path.stem, token)


async def keep_tokens_fresh(site: Site) -> None:
    """Write them anew every four hours until cancelled: a stack outlives its tokens, and services see the change."""
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        write_tokens(site)
