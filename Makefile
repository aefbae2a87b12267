# The front door: `make run` for the main job, `make test` for the tests. Both set up what they need.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OBJECTS := src/hauberk/sensor/objects
CLANG ?= clang
ARGS ?=

BPF_SOURCES := $(filter-out bpf/abi.bpf.c,$(wildcard bpf/*.bpf.c))
BPF_OBJECTS := $(patsubst bpf/%.bpf.c,$(OBJECTS)/%.bpf.o,$(BPF_SOURCES))
BPF_TESTS := $(patsubst bpf/tests/%.bpf.c,build/bpf-tests/%.bpf.o,$(wildcard bpf/tests/*.bpf.c))
BPF_HEADERS := $(wildcard bpf/*.h bpf/lib/*.h)
BPF_FLAGS := -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -std=gnu17 -target bpf -mcpu=v3 \
	-D__TARGET_ARCH_x86 -idirafter /usr/include/$(shell uname -m)-linux-gnu -Ibpf

.PHONY: manifests wheel run test check bpf abi proto bench clean system venv lock test-versions bpf-tests actors

run: venv bpf ## start the agent on this machine; ARGS="..." are passed on
	@$(BIN)/hauberk agent $(ARGS)

test: venv bpf bpf-tests actors ## every test tier that this machine can run, the virtual machines too
	@$(BIN)/python tools/test.py $(ARGS)

check: venv ## what needs no kernel: style, types, the dependency rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bpf: system $(BPF_OBJECTS) ## build the kernel programs

bpf-tests: system $(BPF_TESTS)

$(OBJECTS)/%.bpf.o: bpf/%.bpf.c $(BPF_HEADERS)
	@mkdir -p $(@D)
	@echo "  bpf  $(@F)"
	@$(CLANG) $(BPF_FLAGS) -c $< -o $@

build/bpf-tests/%.bpf.o: bpf/tests/%.bpf.c $(BPF_HEADERS)
	@mkdir -p $(@D)
	@$(CLANG) $(BPF_FLAGS) -c $< -o $@

build/abi.bpf.o: bpf/abi.bpf.c bpf/abi.h
	@mkdir -p $(@D)
	@$(CLANG) $(BPF_FLAGS) -c $< -o $@

abi: build/abi.bpf.o venv ## write abi.py from bpf/abi.h, constants.py from the kernel's headers
	$(BIN)/python tools/gen_abi.py build/abi.bpf.o src/hauberk/abi.py
	$(BIN)/python tools/gen_constants.py src/hauberk/constants.py

proto: venv ## write src/hauberk/*/*_pb2.py from proto/, and what the tests speak
	$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=src/hauberk --pyi_out=src/hauberk $(shell cd proto && echo */*.proto)
	$(BIN)/python -m grpc_tools.protoc -Itests/kernel/runtimes --python_out=tests/kernel/runtimes --pyi_out=tests/kernel/runtimes cri_calls.proto

manifests: venv ## write the CRDs, the chart and the plain manifests from their templates
	$(BIN)/python tools/gen_crds.py src/hauberk/manifests/crds.yaml
	$(BIN)/python tools/gen_chart.py deploy

wheel: venv bpf ## build the package, kernel programs included, into dist/
	@rm -rf dist
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

actors: system
	@$(MAKE) --no-print-directory -C tests/actors

bench: venv bpf actors ## the budgets, as ratios measured in one run
	@$(BIN)/python -m benchmarks $(ARGS)

system: build/system.stamp
build/system.stamp: tools/install_system.sh
	@bash tools/install_system.sh
	@mkdir -p build && touch $@

venv: $(VENV)/stamp
$(VENV)/stamp: pyproject.toml requirements.lock build/system.stamp
	@echo "  venv $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: venv ## write requirements.lock and tools/receivers.lock anew, with what is newest now
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header \
		--upgrade --quiet --output-file requirements.lock
	$(BIN)/python tools/receivers.py lock

test-versions: venv bpf ## the tests that need no kernel, with the oldest and the newest of each dependency
	@$(BIN)/python tools/versions.py

clean:
	rm -rf build $(OBJECTS) $(VENV) tests/actors/build
