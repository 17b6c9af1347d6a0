"""From a description to processes and their environments."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

from trunkline_local.addresses import Addresses
from trunkline_local.identity import DevIdentity
from trunkline_local.plan import ProcessPlan, Site, plan_stack, service_seats
from trunkline_local.ports import PortAllocator
from trunkline_local.secret_keys import write_decision_keys
from trunkline_local.service_command import services_argv
from trunkline_local.service_env import service_env
from trunkline_local.spec import Layout, RegionSpec, Service, StackSpec
from trunkline_mesh.settings import ServiceSettings

HOP_KEY = "hop-key-of-this-stack"


def _site(run_dir: Path, **fields: object) -> Site:
    models = run_dir / "models"
    models.mkdir(parents=True)
    spec = StackSpec.model_validate({"run_dir": run_dir, "model_repository": models} | fields)
    ports = PortAllocator()
    try:
        addresses = Addresses.take(spec, ports)
    finally:
        ports.close()
    return Site(spec, addresses, DevIdentity.create(run_dir / "identity"), "abc", "hash-key", HOP_KEY)


def _plans(site: Site) -> dict[str, ProcessPlan]:
    return {plan.name: plan for plan in plan_stack(site)}


def test_a_process_for_each_service(tmp_path: Path) -> None:
    """The whole suite is one etcd, one Triton, one control role; in each region five services, a learner, a Valkey."""
    plans = _plans(_site(tmp_path))
    regions = ("us-east", "eu-west", "ap-south")
    parts = ("valkey", "learner", *Service)
    assert set(plans) == {"etcd-0", "triton", "control", *(f"{region}/{part}" for region in regions for part in parts)}


def test_a_process_for_each_region(tmp_path: Path) -> None:
    """In the small layout a region is one process of all services, with the environment of all, Valkey and learner."""
    plans = _plans(_site(tmp_path, layout=Layout.PER_REGION, etcd_members=3))
    assert len(plans) == 3 + 2 + 3 * 3
    plan = plans["eu-west/services"]
    assert plan.command.argv == [sys.executable, "-m", "trunkline_mesh.multi", *reversed(Service)]  # routing last
    assert {f"TRUNKLINE_{service.upper()}_LISTEN" for service in Service} <= set(plan.command.env)


def test_a_front_door_only_if_asked_for(tmp_path: Path) -> None:
    """It needs nothing to start: its own health checks find the routers when they are there."""
    assert "front" not in _plans(_site(tmp_path / "without"))
    site = _site(tmp_path / "with", front=True)
    plan = _plans(site)["front"]
    written = (site.spec.run_dir / "front" / "front.yaml").read_text()

    assert plan.needs == frozenset()
    assert plan.region_id is None
    for region in site.addresses.regions:
        assert f"port_value: {region.services[Service.ROUTING].grpc_port}" in written


def test_services_wait_for_their_stores_alone(tmp_path: Path) -> None:
    """A service starts beside Triton's loading, after etcd and its own region's Valkey."""
    plans = _plans(_site(tmp_path))
    assert plans["eu-west/admission"].needs == {"etcd-0", "eu-west/valkey"}
    assert plans["control"].needs == {"etcd-0"}
    assert plans["triton"].needs == frozenset()


def test_every_port_is_its_own(tmp_path: Path) -> None:
    """No two listeners share a port."""
    site = _site(tmp_path, etcd_members=3)
    listeners = [seat.listener for seat in service_seats(site)]
    ports = [port for each in listeners for port in (each.grpc_port, each.metrics_port)]
    ports += [port for pair in site.addresses.etcd for port in pair]
    ports += [region.valkey_port for region in site.addresses.regions]
    ports += [site.addresses.triton.grpc, site.addresses.triton.http, site.addresses.triton.metrics]
    assert len(set(ports)) == len(ports) == 2 * 19 + 6 + 3 + 3


def test_settings_of_the_caller_come_last(tmp_path: Path) -> None:
    """A caller can set any setting, of one service in all regions, or of the control role or the learners alone."""
    plans = _plans(
        _site(
            tmp_path,
            settings={
                "routing": {"LOG_LEVEL": "debug"},
                "control": {"LOG_LEVEL": "error"},
                "learner": {"LOG_LEVEL": "warning"},
            },
        )
    )
    assert plans["eu-west/routing"].command.env["TRUNKLINE_ROUTING_LOG_LEVEL"] == "debug"
    assert plans["control"].command.env["TRUNKLINE_ROUTING_LOG_LEVEL"] == "error"
    assert plans["eu-west/learner"].command.env["TRUNKLINE_ROUTING_LOG_LEVEL"] == "warning"
    assert "TRUNKLINE_RETRIEVAL_LOG_LEVEL" not in plans["eu-west/retrieval"].command.env


def test_learners_are_left_out_where_nobody_wants_them(tmp_path: Path) -> None:
    """They are processes of their own in every layout, and can be done without."""
    plans = _plans(_site(tmp_path, learners=False))
    assert not [name for name in plans if name.endswith("/learner")]


def test_a_learner_acts_for_tenants_with_a_key_of_its_stack(tmp_path: Path) -> None:
    """It writes through the control role, and shares blobs and feedback with the routers."""
    site = _site(tmp_path)
    plans = _plans(site)
    learner, router = plans["eu-west/learner"].command.env, plans["eu-west/routing"].command.env
    assert learner["TRUNKLINE_ROUTING_ROLE"] == "learner"
    assert learner["TRUNKLINE_ROUTING_LEARNER_CONTROL_ENDPOINTS"] == site.addresses.control.endpoint
    assert learner["TRUNKLINE_ROUTING_LEARNER_ACTING_KEY_ID"] == site.identity.key_id
    assert Path(learner["TRUNKLINE_ROUTING_LEARNER_ACTING_KEY_PATH"]).is_file()
    for name in ("BLOB_DIR", "FEEDBACK_DIR"):
        assert learner[f"TRUNKLINE_ROUTING_{name}"] == router[f"TRUNKLINE_ROUTING_{name}"]
    assert learner["TRUNKLINE_ROUTING_LISTEN"] != router["TRUNKLINE_ROUTING_LISTEN"]


def test_all_services_of_a_stack_prove_ranks_by_one_key(tmp_path: Path) -> None:
    """And those without a map know whom to ask; the key stands in no file and no representation."""
    site = _site(tmp_path)
    plans = _plans(site)
    for service in Service:
        assert plans[f"eu-west/{service}"].command.env[f"TRUNKLINE_{service.upper()}_HOP_KEYS"] == HOP_KEY
    assert plans["control"].command.env["TRUNKLINE_ROUTING_HOP_KEYS"] == HOP_KEY
    (admission,) = (
        region.services[Service.ADMISSION].endpoint
        for region in site.addresses.regions
        if region.region.region_id == "eu-west"
    )
    for service in (Service.RERANK, Service.INFERENCE):
        env = plans[f"eu-west/{service}"].command.env
        assert env[f"TRUNKLINE_{service.upper()}_ADMISSION_ENDPOINTS"] == admission
    assert HOP_KEY not in f"{site} {site.surroundings}"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and HOP_KEY.encode() in path.read_bytes()]


def test_routers_of_a_jurisdiction_share_the_key_of_decision_ids(tmp_path: Path) -> None:
    """Written once for each jurisdiction, and kept where a stack goes on."""
    twins = ({"region_id": "eu-west", "jurisdiction": "eu"}, {"region_id": "eu-north", "jurisdiction": "eu"})
    site = _site(tmp_path, regions=(*twins, {"region_id": "us-east", "jurisdiction": "us"}))
    write_decision_keys(site)
    before = site.decision_key_path("eu").read_bytes()
    write_decision_keys(site)

    keys = {
        region: _plans(site)[f"{region}/routing"].command.env["TRUNKLINE_ROUTING_DECISION_KEY_PATH"]
        for region in ("eu-west", "eu-north", "us-east")
    }
    assert keys["eu-west"] == keys["eu-north"] != keys["us-east"]
    assert len(before) >= 32
    assert site.decision_key_path("eu").read_bytes() == before
    assert site.decision_key_path("us").read_bytes() != before


def test_launcher_gets_the_services_names() -> None:
    """A launcher takes the place of the default command."""
    assert services_argv([Service.RERANK], ["/usr/bin/wrap"]) == ["/usr/bin/wrap", "rerank"]
    assert services_argv([Service.RERANK]) == [sys.executable, "-m", "trunkline_rerank"]


@pytest.mark.parametrize("service", list(Service))
def test_services_know_every_setting_they_are_given(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each service's own settings accept the environment of each of its seats, whole and without a stranger."""
    module = importlib.import_module(f"trunkline_{service}.settings")
    prefix = f"TRUNKLINE_{service.upper()}_"
    kinds = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, ServiceSettings) and kind.model_config["env_prefix"] == prefix
    ]
    assert len(kinds) == 1
    site = _site(tmp_path, regions=(RegionSpec(region_id="eu-west", jurisdiction="eu"),))
    for seat in service_seats(site):
        if seat.service is service:
            for name in [name for name in os.environ if name.startswith("TRUNKLINE_")]:
                monkeypatch.delenv(name)
            for name, value in service_env(seat, site.surroundings).items():
                monkeypatch.setenv(name, value)
            assert kinds[0].load().listen == seat.listener.endpoint
