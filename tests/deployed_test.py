"""The project's own template, deployed into a local AWS with the real binary: what only the whole can show."""

import collections
import json
import os
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from binary_test import ec2, function, moto_endpoint  # noqa: E402, F401
from expand import expand, load, resolve  # noqa: E402
from local_aws import FLEET, LocalAws, Member, instant, next_edge, poll, scheduled_fleet  # noqa: E402

BINARY = ROOT / "target" / "debug" / "stopinator-lambda"
EVERY_MINUTE = "rate(1 minute)"
RULES = ("StopRuleName", "StartRuleName", "TickRuleName")
SCHEDULES = ("StopScheduleName", "StartScheduleName", "TickScheduleName")
OPTED_OUT = ["false", "no", "never", "ignore"]
ALARMS = {
    "ErrorsAlarm", "RefusedAlarm", "FailedAlarm", "BouncedAlarm", "QueueAlarm", "NoRunAlarm", "LostEventAlarm",
    "LostStopAlarm", "LostStartAlarm", "NoStopAlarm", "NoStartAlarm", "UnsettledAlarm", "UnreachableAlarm",
}
PARAMETERS = load()["Parameters"]
WEBHOOK = "https://hooks.slack.com/services/T00000000/B00000000/abcDEF123"
LICENSE = "arn:aws:license-manager:eu-west-1:123456789012:license-configuration:lic-0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def aws():
    with LocalAws() as local_aws:
        yield local_aws


@pytest.fixture(scope="module")
def fleet(aws):
    """The instance ids by name; launched before any rule can fire."""
    return aws.launch_fleet()


@pytest.fixture(scope="module")
def edge():
    """When the windows of `scheduled` end or begin: after the launch and, as a rule, before the first tick."""
    return next_edge(seconds=15)


@pytest.fixture(scope="module")
def scheduled(aws, edge):
    """The instance ids by name of those with a schedule; launched before any rule can fire, and before the edge."""
    return aws.launch_fleet(scheduled_fleet(edge), before=edge)


@pytest.fixture(scope="module")
def failing(aws):
    """The outputs of a stack whose plan to stop is always too large; it logs at INFO."""
    aws.launch_fleet({f"doomed-{number}": Member({"Doomed": "true"}, "running", "running") for number in range(2)})
    outputs = aws.deploy(
        BINARY, stack="failing", TagKey="Doomed", MaxActions=1, StopRuleState="DISABLED", TickRuleState="DISABLED"
    )
    # AWS derives the variable from LoggingConfig, ministack does not: the stand-in for it says DEBUG for all.
    variables = {**environment(aws, outputs), "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    aws.client("lambda").update_function_configuration(
        FunctionName=outputs["FunctionName"], Environment={"Variables": variables}
    )
    return outputs


@pytest.fixture(scope="module")
def given(aws):
    """Something for every parameter that the default leaves off. Topics write to queues of the same name."""
    topics = {}
    for name in ("alarms", "failures", "chat"):
        topics[name] = aws.client("sns").create_topic(Name=name)["TopicArn"]
        sqs = aws.client("sqs")
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        aws.client("sns").subscribe(TopicArn=topics[name], Protocol="sqs", Endpoint=queue_arn)
    keys = [aws.client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(3)]
    return {
        "TagKey": "acme:all-on",
        "Scope": "all",
        "Services": "ec2,rds",
        "Regions": "eu-west-1",
        "DryRun": "true",
        "MaxActions": "7",
        "Hibernate": "true",
        "VerifySeconds": "0",
        "TriggerType": "scheduler",
        "TimeZone": "Asia/Seoul",
        "StopScheduleExpression": "cron(0 18 ? * MON-FRI *)",
        "StopRuleState": "ENABLED",
        "StartScheduleExpression": "cron(0 7 ? * MON-FRI *)",
        "StartRuleState": "ENABLED",
        "TickScheduleExpression": EVERY_MINUTE,
        "TickRuleState": "ENABLED",
        "HandStartHours": "12",
        "Accounts": "222222222222",  # there is nothing in it, and ministack lets everybody in
        "ExcludeAccounts": "333333333333",
        "SpokeRoleName": "Entry",
        "SpokeRolePath": "/spokes/",
        "OrganizationId": "o-a1b2c3d4e5",
        "ExternalId": "from-all-on",
        "MaxActionsPerAccount": "5",
        "KnownUnreachable": "2",
        "NotificationTopicArn": topics["alarms"],
        "NoRunAlarmHours": "25",
        "DeadRuleAlarmHours": "168",
        "FailureTopicArn": topics["failures"],
        "Events": "ENABLED",
        "NoticeMinutes": "120",
        "NoticeScheduleExpression": "cron(45 17 ? * MON-FRI *)",
        "NoticeRuleState": "ENABLED",
        "ChatTopicArn": topics["chat"],
        "MessagesByMail": "true",
        "SlackWebhookUrl": WEBHOOK,
        "LogLevel": "DEBUG",
        "LogRetentionDays": "365",
        "KeepLogAndQueue": "true",
        "Dashboard": "ENABLED",
        "Tracing": "Active",
        "PermissionsBoundaryArn": "arn:aws:iam::000000000000:policy/boundary",
        "RolePath": "/team/lambda/",
        "KmsKeyArns": ",".join(keys[:2]),
        "LicenseConfigurationArns": LICENSE.replace("eu-west-1:123456789012", "ap-northeast-2:000000000000"),
        "EncryptionKeyArn": keys[2],
        "MemoryMegabytes": "512",
        "TimeoutSeconds": "900",
        "ReservedConcurrency": "1",
        "SubnetIds": "subnet-0123456789abcdef0,subnet-12345678",
        "SecurityGroupIds": "sg-0123456789abcdef0",
        "CodeSigningConfigArn": "arn:aws:lambda:ap-northeast-2:000000000000:code-signing-config:csc-0123456789abcdef0",
    }


@pytest.fixture(scope="module")
def all_on(aws, given):
    """The outputs of a stack with everything on. Its tick fires once a minute."""
    return aws.deploy(BINARY, stack="all-on", **given)


# `all_on` is deployed before this waits for its rule, so that the two share the minute.
@pytest.fixture(scope="module")
def stop_run(aws, all_on, fleet, scheduled):
    """The stack's outputs once its stop rule has fired and the run is over. Its tick rule fires as well."""
    outputs = aws.deploy(
        BINARY, StopScheduleExpression=EVERY_MINUTE, TickScheduleExpression=EVERY_MINUTE, LogLevel="DEBUG"
    )
    tap(aws, outputs["TickRuleName"])
    aws.wait_for_run(outputs["LogGroupName"])
    return outputs


@pytest.fixture(scope="module")
def ticked(aws, edge, scheduled, stop_run):
    """The first line about each instance in the runs of the tick rule since the edge."""
    return aws.wait_for_run(stop_run["LogGroupName"], "schedule", ids=scheduled.values(), since=edge)


def policy(aws, role_arn, name="Stopinator"):
    """The statements of one of the role's policies as deployed, by Sid."""
    role = role_arn.rsplit("/", 1)[1]
    document = aws.client("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return {statement["Sid"]: statement for statement in document["Statement"]}


def invoke(aws, outputs, command):
    """What the deployed function makes of a command: decision, or reason, by the instance's name."""
    return {row["name"]: row.get("reason", row["decision"]) for row in answered(aws, outputs, command).values()}


def answered(aws, outputs, command):
    """The rows of what the deployed function answers to a command, by id."""
    answer = aws.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload=json.dumps(command))
    report = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, report
    return {row["id"]: row for row in report["instances"]}


def tap(aws, rule):
    """A queue as a second target of the rule, with the same transformer, holds what the function is sent."""
    events, sqs = aws.client("events"), aws.client("sqs")
    queue = sqs.create_queue(QueueName=rule)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
    copy = {"Id": "copy", "Arn": queue_arn, "InputTransformer": target["InputTransformer"]}
    assert events.put_targets(Rule=rule, Targets=[copy])["FailedEntryCount"] == 0


def sent(aws, rule):
    """What a rule that has been tapped sent first; and that its time was the present."""
    sqs = aws.client("sqs")
    queue = sqs.get_queue_url(QueueName=rule)["QueueUrl"]
    for _ in poll(seconds=120, every=0.5):  # on a slow machine it has fired only before it was tapped
        if messages := sqs.receive_message(QueueUrl=queue, AttributeNames=["SentTimestamp"]).get("Messages"):
            break
    assert messages, f"the rule {rule} has sent nothing"
    command = json.loads(messages[0]["Body"])
    time = datetime.fromisoformat(command.pop("time").replace("Z", "+00:00")).timestamp()
    assert 0 <= int(messages[0]["Attributes"]["SentTimestamp"]) / 1000 - time < 60
    return command


def queue_arn(aws, outputs):
    """The queue of events that failed."""
    attributes = aws.client("sqs").get_queue_attributes(
        QueueUrl=outputs["FailedEventsQueueUrl"], AttributeNames=["QueueArn"]
    )
    return attributes["Attributes"]["QueueArn"]


def received(aws, queue, seconds=10):
    """The bodies of what lies in a queue, once something does, parsed; takes them away."""
    sqs, bodies = aws.client("sqs"), []
    for _ in poll(seconds, every=0.2):
        messages = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        bodies += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        if bodies and not messages:
            break
    return bodies


