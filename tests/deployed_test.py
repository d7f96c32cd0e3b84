"""The project's own template, deployed into a local AWS with the real binary: what only the whole can show."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from local_aws import FLEET, LocalAws, LocalAwsError, poll  # noqa: E402

BINARY = ROOT / "target" / "debug" / "stopinator-lambda"
EVERY_MINUTE = "rate(1 minute)"
OPTED_OUT = ["false", "no", "never", "ignore"]


@pytest.fixture(scope="module")
def aws():
    with LocalAws() as local_aws:
        yield local_aws


@pytest.fixture(scope="module")
def fleet(aws):
    """The instance ids by name; launched before any rule can fire."""
    return aws.launch_fleet()


@pytest.fixture(scope="module")
def stop_run(aws, fleet):
    """The stack's outputs once its stop rule has fired and the run is over."""
    outputs = aws.deploy(BINARY, StopScheduleExpression=EVERY_MINUTE, LogLevel="DEBUG")
    aws.wait_for_run(outputs["LogGroupName"])
    return outputs


def policy(aws, role_arn, name="Stopinator"):
    """The statements of one of the role's policies as deployed, by Sid."""
    role = role_arn.rsplit("/", 1)[1]
    document = aws.client("iam").get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return {statement["Sid"]: statement for statement in document["Statement"]}


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
    assert aws.fleet_states() == {name: member.after for name, member in FLEET.items()}


def test_the_log_group_says_why_for_every_instance_found(aws, fleet, stop_run):
    lines = aws.log_lines(stop_run["LogGroupName"])
    for line in lines:
        assert line["level"] in ("DEBUG", "INFO"), line
        assert datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00")), line
        assert re.fullmatch(r"[0-9a-f-]{36}", line["requestId"]), line

    first = lines[0]["requestId"]  # the rule may have fired again by now
    said = {line["name"]: line for line in lines if "id" in line and line["requestId"] == first}
    assert set(said) == set(FLEET) - {"untagged"}
    for name, line in said.items():
        assert line["id"] == fleet[name]
        if FLEET[name].reason:
            assert (line["decision"], line["reason"]) == ("keep", FLEET[name].reason)
        else:
            assert (line["decision"], line["outcome"], "reason" in line) == ("stop", "confirmed", False)


def test_the_function_has_exactly_these_settings(aws, stop_run):
    assert environment(aws, stop_run) == {
        "STOPINATOR_TAG_KEY": "Stopinator",
        "STOPINATOR_SCOPE": "tagged",
        "STOPINATOR_DRY_RUN": "false",
        "STOPINATOR_HIBERNATE": "false",
        "STOPINATOR_VERIFY_SECONDS": "60",
        "STOPINATOR_MAX_ACTIONS": "200",
        "STOPINATOR_MAX_EVENT_AGE_MINUTES": "60",
        "STOPINATOR_REGIONS": "ap-northeast-2",
    }


def test_the_role_may_do_no_more_than_it_needs(aws, stop_run):
    statements = policy(aws, stop_run["RoleArn"])
    region = {"aws:RequestedRegion": "ap-northeast-2"}
    instances = "arn:aws:ec2:*:000000000000:instance/*"
    assert {sid: s["Action"] for sid, s in statements.items()} == {
        "WriteOwnLog": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Look": "ec2:DescribeInstances",
        "StopAndStartTagged": ["ec2:StopInstances", "ec2:StartInstances"],
    }
    assert statements["WriteOwnLog"]["Resource"].endswith(f":log-group:{stop_run['LogGroupName']}:*")
    assert statements["Look"]["Condition"] == {"StringEquals": region}
    assert statements["StopAndStartTagged"]["Resource"] == instances
    assert statements["StopAndStartTagged"]["Condition"] == {
        "StringEquals": region,
        "Null": {"aws:ResourceTag/Stopinator": "false"},
        "StringNotEqualsIgnoreCase": {"aws:ResourceTag/Stopinator": OPTED_OUT},
    }
    role = stop_run["RoleArn"].rsplit("/", 1)[1]
    iam = aws.client("iam")
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["Stopinator"]
    assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []


def test_no_event_reaches_the_function_too_old_to_be_followed(aws, stop_run):
    asynchronous = aws.client("lambda").get_function_event_invoke_config(
        FunctionName=stop_run["FunctionName"], Qualifier="$LATEST"
    )
    for rule in (stop_run["StopRuleName"], stop_run["StartRuleName"]):
        [target] = aws.client("events").list_targets_by_rule(Rule=rule)["Targets"]
        longest = target["RetryPolicy"]["MaximumEventAgeInSeconds"] + asynchronous["MaximumEventAgeInSeconds"]
        assert longest < 60 * int(environment(aws, stop_run)["STOPINATOR_MAX_EVENT_AGE_MINUTES"])


