"""Measures the command line as `make wheel` builds it: check, and plan and week of a large fleet.

    make bench-cli

Each bar is checked; what misses it ends in an error. With --figures FILE the table is written, for docs/figures.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from ec2_standin import Ec2Standin

ROOT = Path(__file__).resolve().parent.parent
FLEET = 10_000


def program(folder):
    [wheel] = (ROOT / "target" / "wheels").glob("stopinator-*.whl")
    with zipfile.ZipFile(wheel) as package:
        [name] = [name for name in package.namelist() if name.endswith("/scripts/stopinator")]
        path = Path(folder, "stopinator")
        path.write_bytes(package.read(name))
    path.chmod(0o755)
    return path


def run(command, environment=None, text=""):
    """Seconds until the first byte, seconds in all, megabytes: no more than these, since a child counts what its parent had."""
    began = time.monotonic()
    process = subprocess.Popen(command, env=environment or {}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if text:
        process.stdin.write(text)
    process.stdin.close()
    process.stdout.read(1)
    first = time.monotonic() - began
    process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        sys.exit(f"{command} failed")
    return first, time.monotonic() - began, used.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, help="write them here, as JSON")
    arguments = parser.parse_args()
    missed, rows = [], []

    def bar(what, is_, should):
        print(f"| {what} | {is_} | {should[0]} |")
        rows.append([what, is_, should[0]])
        if not should[1]:
            missed.append(what)

    print("| | measured | bar |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = program(folder)
        values = "".join(f"weekdays {n % 12:02}:{n % 60:02}-18:00 Europe/Berlin\nweekday 8-18h\n" for n in range(5_000))
        _, took, _ = min(run([path, "check", "-"], text=values) for _ in range(5))
        bar("check, 10,000 lines, half of them wrong", f"{took:.2f} s", ("0.5 s", took < 0.5))
        with Ec2Standin(FLEET, other="weekdays 08:00-18:00 Europe/Berlin except 12-24..01-01") as ec2:
            environment = {
                "AWS_ENDPOINT_URL": ec2.endpoint, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key",
                "AWS_SECRET_ACCESS_KEY": "secret", "HOME": folder,
            }
            run([path, "plan"], environment)
            for command in ["plan", "--all"], ["week"], ["week", "--html", os.path.join(folder, "week.html")], ["plan", "-o", "json"]:
                ec2.last_page = ec2.first_page = None
                began = time.monotonic()
                first, took, megabytes = run([path, *command], environment)
                after_last = began + took - ec2.last_page
                name = f"{' '.join(part for part in command if not part.startswith(folder))}, {FLEET:,} instances"
                bar(f"{name}: after the last page", f"{after_last:.2f} s", ("1 s", after_last < 1))
                bar(f"{name}: memory", f"{megabytes:.0f} MB", ("150 MB", megabytes < 150))
                if command[0] == "plan" and "json" not in command:
                    after_first = began + first - ec2.first_page
                    bar(f"{name}: first line after the first page", f"{after_first:.2f} s", ("1 s", after_first < 1))
    if arguments.figures:
        arguments.figures.write_text(json.dumps({"rows": rows}))
    if missed:
        sys.exit(f"Missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