def environment(aws, outputs):
    """The function's environment as deployed."""
    configuration = aws.client("lambda").get_function_configuration(FunctionName=outputs["FunctionName"])
    return configuration["Environment"]["Variables"]


@pytest.mark.parametrize("command", [
    ["sam", "validate", "--lint"],
    ["cfn-lint", "--include-checks", "I", "--", "template.yaml"],
])
def test_the_template_has_no_finding(aws, command):
    done = subprocess.run(command, cwd=ROOT, env=aws.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_the_stop_rule_stops_exactly_what_is_due(aws, stop_run):
    states = aws.fleet_states()
    assert {name: states[name] for name in FLEET} == {name: member.after for name, member in FLEET.items()}


def test_the_log_group_says_why_for_every_instance_found(aws, fleet, scheduled, stop_run):
    lines = aws.log_lines(stop_run["LogGroupName"])
    for line in lines:
        assert line["level"] == ("WARN" if line.get("reason") == "invalid-schedule" else line["level"]), line
        assert line["level"] in ("DEBUG", "INFO", "WARN"), line
        assert datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")), line
        assert re.fullmatch(r"[0-9a-f-]{36}", line["requestId"]), line

    said = {line["name"]: line for line in aws.said(stop_run["LogGroupName"], "stop").values()}
    ids = {**fleet, **scheduled}
    assert set(said) == set(ids) - {"untagged"}
    for name, line in said.items():
        assert line["id"] == ids[name]
        reason = "own-schedule" if name in scheduled else FLEET[name].reason
        if reason:
            assert (line["decision"], line["reason"]) == ("keep", reason)
        else:
            assert (line["decision"], line["outcome"], "reason" in line) == ("stop", "confirmed", False)


def test_the_tick_rule_follows_the_schedules(aws, edge, scheduled, ticked):
    members = scheduled_fleet(edge)
    for name, instance_id in scheduled.items():
        line, member = ticked[instance_id], members[name]
        decision = "keep" if member.reason else "stop" if member.after == "stopped" else "start"
        outcome = None if member.reason else "confirmed"
        assert (line["decision"], line.get("outcome")) == (decision, outcome), line
        assert line.get("reason", "") == member.reason
    states = aws.fleet_states()
    assert {name: states[name] for name in members} == {name: member.after for name, member in members.items()}


def test_the_tick_rule_leaves_all_others_and_says_why(fleet, ticked):
    reasons = {name: ticked[fleet[name]]["reason"] for name in FLEET if name != "untagged"}
    plain = dict.fromkeys(["web", "worker", "parked"], "plain-tag")
    assert reasons == {**{name: FLEET[name].reason for name in reasons}, **plain}
    assert "office" in ticked[fleet["mistyped"]]["detail"]


def test_the_tick_rule_sends_a_command_and_its_time(aws, stop_run, ticked):
    assert sent(aws, stop_run["TickRuleName"]) == {"action": "schedule", "tick_minutes": 1}


def test_the_function_has_exactly_these_settings(aws, stop_run):
    assert environment(aws, stop_run) == {
        "STOPINATOR_TAG_KEY": "Stopinator",
        "STOPINATOR_SCOPE": "tagged",
        "STOPINATOR_SERVICES": "ec2",
        "STOPINATOR_DRY_RUN": "false",
        "STOPINATOR_HIBERNATE": "false",
        "STOPINATOR_VERIFY_SECONDS": "60",
        "STOPINATOR_MAX_ACTIONS": "200",
        "STOPINATOR_MAX_EVENT_AGE_MINUTES": "60",
        "STOPINATOR_REGIONS": "ap-northeast-2",
        "STOPINATOR_TIME_ZONE": "UTC",
        "STOPINATOR_HAND_START_HOURS": "0",
        "STOPINATOR_SPOKE_ROLE": "/StopinatorSpoke",
        "STOPINATOR_MAX_ACTIONS_PER_ACCOUNT": "50",
    }


def test_only_its_rules_may_invoke_the_function(aws, stop_run):
    events = aws.client("events")
    attached = aws.client("lambda").get_policy(FunctionName=stop_run["FunctionName"])["Policy"]
    statements = json.loads(attached)["Statement"]
    assert {statement["Principal"]["Service"] for statement in statements} == {"events.amazonaws.com"}
    sources = [statement["Condition"]["ArnLike"]["AWS:SourceArn"] for statement in statements]
    assert sorted(sources) == sorted(events.describe_rule(Name=stop_run[rule])["Arn"] for rule in RULES)


def test_the_role_may_do_no_more_than_it_needs(aws, stop_run):
    statements = policy(aws, stop_run["RoleArn"]) | policy(aws, stop_run["RoleArn"], "StopinatorTagged")
    region = {"aws:RequestedRegion": "ap-northeast-2"}
    instances = "arn:aws:ec2:*:000000000000:instance/*"
    assert {sid: s["Action"] for sid, s in statements.items()} == {
        "WriteOwnLog": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Look": "ec2:DescribeInstances",
        "ConnectToVpc": [
            "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
        ],
        "StopAndStartTagged": ["ec2:StopInstances", "ec2:StartInstances"],
        "HandOverFailedEvents": "sqs:SendMessage",
    }
    assert statements["HandOverFailedEvents"]["Resource"] == queue_arn(aws, stop_run)
    assert statements["WriteOwnLog"]["Resource"].endswith(f":log-group:{stop_run['LogGroupName']}:*")
    assert statements["Look"]["Condition"] == {"StringEquals": region}
    assert statements["ConnectToVpc"]["Condition"] == {"Null": {"lambda:SourceFunctionArn": "true"}}
    assert statements["StopAndStartTagged"]["Resource"] == instances
    assert statements["StopAndStartTagged"]["Condition"] == {
        "StringEquals": {"aws:RequestedRegion": ["ap-northeast-2"]},
        "StringLike": {"aws:ResourceTag/Stopinator": ["*", ""]},
        "Null": {"aws:ResourceTag/aws:autoscaling:groupName": "true"},
        "StringNotEqualsIgnoreCase": {"aws:ResourceTag/Stopinator": OPTED_OUT},
    }
    role = stop_run["RoleArn"].rsplit("/", 1)[1]
    iam = aws.client("iam")
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["Stopinator", "StopinatorTagged"]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []


def test_no_event_reaches_the_function_too_old_to_be_followed(aws, stop_run):
    asynchronous = aws.client("lambda").get_function_event_invoke_config(
        FunctionName=stop_run["FunctionName"], Qualifier="$LATEST"
    )
    for rule in RULES:
        targets = aws.client("events").list_targets_by_rule(Rule=stop_run[rule])["Targets"]
        [target] = [target for target in targets if target["Id"] == "Stopinator"]
        longest = target["RetryPolicy"]["MaximumEventAgeInSeconds"] + asynchronous["MaximumEventAgeInSeconds"]
        assert longest < 60 * int(environment(aws, stop_run)["STOPINATOR_MAX_EVENT_AGE_MINUTES"])


def test_the_start_rule_starts_what_is_tagged_and_says_when(aws, ticked):
    before = aws.fleet_states()
    outputs = aws.deploy(
        BINARY, StopRuleState="DISABLED", TickRuleState="DISABLED", StartRuleState="ENABLED",
        StartScheduleExpression=EVERY_MINUTE, LogLevel="DEBUG",
    )
    tap(aws, outputs["StartRuleName"])
    aws.wait_for_run(outputs["LogGroupName"], action="start")

    changed = {name for name, state in aws.fleet_states().items() if state != before[name]}
    assert changed == {"web", "worker", "parked"}
    assert sent(aws, outputs["StartRuleName"]) == {"action": "start"}
    states = {name: aws.client("events").describe_rule(Name=outputs[name])["State"] for name in RULES}
    assert states == {"StopRuleName": "DISABLED", "StartRuleName": "ENABLED", "TickRuleName": "DISABLED"}


def window(begin, end):
    """A daily window, its edges so many hours from now."""
    begin, end = (datetime.now(timezone.utc) + timedelta(hours=hours) for hours in (begin, end))
    return f"daily {begin:%H:%M}-{end:%H:%M} UTC"


ON, OFF = window(-3, 3), window(-3, -1)
UNTIL = f"until {datetime.now(timezone.utc) + timedelta(days=30):%Y-%m-%d}"
# All are running, launched just now. Tag and hold, then what a stop and a schedule command say.
COMMANDED = {
    "in-its-hours": (ON, None, "own-schedule", "already-running"),
    "by-hand": (OFF, None, "own-schedule", "started-by-hand"),
    "enforced": (OFF + " enforced", None, "own-schedule", "stop"),
    "held": (OFF + " enforced", UNTIL, "own-schedule", "held"),
    "held-off": (ON, "off " + UNTIL, "own-schedule", "stop"),
    "held-oddly": (OFF + " enforced", "over the holidays", "own-schedule", "invalid-hold"),
    "mistyped-too": ("weekdaze 07:00-19:00", None, "invalid-schedule", "invalid-schedule"),
    "plain": ("true", None, "stop", "plain-tag"),
    "plain-empty": ("", None, "stop", "plain-tag"),
    "plain-held": ("true", UNTIL, "held", "plain-tag"),
    "plain-held-on": ("", "on " + UNTIL, "held", "plain-tag"),
    "plain-held-off": ("true", "off " + UNTIL, "stop", "plain-tag"),
    "plain-held-oddly": ("true", "2026", "invalid-hold", "plain-tag"),
}


def tags(tag, hold):
    return {"Stopinator": tag} if hold is None else {"Stopinator": tag, "Stopinator-Hold": hold}


@pytest.fixture(scope="module")
def quiet(aws):
    """The stack's outputs, its rules off. No test gives ids to a command: ministack ignores the filter by id."""
    return aws.deploy(
        BINARY, StopRuleState="DISABLED", StartRuleState="DISABLED", TickRuleState="DISABLED", LogLevel="DEBUG"
    )


@pytest.fixture(scope="module")
def commanded(aws, quiet):
    members = {name: Member(tags(*case[:2]), "running", "") for name, case in COMMANDED.items()}
    return aws.launch_fleet(members)


@pytest.mark.parametrize(("column", "action"), [(2, "stop"), (3, "schedule")])
def test_a_command_decides_by_tag_and_hold(aws, quiet, commanded, column, action):
    expected = {name: case[column] for name, case in COMMANDED.items()}
    said = invoke(aws, quiet, {"action": action})
    assert {name: said[name] for name in expected} == expected
    states = aws.fleet_states()
    for name, case in COMMANDED.items():
        if case[column] == "stop" or "stop" not in case:
            assert states[name] == ("stopped" if case[column] == "stop" else "running"), name


def test_a_hold_that_wants_an_instance_on_starts_it(aws, quiet):
    aws.launch("wanted", Member(tags(OFF, "on " + UNTIL), "stopped", "running"))
    assert invoke(aws, quiet, {"action": "schedule"})["wanted"] == "start"
    assert aws.fleet_states()["wanted"] == "running"


# -- databases --


# Kind, tag, state before and after a tick, and what the tick says of it. All are created just now, which is a start.
DATABASES = {
    "orders": ("db", OFF + " enforced", "available", "stopped", "stop"),
    "ledger": ("cluster", OFF + " enforced", "available", "stopped", "stop"),
    "early": ("cluster", ON + " enforced", "stopped", "available", "start"),
    "new": ("db", OFF, "available", "available", "started-by-hand"),
    "new-cluster": ("cluster", OFF, "available", "available", "started-by-hand"),
    "parked-db": ("db", OFF, "stopped", "stopped", "already-stopped"),
    "open": ("db", ON, "available", "available", "already-running"),
    "spared": ("db", "false", "available", "available", "opted-out"),
    "bare": ("db", None, "available", "available", None),
    "bare-cluster": ("cluster", None, "available", "available", None),
}


@pytest.fixture(scope="module")
def databases(aws):
    """The outputs of a stack with a tag of its own and its rules off, and what it answers to a tick, by id."""
    for name, (kind, tag, before, after, _) in DATABASES.items():
        aws.launch(name, Member({} if tag is None else {"acme:db": tag}, before, after, kind=kind))
    # As a stack's tags come down to all that is in it: RDS refuses to stop it, ministack would.
    aws.client("rds").create_db_instance(
        DBInstanceIdentifier="ledger-1", DBClusterIdentifier="ledger", DBInstanceClass="db.t4g.medium",
        Engine="aurora-postgresql", Tags=[{"Key": "acme:db", "Value": OFF}],
    )
    outputs = aws.deploy(
        BINARY, stack="databases", TagKey="acme:db", Services="ec2,rds", LogLevel="DEBUG", StopRuleState="DISABLED",
        TickRuleState="DISABLED",
    )
    return outputs, answered(aws, outputs, {"action": "schedule"})


def test_a_tick_acts_on_the_databases_that_are_due_and_on_no_other(aws, databases):
    said = {f"{kind}:{name}": decision for name, (kind, *_, decision) in DATABASES.items() if decision}
    _, rows = databases
    assert {id: row.get("reason", row["decision"]) for id, row in rows.items()} == {
        **said, "db:ledger-1": "cluster-member",
    }
    assert rows["db:ledger-1"]["detail"] == "tag cluster:ledger instead"
    for id, decision in said.items():
        expected = "confirmed" if decision in ("stop", "start") else None
        assert (rows[id]["kind"], rows[id].get("outcome")) == (id.split(":")[0], expected), rows[id]
    states = aws.fleet_states()
    assert {name: states[name] for name in DATABASES} == {name: case[3] for name, case in DATABASES.items()}


def test_the_log_has_the_same_of_databases(aws, databases):
    outputs, rows = databases
    for _ in poll(seconds=60, every=0.5):
        if said := aws.said(outputs["LogGroupName"], "schedule"):
            break
    assert said.keys() == rows.keys()
    for id, row in rows.items():
        assert row.items() <= said[id].items()


def test_a_database_is_never_acted_on_without_the_tag(aws, databases):
    outputs, _ = databases
    command = {"action": "stop", "databases": ["db:bare", "cluster:bare-cluster", "cluster:bare"]}
    rows = answered(aws, outputs, command)
    assert {id: row["reason"] for id, row in rows.items()} == {
        "db:bare": "not-selected", "cluster:bare-cluster": "not-selected", "cluster:bare": "gone",
    }
    states = aws.fleet_states()
    assert states["bare"] == states["bare-cluster"] == "available"


def test_the_role_may_stop_databases_where_services_names_them(aws, databases, quiet):
    outputs, _ = databases
    names = aws.client("iam").list_role_policies(RoleName=outputs["RoleArn"].rsplit("/", 1)[1])["PolicyNames"]
    assert sorted(names) == ["Stopinator", "StopinatorDatabases", "StopinatorTagged"]
    statements = policy(aws, outputs["RoleArn"], "StopinatorDatabases")
    assert statements.keys() == {"LookAtDatabases", "StopAndStartDatabases"}
    condition = statements["StopAndStartDatabases"]["Condition"]
    assert condition["StringLike"] == {"aws:ResourceTag/acme:db": ["*", ""]}
    assert environment(aws, outputs)["STOPINATOR_SERVICES"] == "ec2,rds"
    # Nothing of it without.
    role = quiet["RoleArn"].rsplit("/", 1)[1]
    names = aws.client("iam").list_role_policies(RoleName=role)["PolicyNames"]
    assert "rds:" not in json.dumps([policy(aws, quiet["RoleArn"], name) for name in names])
    assert environment(aws, quiet)["STOPINATOR_SERVICES"] == "ec2"


def test_without_services_no_database_is_seen(aws, quiet):
    """That nothing is asked of RDS: see binary_test.py."""
    aws.launch("unseen", Member({"Stopinator": OFF}, "available", "available", kind="db"))
    rows = answered(aws, quiet, {"action": "schedule", "dry_run": True})
    assert not [id for id, row in rows.items() if "kind" in row or ":" in id]


# -- another tag key --


def test_a_tag_key_with_a_colon_comes_out_whole(aws):
    outputs = aws.deploy(
        BINARY, stack="colon", StopRuleState="DISABLED", TagKey="acme:stop-hours", Scope="all",
        Regions="eu-west-1,us-east-1", Hibernate="true", VerifySeconds="600",
        TickScheduleExpression="rate(59 minutes)", TimeZone="America/Argentina/Buenos_Aires", HandStartHours="8760",
    )
    tagged = policy(aws, outputs["RoleArn"], "StopinatorTagged")["StopAndStartTagged"]
    condition = tagged["Condition"]
    assert condition["StringLike"] == {"aws:ResourceTag/acme:stop-hours": ["*", ""]}
    assert condition["StringNotEqualsIgnoreCase"] == {"aws:ResourceTag/acme:stop-hours": OPTED_OUT}
    settings = environment(aws, outputs)
    assert settings["STOPINATOR_TAG_KEY"] == "acme:stop-hours"
    assert (settings["STOPINATOR_HIBERNATE"], settings["STOPINATOR_VERIFY_SECONDS"]) == ("true", "600")
    assert settings["STOPINATOR_TIME_ZONE"] == "America/Argentina/Buenos_Aires"
    assert settings["STOPINATOR_HAND_START_HOURS"] == "8760"
    tick = aws.client("events").describe_rule(Name=outputs["TickRuleName"])
    assert (tick["ScheduleExpression"], tick["State"]) == ("rate(59 minutes)", "ENABLED")

    # Scope "all" widens the stop, to the same regions and not to what is opted out, and nothing else.
    assert settings["STOPINATOR_REGIONS"] == "eu-west-1,us-east-1"
    wider = policy(aws, outputs["RoleArn"], "StopinatorScopeAll")
    assert {sid: s["Action"] for sid, s in wider.items()} == {
        "LookForInstanceStore": "ec2:DescribeInstanceTypes",
        "StopAll": "ec2:StopInstances",
    }
    assert wider["StopAll"]["Condition"]["StringNotEqualsIgnoreCase"] == condition["StringNotEqualsIgnoreCase"]
    for statement in [*wider.values(), policy(aws, outputs["RoleArn"])["Look"], tagged]:
        assert statement["Condition"]["StringEquals"] == {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}


# -- metrics --


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_every_run_writes_its_metrics(aws, stop_run, failing, failed, level):
    outputs = stop_run if level == "DEBUG" else failing
    # One look: its rules may go on firing.
    everything = aws.lines(outputs["LogGroupName"])
    documents = [line for line in everything if "_aws" in line]
    lines = [line for line in everything if "_aws" not in line]
    assert ("DEBUG" in {line["level"] for line in lines}) == (level == "DEBUG")
    runs = [line["requestId"] for line in lines if line["message"] == "run finished"]
    assert runs and sorted(document["requestId"] for document in documents) == sorted(runs)
    for document in documents:
        [directive] = document["_aws"]["CloudWatchMetrics"]
        assert (directive["Namespace"], directive["Dimensions"]) == ("Stopinator", [["FunctionName"]])
        assert document["FunctionName"] == outputs["FunctionName"]
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert {"Found", "Duration"} <= set(names) and len(names) <= 10
        for name in names:
            assert isinstance(document[name], (int, float)), document


def test_alarms_and_dashboard_read_what_the_function_writes(aws, stop_run, all_on):
    written = aws.metrics_lines(stop_run["LogGroupName"])[0]
    alarms = [alarm for alarm in alarms_of(aws, "all-on").values() if alarm["Namespace"] == "Stopinator"]
    read = {alarm["MetricName"] for alarm in alarms} - {"StopRuns", "StartRuns"}
    assert read == {"Refused", "Failed", "Bounced", "DatabasesUnsettled", "Unreachable"}
    for alarm in alarms:
        assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": all_on["FunctionName"]}]

    for widget in dashboard(aws, all_on):
        namespace = None
        for row in widget["properties"].get("metrics", []):
            if isinstance(row[0], str):
                namespace = row[0] if row[0] != "." else namespace
                read |= {row[1]} if namespace == "Stopinator" else set()
    assert read == {
        "Found", "Stopped", "Started", "Refused", "Failed", "Bounced", "NotAttempted", "Duration", "InstanceHoursSaved",
        "DatabasesUnsettled", "Unreachable",
    }
    for name in read - {"DatabasesUnsettled", "Unreachable"}:  # which are written where there is one
        assert isinstance(written[name], (int, float)), name


def metric_filter(properties):
    """Its metric, and the test of a line: as much of the language of filters as the template uses; refuses all else."""
    pattern = r'\{ \(\$\.action = "(\w+)"\) && \(\$\.Found >= 0\)( && \(\$\.notice NOT EXISTS\))? \}'
    action, but_notices = re.fullmatch(pattern, properties["FilterPattern"]).groups()
    assert bool(but_notices) == (action == "stop")  # there is none of a start
    [metric] = properties["MetricTransformations"]
    assert (metric["MetricNamespace"], metric["MetricValue"]) == ("Stopinator", "1")
    assert metric["Dimensions"] == [{"Key": "FunctionName", "Value": "$.FunctionName"}]
    return metric["MetricName"], lambda line: (
        line.get("action") == action and line.get("Found", -1) >= 0 and not (but_notices and "notice" in line)
    )


def test_the_log_tells_of_a_stop_rule_that_is_dead(aws, given, stop_run, all_on):
    resources = resolve(expand(), given)["Resources"]
    filters = dict(metric_filter(r["Properties"]) for r in resources.values() if r["Type"] == "AWS::Logs::MetricFilter")
    alarms = alarms_of(aws, "all-on")
    assert {alarms[f"No{kind}Alarm"]["MetricName"] for kind in ("Stop", "Start")} == set(filters)

    lines = aws.lines(stop_run["LogGroupName"])
    finished = collections.Counter(line["action"] for line in lines if line.get("message") == "run finished")
    assert finished["stop"] and finished["schedule"]  # ticks go on
    for name, action in ("StopRuns", "stop"), ("StartRuns", "start"):
        counted = [line for line in lines if filters[name](line)]
        assert len(counted) == finished[action]
        assert {line["FunctionName"] for line in counted} <= {stop_run["FunctionName"]}


def test_a_rule_is_watched_if_it_is_on_and_somebody_listens():
    def made(**parameters):
        resources = resolve(expand(), {"NotificationEmail": "a@example.com", **parameters})["Resources"]
        return {name for name in resources if name.endswith(("Alarm", "Runs"))} - common

    some = {"LostStopAlarm", "LostStartAlarm", "NoStopAlarm", "NoStartAlarm", "UnsettledAlarm", "UnreachableAlarm"}
    common = ALARMS - some
    stop = {"LostStopAlarm", "NoStopAlarm", "StopRuns"}
    start = {"LostStartAlarm", "NoStartAlarm", "StartRuns"}
    assert made() == stop
    assert made(StartRuleState="ENABLED") == stop | start
    assert made(StartRuleState="ENABLED", StopRuleState="DISABLED", TriggerType="scheduler") == start
    assert made(DeadRuleAlarmHours="0") == {"LostStopAlarm"}
    assert made(NotificationEmail="") == made(NotificationEmail="", Services="ec2,rds") == set()
    assert made(Services="ec2,rds") == stop | {"UnsettledAlarm"}
    assert made(Accounts="222222222222") == made(OrganizationalUnits="r-a1b2") == stop | {"UnreachableAlarm"}
    assert made(ExcludeAccounts="222222222222") == stop
    assert made(NotificationEmail="", Accounts="222222222222") == set()


@pytest.mark.parametrize(("trigger", "namespace", "dimensions"), [
    ("rule", "AWS/Events", [("RuleName", "stopinator-StopRule"), ("RuleName", "stopinator-StartRule")]),
    ("scheduler", "AWS/Scheduler", [("ScheduleGroup", "stopinator-Schedules")] * 2),
])
def test_an_event_that_eventbridge_loses_is_told(trigger, namespace, dimensions):
    given = {"NotificationEmail": "a@example.com", "StartRuleState": "ENABLED", "TriggerType": trigger}
    resources = resolve(expand(), given)["Resources"]
    for kind, (name, value) in zip(("Stop", "Start"), dimensions):
        alarm = resources[f"Lost{kind}Alarm"]["Properties"]
        assert (alarm["Namespace"], alarm["Dimensions"]) == (namespace, [{"Name": name, "Value": value}])
        assert alarm["MetricName"].startswith("InvocationsFailedToBeSentToD")


# -- failure --


def hand_over(aws, outputs, event):
    """As a rule and Scheduler do, asynchronously: ministack's own call a target once, and never again."""
    answer = aws.client("lambda").invoke(
        FunctionName=outputs["FunctionName"], InvocationType="Event", Payload=json.dumps(event)
    )
    assert answer["StatusCode"] == 202


def retries(aws, outputs):
    return aws.client("lambda").get_function_event_invoke_config(
        FunctionName=outputs["FunctionName"], Qualifier="$LATEST"
    )


@pytest.fixture(scope="module")
def failed(aws, failing):
    """The event that its stop rule would send, and what lies in the queue after every try of it has failed."""
    event = json.loads((ROOT / "events" / "scheduled-rule.json").read_text())
    event["time"] = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    event["resources"] = [aws.client("events").describe_rule(Name=failing["StopRuleName"])["Arn"]]
    hand_over(aws, failing, event)
    return event, received(aws, failing["FailedEventsQueueUrl"], seconds=60)


def test_a_run_that_fails_is_tried_again_and_its_event_lies_in_the_queue(aws, failing, failed):
    event, [message] = failed
    assert message["requestPayload"] == event
    assert message["requestContext"]["condition"] == "RetriesExhausted"
    assert message["responsePayload"]["errorType"] == "too-many"

    tries = 1 + retries(aws, failing)["MaximumRetryAttempts"]
    errors = [line for line in aws.log_lines(failing["LogGroupName"]) if line["level"] == "ERROR"]
    assert [line["error"] for line in errors] == ["too-many"] * tries == ["too-many"] * 3
    states = aws.fleet_states()
    assert {states[name] for name in states if name.startswith("doomed")} == {"running"}


def test_what_a_rule_cannot_deliver_goes_to_the_queue(aws, stop_run):
    sqs, events = aws.client("sqs"), aws.client("events")
    for rule in RULES:
        [target] = [t for t in events.list_targets_by_rule(Rule=stop_run[rule])["Targets"] if t["Id"] == "Stopinator"]
        assert target["DeadLetterConfig"] == {"Arn": queue_arn(aws, stop_run)}
    attributes = sqs.get_queue_attributes(QueueUrl=stop_run["FailedEventsQueueUrl"], AttributeNames=["All"])
    attributes = attributes["Attributes"]
    assert attributes["SqsManagedSseEnabled"] == "true"
    assert attributes["MessageRetentionPeriod"] == str(14 * 24 * 3600)
    [statement] = json.loads(attributes["Policy"])["Statement"]
    arns = [events.describe_rule(Name=stop_run[rule])["Arn"] for rule in RULES]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": arns}}


def alarms_of(aws, stack):
    """By the name that the template gives them."""
    pages = aws.client("cloudwatch").get_paginator("describe_alarms").paginate()
    alarms = [alarm for page in pages for alarm in page["MetricAlarms"]]
    return {a["AlarmName"].split("-")[-2]: a for a in alarms if a["AlarmName"].startswith(f"{stack}-")}


def test_nobody_pays_for_alarms_that_nobody_hears(aws, stop_run):
    assert alarms_of(aws, "stopinator") == {}
    assert "NotificationTopicArn" not in stop_run and "DashboardName" not in stop_run


def test_every_alarm_reaches_the_topic_and_so_does_its_end(aws, given, all_on):
    alarms, cloudwatch = alarms_of(aws, "all-on"), aws.client("cloudwatch")
    assert set(alarms) == ALARMS
    silence = {"NoRunAlarm": "NoRunAlarmHours", **dict.fromkeys(["NoStopAlarm", "NoStartAlarm"], "DeadRuleAlarmHours")}
    for name, alarm in alarms.items():
        # Ticks are up to 59 minutes apart: what lasts is to stay one alarm in between.
        expected = ("notBreaching", "GreaterThanOrEqualToThreshold", 300, 12, 1)
        if name == "QueueAlarm":
            expected = ("ignore", "GreaterThanOrEqualToThreshold", 300, 1, None)
        if name == "UnreachableAlarm":
            expected = ("notBreaching", "GreaterThanThreshold", 300, 12, 1)
            assert alarm["Statistic"] == "Maximum"  # each run tells of all of them
        if name in silence:
            expected = ("breaching", "LessThanThreshold", 3600, int(given[silence[name]]), None)
        found = [alarm[key] for key in ("TreatMissingData", "ComparisonOperator", "Period", "EvaluationPeriods")]
        assert (*found, alarm.get("DatapointsToAlarm")) == expected, name
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
        assert alarm["Period"] * alarm["EvaluationPeriods"] <= (604_800 if alarm["Period"] >= 3600 else 86_400)
        assert alarm["Threshold"] == (int(given["KnownUnreachable"]) if name == "UnreachableAlarm" else 1)
        for state in ("OK", "ALARM", "OK"):
            cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason="test")
    queue = aws.client("sqs").get_queue_url(QueueName="alarms")["QueueUrl"]
    told = [json.loads(message["Message"]) for message in received(aws, queue)]
    assert {(message["AlarmName"], message["NewStateValue"]) for message in told} == {
        (alarm["AlarmName"], state) for alarm in alarms.values() for state in ("OK", "ALARM")
    }


