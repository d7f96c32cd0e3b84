"""Records, from a real AWS account, what EC2 reports of an instance's last start and stop, what RDS reports of a
database's, and what they answer to calls that they refuse: tests/facts/*.json, tests/facts/databases/*.json and
tests/facts/answers/*.json.

    make aws-facts
    .tools/venv/bin/python scripts/aws_facts.py --yes --only api shutdown
    .tools/venv/bin/python scripts/aws_facts.py --only databases

IT HAS NEVER BEEN RUN ON A REAL ACCOUNT. Its flow was tried against moto alone, which boots nothing, hibernates nothing,
stops a database at once and asks no policy. Whoever runs it first should expect to mend it.

It launches a few of the smallest instances, one or two at a time, in the default network of the account and region that
boto3 finds (AWS_PROFILE, AWS_DEFAULT_REGION; --subnet where there is no default network), and terminates all of them
in the end, also when it is interrupted. It asks first. After a `kill -9`, run it again: it removes what an earlier run
has left behind. Instances, volumes, key and reservation carry the tag `stopinator-aws-facts`; role, group and launch
template have that name, and databases both. Facts that are there already are written anew.

Databases take longer and cost more than all the rest, so they are made only where --only names them: a DB instance, and
an Aurora cluster with one member. Each is stopped and started once, and deleted in the end without a snapshot. That
AWS starts what was stopped for seven days is not waited for.

A fact is a JSON object; times are RFC 3339 in UTC:

    what                     what was done; the file's name as well
    expect                   what the code should make of it: running, stopped-by-somebody, stopped-by-aws, failed-start
    by                       when it was done. For os-shutdown: when the instance was first seen to run no longer
    state                    State.Name, as DescribeInstances gave it some seconds after the instance had arrived there
    launch_time              LaunchTime, to the second
    state_transition_reason  StateTransitionReason; an empty text where there is none
    state_reason             StateReason: its code and message; null where there is none

Of databases, where `database` is `db`, `cluster` or `member`:

    what                     stop or start; the file's name as well
    by                       when it was asked for, of the instance first
    seen                     each change, when it was first seen (at): status, and automatic_restart_time, which is null
                             where there is none. The first of each is how it was when it was asked for
    events                   of RDS's log since then: its time (at), when it was first seen (seen), categories, message

An answer, of a call that is refused, or that asks for a dry run:

    what                     what was asked; the file's name as well
    expect                   the error's code, as the documentation has it
    code, message            the error's, as it came; empty texts where there was none
    states                   of the instances, or of the database, some seconds later, where the call was no dry run;
                             else null

The texts are AWS's own, but for the ids in them: account, key and resource ids are zeros.

Who runs it may need: ssm:GetParameter, ec2:DescribeImages, ec2:DescribeInstances, ec2:RunInstances, ec2:CreateTags,
ec2:StopInstances, ec2:StartInstances, ec2:RebootInstances, ec2:TerminateInstances; and

    no-grant, disabled-key   kms:CreateKey, kms:TagResource, kms:CreateAlias, kms:DescribeKey, kms:DisableKey,
                             kms:DeleteAlias, kms:ScheduleKeyDeletion, and what EC2 needs to use the key:
                             kms:CreateGrant, kms:Decrypt, kms:GenerateDataKeyWithoutPlaintext, kms:ReEncrypt*
    no-grant, permissions    iam:CreateRole, iam:PutRolePolicy, iam:DeleteRolePolicy, iam:DeleteRole, sts:AssumeRole
    permissions              ec2:DeleteTags, ec2:CreateLaunchTemplate, ec2:DescribeLaunchTemplates,
                             ec2:DeleteLaunchTemplate, autoscaling:CreateAutoScalingGroup,
                             autoscaling:AttachInstances, autoscaling:DeleteAutoScalingGroup,
                             iam:CreateServiceLinkedRole
    capacity                 ec2:DescribeSubnets, ec2:CreateCapacityReservation, ec2:DescribeCapacityReservations,
                             ec2:CancelCapacityReservation
    databases                rds:CreateDBInstance, rds:CreateDBCluster, rds:AddTagsToResource, rds:DescribeDBInstances,
                             rds:DescribeDBClusters, rds:DescribeEvents, rds:StopDBInstance, rds:StartDBInstance,
                             rds:StopDBCluster, rds:StartDBCluster, rds:DeleteDBInstance, rds:DeleteDBCluster,
                             iam:CreateServiceLinkedRole, and for the key aws/rds kms:DescribeKey, kms:CreateGrant
"""

