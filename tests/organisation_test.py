"""A hub and its spokes, from the templates, in a local AWS with the real binary; and the state machine over chunks.

Four accounts: the hub, a spoke with the role of spoke.yaml, one without the role, and for the state machine one for
which STS fails. What this shows is that the whole fits together: rule, function, role by its name and path, credentials
of another account, what is stopped there and what not, what is told of the account that cannot be entered; and rule,
state machine, function.

What it does not show, because ministack cannot:

- Who is let in. ministack takes any caller for a role; with IAM on it refuses the form of trust that spoke.yaml has.
  scripts/local_aws.py has taught it that a role that is not there is refused, as by STS. Trust and permissions are for
  tests/iam_test.py; those of the state machine and its rules are put to the same simulator here.
- Organizations: here the accounts are named.
- Step Functions' limits on size, what it bills as a transition (counted here: states entered, children started), its
  waits (they take no time here), and what is left of a child that fails outright.
"""

import json
import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from expand import load  # noqa: E402
from iam_test import Call, Role, allowed  # noqa: E402
from local_aws import REGION, LocalAws, LocalAwsError, Member, instant, poll  # noqa: E402

BINARY = ROOT / "target" / "debug" / "stopinator-lambda"
EXAMPLE = ROOT / "examples" / "organisation"
EVERY_MINUTE = "rate(1 minute)"
HUB, SPOKE, WITHOUT, FAILING = "000000000000", "222222222222", "333333333333", "444444444444"
OFF = {"StopRuleState": "DISABLED", "TickRuleState": "DISABLED"}

# In each of the first three. Two functions with a tag each: one by its own rule, one by the state machine.
FLEET = {
    "web": {"Stopinator": "true"},
    "job": {"acme:chunks": "true"},
    "spared": {"Stopinator": "false", "acme:chunks": "never"},
    "untagged": {},
}


@pytest.fixture(scope="module")
def aws():
    with LocalAws(roles=True, sts_fails_for=FAILING) as local_aws:
        yield local_aws


@pytest.fixture(scope="module")
def fleet(aws):
    """The instance ids by account and name; launched before any rule can fire."""
    return {
        (account, name): aws.launch(name, Member(tags, "running", "running"), account)
        for account in (HUB, SPOKE, WITHOUT) for name, tags in FLEET.items()
    }


@pytest.fixture(scope="module")
def hub(aws, fleet):
    """The outputs of the hub, whose stop rule fires once a minute, and of the spoke's role."""
    outputs = aws.deploy(
        BINARY, stack="hub", Accounts=f"{SPOKE},{WITHOUT}", StopScheduleExpression=EVERY_MINUTE,
        TickRuleState="DISABLED", LogLevel="DEBUG",
    )
    spoke = aws.deploy_plain(EXAMPLE / "spoke.yaml", "spoke", SPOKE, HubRoleArn=outputs["RoleArn"], Regions=REGION)
    assert spoke["RoleArn"] == f"arn:aws:iam::{SPOKE}:role/StopinatorSpoke"
    return outputs


@pytest.fixture(scope="module")
def function(aws, fleet):
    """The outputs of a second hub, with a tag and a role in the spokes of its own, all of whose rules are off."""
    outputs = aws.deploy(
        BINARY, stack="function", Accounts=f"{SPOKE},{WITHOUT},{FAILING}", TagKey="acme:chunks", SpokeRoleName="Chunks",
        SpokeRolePath="/acme/", **OFF,
    )
    aws.deploy_plain(
        EXAMPLE / "spoke.yaml", "chunks-spoke", SPOKE, HubRoleArn=outputs["RoleArn"], Regions=REGION, RoleName="Chunks",
        RolePath="/acme/", TagKey="acme:chunks",
    )
    return outputs


@pytest.fixture(scope="module")
def chunks(aws, function):
    """The outputs of the state machine over chunks of one account, which a rule starts once a minute."""
    return aws.deploy_plain(
        EXAMPLE / "distributed.yaml", "chunks", FunctionArn=function["FunctionArn"], ChunkTargets=1,
        StopScheduleExpression=EVERY_MINUTE, StopRuleState="ENABLED", NoRunAlarmHours=25,
    )


@pytest.fixture(scope="module")
def ticked(aws, chunks):
    """A tick, asked for by hand."""
    return execution(aws, chunks, action="schedule")