# -- everything on --


def test_a_failed_event_goes_to_the_topic_that_was_given(aws, all_on):
    stale = {"action": "stop", "time": "2020-01-01T00:00:00Z"}
    hand_over(aws, all_on, stale)
    topic = aws.client("sqs").get_queue_url(QueueName="failures")["QueueUrl"]
    [told] = received(aws, topic, seconds=60)
    message = json.loads(told["Message"])
    assert (message["requestPayload"], message["responsePayload"]["errorType"]) == (stale, "stale-event")
    assert received(aws, all_on["FailedEventsQueueUrl"], seconds=0.3) == []


def test_scheduler_wakes_the_function(aws, all_on, stop_run):
    """ministack leaves the keyword for the time in its input as it is, and so the function refuses it."""
    for _ in poll(seconds=120, every=1):
        errors = [line for line in aws.log_lines(all_on["LogGroupName"]) if line.get("error") == "bad-trigger"]
        if errors:
            break
    assert errors, "no schedule has woken it"
    assert "`time`" in errors[0]["message"]


@pytest.mark.parametrize(("schedule", "action"), list(zip(SCHEDULES, ["stop", "start", "schedule"])))
def test_what_scheduler_sends_is_a_command(aws, all_on, schedule, action):
    """With the keyword replaced by the time in the form that Scheduler's guide gives for it."""
    scheduled = aws.client("scheduler").get_schedule(Name=all_on[schedule], GroupName=all_on["ScheduleGroupName"])
    assert scheduled["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = scheduled["Target"]
    assert target["DeadLetterConfig"] == {"Arn": queue_arn(aws, all_on)}
    assert target["Arn"] == all_on["FunctionArn"]
    longest = target["RetryPolicy"]["MaximumEventAgeInSeconds"] + retries(aws, all_on)["MaximumEventAgeInSeconds"]
    assert longest < 60 * int(environment(aws, all_on)["STOPINATOR_MAX_EVENT_AGE_MINUTES"])
    now = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
    command = json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", now))
    tick = {"tick_minutes": 1} if action == "schedule" else {}
    assert command == {"action": action, "time": now, **tick}
    invoke(aws, all_on, command)


def dashboard(aws, outputs):
    """Its widgets."""
    body = aws.client("cloudwatch").get_dashboard(DashboardName=outputs["DashboardName"])["DashboardBody"]
    return json.loads(body)["widgets"]


def test_every_parameter_arrives(given):
    """By the template, expanded: ministack keeps no trace of some of these (VPC, signing, concurrency, path, zone)."""
    # ministack's Organizations tells of no unit in which an account is.
    assert given.keys() | {"Architecture", "NotificationEmail", "OrganizationalUnits"} == PARAMETERS.keys()
    resources = resolve(expand(), given)["Resources"]
    properties = {name: resource.get("Properties", {}) for name, resource in resources.items()}
    function = properties["StopinatorFunction"]
    assert function["VpcConfig"] == {
        "SubnetIds": given["SubnetIds"].split(","), "SecurityGroupIds": given["SecurityGroupIds"].split(","),
    }
    assert function["CodeSigningConfigArn"] == given["CodeSigningConfigArn"]
    assert function["ReservedConcurrentExecutions"] == "1"
    assert function["TracingConfig"] == {"Mode": "Active"}
    assert (str(function["MemorySize"]), str(function["Timeout"])) == ("512", "900")
    variables = function["Environment"]["Variables"]
    assert variables["STOPINATOR_SERVICES"] == "ec2,rds"
    assert {name.removeprefix("STOPINATOR_"): value for name, value in variables.items() if "CCOUNT" in name} == {
        "ACCOUNTS": "222222222222", "EXCLUDE_ACCOUNTS": "333333333333", "MAX_ACTIONS_PER_ACCOUNT": "5",
    }
    assert variables["STOPINATOR_SPOKE_ROLE"] == "/spokes/Entry"
    assert variables["STOPINATOR_EXTERNAL_ID"] == given["ExternalId"]
    assert (variables["STOPINATOR_EVENTS"], variables["STOPINATOR_NOTICE_MINUTES"]) == ("true", "120")
    for role in ("StopinatorRole", "SchedulerRole", "SlackRole"):
        assert properties[role]["PermissionsBoundary"] == given["PermissionsBoundaryArn"]
        assert properties[role]["Path"] == given["RolePath"]
    assert properties["KeptLog"]["KmsKeyId"] == given["EncryptionKeyArn"]
    assert str(properties["KeptLog"]["RetentionInDays"]) == "365"
    assert properties["KeptEvents"]["KmsMasterKeyId"] == given["EncryptionKeyArn"]
    for schedule, expression in [("Stop", "Stop"), ("Start", "Start"), ("Tick", "Tick"), ("Notice", "Notice")]:
        schedule = properties[f"{schedule}Schedule"]
        assert schedule["ScheduleExpression"] == given[f"{expression}ScheduleExpression"]
        assert schedule["ScheduleExpressionTimezone"] == "Asia/Seoul"
        assert schedule["State"] == given[f"{expression}RuleState"]
    [statement] = properties["SchedulerRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert set(statement["Condition"]["StringEquals"]) == {"aws:SourceAccount", "aws:SourceArn"}
    targets = {
        name: said["Properties"]["Targets"][0]["Arn"] for name, said in resources.items()
        if said["Type"] == "AWS::Events::Rule"
    }
    assert targets.pop("SlackRule").rpartition("/")[0].endswith(":api-destination/stopinator-SlackDestination")
    assert targets == {
        **dict.fromkeys(["ChatRule", "ChatNoticeRule"], given["ChatTopicArn"]), "MailRule": given["NotificationTopicArn"],
    }
    assert properties["SlackDestination"]["InvocationEndpoint"] == given["SlackWebhookUrl"]

    off = resolve(expand())["Resources"]
    for name in ("VpcConfig", "CodeSigningConfigArn", "ReservedConcurrentExecutions"):
        assert name not in off["StopinatorFunction"]["Properties"]
    assert not {"PermissionsBoundary"} & off["StopinatorRole"]["Properties"].keys()
    assert {resource["Type"] for resource in off.values()} == {
        "AWS::Lambda::Function", "AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig", "AWS::Logs::LogGroup",
        "AWS::Logs::QueryDefinition", "AWS::IAM::Role", "AWS::Events::Rule", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy",
    }


def test_with_everything_on_the_role_may_do_just_that_more(aws, given, all_on):
    role = all_on["RoleArn"].rsplit("/", 1)[1]
    assert f":role{given['RolePath']}" in all_on["RoleArn"]
    names = set(aws.client("iam").list_role_policies(RoleName=role)["PolicyNames"])
    more = ("Accounts", "Databases", "Encryption", "EncryptedVolumes", "Events", "Licenses", "ScopeAll", "Tagged", "Tracing")
    assert names == {"Stopinator"} | {f"Stopinator{name}" for name in more}
    databases = policy(aws, all_on["RoleArn"], "StopinatorDatabases")
    assert {sid: s["Action"] for sid, s in databases.items()} == {
        "LookAtDatabases": ["rds:DescribeDBInstances", "rds:DescribeDBClusters", "rds:DescribeEvents"],
        "StopAndStartDatabases": [
            "rds:StopDBInstance", "rds:StartDBInstance", "rds:StopDBCluster", "rds:StartDBCluster",
        ],
    }
    region, tag = {"aws:RequestedRegion": ["eu-west-1"]}, f"aws:ResourceTag/{given['TagKey']}"
    assert databases["LookAtDatabases"]["Condition"] == {"StringEquals": region}
    assert databases["StopAndStartDatabases"]["Resource"] == [
        f"arn:aws:rds:*:000000000000:{kind}:*" for kind in ("db", "cluster")
    ]
    assert databases["StopAndStartDatabases"]["Condition"] == {
        "StringEquals": region, "StringLike": {tag: ["*", ""]}, "StringNotEqualsIgnoreCase": {tag: OPTED_OUT},
    }
    handed = policy(aws, all_on["RoleArn"])["HandOverFailedEvents"]
    assert (handed["Action"], handed["Resource"]) == ("sns:Publish", given["FailureTopicArn"])
    [grant] = policy(aws, all_on["RoleArn"], "StopinatorEncryptedVolumes").values()
    assert (grant["Action"], grant["Resource"]) == ("kms:CreateGrant", given["KmsKeyArns"].split(","))
    assert grant["Condition"] == {
        "Bool": {"kms:GrantIsForAWSResource": "true"}, "StringLike": {"kms:ViaService": "ec2.*.amazonaws.com"},
    }
    [licensed] = policy(aws, all_on["RoleArn"], "StopinatorLicenses").values()
    assert (licensed["Action"], licensed["Resource"]) == ("ec2:StartInstances", [given["LicenseConfigurationArns"]])
    assert licensed["Condition"] == {"StringEquals": {"aws:RequestedRegion": ["eu-west-1"]}}
    [encrypt] = policy(aws, all_on["RoleArn"], "StopinatorEncryption").values()
    assert encrypt["Resource"] == given["EncryptionKeyArn"]
    assert encrypt["Condition"] == {"StringLike": {"kms:ViaService": "sns.*.amazonaws.com"}}
    [enter] = policy(aws, all_on["RoleArn"], "StopinatorAccounts").values()
    assert (enter["Action"], enter["Resource"]) == ("sts:AssumeRole", "arn:aws:iam::*:role/spokes/Entry")
    assert enter["Condition"] == {"StringEquals": {"aws:ResourceOrgID": given["OrganizationId"]}}
    [tell] = policy(aws, all_on["RoleArn"], "StopinatorEvents").values()
    bus = "arn:aws:events:ap-northeast-2:000000000000:event-bus/default"
    assert (tell["Action"], tell["Resource"]) == ("events:PutEvents", bus)
    assert tell["Condition"] == {
        "ForAllValues:StringEquals": {"events:source": "stopinator"}, "Null": {"events:source": "false"},
    }
    [trace] = policy(aws, all_on["RoleArn"], "StopinatorTracing").values()
    assert trace["Action"] == ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]

    scheduler = aws.client("scheduler").get_schedule(Name=all_on[SCHEDULES[0]], GroupName=all_on["ScheduleGroupName"])
    statements = policy(aws, scheduler["Target"]["RoleArn"], "StopinatorScheduler")
    assert {sid: (s["Action"], s["Resource"]) for sid, s in statements.items()} == {
        "WakeFunction": ("lambda:InvokeFunction", all_on["FunctionArn"]),
        "KeepWhatCannotBeDelivered": ("sqs:SendMessage", queue_arn(aws, all_on)),
        "EncryptWhatCannotBeDelivered": (["kms:GenerateDataKey", "kms:Decrypt"], given["EncryptionKeyArn"]),
    }


# -- queries --


class Insights:
    """As much of the query language of CloudWatch Logs Insights as the saved queries use; refuses all else.

    Not AWS's own engine, which runs nowhere but there: this shows that the fields are those that the function writes,
    and that the right lines come out. ministack skips the filters that it does not know.
    """

    def __init__(self, lines):
        self.lines = [{**line, "@timestamp": line["timestamp"]} for line in lines]

    def run(self, query):
        rows = self.lines
        for stage in re.split(r"\n?\| ", query):
            command, _, rest = stage.strip().partition(" ")
            rows = getattr(self, f"_{command}")(rows, rest)
        return rows

    def _field(self, name):
        # `account` is written where there are others.
        written = name == "account" or any(name in line for line in self.lines)
        assert re.fullmatch(r"@?\w+", name) and written, f"nobody writes {name}"
        return name

    def _fields(self, rows, names):
        names = [self._field(name) for name in names.split(", ")]
        return [{name: row[name] for name in names if name in row} for row in rows]

    def _filter(self, rows, text):
        tokens = re.findall(r'"[^"]*"|@?\w+|[()=,\[\]]|\S', text)
        python = []
        while tokens:
            token = tokens.pop(0)
            if token in ("and", "or", "(", ")"):
                python.append(token)
                continue
            field, operator = self._field(token), tokens.pop(0)
            if operator == "=":
                values = [tokens.pop(0)]
            else:
                assert (operator, tokens.pop(0)) == ("in", "["), text
                end = tokens.index("]")
                values, tokens = [value for value in tokens[:end] if value != ","], tokens[end + 1:]
            assert all(re.fullmatch(r'"[^"]*"', value) for value in values), text
            python.append(f"(row.get({field!r}) in ({', '.join(values)},))")
        return [row for row in rows if eval(" ".join(python), {"row": row})]

    def _stats(self, rows, text):
        columns, _, by = text.partition(" by ")
        groups = collections.defaultdict(list)
        for row in rows:
            groups[tuple((name, row.get(self._field(name))) for name in by.split(", "))].append(row)
        results = []
        for key, members in groups.items():
            result = {name: value for name, value in key if value is not None}
            for column in columns.split(", "):
                function, field, name = re.fullmatch(r"(count|min|max)\((.+)\) as (\w+)", column).groups()
                if function == "count":
                    assert field == "*"
                    result[name] = len(members)
                else:
                    result[name] = {"min": min, "max": max}[function](row[self._field(field)] for row in members)
            results.append(result)
        return results

    def _sort(self, rows, text):
        field, order = text.split()
        return sorted(rows, key=lambda row: row[field], reverse={"desc": True, "asc": False}[order])

    def _limit(self, rows, text):
        return rows[:int(text)]


def query(name, **parameters):
    """A saved query of the template, its parameters filled in."""
    properties = load()["Resources"][name]["Properties"]
    assert {parameter["Name"] for parameter in properties.get("Parameters", [])} == parameters.keys()
    text = properties["QueryString"]
    for parameter, value in parameters.items():
        text = text.replace("{{%s}}" % parameter, value)
    assert "{{" not in text
    return text


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_saved_query_tells_what_happened_to_an_instance(aws, fleet, stop_run, by):
    insights = Insights(aws.log_lines(stop_run["LogGroupName"]))
    rows = insights.run(query("WhatHappenedQuery", instance={"id": fleet["web"], "name": "web"}[by]))
    assert {row["id"] for row in rows} == {fleet["web"]}
    # Stop rule and tick rule fire in the same minute, in either order, and the tick keeps a plain tag.
    assert {row["outcome"] for row in rows if row["decision"] == "stop"} == {"confirmed"}
    assert [row["@timestamp"] for row in rows] == sorted((row["@timestamp"] for row in rows), reverse=True)


@pytest.mark.parametrize("asked", ["cluster:orders", "orders"])
def test_the_saved_queries_know_databases_by_their_ids(asked):
    """By lines as the function writes them: a database and a cluster may have one name."""
    line = {"timestamp": "2026-11-21T18:05:00Z", "name": "orders", "region": "eu-west-1", "requestId": "1"}
    line["detail"] = "upgrading"
    lines = [
        {**line, "id": "db:orders", "kind": "db", "name": "other", "decision": "stop", "outcome": "accepted"},
        {**line, "id": "cluster:orders", "kind": "cluster", "decision": "keep", "reason": "in-transition"},
    ]
    for name in ("WhatHappenedQuery", "WhyKeptQuery"):
        [row] = Insights(lines).run(query(name, instance=asked))
        assert (row["id"], row["reason"]) == ("cluster:orders", "in-transition")


def test_a_saved_query_tells_why_an_instance_was_kept(aws, fleet, stop_run):
    insights = Insights(aws.log_lines(stop_run["LogGroupName"]))
    for name in ("opted-out", "mistyped", "grouped"):
        [row] = insights.run(query("WhyKeptQuery", instance=fleet[name]))
        assert (row["name"], row["reason"]) == (name, FLEET[name].reason)
        assert row["times"] >= 1 and row["first"] <= row["last"]
    assert "office" in insights.run(query("WhyKeptQuery", instance="mistyped"))[0]["detail"]


def test_a_saved_query_tells_all_that_was_refused(aws, all_on, ec2):  # noqa: F811
    """ministack refuses no instance that the plan acts on, so these lines are those of the binary against moto."""
    protected = [ec2.launch(name=f"protected-{number}", DisableApiStop=True) for number in range(2)]
    for number in range(2):
        ec2.launch(name=f"other-{number}")
    with function(ec2) as stopinator:
        for _ in range(2):
            stopinator.invoke({"action": "stop"})
        insights = Insights(stopinator.logs())
    rows = insights.run(query("RefusedQuery"))
    assert {row["id"]: (row["outcome"], row["reason"], row["times"]) for row in rows} == dict.fromkeys(
        protected, ("refused", "stop-protected", 2)
    )
    # The dashboard asks the same.
    [widget] = [widget for widget in dashboard(aws, all_on) if widget["type"] == "log"]
    source, asked = widget["properties"]["query"].split(" | ", 1)
    assert source == f"SOURCE '{all_on['LogGroupName']}'"
    assert asked == query("RefusedQuery").replace("\n", " ")


def test_the_saved_queries_tell_of_other_accounts():
    """By lines as the function writes them."""
    here, there = "000000000000", "222222222222"
    done = {"name": "web", "region": "eu-west-1", "decision": "stop"}
    lines = [
        {**done, "timestamp": "2026-11-21T18:05:00Z", "account": here, "id": "i-1", "outcome": "confirmed"},
        {**done, "timestamp": "2026-11-21T18:05:01Z", "account": there, "id": "i-2", "outcome": "confirmed"},
        {**done, "timestamp": "2026-11-21T18:05:02Z", "account": there, "id": "i-3", "outcome": "confirmed"},
        {**done, "timestamp": "2026-11-21T18:05:03Z", "account": there, "id": "i-4", "decision": "keep", "reason": "held"},
        *[
            {
                "timestamp": f"2026-11-21T18:{minute}:00Z", "message": "unreachable", "account": "333333333333",
                "region": "eu-west-1", "call": "DescribeInstances", "detail": "AuthFailure: no",
            }
            for minute in ("05", "20")
        ],
    ]
    insights = Insights(lines)
    rows = insights.run(query("ByAccountQuery"))
    assert [(row["account"], row["outcome"], row["times"]) for row in rows] == [
        (there, "confirmed", 2), (here, "confirmed", 1),
    ]
    [row] = insights.run(query("UnreachableQuery"))
    assert (row["account"], row["region"], row["call"], row["times"]) == (
        "333333333333", "eu-west-1", "DescribeInstances", 2
    )
    assert (row["first"], row["last"]) == ("2026-11-21T18:05:00Z", "2026-11-21T18:20:00Z")


# -- the docs --


def test_the_first_deployment_speaks_of_what_there_is():
    text, template = (ROOT / "docs" / "first-deployment.md").read_text(), load()
    outputs = set(re.findall(r"\(output (\w+)\)", text))
    assert outputs and outputs <= template["Outputs"].keys()
    resources = set(re.findall(r"`(\w+Alarm)`", text))
    assert resources and resources <= template["Resources"].keys()
    parameters = set(re.findall(r"\b([A-Z]\w+)=", text)) - {"Key", "Value", "Name", "Values", "OutputKey"}
    assert parameters and parameters <= PARAMETERS.keys()
    # Each parameter that changes something on AWS in a way of its own has a row.
    rows = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.+?) \|", text, re.MULTILINE))))
    assert {"TagKey", "TriggerType", "RolePath", "EncryptionKeyArn", "KeepLogAndQueue", "SubnetIds"} <= rows
    assert rows <= PARAMETERS.keys()


