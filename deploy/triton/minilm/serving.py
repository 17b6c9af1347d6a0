"""What both models need of Triton's Python backend: parameters, texts, scopes and error responses."""

from __future__ import annotations

import json
from typing import Any

import triton_python_backend_utils as pb_utils

from minilm.encoder import Encoder
from minilm.token_cache import TokenCache, shared_path

SCOPE_PARAMETER = "token_cache_scope"
"""Request parameter: whose passages these are. Without it nothing is remembered and nothing found."""


class ModelConfig:
    """The parameters of a model's `config.pbtxt`."""

    def __init__(self, args: dict[str, str]) -> None:
        """Read what Triton gives to `initialize`."""
        self._parameters: dict[str, dict[str, str]] = json.loads(args["model_config"])["parameters"]

    def integer(self, name: str) -> int:
        """Return a whole number; raise KeyError if the configuration lacks it."""
        return int(self.text(name))

    def text(self, name: str) -> str:
        """Return a parameter; raise KeyError if the configuration lacks it."""
        return self._parameters[name]["string_value"]

    def encoder(self) -> Encoder:
        """Load the encoder."""
        return Encoder(threads=self.integer("INTRA_OP_THREADS"), provider=self.text("PROVIDER"))

    def token_cache(self, passage_max_tokens: int) -> TokenCache | None:
        """Open the cache that the models of this server share; None if it is switched off or cannot be had."""
        slots = self.integer("TOKEN_CACHE_SLOTS")
        if slots <= 0:
            return None
        try:
            # [CLS] and [SEP] have no row, the pooled vector has one.
            return TokenCache(shared_path(), slots=slots, max_rows=passage_max_tokens - 1)
        except OSError as exc:
            pb_utils.Logger.log_warn(f"serving without a cache of token vectors: {exc.strerror}")
            return None


def texts_of(request: Any, name: str) -> list[str]:
    """Return the texts of an input, in order; raise ValueError for bytes that are not UTF-8."""
    array = pb_utils.get_input_tensor_by_name(request, name).as_numpy()
    return [bytes(text).decode() for text in array.reshape(-1)]


def scope_of(request: Any) -> str:
    """Return the request's cache scope; empty if it has none."""
    return str(json.loads(request.parameters() or "{}").get(SCOPE_PARAMETER, ""))


def cancelled() -> Any:
    """Return the answer to a request that nobody waits for."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED))


def invalid(message: str) -> Any:
    """Return the answer to a request that cannot be served as it is."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))


def answer(name: str, values: Any) -> Any:
    """Return a response of one output."""
    return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor(name, values)])
