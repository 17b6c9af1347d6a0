#!/usr/bin/env bash
# Writes the Python code of the contracts beside the .proto files. `make gen` is the only way to it.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
export PATH="$(cd "$(dirname "$python")" && pwd):$PATH"
find protos -name '*_pb2*.py*' -delete
mapfile -t files < <(find protos -name '*.proto' | LC_ALL=C sort)
"$python" -m grpc_tools.protoc -Iprotos \
  --python_out=protos --grpc_python_out=protos \
  --mypy_out=quiet:protos --mypy_grpc_out=quiet,only_async:protos \
  "${files[@]}"
# Files without a service get no stubs.
grep -L '^class\|^def' $(find protos -name '*_pb2_grpc.py') | while read -r empty; do
  rm -f "$empty" "${empty}i"
done
find protos -name '*_pb2_grpc.pyi' | while read -r stub; do
  [ -f "${stub%i}" ] || rm -f "$stub"
done
