"""A local AWS for demo and tests: ministack, the project's own template in it, and a small fleet.

    with LocalAws() as aws:
        aws.launch_fleet()  # instances, and databases
        outputs = aws.deploy(binary, StopScheduleExpression="rate(1 minute)")
        said = aws.wait_for_run(outputs["LogGroupName"])
        aws.fleet_states(), aws.log_lines(outputs["LogGroupName"])

Everything it starts and writes is gone when the block is left, whichever way.
"""

import contextlib
import functools
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
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
REGION = "ap-northeast-2"
# It refuses a template with a type of resource that it does not know; these are cut out of it, whole.
UNKNOWN_TO_MINISTACK = re.compile(r"^  \w+:\n    Type: AWS::Logs::QueryDefinition\n(?:(?:    .*)?\n)*", re.MULTILINE)
# Its `main`, but more patient: it takes an invocation's output to be over after 5 ms of silence, and what comes later
# on a busy machine is in the log group only after that process's next invocation, if there is one. And like RDS, it
# says nothing of the cluster or the source that a database does not have, where ministack says an empty text. And like
# STS, if it is to, it gives no credentials of a role that is not there in that account; it never asks for whom. And in
# one account it can be as STS is on a bad day. And its CloudFormation makes what its EventBridge knows anyway.
MINISTACK = r"""
import json
import os
import re
from functools import partialmethod
from ministack.app import main
from ministack.core.lambda_runtime import Worker
from ministack.services import iam, rds, sts
told, nothing = rds._instance_xml, r"<(DBClusterIdentifier|ReadReplicaSourceDBInstanceIdentifier)></\1>"
rds._instance_xml = lambda instance: re.sub(nothing, "", told(instance))
from ministack.services import eventbridge
from ministack.services.cloudformation import provisioners
def maker(make):
    def create(logical_id, properties, stack):
        name = provisioners._physical_name(stack, logical_id, max_len=64)
        status, _, said = make({**properties, "Name": name})
        if status != 200:
            raise ValueError(said)
        return name, {"Arn": next(value for key, value in json.loads(said).items() if key.endswith("Arn"))}
    return create
for kind, make, remove in (
    ("Connection", eventbridge._create_connection, eventbridge._delete_connection),
    ("ApiDestination", eventbridge._create_api_destination, eventbridge._delete_api_destination),
):
    provisioners._RESOURCE_HANDLERS["AWS::Events::" + kind] = {
        "create": maker(make), "delete": lambda name, properties, remove=remove: remove({"Name": name}),
    }
Worker._drain_stderr_bounded = partialmethod(
    Worker._drain_stderr_bounded, first_line_wait=5, idle_confirm=0.5, hard_cap=30
)
session_of = sts._assumed_role_arn
def session_if_it_is_there(role, name):
    session, problem = session_of(role, name)
    if not problem and role.split(":")[4] == os.environ["STS_FAILS_FOR"]:
        session, problem = None, sts._error(503, "ServiceUnavailable", "Try again", ns="sts")
    elif not problem and iam._roles.get_scoped(role.split(":")[4], None, role.rpartition("/")[2]) is None:
        session, denied = None, "is not authorized to perform: sts:AssumeRole on resource: " + role
        problem = sts._error(403, "AccessDenied", denied, ns="sts")
    return session, problem
if os.environ["ROLES_ARE_THERE"] == "true":
    sts._assumed_role_arn = session_if_it_is_there
main()
"""
ARCHITECTURE = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


class Member(NamedTuple):
    """One of the fleet: how it begins, and what the rule that decides about it should make of it."""

    tags: dict
    before: str
    after: str
    reason: str = ""  # why it is kept; empty for the ones that are acted on
    action: str = "stop"  # of the runs that decide about it
    kind: str = "instance"  # or, with RDS's words for its states, "db" or "cluster"