# What else there is to do is done before this waits for its rule: all share the minute.
@pytest.fixture(scope="module")
def stopped(aws, hub, chunks, ticked, fleet):
    """The first line about each instance in a run of the hub's rule."""
    return aws.wait_for_run(hub["LogGroupName"], ids=[fleet[HUB, "web"], fleet[SPOKE, "web"]])


@pytest.fixture(scope="module")
def fired(aws, chunks, ticked, stopped):
    """The execution that the rule of `chunks` started; after it, the rule is off."""
    states = aws.client("stepfunctions")
    for _ in poll(seconds=120, every=0.5):
        listed = states.list_executions(stateMachineArn=chunks["StateMachineArn"])["executions"]
        if by_rule := [one["executionArn"] for one in listed if one["executionArn"] != ticked["executionArn"]]:
            break
    aws.client("events").disable_rule(Name=chunks["StopRuleName"])
    return over(aws, by_rule[-1])


@pytest.fixture(scope="module")
def excluded(aws, function, fired):
    """The same function without the account for which STS fails."""
    configuration = aws.client("lambda").get_function_configuration(FunctionName=function["FunctionName"])
    variables = {**configuration["Environment"]["Variables"], "STOPINATOR_EXCLUDE_ACCOUNTS": FAILING}
    aws.client("lambda").update_function_configuration(
        FunctionName=function["FunctionName"], Environment={"Variables": variables}
    )


def execution(aws, chunks, **command):
    """An execution by hand, once it is over."""
    started = aws.client("stepfunctions").start_execution(
        stateMachineArn=chunks["StateMachineArn"], input=json.dumps(command)
    )
    return over(aws, started["executionArn"])


def over(aws, arn):
    """What Step Functions says of an execution once it is over."""
    for _ in poll(seconds=120, every=0.2):
        described = aws.client("stepfunctions").describe_execution(executionArn=arn)
        if described["status"] != "RUNNING":
            return described
    raise LocalAwsError(f"{arn} does not end:\n{aws.server_log()}")


def history(aws, arn):
    return aws.client("stepfunctions").get_execution_history(executionArn=arn, maxResults=1000)["events"]


def entered(aws, arn):
    """The names of the states that an execution went through."""
    details = [event.get("stateEnteredEventDetails") for event in history(aws, arn)]
    return [detail["name"] for detail in details if detail]


def runs(aws, arn):
    """By the accounts of a chunk: its command, and how often the function was asked."""
    states, found = aws.client("stepfunctions"), {}
    for map_run in states.list_map_runs(executionArn=arn)["mapRuns"]:
        for child in states.list_executions(mapRunArn=map_run["mapRunArn"])["executions"]:
            given = json.loads(states.describe_execution(executionArn=child["executionArn"])["input"])
            tries = [event for event in history(aws, child["executionArn"]) if event["type"] == "TaskScheduled"]
            found[tuple(given["chunk"]["accounts"])] = given["command"], len(tries)
    return found


def states(aws, name):
    """The state of the instances of this name, by account."""
    return {account: aws.fleet_states(account)[name] for account in (HUB, SPOKE, WITHOUT)}


def untouched(aws):
    return all(set(states(aws, name).values()) == {"running"} for name in ("spared", "untagged"))


def answered(aws, outputs, **command):
    """What the function answers to a command."""
    answer = aws.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload=json.dumps(command))
    report = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, report
    return report


# -- hub and spokes --


def test_the_rule_stops_what_is_tagged_in_hub_and_spoke_and_nothing_else(aws, stopped):
    assert states(aws, "web") == {HUB: "stopped", SPOKE: "stopped", WITHOUT: "running"}
    assert untouched(aws)


def test_the_log_says_of_every_instance_in_which_account_it_is(aws, hub, fleet, stopped):
    said = {(line["account"], line["name"]): line for line in stopped.values()}
    assert {key: line["id"] for key, line in said.items()} == {
        key: id for key, id in fleet.items() if key[0] != WITHOUT and key[1] in ("web", "spared")
    }
    for (_, name), line in said.items():
        assert line.get("outcome", line.get("reason")) == ("confirmed" if name == "web" else "opted-out"), line


def test_the_account_that_cannot_be_entered_is_told_once_and_is_no_error(aws, hub, stopped):
    lines = aws.log_lines(hub["LogGroupName"])
    assert "ERROR" not in {line["level"] for line in lines}
    [line] = [line for line in lines if line["level"] == "WARN"]
    assert (line["message"], line["account"], line["call"]) == ("unreachable", WITHOUT, "AssumeRole")
    assert "AccessDenied" in line["detail"] and f"arn:aws:iam::{WITHOUT}:role/StopinatorSpoke" in line["detail"]
    finished = next(line for line in lines if line["message"] == "run finished")
    assert (finished["accounts"], finished["unreachable"]) == (2, 1)


