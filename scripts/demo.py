"""The whole thing on this machine: local AWS, a fleet, the project's template; then a rule fires and stops what is due.

No account and no Docker. Exits with an error if the fleet is not as it should be in the end.
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path

from local_aws import FLEET, ROOT, LocalAws, LocalAwsError

SECONDS = 120  # for the rule: it fires once a minute, and is looked at every ten seconds
SPINNER = "|/-\\"


def step(text):
    print(f"==> {text}", flush=True)


class Waiting:
    """Something that moves: a spinner on a terminal, elsewhere a line whenever ten seconds have passed."""

    said = 0.0  # when the last line was printed

    def __call__(self, elapsed):
        text = f"{elapsed:.0f} s of at most {SECONDS} s"
        if sys.stdout.isatty():
            print(f"\r\033[K    {SPINNER[int(elapsed) % 4]} {text}", end="", flush=True)
        elif elapsed - self.said >= 10:
            print(f"    ... {text}", flush=True)
            self.said = elapsed


def tag_of(name):
    value = FLEET[name].tags.get("Stopinator")
    return "-" if value is None else f'"{value}"'


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
        if number == 0:
            print("    " + "  ".join("-" * width for width in widths))


def demo(binary):
    """Runs the demonstration; gives the sentences that say what is wrong, none if all is well."""
    began = time.monotonic()
    step("Starting a local AWS")
    with LocalAws() as aws:
        step(f"Launching {len(FLEET)} instances")
        ids = aws.launch_fleet()
        before = aws.fleet_states()

        step("Deploying template.yaml with sam deploy, its stop rule at rate(1 minute)")
        outputs = aws.deploy(binary, StopScheduleExpression="rate(1 minute)", LogLevel="DEBUG")
        log_group = outputs["LogGroupName"]

        step(f"Waiting for the rule {outputs['StopRuleName']} to fire")
        aws.wait_for_run(log_group, seconds=SECONDS, waiting=Waiting())
        if sys.stdout.isatty():
            print("\r\033[K", end="")

        after = aws.fleet_states()
        lines = aws.log_lines(log_group)
        said = {line["id"]: line for line in reversed(lines) if "id" in line}  # of the first run

        step("The fleet, and what the function's own log says of it\n")
        rows = [("instance", "name", "tag", "before", "after", "decision", "outcome", "reason")]
        for name, instance_id in ids.items():
            line = said.get(instance_id, {})
            rows.append((
                instance_id, name, tag_of(name), before[name], after[name],
                line.get("decision", "-"), line.get("outcome", ""),
                line.get("reason", "" if line else FLEET["untagged"].reason),
            ))
        print_table(rows)

        print()
        step(f"The log, from the log group {log_group}\n")
        for line in lines:
            print(json.dumps(line))
        print()

        wrong = [
            f"{name} should be {member.after} and is {after[name]}."
            for name, member in FLEET.items() if after[name] != member.after
        ]
    if not wrong:
        stopped = " and ".join(name for name in FLEET if before[name] != after[name])
        step(f"As it should be: only {stopped} were stopped. {time.monotonic() - began:.0f} s, and nothing is left running.")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "debug" / "stopinator-lambda")
    arguments = parser.parse_args()
    # A kill ends the demo as Ctrl-C does: through the `with` block, which leaves nothing behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("Terminated; the local AWS is gone."))
    try:
        wrong = demo(arguments.binary)
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the local AWS is gone.")
    except LocalAwsError as error:
        sys.exit(f"\n{error}")
    if wrong:
        sys.exit("The fleet is not as it should be:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