def test_every_alarm_is_in_the_docs():
    text = (ROOT / "docs" / "operate.md").read_text()
    assert set(re.findall(r"`(\w+Alarm)`", text)) == ALARMS
    assert {name for name, said in load()["Resources"].items() if said["Type"] == "AWS::CloudWatch::Alarm"} == ALARMS


# -- changes in place, and the end --


def resources(aws, stack):
    """Type and physical id of all that a stack has, by logical id."""
    described = aws.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    return {r["LogicalResourceId"]: (r["ResourceType"], r["PhysicalResourceId"]) for r in described}


def test_tag_key_and_trigger_change_in_place(aws, given, all_on, stop_run):
    before = resources(aws, "all-on")
    kinds = collections.Counter(kind for kind, _ in before.values())
    # Messages to people go by rules in either case.
    assert kinds["AWS::Scheduler::Schedule"] == 4 and kinds["AWS::Events::Rule"] == 4
    outputs = aws.deploy(
        BINARY, stack="all-on", TagKey="acme:other", TriggerType="rule", FailureTopicArn="", StopRuleState="DISABLED",
        StartRuleState="DISABLED", TickRuleState="DISABLED", NoticeRuleState="DISABLED", SubnetIds="",
        SecurityGroupIds="",
    )
    after = resources(aws, "all-on")
    kinds = collections.Counter(kind for kind, _ in after.values())
    assert kinds["AWS::Scheduler::Schedule"] == 0 and kinds["AWS::Events::Rule"] == 3 + 4
    assert {name: after[name] for name in after if name in before} == {
        name: before[name] for name in before if name in after
    }
    # Nor is anybody to hear that nothing runs: all three rules are off.
    assert before.keys() - after.keys() == {
        "Schedules", "SchedulerRole", "StopSchedule", "StartSchedule", "TickSchedule", "NoticeSchedule", "NoRunAlarm",
        "LostStopAlarm", "LostStartAlarm", "NoStopAlarm", "NoStartAlarm", "StopRuns", "StartRuns",
    }
    assert aws.client("scheduler").list_schedules()["Schedules"] == []

    statements = policy(aws, outputs["RoleArn"])
    tagged = [policy(aws, outputs["RoleArn"], f"Stopinator{name}") for name in ("Tagged", "ScopeAll", "Databases")]
    assert all("acme:other" in json.dumps(policy) for policy in tagged)
    assert "acme:all-on" not in json.dumps([statements, *tagged])
    # Lambda has to take the network interfaces away after the function has left its VPC.
    assert "ec2:DeleteNetworkInterface" in statements["ConnectToVpc"]["Action"]
    assert environment(aws, outputs)["STOPINATOR_TAG_KEY"] == "acme:other"
    destination = retries(aws, outputs)["DestinationConfig"]["OnFailure"]["Destination"]
    assert destination == queue_arn(aws, outputs) == statements["HandOverFailedEvents"]["Resource"]