def test_the_answer_says_the_same(aws, hub, stopped):
    report = answered(aws, hub, action="stop", dry_run=True)
    assert report["accounts"] == {"looked_at": 2, "unreachable": 1}
    [row] = report["unreachable"]
    assert (row["account"], row["call"]) == (WITHOUT, "AssumeRole") and "AccessDenied" in row["why"]
    assert {row["account"] for row in report["instances"]} == {HUB, SPOKE}
    counts = answered(aws, hub, action="stop", dry_run=True, report="counts")
    assert counts["counts"] == report["counts"] and not {"instances", "unreachable"} & set(counts)


# -- chunks --


def test_a_tick_is_not_tried_again_because_the_next_one_is(aws, ticked):
    assert (ticked["status"], ticked["error"]) == ("FAILED", "unfinished")
    command = {"action": "schedule"}
    assert runs(aws, ticked["executionArn"]) == {
        (HUB,): (command, 1), (SPOKE,): (command, 1), (WITHOUT,): (command, 1), (FAILING,): (command, 1),
    }


def test_a_chunk_that_fails_costs_no_other_and_the_execution_is_unfinished(aws, fired):
    command = json.loads(fired["input"])
    assert command.keys() == {"action", "time"} and command["action"] == "stop"
    assert abs((datetime.now(timezone.utc) - instant(command["time"])).total_seconds()) < 600
    assert states(aws, "job") == {HUB: "stopped", SPOKE: "stopped", WITHOUT: "running"}
    assert untouched(aws)

    assert (fired["status"], fired["error"]) == ("FAILED", "unfinished")
    [failed] = re.findall(r"^3 of 4 chunks are done; .*: (\[.*\])$", fired["cause"])
    assert json.loads(failed) == [{"first": FAILING, "error": "unfinished"}]
    assert runs(aws, fired["executionArn"]) == {
        (HUB,): (command, 1), (SPOKE,): (command, 1), (WITHOUT,): (command, 1), (FAILING,): (command, 3),
    }
    assert entered(aws, fired["executionArn"]) == ["Command", "Accounts", "EachChunk", "AllWell", "Unfinished"]


def test_where_all_chunks_are_done_the_execution_succeeds(aws, chunks, excluded):
    clean = execution(aws, chunks, action="start", time=f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}")
    assert clean["status"] == "SUCCEEDED"
    output = json.loads(clean["output"])
    assert (output["done"], output["failed"]) == (3, [])
    # In the order of the chunks. An account that cannot be entered is no failure of its chunk.
    assert [tuple(accounts.values()) for accounts in output["accounts"]] == [(1, 0), (1, 0), (0, 1)]
    assert [counts["found"] for counts in output["counts"]] == [2, 2, 0]
    assert states(aws, "job") == {HUB: "running", SPOKE: "running", WITHOUT: "running"}

    of_chunks = runs(aws, clean["executionArn"])
    assert of_chunks.keys() == {(HUB,), (SPOKE,), (WITHOUT,)}
    # Each child is started, and enters one state.
    transitions = len(entered(aws, clean["executionArn"])) + sum(1 + tries for _, tries in of_chunks.values())
    assert transitions == 2 * len(of_chunks) + 5


def test_a_command_by_hand_arrives_whole(aws, chunks, excluded):
    dry = execution(aws, chunks, action="stop", dry_run=True)
    assert dry["status"] == "SUCCEEDED"
    assert [counts["planned"] for counts in json.loads(dry["output"])["counts"]] == [1, 1, 0]
    assert states(aws, "job")[SPOKE] == "running"


def test_a_command_for_some_accounts_is_refused_by_the_state_machine(aws, chunks):
    refused = execution(aws, chunks, action="stop", accounts=[SPOKE])
    assert (refused["status"], refused["error"]) == ("FAILED", "bad-trigger")
    assert entered(aws, refused["executionArn"]) == ["Command", "Refused"]


def test_the_function_makes_the_chunks(aws, hub):
    assert answered(aws, hub, action="accounts", targets=2) == {"chunks": [[HUB, SPOKE], [WITHOUT]]}


