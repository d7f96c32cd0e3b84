"""scripts/aws_facts.py against moto: its flow, not the facts. moto boots nothing, and fails no start.

What moto does not know at all is put into it here: capacity reservations, what a role may do by the tags, and databases
that take their time.

    .tools/venv/bin/python -m pytest tests/aws_facts_test.py
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.rds.exceptions import InvalidDBClusterStateFault, InvalidParameterCombination
from moto.rds.models import Event, RDSBackend
from moto.server import ThreadedMotoServer

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from aws_facts import ALLOWED, DATABASES, DENIED, FACTS, KEY, STORIES, TAG, UNASKED, masked  # noqa: E402
from expand import load  # noqa: E402

FIELDS = ["what", "expect", "by", "state", "launch_time", "state_transition_reason", "state_reason"]
ANSWER_FIELDS = ["what", "expect", "code", "message", "states"]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Account:
    """moto's, and the script in it."""

    def __init__(self, endpoint):
        self.env = {
            **{name: value for name, value in os.environ.items() if not re.match("(?i)AWS_|.*_PROXY", name)},
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
        }

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.env["AWS_ENDPOINT_URL"], region_name="eu-central-1",
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )

    @contextlib.contextmanager
    def start(self, *arguments):
        """The script, which does not outlive the block."""
        with subprocess.Popen(
            [sys.executable, ROOT / "scripts" / "aws_facts.py", *arguments],
            env=self.env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *arguments, answer=""):
        with self.start(*arguments) as process:
            output, _ = process.communicate(answer, timeout=300)
        return process.returncode, output

    def instances(self):
        reservations = self.client("ec2").describe_instances()["Reservations"]
        return [instance for reservation in reservations for instance in reservation["Instances"]]

    def states(self):
        return {instance["State"]["Name"] for instance in self.instances()}

    def databases(self):
        """Names and statuses of DB instances, and of clusters."""
        rds = self.client("rds")
        instances = rds.describe_db_instances()["DBInstances"]
        clusters = rds.describe_db_clusters()["DBClusters"]
        return (
            {instance["DBInstanceIdentifier"]: instance["DBInstanceStatus"] for instance in instances},
            {cluster["DBClusterIdentifier"]: cluster["Status"] for cluster in clusters},
        )


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    yield "http://%s:%d" % server.get_host_and_port()
    server.stop()


@pytest.fixture
def reservations(monkeypatch):
    """Capacity reservations, their states by id. Each has room for one instance: a start of two is refused."""
    made, start = {}, EC2Response.start_instances

    def answer(name, body):
        return f'<{name}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">{body}</{name}Response>'

    def create_capacity_reservation(self):
        made[id_ := "cr-0123456789abcdef0"] = "active"
        body = f"<capacityReservation><capacityReservationId>{id_}</capacityReservationId></capacityReservation>"
        return answer("CreateCapacityReservation", body)

    def describe_capacity_reservations(self):
        active = [id_ for id_, state in made.items() if state == "active"]
        items = "".join(f"<item><capacityReservationId>{id_}</capacityReservationId></item>" for id_ in active)
        return answer("DescribeCapacityReservations", f"<capacityReservationSet>{items}</capacityReservationSet>")

    def cancel_capacity_reservation(self):
        made[self._get_param("CapacityReservationId")] = "cancelled"
        return answer("CancelCapacityReservation", "<return>true</return>")

    def start_instances(self):
        if len(self._get_param("InstanceIds", [])) == 2 and "active" in made.values():
            raise EC2ClientError("ReservationCapacityExceeded", "No room in cr-0123456789abcdef0.")
        return start(self)

    for function in (
        create_capacity_reservation, describe_capacity_reservations, cancel_capacity_reservation, start_instances
    ):
        monkeypatch.setattr(EC2Response, function.__name__, function, raising=False)
    return made


