"""The pages that people read: short where they must be, every link good, every page found, every number measured.

    .tools/venv/bin/python -m pytest tests/docs_test.py

With UPDATE_DOCS=1 the tables in docs/settings.md are written anew; otherwise they must be current. What is printed on the
pages is tested by tests/command_line/the_docs.rs, what is to be typed by tests/first_hour_test.py.
"""

import os
import re
import subprocess
import sys
import unicodedata
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tomlkit  # which sam brings

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import figures  # noqa: E402
from expand import load  # noqa: E402

FRONT_DOORS = "README.md", "README.ko.md"
PARAMETERS = load()["Parameters"]


def pages():
    """Every page of the repository, by its path."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    return sorted(subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())


def text(page):
    return (ROOT / page).read_text()


def parts(page):
    """Its prose, and its blocks of code with their language."""
    pieces = re.split(r"^ *```(\w*)\n(.*?)^ *```$", text(page), flags=re.DOTALL | re.MULTILINE)
    return "".join(pieces[::3]), list(zip(pieces[1::3], pieces[2::3]))


def links(page):
    """Targets of its links and pictures."""
    prose = re.sub(r"`[^`\n]*`", "", parts(page)[0])
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(page):
    """What its headings are called in a link, as GitHub makes it."""
    made = []
    for heading in re.findall(r"^#+ (.+)$", parts(page)[0], re.MULTILINE):
        bare = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        name = re.sub(r"[^\w\- ]", "", bare).replace(" ", "-")
        made.append(name if name not in made else f"{name}-{made.count(name)}")
    return made


def resolved(page, target):
    """The page or file that a link of this page leads to, and the anchor in it."""
    path, _, anchor = target.partition("#")
    where = page if not path else os.path.normpath(os.path.join(os.path.dirname(page), path))
    return where, anchor


def inside(page):
    """Its links that lead into this repository."""
    return [resolved(page, target) for target in links(page) if not re.match(r"[a-z]+:", target)]


# -- the front door --


def test_the_readme_is_read_to_its_end():
    whole = text("README.md")
    assert len(whole.split()) <= 1_200
    assert len(whole.splitlines()) <= 190
    assert len(re.findall(r"^!\[", whole, re.MULTILINE)) == 3


@pytest.mark.parametrize("page", FRONT_DOORS)
def test_no_line_of_code_has_to_be_scrolled(page):
    def width(line):
        return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)

    code = [line for _, block in parts(page)[1] for line in block.splitlines()]
    code += re.findall(r"^    (.*)$", parts(page)[0], re.MULTILINE)
    assert code and [line for line in code if width(line) > 80] == []


def test_the_questions_come_in_the_order_of_a_reader():
    headings = re.findall(r"^## (.+)$", text("README.md"), re.MULTILINE)
    assert headings == [
        "When to use something else", "Try it", "Deploy it", "Give a machine its hours", "See what it will do", "Not tonight",
        "Why was it left alone?", "When something fails", "What it may do, what it costs", "Remove it", "Status",
    ]


def test_the_set_up_is_where_people_look_for_it():
    before_deployment = text("README.md").split("\n## Deploy it\n")[0]
    assert "make demo" in before_deployment and "make test" in before_deployment
    assert "make test" in text("CONTRIBUTING.md")


@pytest.mark.parametrize("page", FRONT_DOORS)
def test_a_schedule_is_shown_before_true(page):
    whole = text(page)
    assert re.search(r"weekdays \d", whole).start() < whole.index("`true`")


def stop_rule():
    """Hour and minute, in UTC, at which the stop rule fires by default, every day."""
    minute, hour = re.fullmatch(r"cron\((\d+) (\d+) \* \* \? \*\)", PARAMETERS["StopScheduleExpression"]["Default"]).groups()
    return int(hour), int(minute)


def local(zone, month):
    return datetime(2026, month, 15, *stop_rule(), tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(zone)).strftime("%H:%M")


@pytest.mark.parametrize("page", ["README.md", "docs/deploy.md"])
def test_what_sam_deploy_does_by_itself_is_said_before_it_is_run(page):
    seoul, berlin, new_york = "Asia/Seoul", "Europe/Berlin", "America/New_York"
    utc = "{:02}:{:02} UTC".format(*stop_rule())
    assert local(seoul, 1) == local(seoul, 7)
    states = {rule: PARAMETERS[f"{rule}RuleState"]["Default"] for rule in ("Stop", "Start", "Tick")}
    assert states == {"Stop": "ENABLED", "Start": "DISABLED", "Tick": "ENABLED"}
    assert (PARAMETERS["DryRun"]["Default"], PARAMETERS["TickScheduleExpression"]["Default"]) == ("false", "rate(5 minutes)")
    said = [
        f"| stop rule | **on**, every day at {utc} | `true`: it stops them |",
        "| tick rule | on, every five minutes | with hours: it stops and starts them |",
        "| start rule | off | `true` |",
        f"{utc} is {local(seoul, 1)} in Seoul, {local(berlin, 1)} in Berlin and {local(new_york, 1)} in New York"
        f" (in summer {local(berlin, 7)} and {local(new_york, 7)})",
        "sam deploy --parameter-overrides DryRun=true",
    ]
    whole = text(page)
    assert [sentence for sentence in said if sentence not in whole] == []
    order = [whole.index(said[0]), whole.index(said[3]), whole.index(said[4])]
    assert page != "README.md" or order == sorted(order)


def test_the_korean_page_tells_the_hours_too():
    whole = text("README.ko.md")
    utc = "{:02}:{:02} UTC".format(*stop_rule())
    said = whole.index(utc), whole.index(local("Asia/Seoul", 1)), whole.index("sam deploy --parameter-overrides DryRun=true")
    assert f"{utc}, 한국 시간 {local('Asia/Seoul', 1)}" in whole
    assert said[0] < said[2] and said[1] < said[2]


def test_samconfig_is_as_the_docs_say():
    config = tomlkit.parse(text("samconfig.toml")).unwrap()["default"]
    assert config["global"]["parameters"] == {"stack_name": "stopinator"}
    assert config["deploy"]["parameters"]["confirm_changeset"] is True
    assert config.keys() == {"global", "deploy"} and "parameter_overrides" not in config["deploy"]["parameters"]
    for page in (*FRONT_DOORS, "docs/deploy.md"):
        commands = "".join(block for language, block in parts(page)[1] if language == "sh")
        assert set(re.findall(r"--stack-name (\S+)", commands)) == {"stopinator"}, page


# -- links --


@pytest.mark.parametrize("page", pages())
def test_every_link_leads_somewhere(page):
    dead = []
    for where, anchor in inside(page):
        if not (ROOT / where).exists():
            dead.append(where)
        elif anchor and anchor not in anchors(where):
            dead.append(f"{where}#{anchor}")
    assert dead == []


def test_every_page_is_found_from_the_readme():
    seen, left = set(), ["README.md"]
    while left:
        page = left.pop()
        if page.endswith(".md") and page not in seen:
            seen.add(page)
            left += [where for where, _ in inside(page)]
    assert set(pages()) - seen == set()


def test_every_picture_is_printed_and_shown():
    made = set(re.findall(r'^ +\("(\w+)", "\$ stopinator', text("tests/command_line/the_docs.rs"), re.MULTILINE))
    there = {path.stem for path in (ROOT / "docs" / "pictures").iterdir()}
    shown = {Path(where).stem for page in pages() for where, _ in inside(page) if where.endswith(".svg")}
    assert made == there == shown
    for page in pages():
        assert "![](" not in text(page), "a picture says what it shows"


# -- numbers --


def test_every_figure_was_measured():
    whole = text("docs/figures.md")
    assert figures.page(whole, figures.measured()) == whole, "docs/figures.md is not current: scripts/figures.py"


def test_the_readme_tells_the_same_figures():
    rows = dict(figures.measured()["calls"]["rows"])
    ours, halving, _ = (calls for calls, _, _ in rows["27 protected, named one at a time"])
    assert f"27 protected ones among 1,000 take [{ours} calls, not {halving}]" in text("README.md")
    *_, (title, in_all, _) = figures.costs()
    assert title.startswith("in all")
    for page in FRONT_DOORS:
        assert figures.dollars(in_all) in text(page)


def test_the_costs_are_those_of_the_template():
    alarms = sum(resource["Type"] == "AWS::CloudWatch::Alarm" for resource in load()["Resources"].values())
    assert alarms == figures.ALARMS + 2 + 1 + 1  # of the start rule, of databases, of other accounts
    assert (PARAMETERS["MemoryMegabytes"]["Default"], PARAMETERS["VerifySeconds"]["Default"]) == (
        1024 * figures.MEMORY_GIGABYTES, figures.RUN_SECONDS
    )


# -- settings --


def environment():
    """The environment variables of the template, by parameter; None is the one that has none."""
    template = load()
    variables = template["Resources"]["StopinatorFunction"]["Properties"]["Environment"]["Variables"]
    by_parameter = {}
    for name, value in variables.items():
        # What a value hangs on counts as well: one may be there or not.
        conditions = [template["Conditions"][name] for name in re.findall(r"'Fn::If': \['(\w+)'", str(value))]
        parameters = set(re.findall(r"(?:'Ref': '|\$\{)(\w+)['}]", str([value, conditions]))) or {None}
        for parameter in parameters:
            by_parameter.setdefault(parameter, []).append(name)
    return by_parameter


def settings_page():
    """docs/settings.md with its tables as they should be."""
    interface = load()["Metadata"]["AWS::CloudFormation::Interface"]
    variables = environment()

    def row(name):
        parameter = PARAMETERS[name]
        default = str(parameter["Default"])
        values = parameter["ConstraintDescription"].strip().removeprefix("must be ")
        called = ", ".join(f"`{variable}`" for variable in variables.get(name, []))
        cells = [f"`{name}`", f"`{default}`" if default else "empty", parameter["Description"].strip(), values, called]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    made = []
    for group in interface["ParameterGroups"]:
        made += [
            f"### {group['Label']['default']}", "",
            "| parameter | default | what | values | environment |", "|---|---|---|---|---|", *map(row, group["Parameters"]), "",
        ]
    page = text("docs/settings.md")
    mark = re.compile(r"(<!-- parameters: made by tests/docs_test.py -->\n\n).*?(<!-- end of parameters -->)", re.DOTALL)
    made = "\n".join(made)
    page, times = mark.subn(lambda match: f"{match[1]}{made}\n{match[2]}", page)
    assert times == 1
    return page


def test_the_settings_are_those_of_the_template():
    page = settings_page()
    if os.environ.get("UPDATE_DOCS") == "1":
        (ROOT / "docs" / "settings.md").write_text(page)
    assert text("docs/settings.md") == page, "docs/settings.md is not current: UPDATE_DOCS=1 pytest tests/docs_test.py"


def test_every_setting_of_the_code_is_on_the_page():
    source = text("src/settings.rs").split("pub const NAMES")[1].split("];")[0]
    names = re.findall(r'"(STOPINATOR_\w+)"', source)
    page = text("docs/settings.md")
    assert len(names) > 5 and [name for name in names if f"`{name}`" not in page] == []
    assert set(re.findall(r"STOPINATOR_[A-Z_]+[A-Z]", page)) == set(names)
