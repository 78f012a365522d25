#!/bin/sh
# fetch-containerd.sh SUITE DIR: unpacks another Debian suite's containerd (forky: 2.1, trixie: 1.7) into DIR/usr/bin
# without installing it. Packages come from where this system's apt gets its own. Done before: does nothing.
set -eu
suite=$1
[ ! -x "$2/usr/bin/containerd" ] || exit 0
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"

# shellcheck disable=SC2016 # apt expands it
source=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
[ -n "$source" ] || { echo 'apt names no package source, so containerd can not be fetched.' >&2; exit 1; }
echo "deb $source $suite main" > "$apt/sources.list"
cat > "$apt/apt.conf" <<CONF
Dir::State::Lists "$apt/lists";
Dir::State::Status "/var/lib/dpkg/status";
Dir::Cache "$apt/cache";
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "-";
APT::Sandbox::User "root";
CONF
export APT_CONFIG="$apt/apt.conf"
apt-get -qq update
(cd "$apt" && apt-get -qq download containerd && dpkg -x containerd_*.deb "$dir")
"$dir/usr/bin/containerd" --version
