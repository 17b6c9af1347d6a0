#!/usr/bin/env bash
# Fails if the committed generated code is not what `make gen` writes.
set -euo pipefail
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r protos deploy "$copy"/
PYTHON="$PWD/${PYTHON:-.venv/bin/python}" "$copy/deploy/codegen/generate.sh"
if ! diff -rq -x __pycache__ protos "$copy/protos"; then
  echo "generated code differs from the contracts: run 'make gen' and commit the result" >&2
  exit 1
fi
