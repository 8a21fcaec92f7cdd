# Everyday commands. `make demo` and `make test` need nothing but git, make and Python 3.11 to 3.14.

VENV := .venv
BIN := $(VENV)/bin

# The real servers that tests share; each of scripts/servers/ says what it needs. Airflow is started by its own test.
SERVERS := opensearch postgres s3 mlflow

.PHONY: setup demo test test-servers check chaos clients servers bench docs images deploy-check clean

setup: $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/tickloop demo $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest tests/unit tests/contract -n 2 -q
	$(BIN)/python -m pytest tests/integration $(wildcard tests/cluster) tests/conformance -n 2 --dist loadfile -q
	$(BIN)/python -m pytest tests/chaos tests/e2e -n 2 --dist loadfile -q

# The same beside real servers; here whatever is left out is a failure, as in CI.
test-servers: $(VENV)/.test
	TICKLOOP_TEST_REQUIRE_SERVERS=1 sh scripts/servers/with.sh $(SERVERS) -- $(MAKE) test

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Ten market hours under random faults and kills; ARGS="--hours 1 --runs 20" for many short ones.
chaos: $(VENV)/.test
	$(BIN)/python tests/chaos/run.py $(ARGS)

# Environments of other people's clients, for tests/conformance.
clients:
	@sh scripts/envs.sh ccxt pyupbit upbit-sdk

# What `make test-servers` asks for, into the cache folder; as root it gets Debian's PostgreSQL too.
servers: clients
	@for name in $(SERVERS) airflow; do sh scripts/servers/$$name.sh install || exit 1; done

bench: $(VENV)/.test
	$(BIN)/python -m bench $(ARGS)

# One bench, with its peers in environments of their own.
bench-%: $(VENV)/.test
	-@sh scripts/envs.sh pyupbit nautilus
	$(BIN)/python -m bench $*

# Peers of the back-test; one that cannot be installed is told as absent.
bench-backtest: $(VENV)/.test
	-@sh scripts/envs.sh hftbacktest vectorbt backtesting backtrader
	$(BIN)/python -m bench backtest

# The hourly path on real servers, which need minutes to be installed the first time.
bench-etl: $(VENV)/.test
	-@sh scripts/envs.sh etl2023
	sh scripts/servers/with.sh opensearch postgres s3 -- $(BIN)/python -m bench etl

# The container images, tagged by revision, with docker, podman or buildah; NAMES="app airflow" for some.
images:
	@bash deploy/images/build.sh $(NAMES)

# Every check of deploy, each with its seconds; ARGS="terraform scripts" for some.
deploy-check: $(VENV)/.test
	@bash deploy/check.sh $(ARGS)

docs: $(VENV)/.demo
	$(BIN)/python scripts/write_reference.py

$(VENV)/.demo: constraints.txt pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh $(VENV) demo

$(VENV)/.test: constraints.txt pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh $(VENV) cluster,demo,notebook,test

clean:
	rm -rf $(VENV) build dist src/tickloop.egg-info
