"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for programs.")]
RunDirOption = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        envvar="TRUNKLINE_RUN_DIR",
        help="Folder of the local stack; by default `.trunkline` here or in a folder above.",
    ),
]
RouterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--router",
        help="A router as host:port or region=host:port, nearest first; repeat it. Or TRUNKLINE_ROUTERS, comma "
        "separated. Without, the local stack's.",
    ),
]
ControlOption = Annotated[
    str | None,
    typer.Option("--control", envvar="TRUNKLINE_CONTROL", help="host:port of a router of role control."),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", envvar="TRUNKLINE_TOKEN", help="The credential, a JWT.", show_envvar=True),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", envvar="TRUNKLINE_TOKEN_FILE", help="File with the credential; read for each call."),
]
TenantOption = Annotated[
    str | None,
    typer.Option("--tenant", envvar="TRUNKLINE_TENANT", help="Tenant to mint a development token for (local stack)."),
]
NearOption = Annotated[str | None, typer.Option("--near", help="Region whose router is asked first.")]
DeadlineOption = Annotated[float | None, typer.Option("--deadline", help="Seconds for the whole call.")]
CollectionsOption = Annotated[
    list[str] | None,
    typer.Option("--collection", "-c", help="Collection to search; repeat it. Without, the tenant's policy decides."),
]
PolicyTenantOption = Annotated[str | None, typer.Option("--tenant", help="Whose policy.")]
LearnerOption = Annotated[
    list[str] | None,
    typer.Option("--learner", help="A learner as host:port or region=host:port; repeat it. Without, the map's."),
]
