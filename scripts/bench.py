"""Times the release binary against the same job in Python, and checks the project's bars.

    .tools/venv/bin/python scripts/bench.py --binary target/release/stopinator-lambda

Both run under one Runtime API (runtime_api.py) against one EC2 (ec2_standin.py), over plain HTTP
on this machine, in turns, several rounds; the table holds medians. Needs Linux: memory is read
from /proc. Several binaries are compared with --binary small=path --binary fast=path; the
first one's bars are checked. With --figures FILE the first one's figures are written, for docs/figures.md.
"""

import argparse
import collections
import datetime
import io
import json
import os
import platform
import statistics
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

from ec2_standin import DUE, Ec2Standin
from runtime_api import Function

PYTHON = "Python"
RIVAL = [sys.executable, "-m", "awslambdaric", "bench_function.handler"]
MEASURES = {  # name -> (unit, how much that is in seconds or bytes, format)
    "start": ("ms", 1e-3, ".1f"),
    "cold": ("ms", 1e-3, ".1f"),
    "cpu": ("ms", 1e-3, ".1f"),
    "memory": ("MB", 1e6, ".1f"),
    "zip": ("MB", 1e6, ".2f"),
}


def main() -> int:
    arguments = parse_arguments()
    binaries = dict(arguments.binary)
    programs = {label: [path] for label, path in binaries.items()} | {PYTHON: RIVAL}
    samples = collections.defaultdict(list)  # (measure, size, label) -> values
    for size in arguments.sizes:
        # A fleet of 50,000 costs Python more than half a minute of CPU: once is enough there.
        rounds = arguments.rounds if size < 10_000 else min(arguments.rounds, 3) if size < 50_000 else 1
        with Ec2Standin(size) as ec2:
            for number in range(1, rounds + 1):
                for label, command in programs.items():
                    print(f"{size:,} instances, round {number} of {rounds}: {label}", file=sys.stderr)
                    invocations = 1 if size >= 50_000 and label == PYTHON else 4
                    for measure, value in run(command, ec2, invocations).items():
                        samples[measure, size, label].append(value)
    medians = {key: statistics.median(values) for key, values in samples.items()}
    for label, path in binaries.items():
        medians["zip", None, label] = zipped_size(path)
    print_table(medians, list(programs), arguments)
    if arguments.figures:
        arguments.figures.write_text(json.dumps(figures(medians, list(programs), arguments)))
    return check_bars(medians, list(binaries)[0], arguments.sizes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", action="append", required=True, type=labelled, metavar="[LABEL=]PATH")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(size) for size in text.split(",")],
        default=[10, 1_000, 10_000, 50_000],
        help=f"fleets to run against, {DUE} instances or more each",
    )
    parser.add_argument("--figures", type=Path, help="write them here, as JSON")
    arguments = parser.parse_args()
    if len(dict(arguments.binary)) < len(arguments.binary):
        parser.error("several binaries need a label each")
    return arguments


def labelled(text: str) -> tuple[str, str]:
    label, _, path = text.rpartition("=")
    return label or "Stopinator", os.path.abspath(path)


def run(command: list, ec2: Ec2Standin, invocations: int) -> dict:
    """One process, its measures. A program that did not do the job ends the benchmark."""
    ec2.stopped.clear()
    env = {
        "AWS_ENDPOINT_URL": ec2.endpoint,
        "STOPINATOR_VERIFY_SECONDS": "0",  # the rival does not look again either
        "PYTHONPATH": str(Path(__file__).parent),
    }
    with Function(command, env) as function:
        results = [function.invoke(scheduled_event()) for _ in range(invocations)]
        memory = peak_memory(function.pid)
        for result in results:
            if not result.ok:
                raise SystemExit(f"{command}: {result.error_type}: {result.error_message}")
        if [set(ids) for ids in ec2.stopped] != [ec2.due] * invocations:
            raise SystemExit(f"{command} did not stop exactly the {DUE} due instances: {ec2.stopped}")
    return {
        "start": function.start_seconds(),
        "cold": results[0].received - function.spawned,
        "cpu": (function.usage.ru_utime + function.usage.ru_stime) / invocations,
        "memory": memory,
    }


