# Shared by the scripts: the checkout's own Python environment. Source it; needs bash.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
python="$root/.venv/bin/python"

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# The Python to use: PYTHON, else the first that is new enough. One that can make environments and
# compile comes first, and of those the system's: distributions build theirs with profile-guided
# optimization, which is worth a sixth of the throughput (docs/performance.md).
find_python() {
    local candidate wanted new='sys.version_info >= (3, 11)'
    local candidates=(/usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11)
    local whole="$new"' and find_spec("ensurepip") and isfile(get_path("include") + "/Python.h")'
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for wanted in "$whole" "$new"; do
        for candidate in "${candidates[@]}"; do
            if "$candidate" -c "import sys
from importlib.util import find_spec
from os.path import isfile
from sysconfig import get_path
sys.exit(not ($wanted))" 2>/dev/null; then
                echo "$candidate"
                return
            fi
        done
    done
    die "needs Python 3.11 or newer; found $("${PYTHON:-python3}" --version 2>&1 || true)." \
        "Install it, or name it: PYTHON=/path/to/python3 $0"
}

make_environment() {
    local lock=$1 base wanted stamp
    wanted=$(cat "$root/$lock" "$root/pyproject.toml" | sha256sum)
    stamp="$root/.venv/rtes-$lock.stamp"
    if [ -x "$root/.venv/bin/rtes" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        base=$(find_python) || exit 1
        say "Making .venv with $("$base" --version), $(command -v "$base") ..."
        "$base" -m venv --clear "$root/.venv" ||
            die "cannot make .venv. On Debian and Ubuntu: apt install python3-venv"
    fi
    say "Installing $(grep -c == "$root/$lock") packages from $lock (once; about a minute) ..."
    "$python" -m pip install --disable-pip-version-check -qq -r "$root/$lock" ||
        die "installing the packages failed; see above"
    # compiling takes longer than all else together: it has a script of its own, compile.sh
    RTES_COMPILE=0 "$python" -m pip install --disable-pip-version-check -qq \
        --no-build-isolation --no-deps \
        -e "$root" || die "installing rtes failed; see above"
    printf '%s\n' "$wanted" >"$stamp"
}

# ensure_environment LOCKFILE: .venv holds exactly what the lock says; quick when it already does.
ensure_environment() {
    [ "$(uname -s)" = Linux ] || die "RTES runs on Linux (elsewhere: in WSL or a container)"
    mkdir -p "$root/var/log"
    (flock 9 && make_environment "$1") 9>"$root/var/environment.lock"
}
