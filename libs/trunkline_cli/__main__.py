"""Entry point of the `trunkline` command."""

from __future__ import annotations

from trunkline_cli.app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="trunkline")


if __name__ == "__main__":
    main()
