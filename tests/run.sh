#!/bin/sh
# Sets up everything on a bare Debian 12 and runs every check and test; options go to pytest (`sh tests/run.sh -k name`).
# Needs root for the cluster tests, which run containerds in network namespaces of their own.
set -eu
cd "$(dirname "$0")/.."
cd "$(pwd -P)"
. deploy/setup.sh

step() {
    printf '\n== %s\n' "$1"
}

# Whatever happens: no process, mount or network namespace of the cluster tests outlives this script.
finish() {
    status=$?
    trap - EXIT
    [ ! -x .venv/bin/python ] || .venv/bin/python -m tests.cluster.leftovers || true
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step 'setting up'
need_packages busybox-static ca-certificates containerd curl docker-registry iproute2 iptables pigz runc skopeo
make_venv test
sh tests/cluster/fetch-containerd.sh forky .cache/containerd-2.1

PATH=$PWD/.venv/bin:$PATH
export PATH
step 'format and lint'
ruff format --check .
ruff check .
step 'types'
mypy
mypy tests/cluster tests/faults tests/chaos benchmarks
step 'imports'
lint-imports --cache-dir .cache/import-linter

# pytest ends with 5 where the options leave a group without a test: wrong only if both groups are.
ran=
run_tests() {
    step "$1"
    shift
    status=0
    python -m pytest "$@" || status=$?
    [ "$status" = 5 ] || ran=yes
    [ "$status" = 5 ] || return "$status"
}
run_tests 'unit tests' -m 'not cluster and not interop' "$@"
run_tests 'cluster and interop tests' -m 'cluster or interop' "$@"
[ -n "$ran" ] || { echo 'No test ran.' >&2; exit 5; }