def inventory(aws):
    """The names of all that a stack could leave in the account."""
    clients = collections.defaultdict(lambda: None)

    def pages(service, operation, key):
        clients[service] = clients[service] or aws.client(service)
        return [item for page in clients[service].get_paginator(operation).paginate() for item in page.get(key, [])]

    roles = [role["RoleName"] for role in pages("iam", "list_roles", "Roles")]
    return [
        *(function["FunctionName"] for function in pages("lambda", "list_functions", "Functions")),
        *(group["logGroupName"] for group in pages("logs", "describe_log_groups", "logGroups")),
        *roles,
        *(name["PolicyName"] for name in pages("iam", "list_policies", "Policies")),
        *(rule["Name"] for rule in aws.client("events").list_rules()["Rules"]),
        *(connection["Name"] for connection in aws.client("events").list_connections()["Connections"]),
        *(destination["Name"] for destination in aws.client("events").list_api_destinations()["ApiDestinations"]),
        *(schedule["Name"] for schedule in aws.client("scheduler").list_schedules()["Schedules"]),
        *(group["Name"] for group in aws.client("scheduler").list_schedule_groups()["ScheduleGroups"]),
        *pages("sqs", "list_queues", "QueueUrls"),
        *(topic["TopicArn"] for topic in pages("sns", "list_topics", "Topics")),
        *(s["TopicArn"] for s in pages("sns", "list_subscriptions", "Subscriptions")),
        *(alarm["AlarmName"] for alarm in pages("cloudwatch", "describe_alarms", "MetricAlarms")),
        *(entry["DashboardName"] for entry in pages("cloudwatch", "list_dashboards", "DashboardEntries")),
    ]


