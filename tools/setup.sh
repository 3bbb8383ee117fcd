#!/bin/sh
# Bring .venv into the state that requirements/<device>.lock describes, and do nothing when it is in that state already.
#
#   tools/setup.sh cpu|cuda [patterns]        PYTHON=<interpreter> chooses the Python of a new .venv
#                                             REPORT=yes reports .venv even when there is nothing to do
#
# With `patterns`, what requirements/patterns.lock names besides: its pins agree with those of the others.
#
# No compiler is looked for: every locked package has a wheel for CPython 3.11 to 3.13 on Linux x86_64, but for
# connection-pool (of snakemake), which is a single Python module.
set -eu

device=$1
extra=${2:-}
lock=requirements/$device.lock
venv=.venv
stamp=$venv/cisnake-setup.txt
log=$venv/cisnake-setup.log

fail() {
    echo "cisnake: $1" >&2
    exit 1
}

# Prints major.minor, or nothing for what only looks like a Python (a pyenv shim of a version that is not switched on).
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

supported() { case $1 in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        found=$(version_of "$PYTHON")
        [ -n "$found" ] || fail "PYTHON=$PYTHON cannot be run: give the path of a Python 3.11, 3.12 or 3.13."
        supported "$found" || fail "PYTHON=$PYTHON is Python $found, and Cisnake needs Python 3.11, 3.12 or 3.13."
        python=$PYTHON version=$found
        return
    fi
    for python in python3.13 python3.12 python3.11 python3 python; do
        version=$(version_of "$python")
        if supported "$version"; then return; fi
    done
    other=$(version_of python3)
    fail "no Python 3.11, 3.12 or 3.13 on the PATH${other:+ (python3 is $other)}: install one, or name it with PYTHON=/path/to/python."
}

# The packages that fill a .venv are tied to its folder, its Python and the device; a change of one of them makes it anew.
make_venv() {
    choose_python
    echo "cisnake: making $venv with Python $version ($(command -v "$python"))"
    rm -rf "$venv"
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$(command -v "$python")" "$venv" || fail "uv could not make the folder $venv: see the message above."
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no venv module: install it (Debian and Ubuntu: apt install python$version-venv), or put uv on the PATH."
        "$python" -m venv "$venv" || fail "$python could not make the folder $venv: see the message above."
    fi
}

# What .venv holds, and how to use it.
report() {
    case $device in cpu) kind="CPUs" ;; *) kind="NVIDIA GPUs" ;; esac
    echo "cisnake: $venv $1 (Python $(version_of "$venv/bin/python"), TensorFlow for $kind)."
    echo "cisnake: run \"make demo\", or \"source $venv/bin/activate\" and then snakemake."
}

wanted="location $PWD
device $device
lock $(cksum <"$lock")"

# What an extra adds stands in a stamp of its own, which goes when .venv is made anew.
extra_done() {
    [ -z "$extra" ] || [ "$(cat "$venv/cisnake-$extra.txt" 2>/dev/null || true)" = "$(cksum <"requirements/$extra.lock")" ]
}

if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ]; then
    fail "$venv is here but is no virtual environment: move it away, then try again."
fi
here=$(version_of "$venv/bin/python")
usable=yes
supported "$here" || usable=
if [ -n "${PYTHON:-}" ] && [ "$(version_of "$PYTHON")" != "$here" ]; then usable=; fi
if [ -n "$usable" ] && [ -f "$stamp" ]; then
    if [ "$(cat "$stamp")" = "$wanted" ] && extra_done; then
        [ -z "${REPORT:-}" ] || report "is up to date"
        exit 0
    fi
    [ "$(head -n 2 "$stamp")" = "$(echo "$wanted" | head -n 2)" ] || usable=
fi
if [ -n "$usable" ] && ! command -v uv >/dev/null && [ ! -x "$venv/bin/uv" ]; then
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || usable=
fi
[ -n "$usable" ] || make_venv

if command -v uv >/dev/null; then
    uv=uv
elif [ -x "$venv/bin/uv" ]; then
    uv=$venv/bin/uv
else
    uv=$venv/bin/uv
    PIP_USER=0 "$venv/bin/python" -m pip install --quiet --retries 2 --require-hashes -r requirements/uv.lock >"$log" 2>&1 ||
        fail "pip could not download uv, which installs the rest: is there a network, and does pip reach its index? (details: $log)"
fi
# An index that only pip was told of (a mirror behind a firewall) serves uv as well.
if [ "$uv" != uv ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    index=${PIP_INDEX_URL:-$("$venv/bin/python" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
fi

# Without compiled bytecode every job that imports TensorFlow would take 10 s to start instead of 4.
install() {
    echo "cisnake: installing $1 into $venv (up to $2 to download; later runs skip this)"
    if UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-300} "$uv" pip install --python "$venv/bin/python" --require-hashes \
        --compile-bytecode -r "$1" >"$log" 2>&1; then return; fi
    case $(cat "$log") in
    *"No space left"*) fail "the disk is full: free some space for $venv and for uv's cache (details: $log)." ;;
    *[Hh]"ash mismatch"*) fail "a downloaded package is not the one that $1 names: try again, then ask who runs your index (details: $log)." ;;
    *"Failed to fetch"* | *"error sending request"* | *"network was disabled"* | *"Network connectivity"* | *"Request failed"* | *"Failed to download"*)
        fail "the packages in $1 could not be downloaded: is there a network? (details: $log)" ;;
    *) fail "the packages in $1 could not be installed (details: $log)." ;;
    esac
}

if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
    rm -f "$stamp"
    case $device in cpu) size="0.6 GB" ;; *) size="4 GB" ;; esac
    install "$lock" "$size"
    echo "$wanted" >"$stamp"
fi
if ! extra_done; then
    install "requirements/$extra.lock" "0.15 GB"
    cksum <"requirements/$extra.lock" >"$venv/cisnake-$extra.txt"
fi
report "is ready"