# One instance for each thing that can be the matter with the stop rule.
FLEET = {
    "web": Member({"Stopinator": "true"}, "running", "stopped"),
    "worker": Member({"Stopinator": "Yes"}, "running", "stopped"),
    "parked": Member({"Stopinator": "yes"}, "stopped", "stopped", "already-stopped"),
    "opted-out": Member({"Stopinator": "false"}, "running", "running", "opted-out"),
    "mistyped": Member({"Stopinator": "office hours"}, "running", "running", "invalid-schedule"),
    "grouped": Member(
        {"Stopinator": "true", "aws:autoscaling:groupName": "web-group"}, "running", "running", "asg-member"
    ),
    "untagged": Member({}, "running", "running", "not found by the tag"),
}


def scheduled_fleet(edge):
    """The same for the tick rule: a window that ends, or begins, at this whole minute; launched before it."""
    edge = edge.astimezone(timezone.utc)
    ends = f"daily {edge - timedelta(hours=6):%H:%M}-{edge:%H:%M} UTC"
    begins = f"daily {edge:%H:%M}-{edge + timedelta(hours=6):%H:%M} UTC"
    until = f"until {edge + timedelta(days=30):%Y-%m-%d}"
    return {
        "office": Member({"Stopinator": ends}, "running", "stopped", action="schedule"),
        "early-bird": Member({"Stopinator": begins}, "stopped", "running", action="schedule"),
        "on-hold": Member({"Stopinator": ends, "Stopinator-Hold": until}, "running", "running", "held", "schedule"),
    }


def scheduled_databases(edge):
    """The same for databases. ministack's arrive at once, and have no log: RDS's would be long on their way."""
    ends = scheduled_fleet(edge)["office"].tags
    return {"orders": Member(ends, "available", "stopped", action="schedule", kind="db")}


def started_by_hand(edge):
    """One more with a window that ends at this minute; launched after it.

    Not launched before it and started after it: in ministack LaunchTime stays that of the first launch, whereas in
    EC2 it is the last start.
    """
    return Member(scheduled_fleet(edge)["office"].tags, "running", "running", "started-by-hand", "schedule")


