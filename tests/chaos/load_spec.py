"""What a load consists of: who asks whom what, how often, and what a right answer is. Travels as one line of JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

Name = Annotated[str, Field(min_length=1, max_length=64)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Frozen):
    """One kind of request, and how its answer is judged."""

    name: Name
    kind: Literal["search", "route"] = "search"
    text: str
    collections: tuple[str, ...] = ()
    fresh: bool = Field(False, description="Add a number that was never used to the text, so that it must be embedded.")
    rerank: bool = False
    top_k: PositiveInt = 3
    weight: PositiveFloat = Field(1.0, description="How often it is asked, relative to the stream's other questions.")
    top: str = Field("", description="Document that must stand first; empty to judge only whose the hits are.")
    text_of_top: str = Field("", description="Text that this document must have; empty for any.")


class Stream(_Frozen):
    """A caller: one client with one credential, and how many requests it makes."""

    name: Name
    tenant: str
    token: str = Field(repr=False)
    routers: tuple[str, ...] = Field(min_length=1, description="`region=host:port`, nearest first.")
    rps: PositiveFloat = Field(description="Arrivals a second; its part of the mix where the loop is closed.")
    questions: tuple[Question, ...] = Field(min_length=1)
    regions: frozenset[str] = Field(description="Where an answer, and every hit of it, may come from.")
    owner: str = Field("", description="Each hit's document id must begin so: no other tenant's document is an answer.")


class LoadSpec(_Frozen):
    """A whole load. Open loop: arrivals keep their schedule, whatever became of those before."""

    streams: tuple[Stream, ...] = Field(min_length=1)
    seed: int
    deadline_s: PositiveFloat = Field(2.0, description="What each call is given, by its caller.")
    arrivals: Literal["poisson", "regular"] = "poisson"
    max_in_flight: PositiveInt = Field(256, description="Arrivals beyond it are not sent, which counts as an error.")
    closed_in_flight: int = Field(
        0, ge=0, le=256, description="Above 0: a closed loop of so many callers instead, to measure capacity."
    )
    seconds: PositiveFloat | None = Field(None, description="How long; None until it is told to stop.")

    @property
    def offered_rps(self) -> float:
        """Arrivals a second that the schedule aims at."""
        return sum(stream.rps for stream in self.streams)