def belongings(aws, stack):
    """What of it is this stack's."""
    return [name for name in inventory(aws) if re.search(rf"(^|[:/]){stack}-|/{stack}/", name)]


@pytest.mark.parametrize("keep", ["false", "true"])
def test_undeploy_leaves_nothing_but_what_is_to_be_kept(aws, given, keep):
    """With everything on; an e-mail address, so that there is a topic."""
    stack = f"gone-{keep}"
    began = belongings(aws, stack)
    # A tick under way would make the log group anew.
    different = {
        "NotificationTopicArn": "", "NotificationEmail": "nobody@example.com",
        "TickScheduleExpression": "rate(59 minutes)", "KeepLogAndQueue": keep,
    }
    outputs = aws.deploy(BINARY, stack=stack, **{**given, **different})
    [subscription] = aws.client("sns").list_subscriptions_by_topic(
        TopicArn=outputs["NotificationTopicArn"]
    )["Subscriptions"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "nobody@example.com")
    assert set(alarms_of(aws, stack)) == ALARMS
    invoke(aws, outputs, {"action": "stop", "dry_run": True})  # so that there are log streams, too
    made = belongings(aws, stack)
    aws.undeploy(stack)
    # Function, log group, two roles, four schedules and their group, queue, topic and its subscription, dashboard; four
    # rules for messages, and for Slack a role, a connection and a destination.
    assert (began, len(made)) == ([], 13 + 7 + len(ALARMS))
    kept = [outputs["LogGroupName"], outputs["FailedEventsQueueUrl"]] if keep == "true" else []
    names = [[name.rsplit("/", 1)[-1] for name in names] for names in (belongings(aws, stack), kept)]
    assert names[0] == names[1]
    if kept:
        assert aws.log_lines(outputs["LogGroupName"])


