"""Keys that the services of a jurisdiction share."""

from __future__ import annotations

import secrets
from typing import Final

from trunkline_local.files import make_private_folder, write_private
from trunkline_local.plan import Site

DECISION_KEY_BYTES: Final = 32


def write_decision_keys(site: Site) -> None:
    """Write the key of decision ids for each jurisdiction, mode 0600; one that is there from an earlier run stays.

    With it every router of a jurisdiction understands the ids that another one gave.
    """
    for jurisdiction in {region.jurisdiction for region in site.spec.regions}:
        path = site.decision_key_path(jurisdiction)
        make_private_folder(path.parent)
        if not path.exists():
            write_private(path, secrets.token_bytes(DECISION_KEY_BYTES))
