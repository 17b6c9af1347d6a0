"""Runs the admission service."""

from trunkline_admission.app import open_app
from trunkline_admission.settings import AdmissionSettings
from trunkline_mesh.server import run_service


def main() -> None:
    """Serve until a signal."""
    run_service(AdmissionSettings, open_app, "admission")


if __name__ == "__main__":
    main()
