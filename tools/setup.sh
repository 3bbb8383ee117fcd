#!/bin/sh
# Install the packages of requirements/<device>.lock into .venv; do nothing if they are installed.
#
#   tools/setup.sh cpu|cuda [patterns|browser]   PYTHON=<interpreter> chooses the Python of a new .venv
#                                                REPORT=yes reports .venv even when there is nothing to do
#
# With `patterns` or `browser`, also install that lock file of requirements/, whose pins agree with those of the others.
#
# No compiler is needed: every locked package has a wheel for CPython 3.11 to 3.13 on Linux x86_64, except
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

# Print major.minor, or nothing if the interpreter cannot run (such as a pyenv shim of an inactive version).
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true; }

supported() { case $1 in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac; }

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        found=$(version_of "$PYTHON")
        [ -n "$found" ] || fail "PYTHON=$PYTHON cannot be run: set PYTHON to the path of a Python 3.11, 3.12 or 3.13."
        supported "$found" || fail "PYTHON=$PYTHON is Python $found, but Cisnake requires Python 3.11, 3.12 or 3.13."
        python=$PYTHON version=$found
        return
    fi
    for python in python3.13 python3.12 python3.11 python3 python; do
        version=$(version_of "$python")
        if supported "$version"; then return; fi
    done
    other=$(version_of python3)
    fail "no Python 3.11, 3.12 or 3.13 on the PATH${other:+ (python3 is $other)}: install one, or set PYTHON=/path/to/python."
}

# A .venv is tied to its folder, its Python and the device; if one of them changed, it is recreated.
make_venv() {
    choose_python
    echo "cisnake: creating $venv with Python $version ($(command -v "$python"))"
    rm -rf "$venv"
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$(command -v "$python")" "$venv" || fail "uv could not create $venv: see the message above."
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            fail "$python has no venv module: install it (Debian and Ubuntu: apt install python$version-venv), or put uv on the PATH."
        "$python" -m venv "$venv" || fail "$python could not create $venv: see the message above."
    fi
}

# Print what .venv contains and how to use it.
report() {
    case $device in cpu) kind="CPUs" ;; *) kind="NVIDIA GPUs" ;; esac
    echo "cisnake: $venv $1 (Python $(version_of "$venv/bin/python"), TensorFlow for $kind)."
    echo "cisnake: run \"make demo\", or \"source $venv/bin/activate\" and then snakemake."
}

wanted="location $PWD
device $device
lock $(cksum <"$lock")"

# An extra has a stamp file of its own, which disappears when .venv is recreated.
extra_done() {
    [ -z "$extra" ] || [ "$(cat "$venv/cisnake-$extra.txt" 2>/dev/null || true)" = "$(cksum <"requirements/$extra.lock")" ]
}

if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ]; then
    fail "$venv exists but is not a virtual environment: move it away and try again."
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
# Use an index that only pip is configured for (a mirror behind a firewall) for uv too.
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
    *[Hh]"ash mismatch"*) fail "the hash of a downloaded package differs from the one in $1: try again, then ask the maintainers of your package index (details: $log)." ;;
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
