"""The whole thing on this machine: local AWS, a fleet, the project's template; then its rules fire and do what is due.

No account and no Docker. Exits with an error if the fleet is not as it should be in the end.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from local_aws import (
    FLEET, REGION, ROOT, LocalAws, LocalAwsError, next_edge, poll, scheduled_databases, scheduled_fleet,
    started_by_hand,
)

SECONDS = 180  # for a rule: it fires once a minute, and is looked at every ten seconds; a busy machine takes longer
EVERY_MINUTE = "rate(1 minute)"
SERVICES = "ec2,rds"
SPINNER = "|/-\\"


def step(text):
    print(f"==> {text}", flush=True)


class Waiting:
    """Something that moves: a spinner on a terminal, elsewhere a line whenever ten seconds have passed."""

    said = 0.0  # when the last line was printed

    def __init__(self, seconds=SECONDS):
        self.seconds = seconds

    def __call__(self, elapsed):
        text = f"{elapsed:.0f} s of at most {self.seconds:.0f} s"
        if sys.stdout.isatty():
            print(f"\r\033[K    {SPINNER[int(elapsed) % 4]} {text}", end="", flush=True)
        elif elapsed - self.said >= 10:
            print(f"    ... {text}", flush=True)
            self.said = elapsed

    def done(self):
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)


def wait_until(edge):
    seconds = (edge - datetime.now(timezone.utc)).total_seconds()
    waiting, began = Waiting(max(seconds, 0)), time.monotonic()
    for _ in poll(seconds, every=0.2):
        waiting(time.monotonic() - began)
    waiting.done()


def wait_for_run(aws, log_group, action, ids, since=None):
    waiting = Waiting()
    said = aws.wait_for_run(log_group, action, ids, since, SECONDS, waiting)
    waiting.done()
    return said


def tag_of(member, key="Stopinator", without="-"):
    value = member.tags.get(key)
    return without if value is None else f'"{value}"'


def command_line(aws, *arguments):
    """What `stopinator` prints, asking the local AWS."""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION, "TZ": "UTC"}
    command = [ROOT / "target" / "debug" / "stopinator", *arguments]
    done = subprocess.run(command, env={**aws.env, **keys}, text=True, capture_output=True)
    if done.returncode != 0:
        raise LocalAwsError(f"stopinator {' '.join(arguments)} failed: {done.stderr}")
    return done.stdout


def indented(text):
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())


def listed(names):
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


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
        edge = next_edge(seconds=15)  # far enough to launch before it
        databases = scheduled_databases(edge)
        fleet = {**FLEET, **scheduled_fleet(edge), **databases}
        step(
            f"Launching {len(fleet) - len(databases)} instances and a database;"
            f" the windows in their tags end or begin at {edge:%H:%M} UTC"
        )
        ids = aws.launch_fleet(fleet, before=edge)
        before = aws.fleet_states()

        plan = ["plan", "--services", SERVICES, "--at", f"{edge:%H:%M}"]
        step(f"Before anything is deployed: stopinator {' '.join(plan)}\n")
        print(indented(command_line(aws, *plan)))
        planned = json.loads(command_line(aws, *plan, "--output", "json"))
        foretold = {row["id"]: row["decision"] for row in planned["instances"] if row["decision"] != "keep"}

        step("Deploying template.yaml with sam deploy, its stop rule and its tick rule at rate(1 minute)")
        outputs = aws.deploy(
            binary, Services=SERVICES, StopScheduleExpression=EVERY_MINUTE, TickScheduleExpression=EVERY_MINUTE,
            LogLevel="DEBUG",
        )
        log_group = outputs["LogGroupName"]

        step(f"Waiting for {edge:%H:%M} UTC")
        wait_until(edge)
        step("Launching one more, by hand, after the end of its window")
        fleet["night-shift"] = started_by_hand(edge)
        ids["night-shift"] = aws.launch("night-shift", fleet["night-shift"])
        before["night-shift"] = aws.fleet_states()["night-shift"]

        said = {}
        for action, since in [("stop", None), ("schedule", edge)]:
            rule = outputs["StopRuleName" if action == "stop" else "TickRuleName"]
            step(f"Waiting for the rule {rule} to fire")
            due = {ids[name] for name, member in fleet.items() if member.action == action and member.tags}
            said[action] = wait_for_run(aws, log_group, action, due, since)

        after = aws.fleet_states()
        lines = aws.log_lines(log_group)

        step("The fleet, and what the function's own log says of it\n")
        rows = [("id", "name", "tag", "hold", "before", "after", "run", "decision", "outcome", "reason")]
        for name, member in fleet.items():
            line = said[member.action].get(ids[name], {})
            rows.append((
                ids[name], name, tag_of(member), tag_of(member, "Stopinator-Hold", ""), before[name], after[name],
                member.action if line else "-", line.get("decision", "-"), line.get("outcome", ""),
                line.get("reason", "" if line else FLEET["untagged"].reason),
            ))
        print_table(rows)

        print()
        step("Why does night-shift run? stopinator explain night-shift\n")
        print(indented(command_line(aws, "explain", "night-shift")))
        step(f"The log of these runs, from the log group {log_group}\n")
        runs = {line["requestId"] for run in said.values() for line in run.values()}
        for line in lines:
            if line.get("requestId") in runs:
                print(json.dumps(line))
        print()

        wrong = [
            f"{name} should be {member.after} and is {after[name]}."
            for name, member in fleet.items() if after[name] != member.after
        ]
        done = {id: line["decision"] for id, line in said["schedule"].items() if line.get("decision", "keep") != "keep"}
        if done != foretold:
            wrong.append(f"stopinator plan foretold {foretold}, and the tick did {done}.")
        for name, member in fleet.items():
            reason = said[member.action].get(ids[name], {}).get("reason", "")
            if member.tags and reason != member.reason:
                wrong.append(f"{name} should have the reason {member.reason or 'none'} and has {reason or 'none'}.")
    if not wrong:
        stopped, started = (
            listed(name for name in fleet if before[name] != after[name] == state) for state in ("stopped", "running")
        )
        step(
            f"As it should be: only {stopped} were stopped, only {started} was started."
            f" {time.monotonic() - began:.0f} s, and nothing is left running."
        )
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