def test_what_is_kept_is_the_same_as_what_is_not():
    resources = load()["Resources"]
    for name, kept in ("StopinatorLogGroup", "KeptLog"), ("FailedEvents", "KeptEvents"):
        said, also = ({**resources[one]} for one in (name, kept))
        assert [said.pop(key) for key in ("Condition", "DeletionPolicy", "UpdateReplacePolicy")] == [
            "NotKept", "Delete", "Delete"
        ]
        assert [also.pop(key) for key in ("Condition", "DeletionPolicy", "UpdateReplacePolicy")] == [
            "Kept", "RetainExceptOnCreate", "Retain"
        ]
        assert said == also


def test_it_deploys_with_the_defaults_and_leaves_nothing(aws):
    outputs = aws.deploy(BINARY, stack="defaults")
    assert invoke(aws, outputs, {"action": "stop", "dry_run": True})
    states = {name: aws.client("events").describe_rule(Name=outputs[name])["State"] for name in RULES}
    assert states == {"StopRuleName": "ENABLED", "StartRuleName": "DISABLED", "TickRuleName": "ENABLED"}
    made = belongings(aws, "defaults")
    aws.undeploy("defaults")  # before a tick of it meets the fleet
    # Function, log group, role, three rules, queue.
    assert (len(made), belongings(aws, "defaults")) == (7, [])


