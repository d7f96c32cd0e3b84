"""The template without its macro, which AWS would otherwise run: for a release, and for the tests of the role.

    expand()                       SAM applied; a CloudFormation template like any other
    resolve(expand(), given)       and its intrinsics worked out for these parameters, as deployed
"""

import functools
import json
import re
from pathlib import Path
from types import SimpleNamespace

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

TEMPLATE = Path(__file__).resolve().parent.parent / "template.yaml"
CODE = "s3://bucket/stopinator.zip"
PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "ap-northeast-2",
    "AWS::StackId": "arn:aws:cloudformation:ap-northeast-2:111122223333:stack/stopinator/0c5f6a2e",
    "AWS::StackName": "stopinator",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()


class ExpansionError(Exception):
    """CloudFormation would refuse this as well, or it needs more than is written here."""


def load(path=TEMPLATE):
    """A template as a dictionary, the short forms of its intrinsics made long."""
    return json.loads(json.dumps(yaml_parse(Path(path).read_text())))


def expand(template=None, code=CODE):
    """The template with SAM applied. `code` is the function's, in S3."""
    template = load() if template is None else json.loads(json.dumps(template))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = code
            resource.pop("Metadata", None)  # is for sam build
    nowhere = SimpleNamespace(region_name=PSEUDO["AWS::Region"])  # else it wants an AWS profile with a region
    return Translator({}, Parser(), boto_session=nowhere).translate(template, parameter_values={})


def resolve(template, parameters=None, pseudo=None):
    """An expanded template as deployed: parameters in, conditions decided, intrinsics worked out.

    What only a deployment knows is made up: a resource's name is that of the stack and its own.
    """
    return _Resolver(template, parameters or {}, {**PSEUDO, **(pseudo or {})}).resolved()


def _value(name, declared, given):
    """The value of a parameter: as given, else its default."""
    value = given.get(name, declared.get("Default"))
    if value is None:
        raise ExpansionError(f"the parameter {name} has no default and is not given")
    if declared["Type"] == "CommaDelimitedList" or declared["Type"].startswith("List<"):
        return [member.strip() for member in str(value).split(",")]
    return str(value)


def _intrinsic(value):
    return isinstance(value, dict) and len(value) == 1 and re.match(r"Fn::|Ref$", next(iter(value))) is not None


def _pick(list_, index):
    try:
        return list_[int(index)]
    except IndexError:
        raise ExpansionError(f"Fn::Select cannot select {index} of {len(list_)}") from None


