"""A local AWS for demo and tests: ministack, the project's own template in it, and a small fleet.

    with LocalAws() as aws:
        aws.launch_fleet()
        outputs = aws.deploy(binary, StopScheduleExpression="rate(1 minute)")
        aws.wait_for_run(outputs["LogGroupName"])
        aws.fleet_states(), aws.log_lines(outputs["LogGroupName"])

Everything it starts and writes is gone when the block is left, whichever way.
"""

import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import boto3
import botocore.session
from botocore.config import Config

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
REGION = "ap-northeast-2"
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


class Member(NamedTuple):
    """An instance of the fleet: how it begins, and what the stop rule should make of it."""

    tags: dict
    before: str
    after: str
    reason: str = ""  # why it is kept; empty for the ones that are to be stopped


# One instance for each thing that can be the matter.
FLEET = {
    "web": Member({"Stopinator": "true"}, "running", "stopped"),
    "worker": Member({"Stopinator": ""}, "running", "stopped"),
    "parked": Member({"Stopinator": "yes"}, "stopped", "stopped", "already-stopped"),
    "opted-out": Member({"Stopinator": "false"}, "running", "running", "opted-out"),
    "mistyped": Member({"Stopinator": "office hours"}, "running", "running", "invalid-schedule"),
    "grouped": Member(
        {"Stopinator": "true", "aws:autoscaling:groupName": "web-group"}, "running", "running", "asg-member"
    ),
    "untagged": Member({}, "running", "running", "not found by the tag"),
}


class LocalAwsError(Exception):
    """Something is missing or went wrong; the message says what to do."""


class LocalAws:
    """One ministack, from `with` to the end of the block."""

    def __enter__(self):
        self._state = Path(tempfile.mkdtemp(prefix="stopinator-local-aws-"))
        self._process = None
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The whole process group: ministack runs the function as a child of its own.
        if self._process is not None:
            for kill in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self._process.pid, kill)
                    self._process.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    continue
                except ProcessLookupError:
                    break
        shutil.rmtree(self._state, ignore_errors=True)

    def _start(self):
        program = TOOLS / "ministack" / "bin" / "ministack"
        if not program.exists():
            raise LocalAwsError("ministack is not installed: run `make tools` first.")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        endpoint = f"http://127.0.0.1:{port}"
        # A copy of the caller's environment without its AWS settings and proxies: nothing here may leave the machine.
        foreign = re.compile(r"AWS_.*|STOPINATOR_.*|.*_PROXY", re.IGNORECASE)
        self.env = {
            **{name: value for name, value in os.environ.items() if not foreign.fullmatch(name)},
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "SAM_CLI_TELEMETRY": "0",
            "PATH": f"{TOOLS / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        self._log = self._state / "ministack.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [program],
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self._state,
                env={
                    **self.env,
                    "GATEWAY_PORT": str(port),
                    "BIND_HOST": "127.0.0.1",
                    "MINISTACK_REGION": REGION,
                    "TMPDIR": str(self._state),
                    "IOT_MTLS_ENABLED": "0",  # or it opens port 8883 as well
                    # The function inherits these. AWS derives them from LoggingConfig, ministack does not.
                    "AWS_LAMBDA_LOG_FORMAT": "JSON",
                    "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
                },
            )
        self._wait_until_healthy(port)

    def _wait_until_healthy(self, port):
        for _ in poll(seconds=30, every=0.1):
            if self._process.poll() is not None:
                break
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                connection.request("GET", "/_ministack/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
        raise LocalAwsError(f"ministack did not become ready on port {port}. Its log:\n{self.server_log()}")

    def server_log(self):
        """What ministack itself has said: the last lines."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])

    def client(self, service):
        """A boto3 client of this local AWS."""
        # Deaf to the caller's profile, which might not even exist.
        core = botocore.session.Session({"profile": (None, None, None, None)})
        return boto3.Session(botocore_session=core).client(
            service,
            endpoint_url=self.env["AWS_ENDPOINT_URL"],
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}),
        )

    def deploy(self, binary, stack="stopinator", **parameters):
        """Deploys the project's template with `sam deploy`, this binary as its code; gives the stack's outputs."""
        binary = Path(binary)
        if not binary.exists():
            raise LocalAwsError(f"There is no binary at {binary}: run `cargo build` first.")
        project = Path(tempfile.mkdtemp(prefix="project-", dir=self._state))
        code = project / "code"
        code.mkdir()
        # A debug build is mostly symbols, and all of it would be uploaded. A script has none to strip.
        stripped = subprocess.run(["strip", "-o", code / "bootstrap", binary], stderr=subprocess.DEVNULL)
        if stripped.returncode != 0:
            shutil.copy(binary, code / "bootstrap")
        template = (ROOT / "template.yaml").read_text()
        if template.count("CodeUri: .\n") != 1:
            raise LocalAwsError("template.yaml must hold `CodeUri: .` exactly once, to be replaced here.")
        (project / "template.yaml").write_text(template.replace("CodeUri: .\n", "CodeUri: code\n"))
        shutil.copy(ROOT / "samconfig.toml", project)

        values = {"Architecture": ARCHITECTURE, **parameters}
        done = subprocess.run(
            ["sam", "deploy", "--no-confirm-changeset", "--stack-name", stack, "--parameter-overrides"]
            + [f'ParameterKey={name},ParameterValue="{value}"' for name, value in values.items()],
            cwd=project, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            raise LocalAwsError(f"sam deploy failed:\n{done.stdout}")
        described = self.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}

    def launch_fleet(self):
        """Runs FLEET; gives the instance ids by name."""
        ec2 = self.client("ec2")
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        ids = {}
        for name, member in FLEET.items():
            tags = [{"Key": key, "Value": value} for key, value in {"Name": name, **member.tags}.items()]
            launched = ec2.run_instances(
                ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1,
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            )
            ids[name] = launched["Instances"][0]["InstanceId"]
            if member.before == "stopped":
                ec2.stop_instances(InstanceIds=[ids[name]])
        return ids

    def fleet_states(self):
        """The state of every instance, by name, as EC2 has it now."""
        states = {}
        for page in self.client("ec2").get_paginator("describe_instances").paginate():
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    name = next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name")
                    states[name] = instance["State"]["Name"]
        return states

    def log_lines(self, log_group):
        """The function's own lines in CloudWatch Logs, parsed, oldest first."""
        logs = self.client("logs")
        lines = []
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=log_group):
            for event in page["events"]:
                # What the platform writes (START, END, REPORT) is not the function's.
                if event["message"].startswith("{"):
                    lines.append(json.loads(event["message"]))
        return lines

    def wait_for_run(self, log_group, action="stop", seconds=120, waiting=lambda elapsed: None):
        """Waits until the function has logged a finished run with this action; calls waiting(elapsed) every second."""
        started = time.monotonic()
        for _ in poll(seconds, every=1):
            lines = self.log_lines(log_group)
            if any(line.get("message") == "run finished" and line.get("action") == action for line in lines):
                return
            if any(line.get("level") == "ERROR" for line in lines):
                break
            waiting(time.monotonic() - started)
        said = "\n".join(json.dumps(line) for line in self.log_lines(log_group))
        raise LocalAwsError(
            f"No {action} run finished: an ERROR line or the time limit ended the wait"
            f" after {time.monotonic() - started:.0f} seconds.\n"
            f"The function's log:\n{said or '(nothing)'}\nministack's log:\n{self.server_log()}"
        )


def poll(seconds, every):
    """Yields at once and then every so often, until the seconds are over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(every)
