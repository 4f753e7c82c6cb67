#!/bin/sh
# Install the kit's wheel, built from this tree, with one of its extras into a virtual environment.
# Usage: sh dev/install.sh VENV EXTRA CONSTRAINTS [PYTHON]
set -u
venv=$1 extra=$2 constraints=$3 python=${4:-}
airflow=$(sed -n 's/^apache-airflow==//p' "$constraints" 2>/dev/null)
# Airflow 2 has never been made to run on a newer Python.
case $airflow in
    2.*) newest_first='3.12 3.11 3.10' accepted='Python 3.10, 3.11 or 3.12' ;;
    *) newest_first='3.13 3.12 3.11 3.10' accepted='Python 3.10, 3.11, 3.12 or 3.13' ;;
esac
log=build/install-$extra-$airflow.log

die() {
    printf '\n%s\n' "$@" >&2
    exit 1
}

# What there is, in words.
said() { if [ -n "$(version "$1")" ]; then echo "is Python $(version "$1")"; else echo "does not run"; fi; }

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

fits() { case " $newest_first " in *" $(version "$1") "*) return 0 ;; *) return 1 ;; esac; }

choose_python() {
    if [ -n "$python" ]; then
        fits "$python" && return
        die "$python $(said "$python"): Airflow $airflow takes $accepted." \
            "Choose another, for example: make demo PYTHON=python3.11"
    fi
    # Asked by running it: a name on the PATH may be a stub that only says which Python isn't there.
    for number in $newest_first 3; do
        python=python$number
        fits "$python" && return
    done
    die "No fitting Python here: Airflow $airflow takes $accepted; python3 $(said python3)." \
        "Install one of them and name it if it is not on the PATH, for example: make demo PYTHON=/opt/python3.11/bin/python3"
}

# Run a command, its output into the log; explain a failure in one line.
run() {
    "$@" >>"$log" 2>&1 && return
    if tail -n 60 "$log" | grep -qiE 'failed to (fetch|resolve|establish)|error sending request|dns error|name resolution|could not connect|connection (refused|reset|error|broken)|network is unreachable|timed out|max retries|certificate|proxy error|no matching distribution found for uv'; then
        die "The package index can't be reached. Check the network, or set HTTPS_PROXY, or PIP_INDEX_URL and UV_DEFAULT_INDEX for a mirror, and run make again." \
            "What was said: $log"
    fi
    tail -n 15 "$log" >&2
    die "Installing failed; the whole output: $log"
}

[ -f "$constraints" ] || die "There is no $constraints. AIRFLOW can be one of:" \
    "$(ls constraints | sed -n 's/^airflow-\(.*\)\.txt$/\1/p')"
mkdir -p build
: >"$log"

# The caches live in the home folder, if there is one to write to.
if [ -z "${UV_CACHE_DIR:-}${XDG_CACHE_HOME:-}" ] && ! { [ -n "${HOME:-}" ] && [ -w "$HOME" ]; }; then
    export UV_CACHE_DIR="$PWD/build/uv-cache" PIP_NO_CACHE_DIR=1
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never

if ! fits "$venv/bin/python" || { [ -n "$python" ] && [ "$(version "$venv/bin/python")" != "$(version "$python")" ]; }; then
    choose_python
    if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
        die "$venv is in the way and is not a virtual environment: move it away and run make again."
    fi
    echo "Making $venv with Python $(version "$python")"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        die "Python's venv module is missing. On Debian and Ubuntu: apt install python$(version "$python")-venv"
    rm -rf "$venv"
    run "$python" -m venv "$venv"
fi
[ -x "$venv/bin/uv" ] || run "$venv/bin/python" -m pip install --retries 2 -c "$constraints" uv

echo "Installing the kit with [$extra] and Airflow $airflow; a minute or two the first time"
rm -rf build/wheel
run "$venv/bin/uv" build --wheel --python "$venv/bin/python" --build-constraints "$constraints" --out-dir build/wheel .
set -- build/wheel/*.whl
# Where the cache is on another file system and cannot be linked to, the files are copied.
install() {
    "$venv/bin/uv" pip install --python "$venv/bin/python" -c "$constraints" --reinstall-package airflow-mapping-kit "$@"
}
install "$1[$extra]" >>"$log" 2>&1 || UV_LINK_MODE=copy run install "$1[$extra]"
