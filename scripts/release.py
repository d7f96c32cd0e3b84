#!/usr/bin/env python3
"""Writes what a release holds into target/release-files, from a built `bootstrap`; docs/release.md describes it.

    scripts/release.py --binary .aws-sam/build/StopinatorFunction/bootstrap

The same binary and the same commit give the same bytes, whenever and wherever this runs.
"""

import argparse
import gzip
import hashlib
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile
from datetime import datetime, timezone
from pathlib import Path

import yaml
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from expand import expand, load

ROOT = Path(__file__).resolve().parent.parent
RELEASE_FILES = ROOT / "target" / "release-files"
FUNCTION = "StopinatorFunction"
REPOSITORY = "AWS::ServerlessRepo::Application"
INTERFACE = "AWS::CloudFormation::Interface"

# What the header of a Linux program says of its processor, what AWS calls that, and what cargo-lambda compiles for.
MACHINES = {62: ("x86_64", "x86_64-unknown-linux-gnu"), 183: ("arm64", "aarch64-unknown-linux-gnu")}

# In the plain template, of a parameter. More of it is cut at its first sentence.
LONGEST_DESCRIPTION = 130

# How a pattern begins that says by itself what a value must be: that of an ARN or an id.
READABLE = ("^(arn:", "^(subnet-", "^(sg-", "^([0-9]{12})", "^(ou-", "^(o-")

# The plain template is rolled out to many accounts at once, so it does nothing until somebody says so.
DEFAULTS = {
    "DryRun": "true",
    "StopRuleState": "DISABLED",
    "StartRuleState": "DISABLED",
    "TickRuleState": "DISABLED",
}

# For the rules that carry messages to people there is no room in the plain template. It is as if nobody wanted them:
# conditions that are never true, and parameters that nobody is asked for. Events and notices of schedules are there.
MESSAGES = {"NoticeByRule", "NoticeByScheduler", "ChatIsTold", "MailIsTold", "OwnTopicIsTold", "SlackIsTold"}
MESSAGE_PARAMETERS = {
    "NoticeScheduleExpression", "NoticeRuleState", "ChatTopicArn", "MessagesByMail", "SlackWebhookUrl",
}

CODE_PARAMETERS = {
    "CodeBucket": {
        "Type": "String",
        "Description": (
            "The S3 bucket that holds the release's zip: in this stack's region, and readable by whoever deploys, "
            "in every account of a StackSet."
        ),
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
        "ConstraintDescription": "must be the name of a bucket",
    },
    "CodePrefix": {
        "Type": "String",
        "Description": "The folder of the zip in the bucket, such as stopinator/. Empty is the top.",
        "Default": "",
        "AllowedPattern": "^([A-Za-z0-9!_.*'()-]+/)*$",
        "ConstraintDescription": "must be empty, or end with /, as stopinator/",
    },
}


class ReleaseError(Exception):
    """No release can be made of this; the message says why."""


def run(*command):
    """What a command prints."""
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    if done.returncode != 0:
        raise ReleaseError(f"{' '.join(map(str, command))} failed:\n{done.stderr.strip()}")
    return done.stdout


def machine(binary):
    """The architecture and the Rust target of a Linux program, by its header."""
    head = Path(binary).read_bytes()[:20]
    number = int.from_bytes(head[18:20], "little")
    if head[:4] != b"\x7fELF" or number not in MACHINES:
        raise ReleaseError(f"{binary} is no Linux program for arm64 or x86_64.")
    return MACHINES[number]


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def write_zip(binary, path):
    """The package that Lambda takes. Nothing in it but the binary varies: no clock, no user, no file mode."""
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))  # the earliest that a zip can hold
    entry.create_system = 3  # Unix, so that the mode counts
    entry.external_attr = 0o100755 << 16
    with zipfile.ZipFile(path, "w") as package:
        package.writestr(entry, Path(binary).read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)


