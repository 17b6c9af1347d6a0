"""Composition root of the learner role."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc
from trunkline_map.blob import BlobPort, FileBlobStore
from trunkline_map.rank_book import RankBook
from trunkline_map.source import MapSource
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.background import background
from trunkline_mesh.channels import ChannelPool
from trunkline_routing.feedback.journal import FeedbackStore, FileFeedbackStore
from trunkline_routing.learner.accuracy import Accuracies
from trunkline_routing.learner.admittance import Admittance
from trunkline_routing.learner.advancing import Advancing
from trunkline_routing.learner.control_client import ControlClient
from trunkline_routing.learner.credentials import ActingCredentials
from trunkline_routing.learner.embedder import RegionEmbedder
from trunkline_routing.learner.evaluating import Evaluation
from trunkline_routing.learner.head_upkeep import HeadUpkeep
from trunkline_routing.learner.heads import Heads
from trunkline_routing.learner.journal import Journal
from trunkline_routing.learner.learning import Learning
from trunkline_routing.learner.library import HeadLibrary, PolicyLibrary
from trunkline_routing.learner.peers import Peers
from trunkline_routing.learner.policy import POLICY, SERVICE
from trunkline_routing.learner.ports import Control, Embedder, Router, Trainer
from trunkline_routing.learner.report import Reporting
from trunkline_routing.learner.rounds import Rounds
from trunkline_routing.learner.router_client import RouterClient
from trunkline_routing.learner.servicer import LearningServicer
from trunkline_routing.learner.suggesting import Suggesting
from trunkline_routing.learner.trainer import ChildTrainer
from trunkline_routing.learner.trying import Trying
from trunkline_routing.settings import RoutingSettings
from trunkline_tiers import read_tiers
from trunkline_usage.refusal_account import open_refusal_account
from trunkline_usage.turned_away import jurisdiction_by_map


@dataclass(frozen=True, slots=True)
class Backends:
    """What a learner works with."""

    source: MapSource
    blobs: BlobPort
    store: FeedbackStore
    embedder: Embedder
    trainer: Trainer
    control: Control
    router: Router


@dataclass(frozen=True, slots=True)
class Learner:
    """A learner, wired."""

    servicer: LearningServicer
    rounds: Rounds
    upkeep: HeadUpkeep
    evaluation: Evaluation
    learning: Learning
    reporting: Reporting
    journal: Journal


def build_learner(
    backends: Backends, channels: ChannelPool, settings: RoutingSettings, now: Callable[[], float] = time.time
) -> Learner:
    """Wire use cases over ports; no I/O. Tests give their own ports and clock."""
    source, store, control = backends.source, backends.store, backends.control
    policies, kept_heads = PolicyLibrary(backends.blobs), HeadLibrary(backends.blobs)
    heads = Heads(backends.embedder, backends.trainer, kept_heads)
    evaluation = Evaluation(source, policies, heads, backends.embedder)
    accuracies, journal = Accuracies(backends.router, evaluation, now), Journal(now)
    told = accuracies.measured_since
    suggesting, advancing = Suggesting(Trying(evaluation), control, told), Advancing(control, told, now)
    learning = Learning(source, policies, store, suggesting, advancing, control, now)
    upkeep = HeadUpkeep(source, policies, heads, kept_heads, control)
    rounds = Rounds(
        source,
        settings.region,
        upkeep,
        learning,
        accuracies,
        journal,
        policies,
        store,
        poll_s=settings.learner_poll_s,
        round_s=settings.learner_round_s,
        now=now,
    )
    reporting = Reporting(source, policies, store, accuracies, journal, now)
    admittance = Admittance(source, settings.region)
    servicer = LearningServicer(admittance, Peers(channels), evaluation, learning, reporting, journal)
    return Learner(servicer, rounds, upkeep, evaluation, learning, reporting, journal)


def binding_of(servicer: LearningServicer) -> ServiceBinding:
    """Bind the learner's service."""
    return ServiceBinding(
        service=SERVICE,
        servicer=servicer,
        register=learning_grpc.add_LearningServiceServicer_to_server,
        policy=POLICY,
    )


@asynccontextmanager
async def open_learner(settings: RoutingSettings) -> AsyncIterator[MeshApp]:
    """Open the map and the channels, and learn for the duration of the context."""
    async with (
        ChannelPool(max_channels=settings.max_channels) as channels,
        open_map_watcher(settings.etcd_access()) as watcher,
    ):
        credentials = ActingCredentials(
            settings.learner_acting_key_path,
            settings.learner_acting_key_id,
            region_id=settings.region,
            issuer=settings.issuer,
            audience=settings.audience,
        )
        backends = Backends(
            source=watcher,
            blobs=FileBlobStore(settings.blob_dir),
            store=FileFeedbackStore(settings.feedback_dir),
            embedder=RegionEmbedder(
                channels,
                watcher,
                credentials,
                region_id=settings.region,
                yield_pressure=settings.learner_yield_pressure,
            ),
            trainer=ChildTrainer(
                timeout_s=settings.learner_train_timeout_s, memory_bytes=settings.learner_train_memory_bytes
            ),
            control=ControlClient(channels, _listed(settings.learner_control_endpoints), credentials),
            router=RouterClient(channels, watcher, credentials, region_id=settings.region),
        )
        learner = build_learner(backends, channels, settings)
        async with (
            background(learner.rounds.run()),
            open_refusal_account(
                settings,
                "learner",
                region=settings.region,
                jurisdiction_of=jurisdiction_by_map(watcher, settings.region),
            ) as refusals,
        ):
            yield MeshApp(
                name="routing-learner",
                bindings=(binding_of(learner.servicer),),
                checks={"map": watcher.ready},
                soft_checks={"etcd": watcher.connected, **refusals.soft_checks},
                rank_of=RankBook(watcher, read_tiers(settings.tiers_path)).rank_of,
                on_refusal=refusals.on_refusal,
            )


def _listed(endpoints: str) -> list[str]:
    return [endpoint.strip() for endpoint in endpoints.split(",") if endpoint.strip()]