def scheduled_event() -> dict:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "version": "0",
        "id": "89d1a02d-5ec7-412e-82f5-13505f849b41",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "ap-northeast-2",
        "resources": ["arn:aws:events:ap-northeast-2:123456789012:rule/stopinator"],
        "detail": {},
    }


def peak_memory(pid: int) -> int:
    """VmHWM, in bytes. Not ru_maxrss: a child's starts from what its parent had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024


def zipped_size(path: str) -> int:
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(path, "bootstrap")
    return len(package.getvalue())


def figures(medians: dict, labels: list, arguments: argparse.Namespace) -> dict:
    """The first program's and Python's, with what they were measured on."""
    return {
        "machine": f"{platform.system()} {platform.machine()} with {os.cpu_count()} cores",
        "versions": {
            "Python": platform.python_version(), "boto3": version("boto3"), "awslambdaric": version("awslambdaric")
        },
        "due": DUE,
        "rows": [
            [title, measure, medians.get((measure, size, labels[0])), medians.get((measure, size, PYTHON))]
            for title, measure, size in rows(arguments)
        ],
    }


def rows(arguments: argparse.Namespace) -> list:
    """What is shown: title, measure and size of the fleet."""
    smallest = min(arguments.sizes)
    return [
        ("start to first `/next`", "start", smallest),
        (f"whole cold invocation, {smallest:,} instances", "cold", smallest),
        *((f"CPU an invocation, {size:,} instances", "cpu", size) for size in arguments.sizes),
        *((f"peak memory, {size:,} instances", "memory", size) for size in arguments.sizes),
        ("zipped package", "zip", None),
    ]


def print_table(medians: dict, labels: list, arguments: argparse.Namespace) -> None:
    print(f"| | {' | '.join(labels)} | {labels[0]} to Python |")
    print(f"|---|{'---|' * (len(labels) + 1)}")
    for title, measure, size in rows(arguments):
        values = [medians.get((measure, size, label)) for label in labels]
        ratio = f"1/{values[-1] / values[0]:.1f}" if values[-1] else ""
        print(f"| {title} | {' | '.join(show(measure, value) for value in values)} | {ratio} |")
    print(
        f"\nMedians of up to {arguments.rounds} rounds. CPU: user and system, of a process that serves 4 invocations"
        f" (Python at 50,000: 1), its start included, divided by them. {DUE} instances due, the others opted out.\n"
        f"{machine()}; Python {platform.python_version()}, boto3 {version('boto3')},"
        f" awslambdaric {version('awslambdaric')}\n"
    )


def show(measure: str, value: float | None) -> str:
    unit, factor, format_spec = MEASURES[measure]
    return "" if value is None else f"{value / factor:{format_spec}} {unit}"


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores ({(models or ['unknown'])[0]})"


def check_bars(medians: dict, label: str, sizes: list) -> int:
    """Prints one line for each bar that was measured; 1 if one is missed."""

    def times_less(measure, size):
        return medians[measure, size, PYTHON] / medians[measure, size, label]

    bars = [(f"start to first /next, Python's / {label}'s", times_less("start", min(sizes)), ">=", 45)]
    for size in (size for size in (1_000, 10_000) if size in sizes):
        bars.append((f"CPU at {size:,}, Python's / {label}'s", times_less("cpu", size), ">=", 14))
    for size, limit in {10_000: 26, 50_000: 60}.items():
        if size in sizes:
            bars.append((f"peak memory at {size:,}, MB", medians["memory", size, label] / 1e6, "<=", limit))
    bars.append(("zipped package, MB", medians["zip", None, label] / 1e6, "<=", 4.15))
    missed = 0
    for title, value, relation, limit in bars:
        passed = value >= limit if relation == ">=" else value <= limit
        missed += not passed
        print(f"{'PASS' if passed else 'MISS'}  {title}: {value:.1f} (bar: {relation} {limit})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
