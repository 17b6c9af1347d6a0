"""Feedback on decisions, and samples of documents: what a tenant's policy is made and improved from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client import methods
from trunkline_client.documents import Document, document_from_proto
from trunkline_client.requests import checked_deadline, representable
from trunkline_client.residency import scope_of
from trunkline_client.results import FeedbackResult
from trunkline_client.session import Session

ResultName: TypeAlias = str | tuple[str, str]
"""A result: its collection, or collection and document."""

SAMPLE_DEADLINE_S: Final = 30.0
"""Reading documents takes longer than finding some; the contract's cap."""


class TeachingSession(Session):
    """The part of the client that tells how good decisions were, and reads what policies are proposed from."""

    _map_token: bytes = b""

    @property
    def map_token(self) -> bytes:
        """The token that calls carry unless they name another; empty asks for no particular state of the map."""
        return self._map_token

    def read_after(self, map_token: bytes) -> None:
        """Answer every later call from this state of the map or a newer one; `b""` forgets it.

        Tokens are opaque and cannot be compared, so the last one given stands.
        """
        self._map_token = map_token

    async def feedback(
        self,
        decision_id: str,
        *,
        text: str = "",
        accepted: Sequence[ResultName] = (),
        clicked: Sequence[ResultName] = (),
        rejected: Sequence[ResultName] = (),
        corrected: str = "",
        deadline_s: float | None = None,
        request_id: str | None = None,
    ) -> FeedbackResult:
        """Tell how good a decision was: what became of results, at most 32, and where the query belonged.

        `text`: the query, word for word; without it nothing is learned. `corrected`: the right collection, if it was
        another. The last word of a caller about a decision counts, so a repeat is harmless. Raises TrunklineError.
        """
        with representable():
            request = routing_pb.RecordFeedbackRequest(
                decision_id=decision_id,
                text=text,
                results=[
                    *_signals(accepted, routing_pb.FEEDBACK_SIGNAL_ACCEPTED),
                    *_signals(clicked, routing_pb.FEEDBACK_SIGNAL_CLICKED),
                    *_signals(rejected, routing_pb.FEEDBACK_SIGNAL_REJECTED),
                ],
                corrected_collection=corrected,
            )
        checked_s = checked_deadline(deadline_s, self._settings.default_deadline_s)
        answer = await self._call(methods.RECORD_FEEDBACK, request, checked_s, request_id)
        return FeedbackResult(answer.response.kept, answer.response.replaced)

    async def sample_documents(
        self, collection: str, count: int = 64, *, map_token: bytes | None = None, deadline_s: float | None = None
    ) -> list[Document]:
        """Read some documents of a collection, at most `count` (1 to 256) and 1 MiB together, as admin of the tenant.

        Raises TrunklineError.
        """
        with representable():
            request = routing_pb.SampleDocumentsRequest(
                collection=collection, count=count, map_token=self._token(map_token)
            )
        checked_s = checked_deadline(deadline_s, SAMPLE_DEADLINE_S)
        answer = await self._call(methods.SAMPLE_DOCUMENTS, request, checked_s, scope=scope_of([collection]))
        return [document_from_proto(item) for item in answer.response.documents]

    def _token(self, given: bytes | None) -> bytes:
        return self._map_token if given is None else given


def _signals(
    names: Sequence[ResultName], signal: routing_pb.FeedbackSignal.ValueType
) -> list[routing_pb.ResultFeedback]:
    named = [(name, "") if isinstance(name, str) else name for name in names]
    return [
        routing_pb.ResultFeedback(collection=collection, document_id=document_id, signal=signal)
        for collection, document_id in named
    ]