class _Resolver:
    def __init__(self, template, given, pseudo):
        self._template = template
        self._known = {name: _value(name, said, given) for name, said in template.get("Parameters", {}).items()}
        self._known.update(pseudo, **{"AWS::NoValue": NO_VALUE})

    def resolved(self):
        done = ("Parameters", "Metadata", "Rules", "Mappings", "Conditions")
        template = {key: part for key, part in self._template.items() if key not in done}
        for section in ("Resources", "Outputs"):
            template[section] = {
                name: self._of(said) for name, said in template.get(section, {}).items()
                if "Condition" not in said or self._condition(said["Condition"])
            }
        return template

    @functools.cache
    def _condition(self, name):
        return self._true(self._template["Conditions"][name])

    def _true(self, said):
        [(function, argument)] = said.items()
        if function == "Condition":
            return self._condition(argument)
        if function == "Fn::Equals":
            first, second = self._of(argument)
            return str(first) == str(second)
        decided = [self._true(member) for member in argument]
        return {"Fn::Not": lambda: not decided[0], "Fn::And": lambda: all(decided), "Fn::Or": lambda: any(decided)}[
            function
        ]()

    def _of(self, value):
        if isinstance(value, list):
            members = [self._of(member) for member in value]
            return [member for member in members if member is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if _intrinsic(value):
            [(function, argument)] = value.items()
            if function == "Ref":
                return self._ref(argument)
            if handler := getattr(self, "_" + function.removeprefix("Fn::").lower(), None):
                return handler(argument)
            if function.startswith("Fn::"):
                raise ExpansionError(f"{function} is not known here")
        members = {key: self._of(member) for key, member in value.items()}
        if isinstance(policy := members.get("PolicyDocument"), str):  # IAM takes it as text, too
            members["PolicyDocument"] = json.loads(policy)
        return {key: member for key, member in members.items() if member is not NO_VALUE}

    def _ref(self, name):
        if name in self._known:
            return self._known[name]
        kind = self._template["Resources"][name]["Type"]
        if kind in ("AWS::SNS::Topic", "AWS::IAM::ManagedPolicy"):
            return self._arn(name)
        if kind == "AWS::SQS::Queue":
            return f"https://sqs.{self._known['AWS::Region']}.{self._known['AWS::URLSuffix']}/" \
                   f"{self._known['AWS::AccountId']}/{self._name(name)}"
        return self._name(name)

    def _name(self, resource):
        given = self._of(self._template["Resources"][resource].get("Properties", {}).get("RoleName", NO_VALUE))
        return f"{self._known['AWS::StackName']}-{resource}" if given is NO_VALUE else given

    def _arn(self, resource):
        said = self._template["Resources"][resource]
        name, path = self._name(resource), self._of(said.get("Properties", {}).get("Path", "/"))
        path = "/" if path is NO_VALUE else path
        forms = {
            "AWS::Events::ApiDestination": ("events", True, f"api-destination/{name}/0c5f6a2e"),
            "AWS::Events::Connection": ("events", True, f"connection/{name}/0c5f6a2e"),
            "AWS::Events::Rule": ("events", True, f"rule/{name}"),
            "AWS::IAM::ManagedPolicy": ("iam", False, f"policy{path}{name}"),
            "AWS::IAM::Role": ("iam", False, f"role{path}{name}"),
            "AWS::Lambda::Function": ("lambda", True, f"function:{name}"),
            "AWS::Logs::LogGroup": ("logs", True, f"log-group:{name}:*"),
            "AWS::Scheduler::Schedule": ("scheduler", True, f"schedule/default/{name}"),
            "AWS::Scheduler::ScheduleGroup": ("scheduler", True, f"schedule-group/{name}"),
            "AWS::SNS::Topic": ("sns", True, name),
            "AWS::SQS::Queue": ("sqs", True, name),
            "AWS::CloudWatch::Alarm": ("cloudwatch", True, f"alarm:{name}"),
        }
        if said["Type"] not in forms:
            raise ExpansionError(f"the form of an ARN of {said['Type']} is not known here")
        service, regional, rest = forms[said["Type"]]
        region = self._known["AWS::Region"] if regional else ""
        return f"arn:{self._known['AWS::Partition']}:{service}:{region}:{self._known['AWS::AccountId']}:{rest}"

    def _getatt(self, argument):
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        if attribute != "Arn":
            return f"{self._name(name)}.{attribute}"
        return self._arn(name)

    def _sub(self, argument):
        text, own = argument if isinstance(argument, list) else (argument, {})

        def value(match):
            name = match[1].strip()
            if name in own:
                return str(self._of(own[name]))
            return str(self._getatt(name) if "." in name else self._ref(name))

        return re.sub(r"\$\{([^!}][^}]*)\}", value, text).replace("${!", "${")

    def _if(self, argument):
        condition, yes, no = argument
        return self._of(yes if self._condition(condition) else no)

    def _select(self, argument):
        index, members = self._of(argument)
        return _pick(members, index)

    def _join(self, argument):
        separator, members = self._of(argument)
        return separator.join(str(member) for member in members)

    def _split(self, argument):
        separator, text = self._of(argument)
        return text.split(separator)

    def _findinmap(self, argument):
        name, first, second = self._of(argument)[:3]
        return self._template["Mappings"][name][first][second]


if __name__ == "__main__":
    print(json.dumps(expand(), indent=2))
