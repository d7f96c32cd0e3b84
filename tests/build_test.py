"""What is compiled, and how often: the crates below the EC2 SDK, as cargo would build them.

    .tools/venv/bin/python -m pytest tests/build_test.py

A feature more on one crate below the SDK compiles it, and the SDK, once more: minutes, and gigabytes.
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SDK = "aws-sdk-ec2"


def crates_below(crate, *arguments):
    """Each crate that `crate` is built from, itself among them, with the features that it is built with."""
    tree = ["cargo", "tree", "--locked", "--no-dedupe", "--prefix", "depth", "--format", " {p} [{f}]", *arguments]
    lines = subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    below, inside = set(), None
    for line in lines:
        depth, _, rest = line.partition(" ")
        if inside is not None and int(depth) <= inside:
            inside = None
        if inside is None and rest.startswith(f"{crate} "):
            inside = int(depth)
        if inside is not None:
            below.add(rest)
    return below


@pytest.mark.parametrize("features", [["--features", "cli"], ["--all-features"]])
@pytest.mark.parametrize("edges", ["normal,build", "normal,build,dev"])
def test_the_command_line_compiles_no_second_sdk(features, edges):
    function = crates_below(SDK, "--edges", "normal,build")
    assert len(function) > 50, function
    assert crates_below(SDK, *features, "--edges", edges) == function


def test_the_core_is_built_without_the_sdk():
    tree = ["cargo", "tree", "--locked", "--no-default-features", "--edges", "normal,build,dev", "--prefix", "none"]
    crates = subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "jiff" in crates
    for name in "aws-", "tokio", "hyper", "rustls", "lambda_runtime":
        assert not any(line.startswith(name) for line in crates.splitlines()), name


def test_the_command_line_brings_no_second_tls_stack():
    tree = ["cargo", "tree", "--locked", "--all-features", "--edges", "normal,build", "--prefix", "none"]
    lines = subprocess.run(tree, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    crates = {line.removesuffix(" (*)") for line in lines}
    versions = {name: {crate for crate in crates if crate.startswith(f"{name} v")} for name in ("hyper", "rustls", "h2")}
    assert all(len(found) == 1 for found in versions.values()), versions
    assert not any(crate.startswith(("ring v", "native-tls v", "openssl v", "openssl-sys v")) for crate in crates)


COMMAND_LINE = "clap", "anstream", "csv", "indicatif", "minijinja", "terminal_size", "unicode-width", "aws-sdk-sso"


def test_the_function_gains_nothing_by_the_command_line():
    tree = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]
    crates = {
        features: {line.split()[0] for line in run([*tree, *features]).splitlines() if line}
        for features in [(), ("--no-default-features", "--features", "cli")]
    }
    function, command_line = crates.values()
    assert not function & set(COMMAND_LINE) and command_line.issuperset(COMMAND_LINE)
    assert not command_line & {"lambda_runtime", "lambda_runtime_api_client"}


def test_no_symbol_of_the_command_line_is_in_the_function():
    """Of the development builds, which have their symbols: `cargo test --features cli`, then `cargo build`."""
    programs = [(ROOT / "target" / "debug" / name).read_bytes() for name in ("stopinator-lambda", "stopinator")]
    for crate in b"clap_builder", b"anstream", b"csv_core", b"indicatif", b"minijinja":
        assert [crate in program for program in programs] == [False, True], crate
    assert [b"lambda_runtime" in program for program in programs][0]


def run(command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
