"""Renders a living stack as the record that `stack.json` holds."""

from __future__ import annotations

from trunkline_local.identity import ISSUER
from trunkline_local.plan import Site
from trunkline_local.ports import HOST
from trunkline_local.proc import ProcessMark
from trunkline_local.roster import Roster
from trunkline_local.state import FORMAT, Phase, RegionRecord, StackState
from trunkline_local.tokens import OPERATOR
from trunkline_local.valkey import valkey_url


def describe(site: Site, roster: Roster, *, phase: Phase, owner: ProcessMark, started_at_s: float) -> StackState:
    """Return what runs where, now."""
    addresses = site.addresses
    return StackState(
        format=FORMAT,
        run_id=site.run_id,
        owner=owner,
        phase=phase,
        layout=site.spec.layout,
        started_at_s=started_at_s,
        run_dir=site.spec.run_dir,
        etcd_endpoints=addresses.etcd_endpoints,
        triton_endpoint=addresses.triton_endpoint,
        triton_http_endpoint=f"{HOST}:{addresses.triton.http}",
        control_endpoint=addresses.control.endpoint,
        control_metrics=_page(addresses.control.metrics_port),
        front_endpoint=addresses.front.endpoint if addresses.front else None,
        front_admin_endpoint=addresses.front.admin_endpoint if addresses.front else None,
        regions=tuple(
            RegionRecord(
                region_id=each.region.region_id,
                jurisdiction=each.region.jurisdiction,
                valkey_url=valkey_url(each.valkey_port),
                endpoints={service: listener.endpoint for service, listener in each.services.items()},
                metrics={service: _page(listener.metrics_port) for service, listener in each.services.items()},
                learning_endpoint=each.learner.endpoint if each.learner else None,
                learning_metrics=_page(each.learner.metrics_port) if each.learner else None,
            )
            for each in addresses.regions
        ),
        processes=tuple(member.record() for member in roster.members),
        identity_dir=site.identity.folder,
        issuer=ISSUER,
        tokens={OPERATOR: site.identity.token_path(OPERATOR)},
    )


def _page(port: int) -> str:
    return f"http://{HOST}:{port}/metrics"
