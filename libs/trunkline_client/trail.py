"""The account of an answer, as plain types. Names are those of the contract without their prefix."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_client.reasons import reason_name


@dataclass(frozen=True, slots=True)
class DecisionStep:
    """One step of a decision.

    `stage`: CACHE, OWN_ROUTER, CLASSIFIER, LOGICAL, SEMANTIC or FALLBACK. `outcome`: DECIDED, UNSURE, OUT_OF_SCOPE,
    FAILED or SKIPPED_*. `confidence`: of its best collection, 0 to 1. `cost_units`: of the policy's budget.
    """

    stage: str
    outcome: str
    confidence: float
    elapsed_s: float
    cost_units: float


@dataclass(frozen=True, slots=True)
class Assignment:
    """The arm, `control` or `variant`, of a comparison that the query takes part in.

    `shadow`: the variant decided beside, unused; `agrees`: it would have chosen the same, None unless both decided.
    """

    experiment: str
    arm: str
    shadow: bool
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class Decision:
    """How the collections were chosen.

    `strategy`: EXPLICIT, ALL, RULES, SEMANTIC, CLASSIFIER, OWN_ROUTER, FALLBACK or NONE. `decision_id` names it in
    feedback and as the previous one of a session, for 7 days; empty where no policy decided. `in_scope`: probability
    that the query belongs anywhere at all, None where semantics were not asked. `head_digest`: the trained head that
    semantics used, empty for prototypes.
    """

    strategy: str
    confidence: float
    policy_version: int
    cached: bool
    reasons: tuple[str, ...]
    decision_id: str = ""
    steps: tuple[DecisionStep, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    in_scope: float | None = None
    cost_units: float = 0.0
    head_digest: str = ""


@dataclass(frozen=True, slots=True)
class RegionAttempt:
    """One candidate region for one collection.

    `outcome`: SERVED, FAILED (then `error` is the reason), HEDGE_LOST, NOT_NEEDED or SKIPPED_*. `breaker`: CLOSED,
    OPEN or HALF_OPEN, empty where no call was considered. `pressure`: 1 at capacity. `round_trip_s`: the router's mean
    round trip to the region. `hedge`: sent beside an earlier attempt. None stands for what is not known.
    """

    region: str
    outcome: str
    error: str
    elapsed_s: float | None
    breaker: str = ""
    pressure: float | None = None
    round_trip_s: float | None = None
    hedge: bool = False


@dataclass(frozen=True, slots=True)
class CollectionTrail:
    """What happened to one chosen collection; `served_region` is empty if no region served it."""

    collection: str
    space_id: str
    confidence: float
    served_region: str
    attempts: tuple[RegionAttempt, ...]
    hit_count: int


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage's time: EMBEDDING, RETRIEVAL, RERANK and so on."""

    name: str
    budget_s: float
    elapsed_s: float
    skipped: bool


@dataclass(frozen=True, slots=True)
class Degradation:
    """Something that made the answer less than asked for, and the collection, region or stage it concerns."""

    reason: str
    subject: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.subject})" if self.subject else self.reason


@dataclass(frozen=True, slots=True)
class LimitNote:
    """A limit that is nearly used up, or one on trial (`shadow`) that would have refused. Never a refusal.

    `scope`: SERVICE, TIER, TENANT or KEY. `period`: RATE, DAY or MONTH. `unit`: REQUESTS, TOKENS or MICROS.
    `used_part`: 0 to 1, above 1 where a limit on trial is passed. `reset_s`: Unix time at which it begins anew, None
    for a rate.
    """

    scope: str
    period: str
    unit: str
    used_part: float
    shadow: bool = False
    reset_s: float | None = None

    def __str__(self) -> str:
        trial = " (on trial)" if self.shadow else ""
        return f"{self.unit} of the {self.scope} by {self.period}: {self.used_part:.0%} used{trial}".lower()


@dataclass(frozen=True, slots=True)
class Trail:
    """What happened to one request. `proto` is the message itself, with all that a newer server may have added.

    `level`: what the region leaves out for the tenant's tier: NORMAL, REDUCED or EMERGENCY. `charged_micros`: what it
    costs by the price list of `price_version`, in millionths of its currency.
    """

    request_id: str
    router_region: str
    decision: Decision | None
    collections: tuple[CollectionTrail, ...]
    stages: tuple[Stage, ...]
    degradations: tuple[Degradation, ...]
    map_token: bytes
    map_age_s: float
    reserved_tokens: int
    charged_tokens: int
    deadline_s: float
    truncated: bool
    proto: trail_pb.Trail = field(repr=False)
    level: str = "NORMAL"
    limit_notes: tuple[LimitNote, ...] = ()
    charged_micros: int = 0
    price_version: str = ""