import argparse
import contextlib
import json
import os
import re
import secrets
import signal
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

TAG = "stopinator-aws-facts"
ALIAS = f"alias/{TAG}"
KEY = f"{TAG}:a/b.c_d-E9"  # the role's tag key, with every kind of character that TagKey takes
FACTS = Path(__file__).resolve().parent.parent / "tests" / "facts"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
ARCHITECTURES = {"t3.micro": "x86_64", "t4g.micro": "arm64"}
SHUT_DOWN = "#!/bin/sh\nshutdown -h +1\n"  # a minute, so that it is seen running before
GONE = ("shutting-down", "terminated")
ALLOWED, DENIED = "DryRunOperation", "UnauthorizedOperation"
# In the order in which they can be deleted; an instance and a cluster may have one name.
DATABASES = {"db": TAG, "member": f"{TAG}-member", "cluster": TAG}


class NotRecorded(Exception):
    """Why there is no fact."""


@contextlib.contextmanager
def undisturbed():
    """Puts signals off: what is made in the block is also written down in it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def now():
    return datetime.now(timezone.utc)


def rfc3339(time):
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def masked(text):
    """The same text, its ids zeros."""
    text = re.sub(r"\b([a-z]+)-([0-9a-f]{17}|[0-9a-f]{8})\b", lambda found: f"{found[1]}-{'0' * len(found[2])}", text)
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", str(uuid.UUID(int=0)), text)
    text = re.sub(r"(?<=authorization failure message: )\S+", "...", text)
    return re.sub(r"\b\d{12}\b", "0" * 12, text)


def fact(what, expect, by, instance):
    """What stands in the file; `instance` is DescribeInstances' own."""
    reason = instance.get("StateReason")
    return {
        "what": what,
        "expect": expect,
        "by": rfc3339(by),
        "state": instance["State"]["Name"],
        "launch_time": rfc3339(instance["LaunchTime"]),
        "state_transition_reason": masked(instance.get("StateTransitionReason") or ""),
        "state_reason": reason and {"code": reason.get("Code", ""), "message": masked(reason.get("Message", ""))},
    }


def policy(account, partition, region):
    """What the template's role may do to an instance, for the tag key of the checks."""
    from expand import expand, resolve  # it takes seconds, and only this needs it

    pseudo = {"AWS::AccountId": account, "AWS::Partition": partition, "AWS::Region": region}
    role = resolve(expand(), {"TagKey": KEY}, pseudo)["Resources"]["StopinatorRole"]["Properties"]
    [document] = [said["PolicyDocument"] for said in role["Policies"] if said["PolicyName"] == "StopinatorTagged"]
    return document


