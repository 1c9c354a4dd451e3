#!/usr/bin/env bash
# Check style and types and run the tests; arguments go to pytest: test.sh -k book
# Without arguments the unit, property and hostile tests and 20 seeds of the
# simulation run a second time, on the compiled modules.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_environment requirements-dev.lock
cd "$root"
"$python" -m ruff check .
"$python" -m mypy common services client control benchmarks tests
if [ $# -gt 0 ]; then
    exec env RTES_COMPILE=0 "$python" -m pytest "$@"
fi
# most of a test's time is waiting for processes: two at a time, each file by one
RTES_COMPILE=0 "$python" -m pytest -n 2 --dist loadfile
if command -v "${CC:-cc}" >/dev/null; then
    scripts/compile.sh
    "$python" -m pytest -n 2 --dist loadfile tests/unit tests/property tests/hostile
    # by seeds: the tests of the defences replace methods, which compiled callers do not look up
    exec "$python" -m tests.simulation --seeds 20
fi
say "No C compiler: the compiled modules were not tested."
