"""Runs the inference service."""

from trunkline_inference.app import open_app
from trunkline_inference.settings import InferenceSettings
from trunkline_mesh.server import run_service


def main() -> None:
    """Serve until a signal."""
    run_service(InferenceSettings, open_app, "inference")


if __name__ == "__main__":
    main()