@pytest.fixture
def judged(monkeypatch):
    """A dry run of a stop or start is answered by the instance's tags, as the template's policy has it."""
    answer = EC2Response.error_on_dryrun

    def error_on_dryrun(self):
        if self._get_param("DryRun") and (ids := self._get_param("InstanceIds", [])):
            tags = {tag["key"]: tag["value"] for tag in self.ec2_backend.describe_tags({"resource-id": ids})}
            opted_out = tags.get(KEY, "").lower() in ("false", "no", "never", "ignore")
            if KEY not in tags or opted_out or "aws:autoscaling:groupName" in tags:
                raise EC2ClientError("UnauthorizedOperation", "Encoded authorization failure message: 0aZ-_x")
        return answer(self)

    monkeypatch.setattr(EC2Response, "error_on_dryrun", error_on_dryrun)


@pytest.fixture
def turning(monkeypatch):
    """Databases take two looks to turn, and tell of it. No member is stopped, and no stopped cluster deleted."""
    turns = {
        "stop_db_instance": "stopping", "stop_db_cluster": "stopping",
        "start_db_instance": "starting", "start_db_cluster": "starting",
    }
    looks = {"describe_db_instances": "instance", "describe_db_clusters": "cluster"}
    own = {name: getattr(RDSBackend, name) for name in [*turns, *looks, "delete_db_cluster"]}
    arrives = {"stopping": "stopped", "starting": "available"}

    def members(backend, cluster):
        return [one for one in backend.databases.values() if one.db_cluster_identifier == cluster]

    def turn(database, status):
        database.status, database.seen, database.automatic_restart_time = status, False, None

    def look(backend, found, kind):
        for database in found:
            if database.status in arrives:
                if not database.seen:
                    database.seen = True
                    continue
                database.status = arrives[database.status]
                is_stopped = database.status == "stopped"
                database.automatic_restart_time = utcnow() + timedelta(days=7) if is_stopped else None
                event = Event.__new__(Event)
                event.source_identifier, event.source_type = database.resource_id, f"db-{kind}"
                event.message = f"DB {kind} {'stopped' if is_stopped else 'started'}"
                event.event_categories, event.source_arn, event.date = ["notification"], database.arn, utcnow()
                backend.events.append(event)
        return found

    def looked(name):
        return lambda self, *arguments, **named: look(self, own[name](self, *arguments, **named), looks[name])

    def turned(name):
        def call(self, *arguments, **named):
            [identifier, *_] = [*arguments, *named.values()]
            if "cluster" not in name and self.databases[identifier].db_cluster_identifier:
                text = "aurora-postgresql DB instances are not eligible for stopping and starting."
                raise InvalidParameterCombination(text)
            answer = own[name](self, *arguments, **named)
            turning = [self.clusters[identifier], *members(self, identifier)] if "cluster" in name else [answer]
            for database in turning:
                turn(database, turns[name])
            return answer

        return call

    def delete_db_cluster(self, *arguments, **named):
        [identifier, *_] = [*arguments, *named.values()]
        if identifier in self.clusters and self.clusters[identifier].status != "available":
            raise InvalidDBClusterStateFault(f"DbCluster {identifier} is in {self.clusters[identifier].status} state")
        return own["delete_db_cluster"](self, *arguments, **named)

    monkeypatch.setattr(RDSBackend, "delete_db_cluster", delete_db_cluster)
    for name in looks:
        monkeypatch.setattr(RDSBackend, name, looked(name))
    for name in turns:
        monkeypatch.setattr(RDSBackend, name, turned(name))


