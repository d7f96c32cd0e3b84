# Everything runs on this machine: no AWS account, no Docker.

# sam finds cargo-lambda, and the scripts find sam, on the PATH.
export PATH := $(CURDIR)/.tools/venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

PYTHON := .tools/venv/bin/python
# What sam calls the architecture of this machine.
ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
CARGO_MUTANTS := 27.1.0
CARGO_FUZZ := 0.13.2
CARGO_DENY := 0.20.2
FUZZ_SECONDS := 600

.PHONY: help demo test lint audit package function wheel release bench bench-cli bench-accounts mutants fuzz aws-facts tools clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: tools ## See it work: a local AWS, a fleet, the deployed template, a rule that fires
	cargo build --features cli --bin stopinator
	cargo build
	$(PYTHON) scripts/demo.py

test: tools ## All tests: the core without AWS first, then everything, then the deployed whole
	cargo test --no-default-features --features check
	cargo test --features cli
	cargo build
	$(PYTHON) -m pytest tests

# What checkov reads: the template by its defaults, and with every condition true. It does not see behind !If itself.
define AS_DEPLOYED
import json
from expand import expand, resolve
template = expand()
always = dict.fromkeys(template["Conditions"], {"Fn::Equals": [0, 0]})
for name, conditions in ("defaults", template["Conditions"]), ("everything", always):
    with open(f"target/template-{name}.json", "w") as file:
        json.dump(resolve({**template, "Conditions": conditions}), file, indent=2)
endef
export AS_DEPLOYED

lint: tools .tools/checkov/installed ## Formatting, clippy, docs, the SAM template and its security
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --all-targets --features cli -- -D warnings
	cargo clippy --all-targets --no-default-features -- -D warnings
	cargo clippy --all-targets --no-default-features --features check -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --features cli
	AWS_DEFAULT_REGION=us-east-1 sam validate --lint # it wants a region, any
	cfn-lint --include-checks I -- template.yaml
	@mkdir -p target
	@PYTHONPATH=scripts $(PYTHON) -c "$$AS_DEPLOYED"
	CKV_SKIP_PACKAGE_UPDATE_CHECK=true CKV_PARSE_ERROR_FAIL=true .tools/checkov/bin/checkov --config-file .checkov.yaml \
		--file target/template-defaults.json target/template-everything.json

audit: .tools/cargo/deny-$(CARGO_DENY) ## The dependencies: known vulnerabilities, licences, sources, a second TLS stack
	.tools/cargo/bin/cargo-deny --locked check

package: function wheel ## What is given to others: the function's package, and the command line

function: tools ## What sam deploy would upload, built for this machine's architecture
	sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	@cd .aws-sam/build/StopinatorFunction && python3 -m zipfile -c ../function.zip bootstrap
	@echo "Zipped: $$(du -k .aws-sam/build/function.zip | cut -f1) kB, $(ARCHITECTURE)"

# On Linux for glibc 2.17 and later, which every distribution has had for ten years: zig links against it.
WHEEL_FLAGS := $(if $(filter Linux,$(shell uname -s)),--zig --compatibility manylinux2014)

wheel: tools ## The command line as a Python package, tried in a fresh environment
	@rm -f target/wheels/*.whl
	VIRTUAL_ENV=$(CURDIR)/.tools/venv maturin build --release $(WHEEL_FLAGS) --out target/wheels
	$(PYTHON) -m pytest tests/wheel_test.py

release: package ## The files of a release: package, templates without macros, command line, SBOM, checksums
	$(PYTHON) scripts/release.py --binary .aws-sam/build/StopinatorFunction/bootstrap --wheel target/wheels/*.whl

bench: tools ## Start, time and memory of the release builds, number of calls; writes docs/figures.md
	cargo build --release
	@mkdir -p target/figures
	$(PYTHON) scripts/bench.py --binary target/release/stopinator-lambda --figures target/figures/function.json
	cargo bench --no-default-features --bench plan > target/figures/plan.json
	cargo bench --no-default-features --bench tick > target/figures/tick.json
	cargo bench --no-default-features --bench calls > target/figures/calls.json
	$(PYTHON) scripts/figures.py

bench-cli: wheel ## Time and memory of the command line, as the wheel has it; writes docs/figures.md
	@mkdir -p target/figures
	$(PYTHON) scripts/bench_cli.py --figures target/figures/command-line.json
	$(PYTHON) scripts/figures.py

bench-accounts: tools ## A hub of 500 accounts: time, calls, connections, memory, sick accounts; writes docs/figures.md
	cargo build --release
	@mkdir -p target/figures
	$(PYTHON) scripts/bench_accounts.py --binary target/release/stopinator-lambda --figures target/figures/accounts.json
	$(PYTHON) scripts/figures.py

# Exit code 3 tells of a mutant that keeps the tests from ending, which is no miss, but hides that there are misses too.
mutants: .tools/cargo/mutants-$(CARGO_MUTANTS) ## Breaks the core on purpose: which faults do the tests miss? (long)
	.tools/cargo/bin/cargo-mutants mutants --no-default-features --output target \
		-f 'src/ec2/**/*.rs' -f 'src/rds/*.rs' -f 'src/plan/*.rs' -f src/report/verdict.rs -f 'src/schedule/*.rs' -f src/zone.rs -f src/meant.rs \
		-- --lib || test $$? -eq 3
	@test ! -s target/mutants.out/missed.txt

fuzz: .tools/cargo/fuzz-$(CARGO_FUZZ) ## Any tag at any instant, any answer of EC2, ten minutes each; needs a nightly toolchain
	@cargo +nightly --version >/dev/null 2>&1 || { echo "A nightly compiler is missing: rustup toolchain install nightly" >&2; exit 1; }
	@mkdir -p fuzz/corpus/tag fuzz/corpus/trim
	PATH="$(CURDIR)/.tools/cargo/bin:$$PATH" cargo +nightly fuzz run tag --target-dir target/fuzz -- \
		-max_total_time=$(FUZZ_SECONDS) -timeout=5 -max_len=400 -dict=fuzz/tag.dict -print_final_stats=1
	PATH="$(CURDIR)/.tools/cargo/bin:$$PATH" cargo +nightly fuzz run trim --target-dir target/fuzz -- \
		-max_total_time=$(FUZZ_SECONDS) -timeout=5 -max_len=4000 -dict=fuzz/trim.dict -print_final_stats=1

aws-facts: tools ## Opt-in, on a real account: records what EC2 tells of stops and starts (it asks first)
	$(PYTHON) scripts/aws_facts.py

tools: .tools/venv/installed .tools/ministack/installed .tools/iam/installed ## Install the pinned tools into .tools

.tools/venv/installed: scripts/requirements-dev.txt
.tools/ministack/installed: scripts/requirements-ministack.txt
.tools/checkov/installed: scripts/requirements-checkov.txt
.tools/iam/installed: tests/iam/package-lock.json .tools/venv/installed
.tools/%/installed: scripts/setup.py
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.10 or later." >&2; exit 1; }
	@python3 scripts/setup.py $(@D) $(filter %.txt %.json,$^)
	@touch $@

.tools/cargo/%:
	cargo install --locked --root .tools/cargo cargo-$(subst -, --version ,$*)
	@touch $@

clean: ## Remove everything built and installed here
	rm -rf target .aws-sam .tools
