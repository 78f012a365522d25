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
    export DEBIAN_FRONTEND=noninteractive
    {
        apt-get -q update &&
            # shellcheck disable=SC2086 # one word a package
            apt-get -q install -y --no-install-recommends $missing
    } > "$log" 2>&1 < /dev/null || status=$?
    [ -z "$policy" ] || rm -f "$policy"
    [ "$status" = 0 ] || { tail -n 20 "$log" >&2; echo "apt-get failed: see above." >&2; }
    rm -f "$log"
    return "$status"
}

# find_python: prints a Python of at least 3.11 that can make virtual environments; installs Debian's if there is none.
find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        "$python" - <<'PYTHON' 2>/dev/null || continue
import ensurepip, pathlib, sysconfig
assert pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()
PYTHON
        "$python" -c 'import sys; print(sys.executable)'
        return
    done
    need_packages python3 python3-venv python3-dev >&2 || return
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "spegla needs Python 3.11 or newer, and none was found." >&2
        return 1
    }
    echo /usr/bin/python3
}

# make_venv [test]: installs the checkout (editable), with its test tools if asked, as requirements.lock pins it.
make_venv() {
    wanted=$(cat requirements.lock pyproject.toml | cksum)
    # A virtual environment that was moved, or whose Python is gone, can't be mended.
    if grep -qsF "$PWD/.venv" .venv/bin/activate && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        case $(cat .venv/installed 2>/dev/null) in
            "$wanted ${1:-run}" | "$wanted test") return 0 ;;
        esac
    else
        rm -rf .venv
    fi
    need_packages gcc libc6-dev libgmp-dev || return # fastecdsa, which libp2p needs, is built from source
    python=$(find_python) || return
    echo "Installing Python packages into .venv"
    [ -d .venv ] || "$python" -m venv .venv || return
    # PIP_USE_PEP517: Debian 12's pip builds some packages the old way otherwise, and says so at length.
    PIP_USE_PEP517=1 .venv/bin/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
        -c requirements.lock -e ".${1:+[$1]}" || return
    echo "$wanted ${1:-run}" > .venv/installed
}
