"""The deployed template under ministack's IAM enforcement: what the function's role may do there, and what not.

What ministack cannot judge, and so is not judged here:

- aws:ResourceTag of EC2: it knows no tags of an instance, so the role may not stop even a tagged one. That the tags
  decide is for tests/iam_test.py. With those conditions taken out of the role's statement, all the rest of it is judged.
- The log group: ministack names it without the :* at the end of its ARN, which the role's statement has, and refuses
  the role its own. With the :* taken out, that is judged.
- Lambda's own work with the role, to write the function's output to its log group and a failed event to the queue:
  ministack does both itself, and asks nobody. Here the test writes to both, with credentials of the role.
"""

import contextlib
import json
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from local_aws import REGION, LocalAws, Member  # noqa: E402

BINARY = ROOT / "target" / "debug" / "stopinator-lambda"
DENIED = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"}


@pytest.fixture(scope="module")
def aws():
    with LocalAws(enforce=True) as local_aws:
        yield local_aws


@pytest.fixture(scope="module")
def tagged(aws):
    """The id of the one instance."""
    return aws.launch("web", Member({"Stopinator": "true"}, "running", "running"))


@pytest.fixture(scope="module")
def outputs(aws, tagged):
    return aws.deploy(BINARY, StopRuleState="DISABLED", TickRuleState="DISABLED")


@pytest.fixture(scope="module")
def role(aws, outputs):
    """Clients with credentials of the function's role, which for that has to trust the account, too."""
    iam, name = aws.client("iam"), outputs["RoleArn"].rpartition("/")[2]
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    account = outputs["RoleArn"].split(":")[4]
    trust["Statement"].append(
        {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "sts:AssumeRole"}
    )
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    given = aws.client("sts").assume_role(RoleArn=outputs["RoleArn"], RoleSessionName="enforced")["Credentials"]

    return lambda service, region=REGION: aws.client(
        service, region_name=region, aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"], aws_session_token=given["SessionToken"],
    )


@contextlib.contextmanager
def granted(aws, outputs, policy, sid, change):
    """The role has this statement of this policy a second time, changed, until the end of the block."""
    iam, name = aws.client("iam"), outputs["RoleArn"].rpartition("/")[2]
    policy = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    policy["Statement"] = [statement for statement in policy["Statement"] if statement["Sid"] == sid]
    change(*policy["Statement"])
    iam.put_role_policy(RoleName=name, PolicyName="Changed", PolicyDocument=json.dumps(policy))
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName=name, PolicyName="Changed")


def run(aws, outputs, **command):
    """What the function reports of the one instance."""
    answer = aws.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload=json.dumps(command))
    report = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, report
    [row] = report["instances"]
    return row


def denied(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    assert refused.value.response["Error"]["Code"] in DENIED, refused.value
    return True


def test_a_dry_run_may_look_and_its_lines_are_in_the_log_group(aws, tagged, outputs):
    row = run(aws, outputs, action="stop", dry_run=True)
    assert (row["id"], row["decision"]) == (tagged, "stop")
    assert {"would stop", "run finished"} <= {line["message"] for line in aws.log_lines(outputs["LogGroupName"])}


def test_a_stop_is_refused_and_allowed_once_no_tag_is_asked_for(aws, tagged, outputs, role):
    """The first because ministack does not know aws:ResourceTag of EC2; it shows that enforcement is on."""
    row = run(aws, outputs, action="stop")
    assert (row["id"], row["outcome"], row["reason"]) == (tagged, "refused", "not-permitted")
    assert "no identity-based policy allows the ec2:StopInstances action" in row["detail"]
    assert aws.fleet_states() == {"web": "running"}

    def ask_for_no_tag(statement):
        condition, tag = statement["Condition"], "aws:ResourceTag/Stopinator"
        assert list(condition.pop("StringNotEqualsIgnoreCase")) == [tag]
        assert condition.pop("StringLike") == {tag: ["*", ""]}

    with granted(aws, outputs, "StopinatorTagged", "StopAndStartTagged", ask_for_no_tag):
        assert run(aws, outputs, action="stop")["outcome"] == "confirmed"
        assert aws.fleet_states() == {"web": "stopped"}
        assert run(aws, outputs, action="start")["outcome"] == "confirmed"
        assert denied(role("ec2", region="eu-west-1").stop_instances, InstanceIds=[tagged])
    assert aws.fleet_states() == {"web": "running"}
    assert denied(role("ec2").stop_instances, InstanceIds=[tagged])


def test_the_role_may_do_nothing_else_to_an_instance(aws, tagged, role):
    ec2 = role("ec2")
    assert ec2.describe_instances()["Reservations"]
    assert denied(role("ec2", region="eu-west-1").describe_instances)
    assert denied(ec2.terminate_instances, InstanceIds=[tagged])
    assert denied(ec2.reboot_instances, InstanceIds=[tagged])
    assert denied(ec2.create_tags, Resources=[tagged], Tags=[{"Key": "Stopinator", "Value": "false"}])
    assert denied(ec2.delete_tags, Resources=[tagged], Tags=[{"Key": "Stopinator"}])
    assert denied(ec2.modify_instance_attribute, InstanceId=tagged, DisableApiStop={"Value": False})
    assert denied(ec2.describe_volumes)
    assert aws.fleet_states() == {"web": "running"}


def test_the_role_may_write_to_its_own_log_group_only(aws, outputs, role):
    logs, own = role("logs"), outputs["LogGroupName"]
    aws.client("logs").create_log_group(logGroupName="other")
    aws.client("logs").create_log_stream(logGroupName="other", logStreamName="there")
    events = [{"timestamp": int(time.time() * 1000), "message": '{"message": "enforced"}'}]

    def name_the_group(statement):
        assert statement["Resource"].endswith(f":log-group:{own}:*")
        statement["Resource"] = statement["Resource"].removesuffix(":*")

    with granted(aws, outputs, "Stopinator", "WriteOwnLog", name_the_group):
        logs.create_log_stream(logGroupName=own, logStreamName="enforced")
        logs.put_log_events(logGroupName=own, logStreamName="enforced", logEvents=events)
        assert denied(logs.create_log_stream, logGroupName="other", logStreamName="enforced")
        assert denied(logs.put_log_events, logGroupName="other", logStreamName="there", logEvents=events)
    assert {"message": "enforced"} in aws.log_lines(own)
    assert denied(logs.create_log_group, logGroupName="another")
    assert denied(logs.filter_log_events, logGroupName=own)
    assert denied(logs.delete_log_group, logGroupName=own)


def test_the_role_may_send_to_its_own_queue_only(aws, outputs, role):
    sqs, own = role("sqs"), outputs["FailedEventsQueueUrl"]
    other = aws.client("sqs").create_queue(QueueName="other")["QueueUrl"]
    sqs.send_message(QueueUrl=own, MessageBody="enforced")
    assert denied(sqs.send_message, QueueUrl=other, MessageBody="enforced")
    assert denied(sqs.receive_message, QueueUrl=own)
    [message] = aws.client("sqs").receive_message(QueueUrl=own)["Messages"]
    assert message["Body"] == "enforced"