def write_command_line(wheel, version, directory):
    """The command line for people without Python: the program of the wheel, with what it says of itself."""
    with zipfile.ZipFile(wheel) as package:
        name = next((name for name in package.namelist() if name.endswith(".data/scripts/stopinator")), None)
        if name is None:
            raise ReleaseError(f"{wheel} holds no program stopinator.")
        program = package.read(name)
        boms = [package.read(name) for name in package.namelist() if name.endswith(".cyclonedx.json")]
    files = {"stopinator": program, **{"stopinator.cdx.json": bom for bom in boms}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "stopinator")
        path.write_bytes(program)
        path.chmod(0o755)
        for shell, file in ("bash", "stopinator.bash"), ("zsh", "_stopinator"), ("fish", "stopinator.fish"):
            files[f"completions/{file}"] = run(path, "completions", shell).encode()
        run(path, "man", folder)
        files.update({f"man/{page.name}": page.read_bytes() for page in Path(folder).glob("*.1")})
        _, target = machine(path)
    files.update({name: (ROOT / name).read_bytes() for name in ("LICENSE", "README.md")})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"stopinator-{version}-{target}/{name}")
            entry.size, entry.mode = len(content), 0o755 if name == "stopinator" else 0o644
            archive.addfile(entry, io.BytesIO(content))
    # No clock, no user: the same bytes each time.
    path = directory / f"stopinator-{version}-{target}.tar.gz"
    path.write_bytes(gzip.compress(packed.getvalue(), mtime=0))


def decided(value, always, never):
    """The same with what these conditions choose, of which some are always true and others never."""
    if isinstance(value, dict):
        condition, yes, no = value["Fn::If"] if value.keys() == {"Fn::If"} else (None, None, None)
        if condition in always | never:
            return decided(yes if condition in always else no, always, never)
        return {key: decided(member, always, never) for key, member in value.items()}
    if isinstance(value, list):
        members = [(member, decided(member, always, never)) for member in value]
        # What was nothing before is one side of a choice that is still open.
        return [chosen for member, chosen in members if member == chosen or chosen != {"Ref": "AWS::NoValue"}]
    return value


def without_messages(template):
    """Takes away the messages to people, and what is there for nothing else."""
    conditions, resources = template["Conditions"], template["Resources"]
    alternatives = {name: said["Fn::Or"] for name, said in conditions.items() if "Fn::Or" in said}
    for name, members in alternatives.items():
        members[:] = [member for member in members if member.get("Condition") not in MESSAGES]
        if len(members) == 1:  # then it is another name for it
            for resource in resources.values():
                if resource.get("Condition") == name:
                    resource["Condition"] = members[0]["Condition"]
            del conditions[name]
    for name in MESSAGES:
        del conditions[name]
    for name in MESSAGE_PARAMETERS:
        del template["Parameters"][name]
    for group in template["Metadata"][INTERFACE]["ParameterGroups"]:
        group["Parameters"] = [name for name in group["Parameters"] if name not in MESSAGE_PARAMETERS]
    spoken = re.compile("|".join(MESSAGE_PARAMETERS))
    for name, rule in list(template["Rules"].items()):
        rule["Assertions"] = [said for said in rule["Assertions"] if not spoken.search(json.dumps(said))]
        if not rule["Assertions"]:
            del template["Rules"][name]
    template["Resources"] = {
        name: decided(said, {said.get("Condition")} - {None}, MESSAGES)
        for name, said in resources.items() if said.get("Condition") not in MESSAGES
    }


def shortened(template):
    """Takes away what the plain template has no room for, and what is missed least.

    Labels of parameters and descriptions of outputs: their names say nearly the same. What a value must
    be, where CloudFormation says it as well when it refuses one: it names the list or the limit, or the pattern, and
    that of an ARN or an id can be read. Of a long description all but its first sentence, which has what must be known.
    And which list it is that has a gap.
    """
    del template["Metadata"][INTERFACE]["ParameterLabels"]
    for output in template["Outputs"].values():
        del output["Description"]
    gaps = template["Rules"]["NoListHasAGap"]
    gaps["Assertions"] = [{
        "Assert": {"Fn::And": [said["Assert"] for said in gaps["Assertions"]]},
        "AssertDescription": "A list has an empty member; write one comma between two members",
    }]
    for parameter in template["Parameters"].values():
        pattern = parameter.get("AllowedPattern", "")
        if {"AllowedValues", "MinValue"} & parameter.keys() or pattern.startswith(READABLE):
            del parameter["ConstraintDescription"]
        if len(parameter["Description"]) > LONGEST_DESCRIPTION:
            parameter["Description"] = re.sub(r"(?<=\.) .*", "", parameter["Description"], flags=re.DOTALL)