class Databases:
    """A DB instance, and an Aurora cluster with one member."""

    def __init__(self, rds):
        self.rds = rds
        self.made = set()  # RDS may not tell of them yet
        self.stuck = {}  # why what is not deleted is not

    def create(self):
        """Asks for all of them: the smallest that there are."""
        # The second tag is for a Stopinator in this account: these are not its own to stop.
        tags = [{"Key": name, "Value": value} for name, value in {TAG: "", "Stopinator": "false"}.items()]
        user = {"MasterUsername": "stopinator", "MasterUserPassword": secrets.token_hex(20)}
        self.make(
            "db", self.rds.create_db_instance, DBInstanceIdentifier=DATABASES["db"], Engine="postgres",
            DBInstanceClass="db.t4g.micro", AllocatedStorage=20, StorageType="gp3", StorageEncrypted=True,
            PubliclyAccessible=False, BackupRetentionPeriod=0, Tags=tags, **user,
        )
        self.make(
            "cluster", self.rds.create_db_cluster, DBClusterIdentifier=DATABASES["cluster"],
            Engine="aurora-postgresql", StorageEncrypted=True, BackupRetentionPeriod=1, Tags=tags, **user,
        )
        self.make(
            "member", self.rds.create_db_instance, DBInstanceIdentifier=DATABASES["member"],
            DBClusterIdentifier=DATABASES["cluster"], Engine="aurora-postgresql", DBInstanceClass="db.t4g.medium",
            PubliclyAccessible=False, Tags=tags,
        )

    def make(self, kind, call, **details):
        with undisturbed():
            call(**details)
            self.made.add(kind)

    def told(self):
        """Status and AutomaticRestartTime of those that are there and are this script's."""
        found, faults = {}, self.rds.exceptions
        for kind, name in DATABASES.items():
            with contextlib.suppress(faults.DBInstanceNotFoundFault, faults.DBClusterNotFoundFault):
                if kind == "cluster":
                    [told] = self.rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
                else:
                    [told] = self.rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
                if any(tag["Key"] == TAG for tag in told.get("TagList", [])):
                    found[kind] = told.get("Status") or told.get("DBInstanceStatus"), told.get("AutomaticRestartTime")
        return found

    def events(self, since):
        """What the log says of each: kind and event."""
        for kind, name in DATABASES.items():
            source = "db-cluster" if kind == "cluster" else "db-instance"
            pages = self.rds.get_paginator("describe_events").paginate(
                SourceIdentifier=name, SourceType=source, StartTime=since
            )
            for page in pages:
                yield from ((kind, event) for event in page["Events"] if event["Date"] >= since)

    def turn(self, action, kind):
        """Asks for a stop or a start."""
        if kind == "cluster":
            call = {"stop": self.rds.stop_db_cluster, "start": self.rds.start_db_cluster}[action]
            return call(DBClusterIdentifier=DATABASES[kind])
        call = {"stop": self.rds.stop_db_instance, "start": self.rds.start_db_instance}[action]
        return call(DBInstanceIdentifier=DATABASES[kind])

    def delete(self):
        """Asks for the end of all that are left; whether there are any that may come to it."""
        told = self.told()
        for kind in [kind for kind in DATABASES if kind in told.keys() | self.made and kind not in self.stuck]:
            status = told[kind][0] if kind in told else ""
            try:
                if kind == "cluster":
                    self.rds.delete_db_cluster(DBClusterIdentifier=DATABASES[kind], SkipFinalSnapshot=True)
                else:
                    self.rds.delete_db_instance(DBInstanceIdentifier=DATABASES[kind], SkipFinalSnapshot=True)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if "NotFound" in code:
                    self.made.discard(kind)
                elif not code.startswith("InvalidDB"):  # which is its state: on its way, or with a member still
                    self.stuck[kind] = error
                elif status == "stopped" and kind != "member":
                    # What is stopped can be refused its end.
                    with contextlib.suppress(ClientError):
                        self.turn("start", kind)
        return bool((told.keys() | self.made) - self.stuck.keys())


