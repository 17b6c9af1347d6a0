"""Runs the retrieval service."""

from trunkline_mesh.server import run_service
from trunkline_retrieval.app import open_app
from trunkline_retrieval.settings import RetrievalSettings


def main() -> None:
    """Serve until a signal."""
    run_service(RetrievalSettings, open_app, "retrieval")


if __name__ == "__main__":
    main()