def plain_template(version):
    """The template without macros, which service-managed StackSets refuse; no schedule is on, and dry run is.

    tests/release_test.py has the list of what differs from the expanded SAM template.
    """
    template = expand()
    template["Description"] += (
        f" Release {version} without macros, written by scripts/release.py from template.yaml, which has the comments;"
        " docs/settings.md says more of the parameters. Unless told otherwise no rule is on and every run is a dry run."
    )
    del template["Metadata"][REPOSITORY]
    interface = template["Metadata"][INTERFACE]
    interface["ParameterGroups"].insert(
        0, {"Label": {"default": "Where the code is"}, "Parameters": list(CODE_PARAMETERS)}
    )
    parameters = {**json.loads(json.dumps(CODE_PARAMETERS)), **template["Parameters"]}
    for name, default in DEFAULTS.items():
        parameters[name]["Default"] = default
    parameters["Architecture"]["Description"] = "Processor architecture. The bucket must hold the package for it."
    template["Parameters"] = parameters
    without_messages(template)
    shortened(template)
    # The name of the package holds version and architecture: a template never meets another version's code,
    # and a new version is new code to Lambda.
    template["Resources"][FUNCTION]["Properties"]["Code"] = {
        "S3Bucket": {"Ref": "CodeBucket"},
        "S3Key": {"Fn::Sub": f"${{CodePrefix}}stopinator-{version}-${{Architecture}}.zip"},
    }
    return template


def compact(value):
    """The same, the texts in it that are JSON without blanks."""
    if isinstance(value, dict):
        return {key: compact(member) for key, member in value.items()}
    if isinstance(value, list):
        return [compact(member) for member in value]
    if isinstance(value, str) and value.startswith("{\n"):
        return json.dumps(json.loads(value), separators=(",", ":"), ensure_ascii=False)
    return value


# What CloudFormation has a short form of, and is in use here.
TAGS = {"Ref", *(f"Fn::{name}" for name in ("GetAtt", "If", "Sub", "Join", "Select", "Split", "Not", "And", "Or", "Equals"))}


def word(text):
    """A text of YAML, bare if nobody can take it for anything else."""
    bare = re.fullmatch(r"[A-Za-z]([A-Za-z0-9_./()'*-]|:(?=[A-Za-z:])| (?=[A-Za-z0-9(]))*", text)
    if bare and text.lower() not in ("true", "false", "yes", "no", "on", "off", "y", "n", "null"):
        return text
    double = json.dumps(text, ensure_ascii=False)
    single = "'" + text.replace("'", "''") + "'"
    return min(double, single, key=len) if text.isprintable() else double


def flow(value):
    """YAML in one line, intrinsics in their short form."""
    if isinstance(value, dict):
        function, argument = next(iter(value.items()), ("", None))
        if len(value) == 1 and function in TAGS and not isinstance(argument, dict):
            argument = ".".join(argument) if function == "Fn::GetAtt" else argument
            return f"!{function.removeprefix('Fn::')} {flow(argument)}"
        return "{" + ",".join(f"{word(key)}: {flow(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(flow, value)) + "]"
    return word(value) if isinstance(value, str) else json.dumps(value)


def plain_text(template):
    """The template as YAML, in a line each of its members: as JSON it would be a tenth longer, and no easier to read."""
    lines = []
    for section, said in compact(template).items():
        if isinstance(said, dict):
            lines += [f"{section}:", *(f" {word(name)}: {flow(member)}" for name, member in said.items())]
        else:
            lines.append(f"{section}: {word(said)}")
    return "\n".join(lines) + "\n"


