"""Adapter: a language model that names the collection, over the chat completions of OpenAI's HTTP interface."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from typing import Final

import httpx

from trunkline_mesh.calls import MIN_TIMEOUT_S
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CredentialMissing, DeadlineExceeded
from trunkline_mesh.identity import ServiceToken
from trunkline_policy.results import Candidate
from trunkline_routing.edge.chooser_files import ClassifierPlace
from trunkline_routing.edge.choosers import believed, within_wall
from trunkline_routing.edge.classifier_prompt import chat_request, read_answer
from trunkline_routing.edge.model import Gate

MAX_ANSWER_BYTES: Final = 256 * 1024
"""Largest body of an answer; what is more is not read."""
MAX_CONNECTIONS: Final = 64
"""Connections to one model; further queries wait for one within their time."""


class _Model:
    """One model's address, key and connections."""

    def __init__(self, place: ClassifierPlace) -> None:
        self.place = place
        self._key = ServiceToken(place.key_path) if place.key_path else None
        self._http = httpx.AsyncClient(
            verify=ssl.create_default_context(cafile=place.ca_path) if place.ca_path else True,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
            timeout=None,  # noqa: S113  # the deadline bounds the whole call
            follow_redirects=False,  # a redirect could take the query, and the key, behind another wall
            trust_env=False,
        )

    async def ask(self, body: bytes) -> bytes:
        """Return the answer's body. Raises httpx.HTTPError, BackendUnavailable."""
        # Without compression a bound on what is read bounds what is held, too.
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        if self._key is not None:
            headers["authorization"] = self._key.header()
        async with self._http.stream("POST", self.place.url, content=body, headers=headers) as response:
            if response.status_code != httpx.codes.OK:
                raise BackendUnavailable("the language model refused")
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise BackendUnavailable("the language model's answer is too long")
            return bytes(content)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class ClassifierClient:
    """Asks language models; implements `choosers.Chooser`."""

    def __init__(self, places: Sequence[ClassifierPlace]) -> None:
        """Know the models; the first that serves a tenant within its wall is asked. Raises OSError for certificates."""
        self._models = [_Model(place) for place in places]

    def serves(self, gate: Gate) -> bool:
        """Return True if a model is set up for the tenant, and its queries may go there."""
        return self._model_of(gate) is not None

    async def choose(
        self, gate: Gate, text: str, offered: Sequence[tuple[str, str]], *, limit: int, deadline: Deadline
    ) -> Sequence[Candidate]:
        """Return the collection that the model names, if it names one, as far as it can be believed."""
        model = self._model_of(gate)
        if model is None:
            raise BackendUnavailable("no language model serves this tenant here")
        timeout_s = deadline.remaining_s()
        if timeout_s < MIN_TIMEOUT_S:
            raise DeadlineExceeded
        request = chat_request(model.place.model, text, offered, max_tokens=model.place.max_tokens)
        body = json.dumps(request, ensure_ascii=False).encode("utf-8", "replace")
        try:
            async with asyncio.timeout(timeout_s):
                told = read_answer(await model.ask(body))
        except (TimeoutError, httpx.TimeoutException) as exc:
            raise BackendTimeout("the language model took too long") from exc
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as exc:
            raise BackendUnavailable("the language model did not answer as asked") from exc
        except CredentialMissing as exc:
            raise BackendUnavailable("the language model's key cannot be read") from exc
        return believed([told], text, {name for name, _ in offered}, limit=limit)

    async def close(self) -> None:
        """Close the connections."""
        for model in self._models:
            await model.close()

    def _model_of(self, gate: Gate) -> _Model | None:
        tenant_id = gate.tenant.tenant_id
        for model in self._models:
            served = model.place.tenants
            if (served == "all" or tenant_id in served) and within_wall(gate, model.place.jurisdiction):
                return model
        return None
