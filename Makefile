.PHONY: start stop compile test coverage check sim lock

start:  ## start the exchange with bots
	scripts/start.sh

stop:  ## stop it
	scripts/stop.sh

compile:  ## make the hot modules faster; needs a C compiler, half a minute
	scripts/compile.sh

test:  ## style, types, all tests
	scripts/test.sh

coverage:  ## the tests under coverage, with branches; slow
	.venv/bin/python -m pytest --cov --cov-report=term --timeout=600

check:  ## style and types only
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy common services client control benchmarks tests

# setuptools is locked because the checkout is installed without build isolation
UV_COMPILE = echo "setuptools>=77" | uv pip compile --universal --python-version 3.11 --no-header \
	--no-annotate --quiet pyproject.toml -

lock:  ## pin what pyproject.toml asks for; needs uv
	$(UV_COMPILE) -o requirements.lock
	$(UV_COMPILE) -c requirements.lock --extra dev -o requirements-dev.lock

SEED ?= 0
sim:  ## one seed of the simulation, its last events when it fails: make sim SEED=17
	.venv/bin/python -m tests.simulation --seeds 1 --start $(SEED)