def write_plain_template(version, path):
    """Compact, because CloudFormation takes 51,200 bytes inline, that is, without a bucket."""
    path.write_text(plain_text(plain_template(version)))


def repository_template(version, architecture):
    """The template for the Serverless Application Repository, which takes SAM's macro.

    For `sam package`, which uploads what it names: package, licence, README.
    """
    template = load()
    if (said := template["Metadata"][REPOSITORY]["SemanticVersion"]) != version:
        raise ReleaseError(f"SemanticVersion in template.yaml is {said}, the version in Cargo.toml {version}.")
    function = template["Resources"][FUNCTION]
    function.pop("Metadata")  # is for sam build
    function["Properties"]["CodeUri"] = f"stopinator-{version}-{architecture}.zip"
    template["Parameters"]["Architecture"].update(
        Default=architecture, AllowedValues=[architecture],
        Description="Processor architecture of the package.", ConstraintDescription=f"must be {architecture}",
    )
    return template


def write_repository_template(version, architecture, path):
    text = yaml.safe_dump(repository_template(version, architecture), sort_keys=False, width=110, allow_unicode=True)
    head = f"# Stopinator {version}. Written by scripts/release.py from template.yaml, which has the comments.\n"
    path.write_text(head + text)


def licence(text):
    """What Cargo.toml says, in the notation of SPDX: it used to allow a slash for `or`."""
    return LicenseFactory().make_from_string(re.sub(r"\s*/\s*", " OR ", text))


def compiled_in(target):
    """The packages whose code is in the binary, as (name, version).

    By `cargo tree`, which knows the features that are on: `cargo metadata` alone also names what is optional and off.
    Without what only runs while compiling: build dependencies, procedural macros.
    """
    lines = run(
        "cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--target", target,
        "--prefix", "none", "--format", "{p}",
    ).splitlines()
    return {(name, version.removeprefix("v")) for name, version in (line.split()[:2] for line in lines if line)}


def locked_checksums():
    """The SHA-256 of every package as crates.io has it, by (name, version). Python 3.10 cannot read TOML."""
    package = re.compile(r'^name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(.+)"$', re.MULTILINE)
    return {(name, version): checksum for name, version, checksum in package.findall((ROOT / "Cargo.lock").read_text())}


def sbom(binary, architecture, target, metadata):
    """The bill of materials: every package in the binary, with its licence and the checksum in Cargo.lock."""
    inside = compiled_in(target)
    packages = {said["id"]: said for said in metadata["packages"] if (said["name"], said["version"]) in inside}
    checksums = locked_checksums()
    rustc = dict(re.findall(r"^([\w-]+): (.+)$", run("rustc", "--version", "--verbose"), re.MULTILINE))

    components = {}
    for id_, said in packages.items():
        purl = PackageURL("cargo", name=said["name"], version=said["version"])
        checksum = checksums.get((said["name"], said["version"]))
        components[id_] = Component(
            type=ComponentType.LIBRARY, name=said["name"], version=said["version"], purl=purl, bom_ref=str(purl),
            licenses=[licence(said["license"])] if said["license"] else [],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
            external_references=[
                ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(said["repository"]))
            ] if said["repository"] else [],
        )
    # Rust's standard library is in every binary and in no Cargo.lock.
    std_purl = PackageURL("generic", name="rust-std", version=rustc["release"])
    std = Component(
        type=ComponentType.LIBRARY, name="rust-std", version=rustc["release"], purl=std_purl, bom_ref=str(std_purl),
        licenses=[licence("MIT OR Apache-2.0")],
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.VCS,
                url=XsUri(f"https://github.com/rust-lang/rust/tree/{rustc['commit-hash']}"),
            )
        ],
    )

    root = components.pop(metadata["resolve"]["root"])
    root.type = ComponentType.APPLICATION
    root.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=sha256(binary)))
    root.properties.update([
        Property(name="stopinator:architecture", value=architecture),
        Property(name="stopinator:target", value=target),
        Property(name="stopinator:rustc", value=f"{rustc['release']} ({rustc['commit-hash']})"),
        Property(name="stopinator:commit", value=commit() or "unknown"),
    ])
    tools = ToolRepository(components=[this_component()])
    bom = Bom(
        metadata=BomMetaData(component=root, timestamp=when(), tools=tools),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{root.bom_ref.value}#{architecture}/{sha256(binary)}"),
        components=[*components.values(), std],
    )
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    for id_, component in {**components, metadata["resolve"]["root"]: root}.items():
        needed = [
            components[dependency["pkg"]] for dependency in nodes[id_]["deps"]
            if dependency["pkg"] in components and any(kind["kind"] is None for kind in dependency["dep_kinds"])
        ]
        bom.register_dependency(component, [*needed, *([std] if component is root else [])])
    return bom


