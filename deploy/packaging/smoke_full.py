"""Run in an environment with the `local` extra: every service must compose its settings and the command must answer."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

SERVICES = ("routing", "retrieval", "rerank", "inference", "admission")

for service in SERVICES:
    module = importlib.import_module(f"trunkline_{service}.app")
    assert Path(str(module.__file__)).is_relative_to(sys.prefix), module.__file__
    checked = subprocess.run([sys.executable, "-m", f"trunkline_{service}", "--check-config"], check=False)
    assert checked.returncode == 0, f"{service} --check-config ended with {checked.returncode}"

command = Path(sys.executable).parent / "trunkline"
for arguments in (["--help"], ["version"], ["doctor", "--json"]):
    ran = subprocess.run([command, *arguments], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, f"trunkline {arguments} ended with {ran.returncode}: {ran.stderr}{ran.stdout}"
sys.stdout.write("services and command ok\n")
