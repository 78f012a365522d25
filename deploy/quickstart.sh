#!/bin/sh
# Sets up everything on a bare Debian 12 and runs one node in the foreground: an image mirror on its own small
# store, plain HTTP, for this machine only. Further flags go to `spegla agent`. Ctrl-C ends it.
set -eu
cd "$(dirname "$0")/.."
cd "$(pwd -P)"
. deploy/setup.sh

make_venv
port=${SPEGLA_REGISTRY_PORT:-6443}
address=http://127.0.0.1:$port
cat <<TEXT

A spegla node starts at $address (Ctrl-C ends it; its data is in .cache/quickstart). When it is up, try:

  curl -i $address/v2/
  curl -H 'Accept: application/vnd.oci.image.index.v1+json' '$address/v2/library/busybox/manifests/1.37?ns=docker.io'

The second one comes from Docker Hub the first time and from this node's store after that.

TEXT
exec .venv/bin/spegla agent --store layout --insecure-http --node-ip 127.0.0.1 --registry-port "$port" \
    --data-dir .cache/quickstart --mirrored-registries docker.io "$@"
