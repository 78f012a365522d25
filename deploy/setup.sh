# shellcheck shell=sh
# Sourced by deploy/quickstart.sh and tests/run.sh, from the top of the checkout: what a bare Debian 12 lacks.
# POSIX sh. Every step is skipped when it has been done before, so a second run needs no network.

# need_packages PACKAGE…: installs those Debian packages that are missing and starts none of their daemons.
need_packages() {
    missing=
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) in
            'install ok installed') ;;
            *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "These Debian packages are missing:$missing" >&2
        echo "Install them as root (apt-get install$missing) and run this again." >&2
        return 1
    fi
    echo "Installing$missing"
    policy=
    if [ ! -e /usr/sbin/policy-rc.d ]; then # 101: "no service is to be started"
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' > "$policy" && chmod 755 "$policy"
    fi
    status=0
    log=$(mktemp)
    # shellcheck disable=SC2086 # one word a package
    apt_install $missing > "$log" 2>&1 < /dev/null || status=$?
    [ -z "$policy" ] || rm -f "$policy"
    [ "$status" = 0 ] || { tail -n 20 "$log" >&2; echo "apt-get failed: see above." >&2; }
    rm -f "$log"
    return "$status"
}

apt_install() {
    [ -n "${apt_updated-}" ] || apt-get -q update || return
    apt_updated=yes
    DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
}

# find_python: prints a Python of at least 3.11 that can make virtual environments and build extensions.
find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        "$python" - <<'PYTHON' 2>/dev/null && return
import ensurepip, pathlib, sys, sysconfig
sys.version_info >= (3, 11) or sys.exit(1)
pathlib.Path(sysconfig.get_path("include"), "Python.h").exists() or sys.exit(1)
print(sys.executable)
PYTHON
    done
    return 1
}

# make_venv run|test: installs the checkout (editable), `test` with the tools for it, as requirements.lock pins them.
make_venv() {
    wanted=$(cat requirements.lock pyproject.toml | cksum)
    # A virtual environment that was moved, or whose Python is gone, can't be mended.
    if grep -qsF "$PWD/.venv" .venv/bin/activate && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        case $(cat .venv/installed 2>/dev/null) in
            "$wanted $1" | "$wanted test") return 0 ;;
        esac
    else
        rm -rf .venv
    fi
    # fastecdsa, which libp2p needs, is built from source.
    if python=$(find_python); then
        need_packages gcc libc6-dev libgmp-dev || return
    else
        need_packages gcc libc6-dev libgmp-dev python3 python3-venv python3-dev || return
        python=$(find_python) || { echo 'spegla needs Python 3.11 or newer, and found none.' >&2; return 1; }
    fi
    echo "Installing Python packages into .venv"
    [ "$1" = test ] && checkout='.[test]' || checkout=.
    [ -d .venv ] || "$python" -m venv .venv || return
    # PIP_USE_PEP517: Debian 12's pip builds some packages the old way otherwise, and says so at length.
    PIP_USE_PEP517=1 .venv/bin/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        -c requirements.lock -e "$checkout" || return
    echo "$wanted $1" > .venv/installed
}
