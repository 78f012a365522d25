#!/bin/sh
# Sets up everything on a bare Debian 12 and runs one node in the foreground: an image mirror on its own small
# store, plain HTTP, for this machine only. Further flags go to `spegla agent`. Ctrl-C ends it.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd -P)
(
    cd "$top"
    . deploy/setup.sh
    make_venv run
)

port=${SPEGLA_REGISTRY_PORT:-6443}
previous=
for word in "$@"; do
    case $previous$word in
        --registry-port=*) port=${word#*=} ;;
        --registry-port[0-9]*) port=$word ;;
    esac
    previous=$word
done
address=http://127.0.0.1:$port
cat <<TEXT

A spegla node starts at $address (Ctrl-C ends it; its data is in $top/.cache/quickstart).
When it is up, try:

  curl -i $address/v2/
  curl -i '$address/v2/library/busybox/manifests/1.37?ns=docker.io'

The second one comes from Docker Hub the first time, from this node's store after that, and is a 404 without a way there.

TEXT
exec "$top/.venv/bin/spegla" agent --store layout --insecure-http --node-ip 127.0.0.1 \
    --data-dir "$top/.cache/quickstart" --mirrored-registries '*' "$@"
