"""Stands in for services in tests of the stack: `python health_service.py SERVICE...`.

Listens where each service was told to, answers gRPC health, and has a worker process of its own. With
TRUNKLINE_<SERVICE>_LOG_LEVEL=error it fails at the start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def main() -> None:
    names = [f"TRUNKLINE_{service.upper()}" for service in sys.argv[1:]]
    if any(os.environ.get(f"{name}_LOG_LEVEL") == "error" for name in names):
        sys.exit("no such tier: gold")
    # The kernel may hand the signal to any thread, and then wakes no lock on which this one waits; this pipe it does.
    stopped, stop = os.pipe()
    os.set_blocking(stop, False)
    signal.set_wakeup_fd(stop)
    signal.signal(signal.SIGTERM, lambda *_: None)
    # In a session of its own, as an engine's worker that wants no terminal signals may be.
    worker = subprocess.Popen(["sleep", "600"], start_new_session=True)
    servers = [_serve(os.environ[f"{name}_LISTEN"]) for name in names]
    os.read(stopped, 1)
    for server in servers:
        server.stop(grace=0.2).wait()
    worker.kill()
    worker.wait()


def _serve(address: str) -> grpc.Server:
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    server.start()
    return server


if __name__ == "__main__":
    main()