class Account:
    """The account for one run: whatever is made in the block is gone when it is left, whichever way."""

    def __init__(self, session, arguments):
        self.arguments, self.session = arguments, session
        self.ec2, self.kms, self.ssm = (session.client(service) for service in ("ec2", "kms", "ssm"))
        self.iam, self.scaling = session.client("iam"), session.client("autoscaling")
        self.databases = Databases(session.client("rds"))
        self.ids = set()
        self.key = None
        self.recorded, self.missing = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave behind what the first one was to end.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
        try:
            self.clear()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def tells_any_of(self, *stories):
        return bool(set(stories) & set(self.arguments.only))

    def clear(self):
        """Removes all that this run or one before has made, and waits until the instances are gone."""
        if self.tells_any_of("permissions"):
            self.delete_group()  # first: it would replace an instance that is terminated
        ids = self.ids
        try:
            ids = ids | self.left_behind()
            if ids:
                print(f"==> Terminating {', '.join(sorted(ids))}", flush=True)
                self.ec2.terminate_instances(InstanceIds=sorted(ids))
                self.wait_for(lambda: not self.left_behind() & ids, "they are not gone")
        except (BotoCoreError, ClientError, NotRecorded) as error:
            print(f"LOOK FOR YOURSELF whether {', '.join(sorted(ids)) or TAG} is terminated: {error}", file=sys.stderr)
        if self.tells_any_of("capacity"):
            self.delete_reservations()
        if self.tells_any_of("no-grant", "permissions"):
            self.delete_role()
        if self.tells_any_of("no-grant", "disabled-key"):
            self.delete_key()
        if self.tells_any_of("databases"):
            self.delete_databases()

    def delete(self, what, *calls):
        """Makes these calls; what is not there is none to delete."""
        for call, parameters in calls:
            try:
                call(**parameters)
            except (BotoCoreError, ClientError) as error:
                if not re.search("NotFound|NoSuchEntity|not found", str(error)):
                    print(f"LOOK FOR YOURSELF whether {what} is deleted: {error}", file=sys.stderr)

    def delete_databases(self):
        try:
            if self.databases.told() or self.databases.made:
                print("==> Deleting the databases", flush=True)
                self.wait_for(lambda: not self.databases.delete(), "they are not gone", every=10, times=4)
        except (BotoCoreError, ClientError, NotRecorded) as error:
            print(f"LOOK FOR YOURSELF whether the databases {TAG} are deleted: {error}", file=sys.stderr)
        for kind, error in self.databases.stuck.items():
            print(f"LOOK FOR YOURSELF whether the {kind} {DATABASES[kind]} is deleted: {error}", file=sys.stderr)

    def delete_group(self):
        self.delete(
            f"the Auto Scaling group {TAG}",
            (self.scaling.delete_auto_scaling_group, {"AutoScalingGroupName": TAG, "ForceDelete": True}),
        )
        self.delete_all(
            "launch template", self.ec2.describe_launch_templates, "LaunchTemplates", "LaunchTemplateId",
            self.ec2.delete_launch_template, [{"Name": "launch-template-name", "Values": [TAG]}],
        )

    def delete_role(self):
        self.delete(
            f"the role {TAG}",
            (self.iam.delete_role_policy, {"RoleName": TAG, "PolicyName": TAG}),
            (self.iam.delete_role, {"RoleName": TAG}),
        )

    def delete_reservations(self):
        self.delete_all(
            "capacity reservation", self.ec2.describe_capacity_reservations, "CapacityReservations",
            "CapacityReservationId", self.ec2.cancel_capacity_reservation,
            [{"Name": "tag-key", "Values": [TAG]}, {"Name": "state", "Values": ["active", "pending"]}],
        )

    def delete_all(self, what, describe, found, name, call, filters):
        """Looks for all of a kind that are this script's, and deletes them."""
        try:
            ids = [said[name] for said in describe(Filters=filters)[found]]
        except (BotoCoreError, ClientError) as error:
            print(f"LOOK FOR YOURSELF whether a {what} of {TAG} is left: {error}", file=sys.stderr)
            return
        for id_ in ids:
            self.delete(f"the {what} {id_}", (call, {name: id_}))

    def delete_key(self):
        """The key of this run, or, by its alias, of one before."""
        try:
            key = self.key or self.kms.describe_key(KeyId=ALIAS)["KeyMetadata"]["KeyId"]
        except (BotoCoreError, ClientError) as error:
            if "NotFoundException" not in str(error):
                print(f"LOOK FOR YOURSELF whether the key {ALIAS} is deleted: {error}", file=sys.stderr)
            return
        self.delete(
            f"the key {key}",
            (self.kms.schedule_key_deletion, {"KeyId": key, "PendingWindowInDays": 7}),
            (self.kms.delete_alias, {"AliasName": ALIAS}),
        )
        print(f"==> The key {key} is to be deleted in 7 days", flush=True)
        self.key = None

    def left_behind(self):
        """The ids of all instances with the tag that are not gone."""
        pages = self.ec2.get_paginator("describe_instances").paginate(
            Filters=[{"Name": "tag-key", "Values": [TAG]}]
        )
        return {
            instance["InstanceId"]
            for page in pages for reservation in page["Reservations"] for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        }

    def image(self):
        name = IMAGE.format(ARCHITECTURES[self.arguments.type])
        return self.ssm.get_parameter(Name=name)["Parameter"]["Value"]

    def launch(self, key=None, **more):
        """Runs one instance, once it is running; its id and when it was asked for."""
        image_id = self.image()
        [image] = self.ec2.describe_images(ImageIds=[image_id])["Images"]
        [root] = [disk for disk in image["BlockDeviceMappings"] if disk["DeviceName"] == image["RootDeviceName"]]
        disk = {
            "Encrypted": True, "DeleteOnTermination": True, "VolumeType": "gp3",
            "VolumeSize": root["Ebs"]["VolumeSize"], **({"KmsKeyId": key} if key else {}),
        }
        # The second tag is for a Stopinator in this account: these are not its own to stop.
        tags = [{"Key": name, "Value": value} for name, value in {TAG: "", "Name": TAG, "Stopinator": "false"}.items()]
        by = now()
        with undisturbed():
            launched = self.ec2.run_instances(
                ImageId=image_id, InstanceType=self.arguments.type, MinCount=1, MaxCount=1,
                InstanceInitiatedShutdownBehavior="stop",
                BlockDeviceMappings=[{"DeviceName": root["DeviceName"], "Ebs": disk}],
                TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
                **{**({"SubnetId": self.arguments.subnet} if self.arguments.subnet else {}), **more},
            )
            instance_id = launched["Instances"][0]["InstanceId"]
            self.ids.add(instance_id)
        self.arrive(instance_id, "running")
        return instance_id, by

    def look(self, instance_id):
        """DescribeInstances' own of one instance; None while it is too new to be known."""
        try:
            found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":
                raise
            return None
        return found[0]["Instances"][0]

    def wait_for(self, seen, otherwise, every=3, times=1):
        """What `seen` gives, once it gives anything; so many times as long as --wait says at most."""
        longest = self.arguments.wait * times
        deadline = time.monotonic() + longest
        while True:
            if there := seen():
                return there
            if time.monotonic() >= deadline:
                raise NotRecorded(f"{otherwise} after {longest} s")
            time.sleep(min(every, self.arguments.wait))

    def pause(self, seconds):
        time.sleep(min(seconds, self.arguments.wait))

    def arrive(self, instance_id, state):
        """Waits for a state."""
        def there():
            instance = self.look(instance_id)
            name = instance and instance["State"]["Name"]
            if name in GONE:
                raise NotRecorded(f"it is {name}, not {state}: {instance.get('StateReason')}")
            return name == state

        self.wait_for(there, f"it is not {state}")

    def record(self, what, expect, by, instance_id):
        """Writes a fact, of an instance that has arrived."""
        self.pause(10)  # its reasons may come after its state
        instance = self.look(instance_id)
        if (instance["State"]["Name"] == "running") != (expect == "running"):
            raise NotRecorded(f"{what}: some seconds later it is {instance['State']['Name']}")
        text = json.dumps(fact(what, expect, by, instance), indent=2)
        (self.arguments.out / f"{what}.json").write_text(text + "\n")
        print(f"    {what}: {text}", flush=True)
        self.recorded.append(what)

    def ask(self, what, expect, call, states=None):
        """Makes a call that is to be refused, and writes down how it was. `states` gives what came of it."""
        code = message = ""
        try:
            call()
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if states:
            self.pause(10)
            states = states()
        answer = {"what": what, "expect": expect, "code": code, "message": masked(message), "states": states}
        text = json.dumps(answer, indent=2)
        (self.arguments.out / "answers").mkdir(exist_ok=True)
        (self.arguments.out / "answers" / f"{what}.json").write_text(text + "\n")
        print(f"    {what}: {text}", flush=True)
        self.recorded.append(what)
        if code != expect:
            self.missing.append(f"{what}: AWS answered {code or 'nothing'}, not {expect}")
        return code

    def role(self):
        """EC2, in the name of a role that has the template's statement about the tag, and nothing else."""
        caller = self.session.client("sts").get_caller_identity()
        partition, account = caller["Arn"].split(":")[1], caller["Account"]
        trust = {
            "Effect": "Allow", "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"}, "Action": "sts:AssumeRole",
        }
        role = self.iam.create_role(
            RoleName=TAG, Description=f"{TAG}: may be deleted", Tags=[{"Key": TAG, "Value": ""}],
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
        )["Role"]
        document = json.dumps(policy(account, partition, self.session.region_name))
        self.iam.put_role_policy(RoleName=TAG, PolicyName=TAG, PolicyDocument=document)

        def assumed():
            try:
                return self.session.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName=TAG)["Credentials"]
            except ClientError as error:
                if "AccessDenied" not in str(error):  # it is, until the role is known everywhere
                    raise
                return None

        given = self.wait_for(assumed, "the role cannot be assumed")
        return self.session.client(
            "ec2", aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
        )

    def encrypted(self):
        """An instance with a key of its own that is stopped; its id."""
        if self.key is None:
            tags = [{"TagKey": TAG, "TagValue": ""}]
            with undisturbed():
                self.key = self.kms.create_key(Description=f"{TAG}: may be deleted", Tags=tags)["KeyMetadata"]["KeyId"]
            self.kms.create_alias(AliasName=ALIAS, TargetKeyId=self.key)
        instance_id, _ = self.launch(key=self.key)
        self.ec2.stop_instances(InstanceIds=[instance_id])
        self.arrive(instance_id, "stopped")
        return instance_id

    def fall_back(self, what, ec2, instance_id):
        """Starts an instance that is to fall back."""
        before = self.look(instance_id).get("StateReason")
        by = now()
        ec2.start_instances(InstanceIds=[instance_id])

        def fell_back():
            instance = self.look(instance_id)
            if instance["State"]["Name"] == "running":
                raise NotRecorded(f"{what}: it runs all the same")
            return instance["State"]["Name"] == "stopped" and instance.get("StateReason") != before

        self.wait_for(fell_back, "it did not fall back")
        self.record(what, "failed-start", by, instance_id)

    # -- the stories: what is done to an instance --

    def by_api(self):
        """Launch, stop, start, reboot, by the API"""
        instance_id, by = self.launch()
        self.record("launch", "running", by, instance_id)
        by = now()
        self.ec2.stop_instances(InstanceIds=[instance_id])
        self.arrive(instance_id, "stopped")
        self.record("api-stop", "stopped-by-somebody", by, instance_id)
        by = now()
        self.ec2.start_instances(InstanceIds=[instance_id])
        self.arrive(instance_id, "running")
        self.record("api-start", "running", by, instance_id)
        by = now()
        self.ec2.reboot_instances(InstanceIds=[instance_id])
        self.pause(120)  # it is `running` all the while
        self.record("reboot", "running", by, instance_id)

    def from_within(self):
        """Shutdown by the operating system"""
        instance_id, _ = self.launch(UserData=SHUT_DOWN)
        self.wait_for(
            lambda: self.look(instance_id)["State"]["Name"] in ("stopping", "stopped"), "it still runs", every=1
        )
        by = now()
        self.arrive(instance_id, "stopped")
        self.record("os-shutdown", "stopped-by-somebody", by, instance_id)

    def hibernate(self):
        """Hibernation"""
        instance_id, _ = self.launch(HibernationOptions={"Configured": True})

        def asked():
            by = now()
            try:
                self.ec2.stop_instances(InstanceIds=[instance_id], Hibernate=True)
            except ClientError as error:
                # "Instance is not ready to hibernate yet, retry in a few minutes"; what is refused for good says else.
                if "not ready to hibernate" in str(error):
                    return None
                raise
            return by

        by = self.wait_for(asked, "it is not ready to hibernate", every=20)
        self.arrive(instance_id, "stopped")
        self.record("hibernation", "stopped-by-somebody", by, instance_id)

    def start_without_grant(self):
        """A start that fails: who starts it may not grant EC2 the use of its key"""
        ec2 = self.role()
        instance_id = self.encrypted()
        self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": KEY, "Value": "true"}])
        self.wait_for(lambda: self.may(ec2.start_instances, instance_id), "the role may not start it")
        self.fall_back("no-grant", ec2, instance_id)

    def start_with_disabled_key(self):
        """A start that fails: the key of the root volume is disabled"""
        instance_id = self.encrypted()
        self.kms.disable_key(KeyId=self.key)
        self.pause(60)  # until EC2 knows it
        self.fall_back("failed-start", self.ec2, instance_id)

    def start_beyond_capacity(self):
        """A start of two where a capacity reservation has room for one"""
        chosen = {"SubnetIds": [self.arguments.subnet]} if self.arguments.subnet else {
            "Filters": [{"Name": "default-for-az", "Values": ["true"]}]
        }
        subnet = self.ec2.describe_subnets(**chosen)["Subnets"][0]
        reservation = self.ec2.create_capacity_reservation(
            InstanceType=self.arguments.type, InstancePlatform="Linux/UNIX", InstanceCount=1,
            AvailabilityZone=subnet["AvailabilityZone"], InstanceMatchCriteria="targeted",
            EndDateType="limited", EndDate=now() + timedelta(hours=2),
            TagSpecifications=[{"ResourceType": "capacity-reservation", "Tags": [{"Key": TAG, "Value": ""}]}],
        )["CapacityReservation"]["CapacityReservationId"]
        target = {"CapacityReservationTarget": {"CapacityReservationId": reservation}}
        ids = []
        for _ in range(2):  # one after another: there is room for one
            instance_id, _ = self.launch(SubnetId=subnet["SubnetId"], CapacityReservationSpecification=target)
            self.ec2.stop_instances(InstanceIds=[instance_id])
            self.arrive(instance_id, "stopped")
            ids.append(instance_id)
        self.pause(60)  # until the reservation is free again
        self.ask(
            "start-beyond-capacity", "ReservationCapacityExceeded",
            lambda: self.ec2.start_instances(InstanceIds=ids),
            lambda: [self.look(instance_id)["State"]["Name"] for instance_id in ids],
        )

    def may(self, call, instance_id):
        """Whether EC2 says so, in a dry run."""
        try:
            call(InstanceIds=[instance_id], DryRun=True)
        except ClientError as error:
            if (code := error.response["Error"]["Code"]) in (ALLOWED, DENIED):
                return code == ALLOWED
            raise
        raise NotRecorded("that was no dry run")

    def ask_for_permission(self):
        """What the template's role may do, asked of EC2 in dry runs"""
        ec2 = self.role()
        instance_id, _ = self.launch()
        self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": KEY, "Value": "true"}])
        self.wait_for(lambda: self.may(ec2.stop_instances, instance_id), "the role may not stop what it should")

        def ask(kind, expect):
            self.pause(15)  # until IAM has the tags as they are
            for name, call in ("stop", ec2.stop_instances), ("start", ec2.start_instances):
                self.ask(f"{name}-{kind}", expect, lambda: call(InstanceIds=[instance_id], DryRun=True))

        ask("tagged", ALLOWED)
        for kind, value, expect in ("empty", "", ALLOWED), ("opted-out", "False", DENIED):
            self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": KEY, "Value": value}])
            ask(kind, expect)
        self.ec2.delete_tags(Resources=[instance_id], Tags=[{"Key": KEY}])
        ask("untagged", DENIED)

        self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": KEY, "Value": "true"}])
        self.ec2.create_launch_template(
            LaunchTemplateName=TAG, LaunchTemplateData={"ImageId": self.image(), "InstanceType": self.arguments.type}
        )
        self.scaling.create_auto_scaling_group(
            AutoScalingGroupName=TAG, LaunchTemplate={"LaunchTemplateName": TAG, "Version": "$Latest"},
            MinSize=0, MaxSize=1, VPCZoneIdentifier=self.look(instance_id)["SubnetId"],
        )
        self.scaling.attach_instances(AutoScalingGroupName=TAG, InstanceIds=[instance_id])
        grouped = {"Key": "aws:autoscaling:groupName", "Value": TAG}
        self.wait_for(lambda: grouped in self.look(instance_id)["Tags"], "it is in no group")
        ask("grouped", DENIED)

    def turn_databases(self):
        """Stop and start of databases, and what RDS refuses"""
        databases = self.databases
        databases.create()
        self.wait_for(lambda: self.are("available"), "they are not available", every=10, times=4)

        def ask(what, action, kind, expect):
            self.ask(what, expect, lambda: databases.turn(action, kind), lambda: [databases.told()[kind][0]])

        ask("stop-member", "stop", "member", "InvalidParameterCombination")
        ask("start-started-db", "start", "db", "InvalidDBInstanceState")
        ask("start-started-cluster", "start", "cluster", "InvalidDBClusterStateFault")
        self.follow("stop", "stopped")
        ask("stop-stopped-db", "stop", "db", "InvalidDBInstanceState")
        ask("stop-stopped-cluster", "stop", "cluster", "InvalidDBClusterStateFault")
        self.follow("start", "available")

    def are(self, status):
        """Whether all databases are."""
        return [told[0] for told in self.databases.told().values()] == [status] * len(DATABASES)

    def follow(self, action, status):
        """Stops or starts the databases, and writes down what RDS tells until they are there and its log says so."""
        by, seen, events, latest = now(), [], {}, {}

        def look():
            for kind, told in self.databases.told().items():
                if latest.get(kind) != told:
                    latest[kind] = told
                    said, restart = told[0], told[1] and rfc3339(told[1])
                    change = {"at": rfc3339(now()), "database": kind, "status": said}
                    seen.append({**change, "automatic_restart_time": restart})
            for kind, event in self.databases.events(by):
                at, message = rfc3339(event["Date"]), masked(event["Message"])
                told = {"at": at, "seen": rfc3339(now()), "database": kind, "categories": event["EventCategories"]}
                events.setdefault((kind, at, message), {**told, "message": message})

        def arrived():
            look()
            return self.are(status)

        def logged():
            look()
            word = {"stop": "stopped", "start": "started"}[action]
            told = {kind for kind, _, message in events if message.rstrip(".").endswith(f" {word}")}
            return told >= {"db", "cluster"}

        look()
        for kind in ("db", "cluster"):
            self.databases.turn(action, kind)
        try:
            self.wait_for(arrived, f"they are not {status}", every=5, times=4)
            self.wait_for(logged, "RDS's log does not say so", every=5)
        except NotRecorded as error:
            # What was seen by then is a fact all the same.
            self.missing.append(f"databases, {action}: {error}")
        told = {"what": action, "by": rfc3339(by), "seen": seen, "events": list(events.values())}
        text = json.dumps(told, indent=2)
        (self.arguments.out / "databases").mkdir(exist_ok=True)
        (self.arguments.out / "databases" / f"{action}.json").write_text(text + "\n")
        print(f"    {action}: {text}", flush=True)
        self.recorded.append(f"databases, {action}")

    def run(self):
        for name, story in STORIES.items():
            if name not in self.arguments.only:
                continue
            print(f"==> {story.__doc__}", flush=True)
            try:
                story(self)
            except (BotoCoreError, ClientError, NotRecorded) as error:
                # Such as an instance type that cannot hibernate. The other stories go on.
                self.missing.append(f"{story.__doc__}: {error}")
                print(f"    Not recorded: {error}", flush=True)
            if name == "permissions":
                self.delete_group()
            if name in ("no-grant", "permissions"):
                self.delete_role()
            if self.ids:
                self.ec2.terminate_instances(InstanceIds=sorted(self.ids))
                self.ids.clear()


