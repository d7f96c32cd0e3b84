"""Whatever README and docs/deploy.md tell people to type, typed: at a terminal, in a copy of the project, against a local AWS.

    cargo build --features cli --bin stopinator && cargo build && .tools/venv/bin/python -m pytest tests/first_hour_test.py

As written, but for two things. The id of the examples is that of an instance that exists. And where the AWS SDK would be
compiled once more, which takes minutes, what is compiled already is taken; `make` runs in the project itself.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from docs_test import FRONT_DOORS, parts  # noqa: E402
from local_aws import LocalAws, Member, template  # noqa: E402
from terminal import at_a_terminal  # noqa: E402

EXAMPLE = "i-0123456789abcdef0"
DEBUG = ROOT / "target" / "debug"
CARGO = f"""#!/bin/sh
case "$*" in
"lambda build "*)
    mkdir -p target/lambda/stopinator-lambda
    strip -o target/lambda/stopinator-lambda/bootstrap {DEBUG}/stopinator-lambda ;;
"install "*" --features cli")
    cp {DEBUG}/stopinator "$CARGO_INSTALL_ROOT/bin/" ;;
*)
    exec {shutil.which("cargo")} "$@" ;;
esac
"""
MAKE = f"""#!/bin/sh
unset MAKEFLAGS MAKELEVEL
exec {shutil.which("make")} -C {ROOT} "$@"
"""


class Reader:
    """Somebody at a terminal, in a fresh copy of the project, with one instance and no stack."""

    def __init__(self, aws, folder):
        self.aws, self.project = aws, folder / "project"
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n"):
            if name and (ROOT / name).exists():
                (self.project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.project / name)
        (self.project / "template.yaml").write_text(template("."))
        (self.project / ".tools").symlink_to(ROOT / ".tools")
        for name, script in {"cargo": CARGO, "make": MAKE}.items():
            program = folder / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(script)
            program.chmod(0o755)
        home = Path.home()
        self.environment = {
            **aws.env, "HOME": str(folder), "TERM": "xterm", "COLUMNS": "100", "TZ": "UTC",
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(home / ".rustup")),
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(home / ".cargo")),
            "CARGO_INSTALL_ROOT": str(folder),
            "PATH": f"{folder / 'bin'}{os.pathsep}{aws.env['PATH']}",
        }
        self.id = aws.launch("web-1", Member({}, "running", "stopped"))

    def types(self, block):
        command = ["bash", "-euo", "pipefail", "-c", block.replace(EXAMPLE, self.id)]
        code, shown = at_a_terminal(command, "y", seconds=600, cwd=self.project, env=self.environment)
        assert code == 0, f"{block}\n{shown}"
        return shown

    def stacks(self):
        return [stack["StackName"] for stack in self.aws.client("cloudformation").describe_stacks()["Stacks"]]

    def parameters(self):
        [stack] = self.aws.client("cloudformation").describe_stacks(StackName="stopinator")["Stacks"]
        return {given["ParameterKey"]: given["ParameterValue"] for given in stack["Parameters"]}

    def tags(self):
        [found] = self.aws.client("ec2").describe_instances(InstanceIds=[self.id])["Reservations"]
        return {tag["Key"]: tag["Value"] for tag in found["Instances"][0]["Tags"]}


def check(reader, block, shown):
    """What each thing that is typed is for; gives what was looked at."""
    seen = []
    for name, value in re.findall(r"[ '](\w+)=([^\s'\"]+|\"[^\"]*\")", "".join(re.findall(r"sam deploy.*(?:\\\n.*)*", block))):
        assert reader.parameters()[name] == value.strip('"')
        seen.append(f"{name}={value}")
    if "create-tags" in block:
        assert re.search(r"Value=([^']+)'", block)[1] == reader.tags()["Stopinator"]
        seen.append("create-tags")
    for line, said in {
        "stopinator check": "Monday to Friday", "stopinator plan": "Nothing was changed.", "stopinator explain": "settings",
        "sam remote invoke": '"dry_run":true', "sam logs": "run finished", "sam list": "FunctionName",
        "make demo": "As it should be",
    }.items():
        if line in block:
            assert said in shown, shown
            seen.append(line)
    if "stopinator hold" in block:
        assert reader.tags()["Stopinator-Hold"].startswith("until ")
        seen.append("hold")
    if "sam delete" in block:
        assert "stopinator" not in reader.stacks()
        seen.append("delete")
    return seen


@pytest.mark.parametrize("page", [*FRONT_DOORS, "docs/deploy.md"])
def test_what_a_page_says_can_be_typed(page, tmp_path):
    blocks = [block for language, block in parts(page)[1] if language == "sh"]
    assert len(blocks) > 5
    with LocalAws() as aws:
        reader = Reader(aws, tmp_path)
        seen = [one for block in blocks for one in check(reader, block, reader.types(block))]
    wanted = {"DryRun=true", "DryRun=false", "create-tags", "delete"}
    wanted |= {"sam logs", "sam remote invoke"} if page == "docs/deploy.md" else {"stopinator plan", "stopinator explain", "hold"}
    assert wanted <= set(seen), seen
