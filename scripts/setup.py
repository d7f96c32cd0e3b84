#!/usr/bin/env python3
"""Makes one virtual environment for the Makefile: setup.py DIRECTORY REQUIREMENTS-FILE

Says in a sentence what this machine lacks before anything is fetched.
"""

import importlib.util
import shutil
import subprocess
import sys
import venv
from pathlib import Path

COMMANDS = {
    "cargo": "install Rust from https://rustup.rs",
    "cc": "install a C compiler (Debian and Ubuntu: apt install build-essential)",
}


def missing():
    """What is not there, one sentence each."""
    if sys.version_info < (3, 10):
        yield f"Python 3.10 or later is needed and this one is {sys.version.split()[0]}: install a newer python3."
    if importlib.util.find_spec("ensurepip") is None:
        yield "Python's venv module cannot install pip here: install it (Debian and Ubuntu: apt install python3-venv)."
    for command, remedy in COMMANDS.items():
        if shutil.which(command) is None:
            yield f"The command {command} is missing: {remedy}."


def install(directory: Path, requirements: Path) -> None:
    """Builds the environment from nothing, so that a half-made one cannot survive."""
    venv.create(directory, clear=True, with_pip=True)
    pip = [directory / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check"]
    process = subprocess.Popen(
        [*pip, "--progress-bar", "off", "--requirement", requirements],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    output = []
    for line in process.stdout:
        output.append(line)
        if sys.stdout.isatty() and line.startswith(("Collecting", "Downloading", "Installing")):
            print(f"\r\033[K  {line.strip()[:76]}", end="", flush=True)
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
    if process.wait() != 0:
        sys.exit(
            f"{''.join(output)}\npip could not install {requirements}: its own words are above. "
            "Mostly the network or a proxy is the cause; run the same command again."
        )


def main() -> None:
    directory, requirements = Path(sys.argv[1]), Path(sys.argv[2])
    if problems := list(missing()):
        sys.exit("\n".join(problems))
    names = [line for line in requirements.read_text().split() if "==" in line]
    print(f"Installing into {directory}, once: {', '.join(names)}", flush=True)
    install(directory, requirements)


if __name__ == "__main__":
    main()