# -- parameters --


def test_every_parameter_has_its_place_and_label():
    interface = load()["Metadata"]["AWS::CloudFormation::Interface"]
    placed = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(placed) == sorted(PARAMETERS) == sorted(interface["ParameterLabels"])
    for name, parameter in PARAMETERS.items():
        assert parameter["Description"] and parameter["ConstraintDescription"], name
        assert {"AllowedPattern", "AllowedValues", "MaxValue"} & parameter.keys(), name


KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
BAD = [
    ("TagKey", "aws:name"),
    ("TagKey", "a" * 124),
    ("TagKey", ""),
    ("TagKey", "Stopinator,Other"),
    ("TagKey", "stop hours"),
    ("Scope", "everything"),
    ("Services", "rds"),
    ("Services", "ec2, rds"),
    ("Regions", "Seoul"),
    ("DryRun", "maybe"),
    ("MaxActions", "-1"),
    ("Hibernate", "1"),
    ("VerifySeconds", "601"),
    ("TriggerType", "cron"),
    ("TimeZone", "KST"),
    ("TimeZone", "Etc/GMT+9"),
    ("StopScheduleExpression", "0 9 * * *"),
    ("StopRuleState", "on"),
    ("StartScheduleExpression", "at(2026-11-21T09:00:00)"),
    ("StartRuleState", "off"),
    ("TickScheduleExpression", "rate(60 minutes)"),
    ("TickScheduleExpression", "rate(1 minutes)"),
    ("TickRuleState", "true"),
    ("HandStartHours", "8761"),
    ("Accounts", "22222222222"),
    ("Accounts", "222222222222,ou-a1b2-c3d4e5f6"),
    ("OrganizationalUnits", "222222222222"),
    ("OrganizationalUnits", "ou-a1b2"),
    ("OrganizationalUnits", "o-a1b2c3d4e5"),
    ("ExcludeAccounts", "r-a1b2"),
    ("SpokeRoleName", "team/StopinatorSpoke"),
    ("SpokeRoleName", "*"),
    ("SpokeRoleName", ""),
    ("SpokeRolePath", "team/"),
    ("SpokeRolePath", "/*/"),
    ("OrganizationId", "r-a1b2"),
    ("ExternalId", "x"),
    ("ExternalId", "two words"),
    ("MaxActionsPerAccount", "-1"),
    ("KnownUnreachable", "-1"),
    ("NotificationTopicArn", "alarms"),
    ("NotificationTopicArn", "arn:aws:sns:eu-west-1:123456789012:alarms.fifo"),
    ("NotificationEmail", "nobody"),
    ("NotificationEmail", "a@example.com,b@example.com"),
    ("NoRunAlarmHours", "0"),
    ("NoRunAlarmHours", "169"),
    ("DeadRuleAlarmHours", "-1"),
    ("DeadRuleAlarmHours", "169"),
    ("FailureTopicArn", "arn:aws:sqs:eu-west-1:123456789012:failures"),
    ("Events", "true"),
    ("NoticeMinutes", "4"),
    ("NoticeMinutes", "121"),
    ("NoticeMinutes", "05"),
    ("NoticeScheduleExpression", "08:45"),
    ("NoticeRuleState", "true"),
    ("ChatTopicArn", "arn:aws:sns:eu-west-1:123456789012:chat.fifo"),
    ("MessagesByMail", "a@example.com"),
    ("SlackWebhookUrl", "https://example.com/services/T0/B0/X0"),
    ("SlackWebhookUrl", "http://hooks.slack.com/services/T0/B0/X0"),
    ("LogLevel", "WARN"),
    ("LogRetentionDays", "2"),
    ("KeepLogAndQueue", "yes"),
    ("Dashboard", "yes"),
    ("Tracing", "Disabled"),
    ("PermissionsBoundaryArn", "arn:aws:iam::123456789012:role/boundary"),
    ("RolePath", "team"),
    ("RolePath", "/team"),
    ("KmsKeyArns", "*"),
    ("KmsKeyArns", f"{KEY},alias/volumes"),
    ("LicenseConfigurationArns", "lic-0123456789abcdef0123456789abcdef"),
    ("EncryptionKeyArn", "arn:aws:kms:eu-west-1:123456789012:alias/logs"),
    ("Architecture", "arm"),
    ("MemoryMegabytes", "127"),
    ("TimeoutSeconds", "901"),
    ("ReservedConcurrency", "-2"),
    ("ReservedConcurrency", "0"),
    ("ReservedConcurrency", "one"),
    ("SubnetIds", "vpc-12345678"),
    ("SecurityGroupIds", "default"),
    ("CodeSigningConfigArn", "csc-0123456789abcdef0"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_refused(aws, name, value):
    assert f"'{name}'" in aws.objection(**{name: value})


def test_there_is_a_bad_value_for_every_parameter():
    assert {name for name, _ in BAD} == PARAMETERS.keys()


@pytest.mark.parametrize(("parameters", "sentence"), [
    ({"SubnetIds": "subnet-12345678"}, "SubnetIds need SecurityGroupIds"),
    ({"SecurityGroupIds": "sg-12345678"}, "SecurityGroupIds need SubnetIds"),
    (
        {"NotificationTopicArn": "arn:aws:sns:eu-west-1:123456789012:a", "NotificationEmail": "a@example.com"},
        "not both",
    ),
    ({"Regions": ",eu-west-1"}, "Regions has an empty member"),
    ({"Regions": "eu-west-1,,us-east-1"}, "Regions has an empty member"),
    ({"KmsKeyArns": f",{KEY}"}, "KmsKeyArns has an empty member"),
    ({"LicenseConfigurationArns": f",{LICENSE}"}, "LicenseConfigurationArns has an empty member"),
    ({"SubnetIds": ",subnet-12345678", "SecurityGroupIds": "sg-12345678"}, "SubnetIds has an empty member"),
    ({"SubnetIds": "subnet-12345678", "SecurityGroupIds": "sg-12345678,"}, "SecurityGroupIds has an empty member"),
    ({"Accounts": ",222222222222"}, "Accounts has an empty member"),
    ({"OrganizationalUnits": "r-a1b2,"}, "OrganizationalUnits has an empty member"),
    ({"ExcludeAccounts": ",222222222222"}, "ExcludeAccounts has an empty member"),
    ({"TickRuleState": "DISABLED", "NotificationEmail": "a@example.com"}, "Without the tick rule"),
])
def test_values_that_do_not_go_together_are_refused(aws, parameters, sentence):
    assert sentence in aws.objection(**parameters)


@pytest.mark.parametrize("parameters", [
    {"TickRuleState": "DISABLED"},
    {"TickRuleState": "DISABLED", "NotificationEmail": "a@example.com", "NoRunAlarmHours": "25"},
    {"TickRuleState": "DISABLED", "NotificationEmail": "a@example.com", "StopRuleState": "DISABLED"},
    {"Regions": "eu-west-1, us-east-1"},
    {"Accounts": "222222222222, 333333333333", "OrganizationalUnits": "r-a1b2,ou-a1b2-c3d4e5f6", "ExternalId": "a:b/c"},
])
def test_values_that_go_together_are_taken(aws, parameters):
    assert aws.objection(**parameters) == ""


@pytest.mark.parametrize(("partition", "region"), [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")])
def test_every_partition_has_its_arns(aws, partition, region):
    def arn(service, rest, region=region):
        return f"arn:{partition}:{service}:{region}:123456789012:{rest}"

    key = "key/mrk-1234abcd12ab34cd56ef1234567890ab"
    assert aws.objection(
        NotificationTopicArn=arn("sns", "alarms"), FailureTopicArn=arn("sns", "failures"), Events="ENABLED",
        ChatTopicArn=arn("sns", "chat"), SlackWebhookUrl=WEBHOOK.replace("slack.com", "slack-gov.com"),
        PermissionsBoundaryArn=arn("iam", "policy/teams/boundary", region=""),
        KmsKeyArns=f"{arn('kms', key)},{KEY}", EncryptionKeyArn=arn("kms", key),
        CodeSigningConfigArn=arn("lambda", "code-signing-config:csc-0123456789abcdef0"), Regions=region,
    ) == ""


def test_nothing_is_left_behind():
    with LocalAws() as local_aws:
        state, process = local_aws._state, local_aws._process
        assert state.exists()
    assert not state.exists()
    assert process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