def seconds(duration: Duration) -> float:
    """Return a duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def enum_name(enum: EnumDescriptor, number: int, prefix: str) -> str:
    """Return a value's name without its prefix; `UNKNOWN_<number>` for one that this client is too old to know."""
    value = enum.values_by_number.get(number)
    return f"UNKNOWN_{number}" if value is None else str(value.name).removeprefix(prefix)


def trail_from_proto(message: trail_pb.Trail) -> Trail:
    """Return the trail of a message."""
    return Trail(
        request_id=message.request_id,
        router_region=message.router_region,
        decision=_decision(message.decision) if message.HasField("decision") else None,
        collections=tuple(_collection(item) for item in message.collections),
        stages=tuple(_stage(item) for item in message.stages),
        degradations=tuple(_degradation(item) for item in message.degradations),
        map_token=message.map.map_token,
        map_age_s=seconds(message.map.age),
        reserved_tokens=message.cost.reserved_tokens,
        charged_tokens=message.cost.charged_tokens,
        deadline_s=seconds(message.deadline),
        truncated=message.truncated,
        proto=message,
        level=_level(message.level),
        limit_notes=tuple(_limit_note(item) for item in message.limit_notes),
        charged_micros=message.cost.charged_micros,
        price_version=message.cost.price_version,
    )


def _level(number: int) -> str:
    if number == quota_pb.SERVICE_LEVEL_UNSPECIFIED:
        return "NORMAL"
    return enum_name(quota_pb.ServiceLevel.DESCRIPTOR, number, "SERVICE_LEVEL_")


def _limit_note(message: quota_pb.LimitNote) -> LimitNote:
    reset = message.reset_time
    return LimitNote(
        enum_name(quota_pb.LimitScope.DESCRIPTOR, message.scope, "LIMIT_SCOPE_"),
        enum_name(quota_pb.LimitPeriod.DESCRIPTOR, message.period, "LIMIT_PERIOD_"),
        enum_name(quota_pb.LimitUnit.DESCRIPTOR, message.unit, "LIMIT_UNIT_"),
        message.used_part,
        message.shadow,
        reset.seconds + reset.nanos / 1e9 if message.HasField("reset_time") else None,
    )


def _decision(message: trail_pb.Decision) -> Decision:
    return Decision(
        enum_name(trail_pb.Strategy.DESCRIPTOR, message.strategy, "STRATEGY_"),
        message.confidence,
        message.policy_version,
        message.cached,
        tuple(message.reasons),
        message.decision_id,
        tuple(_step(item) for item in message.steps),
        tuple(_assignment(item) for item in message.assignments),
        message.in_scope if message.HasField("in_scope") else None,
        message.cost_units,
        message.head_digest,
    )


def _step(message: trail_pb.DecisionStep) -> DecisionStep:
    return DecisionStep(
        enum_name(trail_pb.DecisionStage.DESCRIPTOR, message.stage, "DECISION_STAGE_"),
        enum_name(trail_pb.DecisionStageOutcome.DESCRIPTOR, message.outcome, "DECISION_STAGE_OUTCOME_"),
        message.confidence,
        seconds(message.elapsed),
        message.cost_units,
    )


def _assignment(message: trail_pb.Assignment) -> Assignment:
    agrees = message.agrees if message.HasField("agrees") else None
    return Assignment(message.experiment, message.arm, message.shadow, agrees)


def _collection(message: trail_pb.CollectionTrail) -> CollectionTrail:
    return CollectionTrail(
        message.collection,
        message.space_id,
        message.confidence,
        message.served_region,
        tuple(_attempt(item) for item in message.attempts),
        message.hit_count,
    )


def _attempt(message: trail_pb.RegionAttempt) -> RegionAttempt:
    return RegionAttempt(
        message.region,
        enum_name(trail_pb.AttemptOutcome.DESCRIPTOR, message.outcome, "ATTEMPT_OUTCOME_"),
        reason_name(message.error) if message.error else "",
        seconds(message.elapsed) if message.HasField("elapsed") else None,
        enum_name(trail_pb.BreakerState.DESCRIPTOR, message.breaker, "BREAKER_STATE_") if message.breaker else "",
        message.pressure if message.HasField("pressure") else None,
        seconds(message.round_trip) if message.HasField("round_trip") else None,
        message.hedge,
    )


def _stage(message: trail_pb.Stage) -> Stage:
    name = enum_name(trail_pb.StageName.DESCRIPTOR, message.name, "STAGE_NAME_")
    return Stage(name, seconds(message.budget), seconds(message.elapsed), message.skipped)


def _degradation(message: trail_pb.Degradation) -> Degradation:
    reason = enum_name(trail_pb.DegradationReason.DESCRIPTOR, message.reason, "DEGRADATION_REASON_")
    return Degradation(reason, message.subject)
