"""Entry point of the `trunkline` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; where its packages are missing (`pip install trunkline` alone), say how to get them."""
    try:
        from trunkline_cli.app import app

        app(prog_name="trunkline")
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        sys.stderr.write(f"error: the command needs {package} - pip install 'trunkline[cli]', or 'trunkline[local]'\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
