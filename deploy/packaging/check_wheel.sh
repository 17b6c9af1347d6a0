#!/usr/bin/env bash
# Builds the wheel and tests what ships: once with a client's needs alone, once with everything.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work" .
wheel=$(ls "$work"/trunkline-*.whl)
root=$PWD

"$python" -m venv "$work/client"
"$work/client/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$wheel"
(cd "$work" && client/bin/python "$root/deploy/packaging/smoke_client.py")

"$python" -m venv "$work/full"
"$work/full/bin/python" -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$wheel[local]"
(cd "$work" && full/bin/python "$root/deploy/packaging/smoke_full.py")
echo "wheel ok: $(basename "$wheel")"
