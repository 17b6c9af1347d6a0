"""A bare grpc.aio server in a process of its own: echoes, or passes the bytes on to the next in a chain.

No interceptor, no parsing: the floor under everything that Trunkline does. `python -m tests.bench.echo_server [NEXT]`
prints its port.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from trunkline_mesh.channels import CLIENT_OPTIONS, SERVER_OPTIONS

METHOD = "/bench.Echo/Echo"


async def serve(next_target: str | None) -> None:
    """Serve until the standard input closes."""
    forward: grpc.aio.UnaryUnaryMultiCallable[Any, Any] | None = None
    if next_target:
        # Plain options but for the service config, whose health check a bare echo does not serve.
        options = [option for option in CLIENT_OPTIONS if option[0] != "grpc.service_config"]
        forward = grpc.aio.insecure_channel(next_target, options=options).unary_unary(METHOD)

    async def echo(request: bytes, _context: Any) -> bytes:
        if forward is None:
            return request
        answer: bytes = await forward(request, timeout=10)
        return answer

    server = grpc.aio.server(options=SERVER_OPTIONS)
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(echo)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Echo", {"Echo": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1] if len(sys.argv) > 1 else None))