def test_the_start_rule_starts_what_is_tagged_and_says_when(aws, stop_run):
    before = aws.fleet_states()
    outputs = aws.deploy(
        BINARY, StopRuleState="DISABLED", StartRuleState="ENABLED", StartScheduleExpression=EVERY_MINUTE, LogLevel="DEBUG"
    )
    # A queue as a second target of the same rule and transformer holds what the function is sent.
    events, sqs = aws.client("events"), aws.client("sqs")
    queue = sqs.create_queue(QueueName="sent-to-the-function")["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = outputs["StartRuleName"]
    [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
    copy = {"Id": "copy", "Arn": queue_arn, "InputTransformer": target["InputTransformer"]}
    assert events.put_targets(Rule=rule, Targets=[copy])["FailedEntryCount"] == 0

    aws.wait_for_run(outputs["LogGroupName"], action="start")

    changed = {name for name, state in aws.fleet_states().items() if state != before[name]}
    assert changed == {"web", "worker", "parked"}

    for _ in poll(seconds=10, every=0.5):
        if messages := sqs.receive_message(QueueUrl=queue).get("Messages"):
            break
    sent = json.loads(messages[0]["Body"])
    assert set(sent) == {"action", "time"}
    assert sent["action"] == "start"
    time = datetime.fromisoformat(sent["time"].replace("Z", "+00:00"))
    assert timedelta(0) <= datetime.now(timezone.utc) - time < timedelta(minutes=2)


def test_a_tag_key_with_a_colon_comes_out_whole(aws):
    outputs = aws.deploy(
        BINARY, stack="colon", StopRuleState="DISABLED", TagKey="acme:stop-hours", Scope="all",
        Regions="eu-west-1,us-east-1", Hibernate="true", VerifySeconds="600",
    )
    statements = policy(aws, outputs["RoleArn"])
    condition = statements["StopAndStartTagged"]["Condition"]
    assert condition["Null"] == {"aws:ResourceTag/acme:stop-hours": "false"}
    assert condition["StringNotEqualsIgnoreCase"] == {"aws:ResourceTag/acme:stop-hours": OPTED_OUT}
    settings = environment(aws, outputs)
    assert settings["STOPINATOR_TAG_KEY"] == "acme:stop-hours"
    assert (settings["STOPINATOR_HIBERNATE"], settings["STOPINATOR_VERIFY_SECONDS"]) == ("true", "600")

    # Scope "all" widens the stop, to the same regions and not to what is opted out, and nothing else.
    assert settings["STOPINATOR_REGIONS"] == "eu-west-1,us-east-1"
    wider = policy(aws, outputs["RoleArn"], "StopinatorScopeAll")
    assert {sid: s["Action"] for sid, s in wider.items()} == {
        "LookForInstanceStore": "ec2:DescribeInstanceTypes",
        "StopAll": "ec2:StopInstances",
    }
    assert wider["StopAll"]["Condition"]["StringNotEqualsIgnoreCase"] == condition["StringNotEqualsIgnoreCase"]
    for statement in [*wider.values(), statements["Look"], statements["StopAndStartTagged"]]:
        assert statement["Condition"]["StringEquals"] == {"aws:RequestedRegion": ["eu-west-1", "us-east-1"]}


@pytest.mark.parametrize(("parameters", "sentence"), [
    ({"TagKey": "Stopinator,Other"}, "Unable to get mapping for OneTagKey::2"),
    ({"TagKey": "aws:name"}, "must be one tag key"),
    ({"Regions": "Seoul"}, "must be region names"),
    ({"LogLevel": "WARN"}, "DEBUG"),
    ({"VerifySeconds": "601"}, "VerifySeconds"),
])
def test_a_bad_parameter_is_refused(aws, parameters, sentence):
    with pytest.raises(LocalAwsError) as refused:
        aws.deploy(BINARY, stack="refused", StopRuleState="DISABLED", **parameters)
    assert sentence in re.sub(r"\s+", " ", str(refused.value))


def test_nothing_is_left_behind():
    with LocalAws() as local_aws:
        state, process = local_aws._state, local_aws._process
        assert state.exists()
    assert not state.exists()
    assert process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