def test_the_roles_of_the_state_machine_may_do_no_more_than_they_need(aws, function, chunks):
    machine, iam, made = chunks["StateMachineArn"], aws.client("iam"), {}
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        if name.startswith("chunks-"):
            policies = {
                policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
            }
            [statement] = role["AssumeRolePolicyDocument"]["Statement"]
            made[statement["Principal"]["Service"]] = Role(role["Arn"], policies)
            assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": HUB}

    def may(service, action, *resources):
        return allowed(made[service], [Call(action, resource, account=HUB) for resource in resources])

    step_functions, events = "states.amazonaws.com", "events.amazonaws.com"
    assert made.keys() == {step_functions, events}
    other = machine.rpartition(":")[0] + ":other"
    execution_of = machine.replace(":stateMachine:", ":execution:")
    for service in made:
        assert may(service, "states:StartExecution", machine, other) == [True, False]
    assert may(step_functions, "lambda:InvokeFunction", function["FunctionArn"], function["FunctionArn"] + "2") == [
        True, False,
    ]
    assert may(events, "lambda:InvokeFunction", function["FunctionArn"]) == [False]
    for action in ("states:DescribeExecution", "states:StopExecution"):
        of = [f"{execution_of}:a", f"{execution_of}/EachChunk:a", f"{execution_of}2:a"]
        assert may(step_functions, action, *of) == [True, True, False]
        assert may(events, action, *of) == [False, False, False]


# -- the template and its page, read --


def test_the_template_has_no_finding():
    lint = ROOT / ".tools" / "venv" / "bin" / "cfn-lint"
    command = [lint, "--include-checks", "I", "--", EXAMPLE / "distributed.yaml"]
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout


def test_what_it_shares_with_the_function_s_template_is_the_same():
    def of(parameter):
        return {key: value for key, value in parameter.items() if key != "Description"}

    own, theirs = load(EXAMPLE / "distributed.yaml"), load()
    shared = own["Parameters"].keys() & theirs["Parameters"].keys()
    assert shared == own["Parameters"].keys() - {"FunctionArn", "ChunkTargets", "MaxConcurrency"}
    for name in shared:
        ours, main = of(own["Parameters"][name]), of(theirs["Parameters"][name])
        if name.endswith("RuleState"):  # both at once would run everything twice
            assert ours.pop("Default") == "DISABLED" and main.pop("Default")
        assert ours == main, name
    for rule in ("StopRule", "StartRule", "TickRule"):
        [target], [main] = (template["Resources"][rule]["Properties"]["Targets"] for template in (own, theirs))
        assert target["RetryPolicy"] == main["RetryPolicy"]
        assert target["InputTransformer"] == main.get("InputTransformer", {
            "InputPathsMap": {"time": "$.time"}, "InputTemplate": '{"action": "stop", "time": <time>}',
        })


def test_every_call_of_the_function_is_tried_again_where_lambda_fails():
    text = load(EXAMPLE / "distributed.yaml")["Resources"]["Chunks"]["Properties"]["DefinitionString"]["Fn::Sub"]
    machine = json.loads(re.sub(r"\$\{\w+\}", "1", text.replace("${AWS::Partition}", "aws")))
    tasks = [machine["States"]["Accounts"], *machine["States"]["EachChunk"]["ItemProcessor"]["States"].values()]
    tasks = [state for state in tasks if state["Type"] == "Task"]
    assert len(tasks) == 3
    [first, *others] = [task["Retry"][0] for task in tasks]
    assert others == [first, first] and all(error.startswith("Lambda.") for error in first["ErrorEquals"])
    # On `unfinished`: after one minute and after two. The two ways to it come to the same.
    assert [task["Retry"][1:] for task in tasks] == [
        [{"ErrorEquals": ["unfinished"], "IntervalSeconds": 60, "MaxAttempts": 2, "BackoffRate": 2}],
        [],
        [{"ErrorEquals": ["unfinished"], "IntervalSeconds": 120, "MaxAttempts": 1}],
    ]


def test_the_prices_of_the_page_are_those_of_its_formula():
    page = (EXAMPLE / "README.md").read_text()
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| \$([\d.,]+) \| \$([\d.,]+) \| \$([\d.,]+) \|$", page, re.MULTILINE)
    assert len(rows) >= 5
    for row in rows:
        chunks, transitions, *prices = (float(cell.replace(",", "")) for cell in row)
        assert transitions == 2 * chunks + 5
        ticks = [31 * 24 * 12, 31 * 24 * 60, 31 * 2]
        assert prices == [round(0.000025 * transitions * some, 2) for some in ticks], row