def commit():
    """The commit that this is made from, or nothing where there is no repository; `+` if files have changed since."""
    try:
        changed = run("git", "status", "--porcelain", "--untracked-files=no").strip()
        return run("git", "rev-parse", "HEAD").strip() + ("+" if changed else "")
    except (ReleaseError, FileNotFoundError):
        return None


def when():
    """The time of the commit, not of the clock; SOURCE_DATE_EPOCH is heard, as reproducible-builds.org has it."""
    if seconds := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(seconds), timezone.utc)
    if commit():
        return datetime.fromtimestamp(int(run("git", "show", "--no-patch", "--format=%ct", "HEAD")), timezone.utc)
    return datetime.fromtimestamp(0, timezone.utc)


def release(binary, directory=RELEASE_FILES, wheel=None):
    """Writes all files; gives their paths. Those of another architecture of this version stay."""
    architecture, target = machine(binary)
    metadata = json.loads(
        run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target)
    )
    [version] = [said["version"] for said in metadata["packages"] if said["id"] == metadata["resolve"]["root"]]
    name = f"stopinator-{version}"
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)

    write_zip(binary, directory / f"{name}-{architecture}.zip")
    if wheel:
        write_command_line(wheel, version, directory)
        shutil.copy(wheel, directory)
    write_plain_template(version, directory / f"{name}.template.yaml")
    write_repository_template(version, architecture, directory / f"{name}-{architecture}.sam.yaml")
    bill = JsonV1Dot6(sbom(binary, architecture, target, metadata)).output_as_string(indent=2)
    (directory / f"{name}-{architecture}.cdx.json").write_text(bill + "\n")
    # The licence goes with the program; both go to the Serverless Application Repository.
    for file in ("LICENSE", "README.md"):
        shutil.copy(ROOT / file, directory)

    files = sorted([*directory.glob(f"{name}[.-]*"), directory / "LICENSE", directory / "README.md"])
    sums = directory / "SHA256SUMS"
    sums.write_text("".join(f"{sha256(file)}  {file.name}\n" for file in files))
    return [*files, sums]


def main():
    parser = argparse.ArgumentParser(description="Writes the files of a release.")
    parser.add_argument("--binary", type=Path, required=True, help="the bootstrap that sam build made")
    parser.add_argument("--wheel", type=Path, help="the Python package that make wheel built, for the command line")
    parser.add_argument("--directory", type=Path, default=RELEASE_FILES, help="where to (target/release-files)")
    given = parser.parse_args()
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it complains of metrics that nobody publishes
    try:
        if not given.binary.exists():
            raise ReleaseError(f"There is no {given.binary}: run `make release`, which builds it first.")
        files = release(given.binary, given.directory, given.wheel)
    except ReleaseError as error:
        sys.exit(str(error))
    made = commit()
    print(f"Release files in {os.path.relpath(given.directory)}, of commit {made or 'unknown'}:")
    for file in files:
        print(f"  {file.stat().st_size:>10,}  {file.name}")
    if made and made.endswith("+"):
        print("Files have changed since that commit: a release for others is made of a commit as it is.")


if __name__ == "__main__":
    main()
