# Two commands for a newcomer: `make demo` shows the gateway at work, `make test` runs what CI runs.

# A toolchain that rustup installed counts even where the login shell did not put it on PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR
RELEASE := $(CARGO_TARGET_DIR)/release/scopegate
COMMIT := $(or $(shell git rev-parse --short HEAD 2>/dev/null),unknown)
PROFILE := $(if $(CI),ci,default)

.DEFAULT_GOAL := help
.PHONY: help deps test-deps demo build test fuzz fmt bench bench-load bench-side-effects soak deploy-check clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

deps: ## install what the build needs and this machine lacks (cmake, a C compiler)
	@.ci/need cmake:cmake cc:gcc,libc6-dev
	@command -v cargo >/dev/null || { echo "no Rust toolchain here: see https://rustup.rs (1.88 or newer)" >&2; exit 1; }

test-deps: deps
	@.ci/need curl:curl python3:python3 node:nodejs npm:npm chromium:chromium php:php-cli nginx:nginx-light
	@ruby -e 'require "rack/handler/webrick"' 2>/dev/null || .ci/need rack-is-missing:ruby,ruby-rack,ruby-webrick
	@.ci/need javac:default-jdk-headless haproxy:haproxy nginx:nginx-light
	@# Debian keeps the server's programs off PATH, each version in a folder of its own.
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || .ci/need postgres:postgresql
	@python3 -c 'import ensurepip, venv' 2>/dev/null || .ci/need python3-venv-is-missing:python3-venv
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

demo: build ## build, then run the gateway with a sample API and print curl lines to paste
	@$(RELEASE) demo

build: deps ## build the release binary
	SCOPEGATE_COMMIT=$(COMMIT) cargo build --release --locked

test: test-deps ## everything that CI runs: formatting, lints, tests, dependencies
	cargo fmt --check
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo clippy --all-targets --locked -- -D warnings
	@.ci/run-tests $(PROFILE)
	@.ci/check-dependencies

fuzz: deps ## search for input that breaks a parser's property (FUZZ_SECONDS=30 for each; needs nightly)
	@.ci/fuzz

fmt: ## format the code
	cargo fmt
	cargo fmt --manifest-path tests/fuzz/Cargo.toml

bench: deps ## micro-benchmarks (criterion)
	cargo bench --locked

bench-load: deps ## load comparison with peers (ROUNDS=5 SECONDS_PER_RUN=3): table and CSV under benches/results
	@.ci/need python3:python3 wrk:wrk haproxy:haproxy nginx:nginx-light taskset:util-linux || echo "going on without what is missing"
	SCOPEGATE_COMMIT=$(COMMIT) cargo build --release --locked --bin scopegate --example bare-pingora
	@python3 benches/load/rig.py --target $(CARGO_TARGET_DIR)

bench-side-effects: deps ## what cached requests feel of a flood of wrong secrets and of a million revoked tokens
	@.ci/need python3:python3 wrk:wrk nginx:nginx-light taskset:util-linux
	SCOPEGATE_COMMIT=$(COMMIT) cargo build --release --locked --bin scopegate
	@python3 benches/load/side_effects.py --target $(CARGO_TARGET_DIR)

# Debian's WebSocket library is Debian's Python's, which need not be the first one on PATH.
soak: deps ## ten minutes of good traffic, slow and rude clients and an operator at work: prints what held (SOAK_SECONDS=600)
	@.ci/need python3:python3 wrk:wrk nginx:nginx-light taskset:util-linux openssl:openssl h2load:nghttp2-client slowhttptest:slowhttptest
	@python3 -c 'import websockets' 2>/dev/null || /usr/bin/python3 -c 'import websockets' 2>/dev/null \
		|| .ci/need python3-websockets-is-missing:python3-websockets
	SCOPEGATE_COMMIT=$(COMMIT) cargo build --release --locked --bin scopegate
	@python3 -c 'import websockets' 2>/dev/null && python=python3 || python=/usr/bin/python3; \
		exec $$python benches/load/soak.py --target $(CARGO_TARGET_DIR)

deploy-check: ## check the unit, the alert rules and the Dockerfile as far as this machine allows
	@.ci/check-deploy

clean: ## remove build output
	cargo clean