# In this order: the key is disabled at last.
STORIES = {
    "api": Account.by_api,
    "shutdown": Account.from_within,
    "hibernation": Account.hibernate,
    "no-grant": Account.start_without_grant,
    "disabled-key": Account.start_with_disabled_key,
    "capacity": Account.start_beyond_capacity,
    "permissions": Account.ask_for_permission,
    "databases": Account.turn_databases,
}
UNASKED = [name for name in STORIES if name != "databases"]
# What they take besides instances.
TAKES = {
    ("no-grant", "disabled-key"): "a KMS key, which is deleted but lingers for 7 days ($1 a month, by the hour)",
    ("no-grant", "permissions"): "a role that may stop and start instances with a tag of this script",
    ("permissions",): "a launch template and an Auto Scaling group, with the instance in it",
    ("capacity",): "a capacity reservation for one instance, which costs what the instance costs",
    ("databases",): "a DB instance (db.t4g.micro, 20 GB) and an Aurora cluster with one member (db.t4g.medium)",
}


def consent(account_id, region, account):
    """Says what will be done and asks whether it may."""
    kind, left = account.arguments.type, sorted(account.left_behind())
    only = {name: story for name, story in STORIES.items() if name in account.arguments.only}
    instances = only.keys() & set(UNASKED)
    print(f"Account {account_id}, region {region}.")
    if instances:
        print(f"This launches instances ({kind}, encrypted disk of 8 GB), one or two at a time; stops, starts, reboots")
        print("and hibernates them; and terminates them in the end.")
    if "databases" in only:
        left += [f"{kind} {DATABASES[kind]}" for kind in account.databases.told()]
        print("This creates databases, stops and starts them, and deletes them in the end, without a snapshot.")
    print("It will tell of:")
    for name, story in only.items():
        print(f"  {name}: {story.__doc__}")
    for stories, what in TAKES.items():
        if asked := [name for name in stories if name in only]:
            print(f"For {' and '.join(asked)} it makes {what}.")
    if instances:
        print("The instances take less than an hour, and some US cents.")
    if "databases" in only:
        print("The databases take one to three hours, at 10 to 15 US cents an hour.")
    print("All but the key is gone in the end.")
    if left:
        print(f"It also removes what an earlier run has left behind: {', '.join(left)}.")
    print(f"The facts go to {account.arguments.out}.")
    if account.arguments.yes:
        return True
    try:
        return input("Type yes to go on: ").strip() == "yes"
    except EOFError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--only", nargs="+", choices=STORIES, default=UNASKED, help="what to tell of, else all but databases"
    )
    parser.add_argument("--type", choices=ARCHITECTURES, default="t3.micro")
    parser.add_argument("--subnet", help="where to launch; the default network unless given")
    parser.add_argument(
        "--wait", type=float, default=900, metavar="SECONDS",
        help="for one thing to happen, at most; for a database to turn, four times that",
    )
    parser.add_argument("--out", type=Path, default=FACTS, help="the folder for the facts")
    arguments = parser.parse_args()
    names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_RDS")
    elsewhere = any(os.environ.get(name) for name in names)
    if elsewhere and arguments.out.resolve() == FACTS:
        sys.exit("AWS_ENDPOINT_URL is set, and no emulator makes facts: unset it, or give another folder with --out.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    # A kill ends it as Ctrl-C does: through the `with` block, which leaves nothing behind.
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit("Interrupted."))
    try:
        session = boto3.Session()
        account = Account(session, arguments)
        account_id = session.client("sts").get_caller_identity()["Account"]
        if not consent(account_id, session.region_name, account):
            sys.exit("Nothing was done.")
        with account:
            account.clear()
            account.run()
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"{error}")
    print(f"==> Recorded: {', '.join(account.recorded) or 'nothing'}")
    if account.missing:
        sys.exit("Not recorded:\n" + "\n".join(account.missing))


if __name__ == "__main__":
    main()
