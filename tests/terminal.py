"""A terminal for the tests: programs that ask get their answer."""

import os
import pty
import select
import subprocess
import time


def at_a_terminal(command, answer, seconds=60, **how):
    """Runs a command at a terminal and answers each of its questions; gives its exit code, and all that was shown."""
    here, there = pty.openpty()
    process = subprocess.Popen(command, stdin=there, stdout=there, stderr=there, **how)
    os.close(there)
    shown, deadline, answered = "", time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        if not select.select([here], [], [], 0.1)[0]:
            continue
        try:
            some = os.read(here, 4096).decode(errors="replace")
        except OSError:  # the program has closed its end
            break
        if not some:
            break
        shown += some
        if shown.lower().count("[y/n]") > answered:
            os.write(here, answer.encode() + b"\n")
            answered += 1
    os.close(here)
    try:
        return process.wait(10), shown
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{command} did not end in {seconds} s:\n{shown}") from None
