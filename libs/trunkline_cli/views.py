"""Answers as text for people and as plain data for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from trunkline_cli.decision_view import decision_data, generation_data, generation_lines, show_decision
from trunkline_cli.output import Output, one_line
from trunkline_client import Attempt, CollectionTrail, Generation, Hit, RegionAttempt, RouteResult, SearchResult, Trail

_SNIPPET_CHARS = 200


def show_search(out: Output, result: SearchResult, *, explain: bool = False) -> None:
    """Print hits and what happened."""
    if not result.hits:
        out.line("Nothing was found.")
    for rank, hit in enumerate(result.hits, 1):
        _show_hit(out, rank, hit)
    out.line()
    show_trail(out, result.trail, explain=explain)
    _show_generation(out, result.generation)
    _show_attempts(out, result.attempts)


def show_route(out: Output, result: RouteResult) -> None:
    """Print where a search would go."""
    show_trail(out, result.trail, explain=True)
    _show_generation(out, result.generation)
    _show_attempts(out, result.attempts)


def _show_generation(out: Output, generation: Generation | None) -> None:
    for line in generation_lines(generation):
        out.line(line)


def show_trail(out: Output, trail: Trail, *, explain: bool = False) -> None:
    """Print the decision, the regions, the stages and the degradations."""
    if trail.decision is not None:
        show_decision(out, trail.decision, explain=explain)
    for item in trail.collections:
        out.line(f"collection   {_collection_line(item, explain=explain)}")
    if trail.stages:
        out.line(f"stages       {stage_line(trail)}")
    if trail.level != "NORMAL":
        out.line(f"level        {trail.level}", style="yellow")
    for note in trail.limit_notes:
        out.line(f"limit        {note}", style="yellow")
    for degradation in trail.degradations:
        out.line(f"degraded     {degradation}", style="yellow")
    if explain:
        age = f"map {trail.map_age_s:.1f} s old"
        cost = f"{trail.charged_tokens} of {trail.reserved_tokens} reserved tokens charged"
        if trail.price_version:
            cost += f", {trail.charged_micros / 1e6:.6f} by prices {trail.price_version}"
        out.line(f"request      {trail.request_id} at {trail.router_region}, {age}, {cost}", style="dim")


def stage_line(trail: Trail) -> str:
    """Return the stages with their times in milliseconds."""
    parts = [
        f"{stage.name.lower()} {'skipped' if stage.skipped else f'{stage.elapsed_s * 1000:.0f} ms'}"
        for stage in trail.stages
    ]
    return ", ".join(parts)


def _collection_line(item: CollectionTrail, *, explain: bool) -> str:
    served = item.served_region or "not served"
    line = f"{item.collection} ({item.confidence:.2f}) in {served}, {item.hit_count} hits"
    if explain or not item.served_region:
        line += f" [{'; '.join(map(_candidate_line, item.attempts))}]" if item.attempts else ""
    return line


def _candidate_line(attempt: RegionAttempt) -> str:
    """Say how a candidate region fared, and what of it was out of the ordinary."""
    notes = [attempt.error, "hedge" if attempt.hedge else ""]
    notes.append(f"breaker {attempt.breaker.lower()}" if attempt.breaker not in ("", "CLOSED") else "")
    notes.append(f"pressure {attempt.pressure:.2f}" if attempt.pressure else "")
    notes.append(f"{attempt.round_trip_s * 1000:.0f} ms away" if attempt.round_trip_s is not None else "")
    told = ", ".join(filter(None, notes))
    return f"{attempt.region} {attempt.outcome}{f' ({told})' if told else ''}"


def _show_hit(out: Output, rank: int, hit: Hit) -> None:
    name = str(hit.fields.get("section") or hit.fields.get("title") or hit.document_id)
    source = str(hit.fields.get("source") or hit.document_id)
    out.line(f"{rank}. {one_line(name, 100)}", style="bold")
    out.line(f"   {source} | {hit.collection} in {hit.region} | {hit.score_kind} {hit.score:.3f}", style="dim")
    body = hit.text.removeprefix(name + "\n")  # a heading line, not a sentence that begins with the same word
    out.line(f"   {one_line(body, _SNIPPET_CHARS)}")


def _show_attempts(out: Output, attempts: Sequence[Attempt]) -> None:
    if len(attempts) > 1:
        out.line(f"attempts     {'; '.join(map(str, attempts))}", style="yellow")


def search_data(result: SearchResult) -> Mapping[str, Any]:
    """Return a search's answer as plain data."""
    return {
        "hits": [
            {
                "document_id": hit.document_id,
                "collection": hit.collection,
                "region": hit.region,
                "score": hit.score,
                "score_kind": hit.score_kind,
                "fields": dict(hit.fields),
                "text": hit.text,
            }
            for hit in result.hits
        ],
        "trail": trail_data(result.trail),
        "generation": generation_data(result.generation),
        "attempts": attempts_data(result.attempts),
    }


def route_data(result: RouteResult) -> Mapping[str, Any]:
    """Return a decision as plain data."""
    return {
        "trail": trail_data(result.trail),
        "generation": generation_data(result.generation),
        "attempts": attempts_data(result.attempts),
    }


def attempts_data(attempts: Sequence[Attempt]) -> list[Mapping[str, Any]]:
    """Return the client's attempts as plain data."""
    return [
        {"region": item.region, "target": item.target, "outcome": item.outcome, "elapsed_s": item.elapsed_s}
        for item in attempts
    ]


def trail_data(trail: Trail) -> Mapping[str, Any]:
    """Return a trail as plain data; times in seconds, the map token in hexadecimal."""
    return {
        "request_id": trail.request_id,
        "router_region": trail.router_region,
        "decision": decision_data(trail.decision),
        "collections": [
            {
                "collection": item.collection,
                "space_id": item.space_id,
                "confidence": item.confidence,
                "served_region": item.served_region,
                "hit_count": item.hit_count,
                "attempts": [asdict(each) for each in item.attempts],
            }
            for item in trail.collections
        ],
        "stages": [
            {"name": item.name, "budget_s": item.budget_s, "elapsed_s": item.elapsed_s, "skipped": item.skipped}
            for item in trail.stages
        ],
        "degradations": [{"reason": item.reason, "subject": item.subject} for item in trail.degradations],
        "map_token": trail.map_token.hex(),
        "map_age_s": trail.map_age_s,
        "reserved_tokens": trail.reserved_tokens,
        "charged_tokens": trail.charged_tokens,
        "charged_micros": trail.charged_micros,
        "price_version": trail.price_version,
        "level": trail.level,
        "limit_notes": [asdict(note) for note in trail.limit_notes],
        "deadline_s": trail.deadline_s,
        "truncated": trail.truncated,
    }
