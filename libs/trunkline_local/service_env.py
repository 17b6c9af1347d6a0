"""The environment that each service of a local stack gets. The only place that knows the names of their settings.

A service refuses to start when its prefix is followed by a name that it does not have, so a change of its settings that
matters here shows at once; `tests/unit/local` compares the two as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trunkline_local.addresses import Listener
from trunkline_local.spec import Service

RUNTIME: Final = {"OPENBLAS_NUM_THREADS": "1"}
"""A head is one small product: handing it to several threads takes longer than making it, above all on busy cores."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all services of a stack share."""

    issuer: str
    jwks_path: Path
    etcd_endpoints: tuple[str, ...]
    triton_endpoint: str
    blob_dir: Path
    """Root of the blobs, with a folder for each jurisdiction."""
    feedback_dir: Path
    """Root of what callers said of decisions, with a folder for each jurisdiction."""
    control_endpoint: str
    signing_key_path: Path
    signing_key_id: str
    """The key that signs all tokens here signs those of learners too; in production they have one of their own."""
    log_hash_key: str
    reflection: bool
    hop_keys: str = field(default="", repr=False)
    """Keys that prove ranks between services; none where nobody has to be convinced."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One service's own place: a region (or the control role) and where it listens."""

    service: Service
    region_id: str
    listener: Listener
    token_path: Path
    data_dir: Path
    valkey_url: str = ""
    inference_endpoint: str = ""
    """Inference of the same region, and so behind the same wall of residency."""
    admission_endpoint: str = ""
    """Admission of the same region."""
    control: bool = False
    learner: bool = False
    decision_key_path: Path | None = None
    """Key of decision ids, shared by the routers of a jurisdiction."""
    usage_dir: Path | None = None
    """Root of the region's usage journals: its routers write them, its admission service adds them up."""
    search_audit_dir: Path | None = None
    """Root of the region's audit of searches and refusals, a folder for each of its services."""


def service_env(seat: Seat, around: Surroundings) -> dict[str, str]:
    """Return the environment of one service, names in full, for example `TRUNKLINE_ROUTING_LISTEN`."""
    values = _common(seat, around) | _OWN[seat.service](seat, around)
    return with_prefix(seat.service, values) | RUNTIME


def with_prefix(service: Service, values: Mapping[str, str]) -> dict[str, str]:
    """Put a service's prefix before the names of its settings."""
    return {f"TRUNKLINE_{service.upper()}_{name}": value for name, value in values.items()}


def _common(seat: Seat, around: Surroundings) -> dict[str, str]:
    audit = {} if seat.search_audit_dir is None else {"SEARCH_AUDIT_DIR": str(seat.search_audit_dir)}
    return audit | {
        "REGION": seat.region_id,
        "LISTEN": seat.listener.endpoint,
        "METRICS_PORT": str(seat.listener.metrics_port),
        "JWKS": str(around.jwks_path),
        "ISSUER": around.issuer,
        "SERVICE_TOKEN_PATH": str(seat.token_path),
        "REFLECTION": _flag(around.reflection),
        "REFLECTION_OPEN": _flag(around.reflection),
        "LOG_HASH_KEY": around.log_hash_key,
        "HOP_KEYS": around.hop_keys,
    }


def _routing(seat: Seat, around: Surroundings) -> dict[str, str]:
    own = {"AUDIT_DIR": str(seat.data_dir / "audit")} if seat.control else {}
    if seat.admission_endpoint:
        own["ADMISSION_ENDPOINTS"] = seat.admission_endpoint
    if seat.learner:
        own["LEARNER_CONTROL_ENDPOINTS"] = around.control_endpoint
        own["LEARNER_ACTING_KEY_PATH"] = str(around.signing_key_path)
        own["LEARNER_ACTING_KEY_ID"] = around.signing_key_id
    if seat.decision_key_path is not None:
        own["DECISION_KEY_PATH"] = str(seat.decision_key_path)
    if seat.usage_dir is not None:
        own["USAGE_DIR"] = str(seat.usage_dir)
        own["JOURNAL_NAME"] = f"router-{seat.listener.endpoint.rpartition(':')[2]}"
    return own | {
        "ROLE": "control" if seat.control else "learner" if seat.learner else "edge",
        "ETCD_ENDPOINTS": ",".join(around.etcd_endpoints),
        "BLOB_DIR": str(around.blob_dir),
        "FEEDBACK_DIR": str(around.feedback_dir),
    }


def _retrieval(seat: Seat, around: Surroundings) -> dict[str, str]:
    return {
        "ETCD_ENDPOINTS": ",".join(around.etcd_endpoints),
        "DATA_DIR": str(seat.data_dir),
        "EMBEDDED_STORES": "true",  # every part comes from wheels here, and no other store does
    }


def _rerank(seat: Seat, _: Surroundings) -> dict[str, str]:
    return {"INFERENCE_ENDPOINTS": seat.inference_endpoint, "ADMISSION_ENDPOINTS": seat.admission_endpoint}


def _inference(seat: Seat, around: Surroundings) -> dict[str, str]:
    return {
        "TRITON_ENDPOINT": around.triton_endpoint,
        "REDIS_URL": seat.valkey_url,
        "ADMISSION_ENDPOINTS": seat.admission_endpoint,
    }


def _admission(seat: Seat, around: Surroundings) -> dict[str, str]:
    own = {} if seat.usage_dir is None else {"USAGE_DIR": str(seat.usage_dir)}
    return own | {"ETCD_ENDPOINTS": ",".join(around.etcd_endpoints), "REDIS_URL": seat.valkey_url}


_OWN = {
    Service.ROUTING: _routing,
    Service.RETRIEVAL: _retrieval,
    Service.RERANK: _rerank,
    Service.INFERENCE: _inference,
    Service.ADMISSION: _admission,
}


def _flag(value: bool) -> str:
    return "true" if value else "false"
