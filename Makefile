# `make demo` and `make test` are the two commands of a fresh machine; each sets up what it needs, once.
.DEFAULT_GOAL := help
PY := .venv/bin/python
TESTS ?= tests
# One more than the cores of a small machine: many tests wait for a process, a deadline or a disk.
JOBS ?= 3
KINDS ?=
# .venv holds the newest cryptography; these are the oldest supported one and the first that needs no pyOpenSSL in Yocto LTS.
CRYPTOGRAPHY ?= 42 46
BUNDLE_CONFORMANCE = tests/conformance/test_rauc_bundles.py tests/conformance/test_rauc_crypt.py \
	tests/conformance/test_chain_matrix.py tests/conformance/test_cms_matrix.py
BUNDLE_TESTS = tests/unit/agent/bundle tests/unit/agent/bundler $(BUNDLE_CONFORMANCE) \
	--ignore-glob=*/test_squashfs*.py --ignore-glob=*/test_compression*.py
# What a Python is asked by default: all of the agent, without what starts devices or only uses Python as a tool.
PYTHON_TESTS = tests/unit tests/integration tests/parity $(BUNDLE_CONFORMANCE)
PYTHON ?=
RELEASE ?=
FUZZ_SECONDS ?= 900
FUZZ_SEED ?= 1
FUZZ_ENGINE ?= atheris
CRASH_STATES ?= 12000
CRASH_SECONDS ?= 285
CRASH_SEED ?= 1
FLEET ?=
MINUTES ?= 60
TORTURE_SEED ?= 1
TORTURE ?=
# Tests and measurements use loop devices, namespaces and other users.
AS_ROOT := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help setup demo test test-cryptography test-python test-hawkbit test-boot test-dbus-calls test-layer lint format bench crash torture fleet fuzz fuzz-one docs clean

help:  ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 24

setup:  ## Debian packages (when allowed to install them) and .venv; quick when nothing is missing
	@tools/bootstrap

demo: setup  ## five acts: update, rollback, forgery, power cut, bad network; no root, no hardware
	@.venv/bin/ota-agent demo --dir build/demo

test: setup  ## every test; nothing is skipped
	@$(AS_ROOT) $(PY) -m pytest -q -n $(JOBS) --dist worksteal $(TESTS)
	@[ "$(TESTS)" != tests ] || $(MAKE) -s test-cryptography

test-cryptography: setup  ## the tests of bundles with the oldest supported cryptography, and with one between
	@for version in $(CRYPTOGRAPHY); do $(AS_ROOT) tools/with-cryptography $$version $(BUNDLE_TESTS) || exit 1; done

test-python:  ## with another Python: PYTHON=/path/to/python3.14, RELEASE=wrynose for a release's libraries (docs/testing-pythons.md)
	@[ -n "$(PYTHON)" ] || { echo "test-python: PYTHON=/path/to/python3 is missing, see docs/testing-pythons.md"; exit 1; }
	@env -u PYTHON tools/bootstrap  # which would take it for .venv
	@$(AS_ROOT) env PYTHON="$(PYTHON)" RELEASE="$(RELEASE)" tools/with-python $(if $(filter tests,$(TESTS)),$(PYTHON_TESTS),$(TESTS))

test-hawkbit: setup  ## the promises of tests/hawkbit asked of hawkBit, old and new, and goosebit (docs/testing-hawkbit.md)
	@$(AS_ROOT) $(PY) -m tools.hawkbit_servers

test-boot: setup  ## every scenario on real bootloaders in virtual machines: docs/testing-boots.md; KINDS="uboot-fat ..." for some
	@$(AS_ROOT) env OTA_BOOT=all $(if $(KINDS),OTA_BOOT_KINDS="$(KINDS)") $(PY) -m pytest -q -n 2 --dist loadscope \
		$(if $(filter tests,$(TESTS)),tests/boot,$(TESTS))

test-dbus-calls: setup  ## 100,000 calls over D-Bus leak less than 1 MiB; make test makes some thousands
	@$(AS_ROOT) env OTA_DBUS_CALLS=100000 $(PY) -m pytest -q tests/integration/test_dbus_process.py -k leak

test-layer: setup  ## recipes, disk and bundle by OpenEmbedded's own classes, then booted: OE_ROOT=... (docs/yocto-validation.md)
	@[ -n "$(OE_ROOT)" ] || { echo "test-layer: OE_ROOT=DIRECTORY is missing, see docs/yocto-validation.md"; exit 1; }
	@$(AS_ROOT) env OE_ROOT="$(OE_ROOT)" $(PY) -m pytest -q tests/layer/builds

lint: setup  ## ruff, mypy --strict, import contracts, generated documents
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@$(PY) tools/gen_docs.py --check

format: setup  ## let ruff format and sort imports
	@.venv/bin/ruff check -q --fix . || true
	@.venv/bin/ruff format -q .

bench: setup  ## idle memory, and installation beside rauc: ratios measured in one run
	@$(AS_ROOT) $(PY) -m tools.bench

crash: setup  ## the power fails at every moment of recorded updates, and once more while the device recovers: docs/crash.md
	@PYTHONPATH=tests $(PY) -m crash --states $(CRASH_STATES) --seconds $(CRASH_SECONDS) --seed $(CRASH_SEED)

torture: setup  ## the power of a whole device fails for MINUTES (60), in virtual machines and in recordings of them: docs/torture.md
	@$(AS_ROOT) env PYTHONPATH=tests $(PY) -m torture --minutes $(MINUTES) --seed $(TORTURE_SEED) $(TORTURE)

fleet: setup  ## 200 simulated devices in staged rollouts, and kills at every moment: docs/fleet.md; SERVER=http://... is asked
	@$(AS_ROOT) env PYTHONPATH=tests $(PY) -m fleet $(if $(SERVER),--server $(SERVER)) $(FLEET)

fuzz: setup  ## every parser against hostile input for FUZZ_SECONDS (900): docs/fuzzing.md
	@PYTHONPATH=tests $(PY) -m fuzz all --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --engine $(FUZZ_ENGINE)

fuzz-one: setup  ## one input again: TARGET=cms INPUT=build/fuzz/cms/finding-...
	@PYTHONPATH=tests $(PY) -m fuzz $(TARGET) $(INPUT)

docs: setup  ## regenerate the documents that come from tables in the code
	@$(PY) tools/gen_docs.py

clean:  ## remove everything that was generated
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
