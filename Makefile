# Everything runs on this machine: no AWS account, no Docker.

# sam finds cargo-lambda, and the scripts find sam, on the PATH.
export PATH := $(CURDIR)/.tools/venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

PYTHON := .tools/venv/bin/python
# What sam calls the architecture of this machine.
ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
CARGO_MUTANTS := 27.1.0

.PHONY: help demo test lint package bench mutants tools clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## See it work: a local AWS, a fleet, the deployed template, a rule that fires
	cargo build
	$(PYTHON) scripts/demo.py

test: tools ## All tests: the core without AWS first, then everything, then the deployed whole
	cargo test --no-default-features
	cargo test
	cargo build
	$(PYTHON) -m pytest tests

lint: tools ## Formatting, clippy, docs, the SAM template
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps
	AWS_DEFAULT_REGION=us-east-1 sam validate --lint # it wants a region, any
	cfn-lint --include-checks I -- template.yaml

package: tools ## What sam deploy would upload, built for this machine's architecture
	sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	@cd .aws-sam/build/StopinatorFunction && python3 -m zipfile -c ../function.zip bootstrap
	@echo "Zipped: $$(du -k .aws-sam/build/function.zip | cut -f1) kB, $(ARCHITECTURE)"

bench: tools ## Start, time and memory of the release build; time of the plan, number of calls
	cargo build --release
	$(PYTHON) scripts/bench.py --binary target/release/stopinator-lambda
	cargo bench --no-default-features --bench plan
	cargo bench --no-default-features --bench calls

# Exit code 3 tells of a mutant that keeps the tests from ending, which is no miss, but hides that there are misses too.
mutants: .tools/cargo/mutants-$(CARGO_MUTANTS) ## Breaks the core on purpose: which faults do the tests miss? (long)
	.tools/cargo/bin/cargo-mutants mutants --no-default-features --output target \
		-f src/refusal.rs -f src/batch.rs -f src/pace.rs -f src/plan.rs -- --lib || test $$? -eq 3
	@test ! -s target/mutants.out/missed.txt

tools: .tools/venv/installed .tools/ministack/installed ## Install the pinned tools into .tools

.tools/venv/installed: scripts/requirements-dev.txt
.tools/ministack/installed: scripts/requirements-ministack.txt
.tools/%/installed: scripts/setup.py
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.10 or later." >&2; exit 1; }
	@python3 scripts/setup.py $(@D) $(filter %.txt,$^)
	@touch $@

.tools/cargo/mutants-%:
	cargo install --locked --root .tools/cargo cargo-mutants --version $*
	@touch $@

clean: ## Remove everything built and installed here
	rm -rf target .aws-sam .tools
