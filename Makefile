# The commands of this repository. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# One profile for running, testing and measuring: every other one would compile gRPC's C++ core once more.
PROFILE := --release --locked
# Arguments for run, server, client and analysis: make run ARGS="--listen 127.0.0.1:9000"
ARGS ?=
# Where make run and make analysis keep what they have seen.
DATA ?= .data

# Tests that start programs, brokers and browsers: one at a time. Each is a [[test]] of Cargo.toml.
SYSTEM_TESTS ?= kafka system storm page
# Every other [[test]], read from Cargo.toml so that none is forgotten.
OTHER_TESTS = $(filter-out $(SYSTEM_TESTS),$(shell awk '/^\[/ {test = ($$0 == "[[test]]")} test && $$1 == "name" {gsub(/"/, "", $$3); print $$3}' Cargo.toml))

# The recipes are command lines, not files.
.PHONY: help run server client analysis kafka kafka-stop gen_code setup build lint test check bench dist dist-test clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

run: build ## watch this machine: everything in one program, page on http://localhost:8003
	$(TARGET)/release/monitor --data $(DATA)/monitor $(ARGS)

server: build ## the server alone, on port 50051; it needs a broker: make kafka
	@bin/kafka.sh status >/dev/null || echo "No broker was started from here: if none answers on localhost:9094, start one with: make kafka"
	$(TARGET)/release/monitor-server $(ARGS)

client: build ## the client alone: sends this machine's metrics to the server on localhost:50051
	$(TARGET)/release/monitor-client $(ARGS)

analysis: build ## the analysis alone: reads the broker, page on http://localhost:8003
	@bin/kafka.sh status >/dev/null || echo "No broker was started from here: if none answers on localhost:9094, start one with: make kafka"
	$(TARGET)/release/monitor-analysis --data $(DATA)/analysis $(ARGS)

kafka: ## start a Kafka broker on localhost:9094, by docker compose if an engine answers, else in Java
	@bin/kafka.sh start

kafka-stop: ## stop that broker; its data stays
	@bin/kafka.sh stop

setup: ## install what building, linting and testing need and is missing
	@bin/setup.sh build lint test

build: ## build the programs
	@bin/setup.sh build
	$(first-build)
	$(CARGO) build $(PROFILE)

gen_code: ## generate the code of proto/ anew and check that the service matches its description
	@bin/setup.sh build
	$(first-build)
	touch build.rs proto/*.proto
	$(CARGO) build $(PROFILE)
	$(CARGO) test $(PROFILE) --lib generated_code_matches_descriptor | tee $(TARGET)/gen_code.log
	@grep -qE ' [1-9][0-9]* passed' $(TARGET)/gen_code.log || { echo "the test generated_code_matches_descriptor did not run" >&2; exit 1; }

lint: ## formatting, clippy, documentation, the rules of the rooms, shell scripts
	@bin/setup.sh lint
	$(first-build)
	$(CARGO) fmt --check
	shellcheck --external-sources bin/*.sh bin/kafka/*.sh .ci/run
	$(CARGO) clippy $(PROFILE) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(PROFILE) --no-deps --document-private-items
	$(CARGO) test $(PROFILE) --test tidy

test: ## every test, on a real broker and in a real browser
	@bin/setup.sh test
	$(first-build)
	$(CARGO) test $(PROFILE) --no-run
	$(CARGO) test $(PROFILE) --lib --bins $(addprefix --test ,$(OTHER_TESTS))
	$(CARGO) test $(PROFILE) --doc
	$(if $(strip $(SYSTEM_TESTS)),$(CARGO) test $(PROFILE) $(addprefix --test ,$(SYSTEM_TESTS)) -- --test-threads=1)

check: ## lint, then test
	@$(MAKE) lint
	@$(MAKE) test

bench: ## measure, and print the tables of the README
	@bin/setup.sh bench
	$(first-build)
	$(CARGO) bench --locked $(ARGS)

dist: ## static programs for x86_64 and aarch64 in target/dist; ARGS=x86_64 for one of them
	@bin/setup.sh dist
	bin/dist.sh $(ARGS)

dist-test: ## run the static programs
	@bin/setup.sh dist
	bin/dist-test.sh

clean: ## stop the broker, remove everything that was built, fetched or stored here
	@bin/kafka.sh stop --dir $(TARGET)/kafka/data
	$(CARGO) clean
	rm -rf static/node_modules lib/tests/page/node_modules

# Minutes without a word look like a hang, so say what is coming.
define first-build
@compgen -G "$(TARGET)/release/.fingerprint/grpcio-sys-*" >/dev/null || \
	echo "The first build compiles gRPC's C++ core: 5 to 12 minutes on two cores, once. cargo shows the progress."
endef