@pytest.fixture
def account(endpoint, reservations):
    """An empty one."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    return Account(endpoint)


def test_it_records_what_moto_can_show_and_leaves_nothing(account, reservations, judged, tmp_path):
    code, output = account.run("--yes", "--wait", "1", "--out", str(tmp_path))
    facts = {path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert {what: (fact["expect"], fact["state"]) for what, fact in facts.items()} == {
        "launch": ("running", "running"),
        "api-stop": ("stopped-by-somebody", "stopped"),
        "api-start": ("running", "running"),
        "reboot": ("running", "running"),
        "hibernation": ("stopped-by-somebody", "stopped"),
    }, output
    for what, fact in facts.items():
        assert list(fact) == FIELDS and fact["what"] == what
        assert TIME.fullmatch(fact["by"]) and TIME.fullmatch(fact["launch_time"])
    assert facts["api-stop"]["state_transition_reason"].startswith("User initiated (")
    assert facts["api-stop"]["state_reason"]["code"] == "Client.UserInitiatedShutdown"

    answers = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "answers").iterdir()}
    asked = {"tagged": ALLOWED, "empty": ALLOWED, "opted-out": DENIED, "untagged": DENIED, "grouped": DENIED}
    expected = {f"{action}-{kind}": code for kind, code in asked.items() for action in ("stop", "start")}
    expected["start-beyond-capacity"] = "ReservationCapacityExceeded"
    assert {what: answer["code"] for what, answer in answers.items()} == expected, output
    for what, answer in answers.items():
        assert list(answer) == ANSWER_FIELDS and (answer["what"], answer["expect"]) == (what, answer["code"])
    assert answers["start-beyond-capacity"]["states"] == ["stopped", "stopped"]
    assert answers["start-beyond-capacity"]["message"] == "No room in cr-00000000000000000."
    assert answers["stop-untagged"]["message"] == "Encoded authorization failure message: ..."

    # What did not happen is said, and is no fact.
    assert code == 1
    for said in ("it still runs", "no-grant: it runs all the same", "failed-start: it runs all the same"):
        assert said in output
    assert "LOOK" not in output and "AWS answered" not in output

    instances = account.instances()
    assert {instance["State"]["Name"] for instance in instances} == {"terminated"} and len(instances) == 8
    for instance in instances:
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        assert TAG in tags and tags["Stopinator"] == "false"
    kms = account.client("kms")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    assert [key["KeyState"] for key in keys if TAG in key["Description"]] == ["PendingDeletion"]
    assert not [alias for alias in kms.list_aliases()["Aliases"] if TAG in alias["AliasName"]]
    assert account.client("iam").list_roles()["Roles"] == []
    assert account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert account.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert set(reservations.values()) == {"cancelled"}


def test_an_answer_that_is_not_as_expected_is_recorded_and_said(account, tmp_path):
    """moto, as it is, allows everything."""
    code, output = account.run("--yes", "--only", "permissions", "--wait", "1", "--out", str(tmp_path))
    assert code == 1 and "start-untagged: AWS answered DryRunOperation, not UnauthorizedOperation" in output
    assert json.loads((tmp_path / "answers" / "start-untagged.json").read_text())["code"] == ALLOWED
    assert "tagged" not in output.split("Not recorded:")[1].replace("untagged", "")
    assert {path.name for path in tmp_path.iterdir()} == {"answers"}


def test_the_policy_that_is_asked_about_is_the_templates(account, judged, tmp_path):
    pattern = load()["Parameters"]["TagKey"]["AllowedPattern"]
    assert re.fullmatch(pattern, KEY) and set("._:/-") <= set(KEY)
    with account.start("--yes", "--only", "permissions", "--wait", "30", "--out", str(tmp_path)) as process:
        iam = account.client("iam")
        while not (roles := iam.list_roles()["Roles"]) or not iam.list_role_policies(RoleName=TAG)["PolicyNames"]:
            assert process.poll() is None
        document = iam.get_role_policy(RoleName=TAG, PolicyName=TAG)["PolicyDocument"]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    [role], [statement] = roles, document["Statement"]
    assert role["RoleName"] == TAG and statement["Sid"] == "StopAndStartTagged"
    assert statement["Condition"]["StringLike"] == {f"aws:ResourceTag/{KEY}": ["*", ""]}
    assert statement["Condition"]["StringEquals"] == {"aws:RequestedRegion": ["eu-central-1"]}
    assert iam.list_roles()["Roles"] == [] and account.states() <= {"terminated"}


def test_it_records_databases_and_leaves_none(account, turning, tmp_path):
    code, output = account.run("--yes", "--only", "databases", "--wait", "2", "--out", str(tmp_path))
    assert code == 0 and "LOOK" not in output, output
    answers = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "answers").iterdir()}
    assert {what: (answer["code"], answer["states"]) for what, answer in answers.items()} == {
        "stop-member": ("InvalidParameterCombination", ["available"]),
        "start-started-db": ("InvalidDBInstanceState", ["available"]),
        "start-started-cluster": ("InvalidDBClusterStateFault", ["available"]),
        "stop-stopped-db": ("InvalidDBInstanceState", ["stopped"]),
        "stop-stopped-cluster": ("InvalidDBClusterStateFault", ["stopped"]),
    }
    for what, answer in answers.items():
        assert list(answer) == ANSWER_FIELDS and (answer["what"], answer["expect"]) == (what, answer["code"])
    assert "not eligible for stopping" in answers["stop-member"]["message"]

    turns = {"stop": ["available", "stopping", "stopped"], "start": ["stopped", "starting", "available"]}
    for action, statuses in turns.items():
        fact = json.loads((tmp_path / "databases" / f"{action}.json").read_text())
        assert list(fact) == ["what", "by", "seen", "events"] and fact["what"] == action
        for kind in DATABASES:
            seen = [change for change in fact["seen"] if change["database"] == kind]
            assert [change["status"] for change in seen] == statuses, kind
            assert [TIME.fullmatch(change["at"]) is not None for change in seen] == [True] * 3
            restarts = [change["automatic_restart_time"] for change in seen]
            assert [bool(restart) for restart in restarts] == [status == "stopped" for status in statuses]
            [event] = [event for event in fact["events"] if event["database"] == kind]
            word = "cluster" if kind == "cluster" else "instance"
            assert event["message"] == f"DB {word} {action.replace('op', 'opp')}ed"
            assert event["categories"] == ["notification"] and event["at"] <= event["seen"]
    assert account.databases() == ({}, {}) and account.instances() == []
    # Nor the last snapshot that RDS would make; automatic ones go with a database, which moto leaves out.
    snapshots = account.client("rds").describe_db_cluster_snapshots(SnapshotType="manual")["DBClusterSnapshots"]
    assert snapshots == account.client("rds").describe_db_snapshots()["DBSnapshots"] == []


def test_what_a_log_leaves_out_is_said_and_the_rest_recorded(account, tmp_path):
    """moto, as it is, turns databases at once, a member as well, and says nothing in its log."""
    code, output = account.run("--yes", "--only", "databases", "--wait", "1", "--out", str(tmp_path))
    assert code == 1 and "stop-member: AWS answered nothing, not InvalidParameterCombination" in output
    assert "databases, stop: RDS's log does not say so" in output and "LOOK" not in output
    stop = json.loads((tmp_path / "databases" / "stop.json").read_text())
    assert {change["status"] for change in stop["seen"] if change["database"] == "db"} == {"available", "stopped"}
    assert account.databases() == ({}, {})


@pytest.mark.parametrize("until", ["created", "stopped"])
def test_an_interrupted_run_deletes_all_databases(account, turning, tmp_path, until):
    rds = account.client("rds")
    other = {"Engine": "postgres", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": 20}
    user = {"MasterUsername": "somebody", "MasterUserPassword": "something"}
    rds.create_db_instance(DBInstanceIdentifier="orders", **other, **user)
    with account.start("--yes", "--only", "databases", "--wait", "4", "--out", str(tmp_path)) as process:
        for line in process.stdout:
            if ("==> Stop and start" if until == "created" else "    stop: {") in line:
                break
        while until == "created" and TAG not in account.databases()[0]:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "LOOK" not in output, output
    assert account.databases() == ({"orders": "available"}, {})


def test_one_that_may_not_be_deleted_is_named_and_keeps_no_other(account, turning, tmp_path):
    rds, tags = account.client("rds"), [{"Key": TAG, "Value": ""}]
    user = {"MasterUsername": "somebody", "MasterUserPassword": "something"}
    database = {"DBInstanceClass": "db.t4g.micro", "Engine": "postgres", "AllocatedStorage": 20, "Tags": tags}
    rds.create_db_instance(DBInstanceIdentifier=TAG, DeletionProtection=True, **database, **user)
    rds.create_db_cluster(DBClusterIdentifier=TAG, Engine="aurora-postgresql", Tags=tags, **user)
    code, output = account.run("--yes", "--only", "databases", "--wait", "1", "--out", str(tmp_path))
    assert code == 1 and f"LOOK FOR YOURSELF whether the db {TAG} is deleted" in output
    assert account.databases() == ({TAG: "available"}, {})


def test_databases_left_behind_are_named_and_deleted(account, turning, tmp_path):
    rds, tags = account.client("rds"), [{"Key": TAG, "Value": ""}]
    user = {"MasterUsername": "somebody", "MasterUserPassword": "something"}
    rds.create_db_cluster(DBClusterIdentifier=TAG, Engine="aurora-postgresql", Tags=tags, **user)
    for answer, left in ("no\n", {TAG: "available"}), ("yes\n", {}):
        arguments = ["--only", "databases", "--wait", "1", "--out", str(tmp_path)]
        _, output = account.run(*arguments, answer=answer)
        assert f"left behind: cluster {TAG}." in output and "This creates databases" in output
        assert "US cents an hour" in output and "This launches instances" not in output
        assert account.databases() == ({}, left)


def test_a_database_of_somebody_else_is_left_alone(account, turning, tmp_path):
    """One of the same name, without the tag."""
    user = {"MasterUsername": "somebody", "MasterUserPassword": "something"}
    database = {"DBInstanceClass": "db.t4g.micro", "Engine": "postgres", "AllocatedStorage": 20}
    account.client("rds").create_db_instance(DBInstanceIdentifier=TAG, **database, **user)
    code, output = account.run("--yes", "--only", "databases", "--wait", "1", "--out", str(tmp_path))
    assert code == 1 and "already exists" in output
    assert account.databases() == ({TAG: "available"}, {})


def test_what_ec2_answered_is_what_is_expected():
    """The answers that somebody has recorded; see tests/facts."""
    for path in (FACTS / "answers").glob("*.json"):
        answer = json.loads(path.read_text())
        assert answer["code"] == answer["expect"], answer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_terminates_everything(account, tmp_path, number):
    with account.start("--yes", "--wait", "60", "--out", str(tmp_path)) as process:
        assert any("Launch, stop" in line for line in process.stdout), "it ended before it launched anything"
        while not account.instances():
            assert process.poll() is None
        process.send_signal(number)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 1, output
    assert account.states() == {"terminated"}
    assert "Terminating" in output and "LOOK" not in output


def test_what_an_earlier_run_left_behind_is_terminated(account, tmp_path):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": TAG, "Value": ""}]}]
    ec2 = account.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    left = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=tags)["Instances"][0]
    spared = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]
    _, output = account.run("--wait", "0", "--out", str(tmp_path), answer="yes\n")
    assert f"left behind: {left['InstanceId']}." in output
    running = [instance["InstanceId"] for instance in account.instances() if instance["State"]["Name"] == "running"]
    assert running == [spared["InstanceId"]]


@pytest.mark.parametrize("answer", ["", "y\n", "no\n"])
def test_without_consent_nothing_is_done(account, tmp_path, answer):
    code, output = account.run("--out", str(tmp_path), answer=answer)
    assert code == 1 and "Nothing was done" in output
    assert all(f"  {name}: {story.__doc__}\n" in output for name, story in STORIES.items() if name in UNASKED)
    assert "Account 123456789012, region eu-central-1" in output
    assert account.instances() == [] and list(tmp_path.iterdir()) == []


def test_no_emulator_makes_facts(account):
    before = sorted(FACTS.iterdir())
    code, output = account.run("--yes")
    assert code == 1 and "no emulator makes facts" in output
    assert account.instances() == [] and sorted(FACTS.iterdir()) == before


def test_ids_are_masked():
    key = "arn:aws:kms:eu-west-1:123456789012:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
    zeros = "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-0000-0000-000000000000"
    text = f"Volume vol-0123456789abcdef0 of i-0123abcd: {key}"
    assert masked(text) == f"Volume vol-00000000000000000 of i-00000000: {zeros}"
    assert masked("User initiated (2026-11-20 12:00:00 GMT)") == "User initiated (2026-11-20 12:00:00 GMT)"
