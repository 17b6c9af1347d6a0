"""Runs the rerank service."""

from trunkline_mesh.server import run_service
from trunkline_rerank.app import open_app
from trunkline_rerank.settings import RerankSettings


def main() -> None:
    """Serve until a signal."""
    run_service(RerankSettings, open_app, "rerank")


if __name__ == "__main__":
    main()