def next_edge(seconds):
    """A whole minute, the first that is at least so many seconds away."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds + 60)).replace(second=0, microsecond=0)


class LocalAwsError(Exception):
    """Something is missing or went wrong; the message says what to do."""


class LocalAws:
    """One ministack, from `with` to the end of the block.

    With `enforce`, it denies whatever IAM does not allow, as far as it can judge that; who uses `client` is root. With
    `roles`, only a role that is there can be assumed, and none in the account `sts_fails_for`; else any can, anywhere.
    """

    def __init__(self, enforce=False, roles=False, sts_fails_for=""):
        self._enforce, self._roles, self._sts_fails_for = enforce, roles, sts_fails_for

    def __enter__(self):
        self._state = Path(tempfile.mkdtemp(prefix="stopinator-local-aws-"))
        self._process = None
        self._clients = {}
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
        self._python = TOOLS / "ministack" / "bin" / "python"
        if not self._python.exists():
            raise LocalAwsError("ministack is not installed: run `make tools` first.")
        for _ in range(3):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            self._start_on(port)
            if self._is_healthy(port):
                return
            # The port was free, but somebody else may have been quicker.
            if "already in use" not in self.server_log():
                break
        raise LocalAwsError(f"ministack did not become ready on port {port}. Its log:\n{self.server_log()}")

    def _start_on(self, port):
        # A copy of the caller's environment without its AWS settings and proxies: nothing here may leave the machine.
        foreign = re.compile(r"AWS_.*|STOPINATOR_.*|.*_PROXY", re.IGNORECASE)
        self.env = {
            **{name: value for name, value in os.environ.items() if not foreign.fullmatch(name)},
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
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
                [self._python, "-c", MINISTACK],
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
                    "AUTH": str(self._enforce).lower(),
                    "ROLES_ARE_THERE": str(self._roles).lower(),
                    "STS_FAILS_FOR": self._sts_fails_for,
                    "SFN_WAIT_SCALE": "0",  # no state machine waits, and none between two tries
                },
            )

    def _is_healthy(self, port):
        """Whether it becomes so; it does not once it has ended."""
        for _ in poll(seconds=120, every=0.1):
            if self._process.poll() is not None:
                return False
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/_ministack/health")
                if connection.getresponse().status == 200:
                    return True
            except (OSError, http.client.HTTPException):
                pass
        return False

    def server_log(self):
        """What ministack itself has said: the last lines."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-40:])

    def client(self, service, account=None, **settings):
        """A boto3 client of this local AWS, in this account or that of everything; the settings are those of boto3."""
        if account:
            settings["aws_access_key_id"] = account  # of 12 digits it is the account to ministack, without any role
        # Kept: to make one takes longer than to use it.
        key = (service, *sorted(settings.items()))
        if key not in self._clients:
            # Deaf to the caller's profile, which might not even exist.
            core = botocore.session.Session({"profile": (None, None, None, None)})
            defaults = {"region_name": REGION, "aws_access_key_id": "test", "aws_secret_access_key": "test"}
            self._clients[key] = boto3.Session(botocore_session=core).client(
                service, endpoint_url=self.env["AWS_ENDPOINT_URL"], config=Config(proxies={}),
                **{**defaults, **settings},
            )
        return self._clients[key]

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
        (project / "template.yaml").write_text(template("code"))
        # The template's metadata for the Serverless Application Repository names two of them.
        for name in ("samconfig.toml", "LICENSE", "README.md"):
            shutil.copy(ROOT / name, project)

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

    def deploy_plain(self, path, stack, account=None, **parameters):
        """Deploys a template without macros as it is, in this account; gives the stack's outputs."""
        cloudformation = self.client("cloudformation", account)
        cloudformation.create_stack(
            StackName=stack, TemplateBody=Path(path).read_text(), Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": str(value)} for name, value in parameters.items()],
        )
        for _ in poll(seconds=60, every=0.2):
            described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
            if described["StackStatus"] != "CREATE_IN_PROGRESS":
                break
        if described["StackStatus"] != "CREATE_COMPLETE":
            raise LocalAwsError(f"{path}: {described['StackStatus']}, {described.get('StackStatusReason')}")
        return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}

    def objection(self, **parameters):
        """What CloudFormation has against these parameters of a new stack; empty if nothing. Makes nothing."""
        s3, cloudformation = self.client("s3"), self.client("cloudformation")
        with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
            s3.create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="templates", Key="template.yaml", Body=template("s3://templates/code.zip"))
        try:
            cloudformation.create_change_set(
                StackName="objection", ChangeSetName="objection", ChangeSetType="CREATE",
                TemplateURL=f"{self.env['AWS_ENDPOINT_URL']}/templates/template.yaml",
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
                Parameters=[{"ParameterKey": k, "ParameterValue": str(v)} for k, v in parameters.items()],
            )
            made = cloudformation.describe_change_set(StackName="objection", ChangeSetName="objection")
        except ClientError as error:
            return error.response["Error"]["Message"]
        cloudformation.delete_stack(StackName="objection")
        return made["StatusReason"] if made["Status"] == "FAILED" else ""

    def undeploy(self, stack):
        """Removes a stack as `sam delete` does."""
        done = subprocess.run(
            ["sam", "delete", "--no-prompts", "--stack-name", stack],
            cwd=self._state, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            raise LocalAwsError(f"sam delete failed:\n{done.stdout}")

    @functools.cached_property
    def _image(self):
        return self.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]

    def launch(self, name, member, account=None):
        """Runs one instance or database; gives its id, which of a database is the function's own."""
        if member.kind != "instance":
            return self._create(name, member)
        ec2 = self.client("ec2", account)
        tags = [{"Key": key, "Value": value} for key, value in {"Name": name, **member.tags}.items()]
        launched = ec2.run_instances(
            ImageId=self._image, InstanceType="t3.micro", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        instance_id = launched["Instances"][0]["InstanceId"]
        if member.before == "stopped":
            ec2.stop_instances(InstanceIds=[instance_id])
        return instance_id

    def _create(self, name, member):
        """Creates one database. Its state is all there is of it: no engine runs."""
        rds = self.client("rds")
        if member.kind == "cluster":
            create, stop, identifier = rds.create_db_cluster, rds.stop_db_cluster, {"DBClusterIdentifier": name}
            details = {"Engine": "aurora-postgresql"}
        else:
            create, stop, identifier = rds.create_db_instance, rds.stop_db_instance, {"DBInstanceIdentifier": name}
            details = {"Engine": "postgres", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": 20}
        tags = [{"Key": key, "Value": value} for key, value in member.tags.items()]
        create(**identifier, **details, MasterUsername="somebody", MasterUserPassword="something", Tags=tags)
        if member.before == "stopped":
            stop(**identifier)
        return f"{member.kind}:{name}"

    def launch_fleet(self, fleet=FLEET, before=None):
        """Runs a fleet; gives the ids by name. Those of `scheduled_fleet` must run before its edge."""
        ids = {name: self.launch(name, member) for name, member in fleet.items()}
        if before and datetime.now(timezone.utc) >= before:
            raise LocalAwsError(f"Launched too late, not before {before:%H:%M:%S} UTC: this machine is too busy.")
        return ids

    def fleet_states(self, account=None):
        """The state of every instance and database, by name, as EC2 and RDS have it now."""
        instances = self.client("rds", account).describe_db_instances()["DBInstances"]
        clusters = self.client("rds", account).describe_db_clusters()["DBClusters"]
        states = {database["DBInstanceIdentifier"]: database["DBInstanceStatus"] for database in instances}
        states |= {database["DBClusterIdentifier"]: database["Status"] for database in clusters}
        for page in self.client("ec2", account).get_paginator("describe_instances").paginate():
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    name = next(tag["Value"] for tag in instance["Tags"] if tag["Key"] == "Name")
                    states[name] = instance["State"]["Name"]
        return states

    def log_lines(self, log_group):
        """The function's own lines in CloudWatch Logs, parsed, oldest first; without metrics."""
        return [line for line in self.lines(log_group) if "_aws" not in line]

    def metrics_lines(self, log_group):
        """Its lines in the embedded metric format."""
        return [line for line in self.lines(log_group) if "_aws" in line]

    def lines(self, log_group):
        """Both, as they are at one instant."""
        logs = self.client("logs")
        lines = []
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=log_group):
            for event in page["events"]:
                # What the platform writes (START, END, REPORT) is not the function's.
                if event["message"].startswith("{"):
                    lines.append(json.loads(event["message"]))
        return lines

    def said(self, log_group, action, since=None):
        """By id: the first line about it in a finished run with this action, decided at or after `since`."""
        lines = self.log_lines(log_group)
        runs = {
            line["requestId"] for line in lines
            if line.get("message") == "run finished" and line["action"] == action
            and (since is None or instant(line["time"]) >= since)
        }
        return {line["id"]: line for line in reversed(lines) if "id" in line and line.get("requestId") in runs}

    def wait_for_run(self, log_group, action="stop", ids=(), since=None, seconds=180, waiting=lambda elapsed: None):
        """Waits until finished runs with this action have said something of these ids, or of any; gives `said`.

        Calls waiting(elapsed) every second. An ERROR line ends the wait, unless it is older.
        """
        started = time.monotonic()
        errors_since = since or datetime.now(timezone.utc).replace(microsecond=0)
        for _ in poll(seconds, every=1):
            said = self.said(log_group, action, since)
            if said and said.keys() >= set(ids):
                return said
            errors = [line for line in self.log_lines(log_group) if line.get("level") == "ERROR"]
            if any(instant(line["timestamp"]) >= errors_since for line in errors):
                break
            waiting(time.monotonic() - started)
        said = "\n".join(json.dumps(line) for line in self.log_lines(log_group))
        raise LocalAwsError(
            f"No {action} run finished that said what is waited for: an ERROR line or the time limit ended the wait"
            f" after {time.monotonic() - started:.0f} seconds.\n"
            f"The function's log:\n{said or '(nothing)'}\nministack's log:\n{self.server_log()}"
        )


def template(code):
    """The project's template, with code from there, and as far as ministack knows what is in it."""
    text = (ROOT / "template.yaml").read_text()
    if text.count("CodeUri: .\n") != 1:
        raise LocalAwsError("template.yaml must hold `CodeUri: .` exactly once, to be replaced here.")
    return UNKNOWN_TO_MINISTACK.sub("", text.replace("CodeUri: .\n", f"CodeUri: {code}\n"))


def instant(text):
    """The function's own timestamps, to the second."""
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)


def poll(seconds, every):
    """Yields at once and then every so often, until the seconds are over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(every)
