"""The command line at a terminal, and against an EC2 of others (moto): what it asks before it changes anything.

    cargo build --features cli && .tools/venv/bin/python -m pytest tests/command_line_test.py

All else is tested in tests/command_line, where no terminal is needed.
"""

import datetime
from pathlib import Path

import pytest

from binary_test import SEOUL, Fleet, ec2, moto_endpoint  # noqa: F401
from terminal import at_a_terminal

PROGRAM = Path(__file__).parent.parent / "target/debug/stopinator"


def stopinator(endpoint, answer, *arguments):
    """Runs the program at a terminal, answers its question; the exit code, and all that was shown."""
    environment = {
        "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": SEOUL, "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing", "TERM": "xterm", "COLUMNS": "100", "TZ": "UTC", "HOME": "/nonexistent",
    }
    # The instances were launched before.
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)
    return at_a_terminal([PROGRAM, *arguments, "--now", now.strftime("%Y-%m-%dT%H:%M:%SZ")], answer, env=environment)


@pytest.mark.parametrize("answer, state", [("y", "stopped"), ("n", "running"), ("", "running"), ("yesterday", "running")])
def test_nothing_is_stopped_without_a_yes(ec2, answer, state):  # noqa: F811
    id = ec2.launch(tag="true", name="web-1")
    code, shown = stopinator(ec2.endpoint, answer, "run", "--action", "stop")
    assert "Stop 1 instance in account 123456789012, ap-northeast-2? [y/N]" in shown, shown
    assert (code, ec2.states()[id]) == (0, state), shown
    assert ("1 confirmed." if state == "stopped" else "Nothing was changed.") in shown


def test_a_hold_is_set_after_a_yes(ec2):  # noqa: F811
    id = ec2.launch(tag="00:00-24:00", name="web-1")
    code, shown = stopinator(ec2.endpoint, "y", "hold", "web-*", "--off", "--for", "3h")
    assert "Set it on 1 instance in account 123456789012, ap-northeast-2? [y/N]" in shown, shown
    [tag] = [
        tag for tag in ec2.client.describe_tags(Filters=[{"Name": "resource-id", "Values": [id]}])["Tags"]
        if tag["Key"] == "Stopinator-Hold"
    ]
    assert code == 0 and tag["Value"].startswith("off until ") and tag["Value"].endswith(" UTC"), tag
    code, shown = stopinator(ec2.endpoint, "y", "run")
    assert (code, ec2.states()[id]) == (0, "stopped"), shown
