"""Registers a servicer's methods with their stages: every handler is wrapped once, at start, whatever its shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from trunkline_mesh.app import ServiceBinding
from trunkline_mesh.errors import MessageMalformed
from trunkline_mesh.stage import Context, Handler, MethodStages
from trunkline_mesh.stages import compose

MethodHandlers = Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]


class _Recorder:
    """Stands in for the server while generated code registers, and keeps the method handlers it is given."""

    def __init__(self) -> None:
        self.handlers: dict[str, MethodHandlers] = {}

    def add_generic_rpc_handlers(self, _handlers: object) -> None:
        """Ignore the older form of the same registration."""

    def add_registered_method_handlers(self, service: str, handlers: MethodHandlers) -> None:
        """Keep a service's handlers by method name."""
        self.handlers[service] = handlers


def staged_handlers(
    binding: ServiceBinding, stages_of: Callable[[str, ServiceBinding], MethodStages]
) -> grpc.GenericRpcHandler:
    """Return the binding's service with each method wrapped in its stages.

    Raises TypeError for a handler that is not asynchronous: it would run in a thread without the request's scope.
    """
    recorder = _Recorder()
    binding.register(binding.servicer, recorder)
    staged = {
        name: _stage(handler, stages_of(f"/{binding.service}/{name}", binding))
        for name, handler in recorder.handlers[binding.service].items()
    }
    return grpc.method_handlers_generic_handler(binding.service, staged)


def _stage(handler: Any, method: MethodStages) -> grpc.RpcMethodHandler[Any, Any]:
    parse, serialize = handler.request_deserializer, handler.response_serializer
    if handler.request_streaming:
        shape = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        shape = handler.unary_stream if handler.response_streaming else handler.unary_unary
    parsed = _stream_parser(parse, shape) if handler.request_streaming else _unary_parser(parse, shape)
    answered = _stream_writer(parsed) if handler.response_streaming else _unary_answer(parsed, method.name)
    composed: Any = compose(method, answered)
    make: Any = _MAKERS[handler.request_streaming, handler.response_streaming]
    # Requests stay bytes until they are inside the stages, so that malformed ones get a status of the contract.
    staged: grpc.RpcMethodHandler[Any, Any] = make(composed, request_deserializer=None, response_serializer=serialize)
    return staged


def _unary_parser(parse: Callable[[bytes], Any], inner: Callable[[Any, Context], Any]) -> Callable[[Any, Context], Any]:
    def parsed(request: bytes, context: Context) -> Any:
        try:
            message = parse(request)
        except (DecodeError, UnicodeDecodeError, ValueError) as exc:
            raise MessageMalformed from exc
        return inner(message, context)

    return parsed


def _stream_parser(
    parse: Callable[[bytes], Any], inner: Callable[[Any, Context], Any]
) -> Callable[[Any, Context], Any]:
    async def messages(requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for request in requests:
            try:
                message = parse(request)
            except (DecodeError, UnicodeDecodeError, ValueError) as exc:
                raise MessageMalformed from exc
            yield message

    def parsed(requests: AsyncIterator[bytes], context: Context) -> Any:
        return inner(messages(requests), context)

    return parsed


def _unary_answer(inner: Callable[[Any, Context], Any], name: str) -> Handler:
    async def answered(request: Any, context: Context) -> Any:
        pending = inner(request, context)
        if not hasattr(pending, "__await__"):
            raise TypeError(f"{name} is not asynchronous")
        return await pending

    return answered


def _stream_writer(inner: Callable[[Any, Context], Any]) -> Handler:
    async def written(request: Any, context: Context) -> None:
        async with aclosing(inner(request, context)) as responses:
            async for response in responses:
                await context.write(response)

    return written


_MAKERS: Final[Mapping[tuple[bool, bool], Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
