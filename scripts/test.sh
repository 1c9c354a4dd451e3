#!/usr/bin/env bash
# Check style and types and run the tests; arguments go to pytest: test.sh -k book
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_environment requirements-dev.lock
cd "$root"
"$python" -m ruff check .
"$python" -m mypy common services client control benchmarks tests
exec "$python" -m pytest "$@"
