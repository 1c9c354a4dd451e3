#!/usr/bin/env bash
# Compile the hot modules with mypyc into build/: the next start uses them. Needs a C compiler.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_environment requirements-dev.lock
cd "$root"
say "Compiling (about half a minute) ..."
RTES_COMPILE=1 "$python" setup.py -q build_ext --inplace
"$python" -c 'from rtes.common import compiled; print(compiled.status())'
