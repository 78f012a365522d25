#!/bin/sh
# Regenerates the Python stubs beside the .proto files; needs the "test" extra.
# The files are imported by their path from the project's root, because a package called
# "types", as containerd's own layout has it, would hide Python's.
set -eu
cd "$(dirname "$0")/../../.."
api=mirror/containerd/api
rm -f "$api"/*_pb2.py "$api"/*_pb2.pyi "$api"/*_pb2_grpc.py "$api"/*_pb2_grpc.pyi
python3 -m grpc_tools.protoc -I . --python_out=. --mypy_out=quiet:. "$api"/*.proto
for file in $(grep -l '^service ' "$api"/*.proto); do
    python3 -m grpc_tools.protoc -I . --grpc_python_out=. --mypy_grpc_out=quiet:. "$file"
done
