#!/bin/sh
# Sets up what is missing on Debian 12 and measures; options go to `python -m benchmarks` (`--short`, `serve relay`).
# Needs root: every machine that is measured is a network namespace with a containerd.
set -eu
cd "$(dirname "$0")/.."
. deploy/setup.sh
need_packages ca-certificates containerd curl docker-registry iproute2 nginx runc skopeo wrk
make_venv test
exec .venv/bin/python -m benchmarks "$@"
