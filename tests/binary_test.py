"""The binary that Lambda runs, under a Runtime API, against an EC2 that keeps state (moto).

    cargo build && .tools/venv/bin/python -m pytest tests/binary_test.py

Every claim of the response is held against what moto says afterwards.
"""

import collections
import datetime
import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import boto3
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from runtime_api import Function, Handler, Server  # noqa: E402

BINARY = ROOT / "target/debug/stopinator-lambda"
SEOUL, TOKYO = "ap-northeast-2", "ap-northeast-1"
IMAGE = "ami-12c6146b"  # one of moto's own, with an EBS root
OUTCOMES = ("confirmed", "accepted", "refused", "failed", "not_attempted")
STOP, START, SCHEDULE = {"action": "stop"}, {"action": "start"}, {"action": "schedule"}


# -- the EC2 side --


@pytest.fixture(scope="session")
def moto_endpoint(tmp_path_factory):
    """A moto server on a free port, which it says itself, stopped at the end whatever happens."""
    log = tmp_path_factory.mktemp("moto") / "log"
    server = Path(sys.executable).with_name("moto_server")
    with log.open("w") as output:
        process = subprocess.Popen([server, "-H", "127.0.0.1", "-p", "0"], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 120
        while not (running := re.search(r"Running on (http://\S+:\d+)\s", log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield running[1]
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Fleet:
    """One region of moto: launches instances and tells their states."""

    def __init__(self, endpoint, region=SEOUL):
        self.endpoint = endpoint
        self.client = boto3.client(
            "ec2",
            endpoint_url=endpoint,
            region_name=region,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def launch(self, tag="true", key="Stopinator", name=None, hold=None, **details):
        """One running instance, its id. `tag=None` leaves the tag away."""
        tags = {key: tag, f"{key}-Hold": hold, "Name": name}
        specification = [{"Key": key, "Value": value} for key, value in tags.items() if value is not None]
        details = {"ImageId": IMAGE, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1, **details}
        if specification:
            details["TagSpecifications"] = [{"ResourceType": "instance", "Tags": specification}]
        return self.client.run_instances(**details)["Instances"][0]["InstanceId"]

    def stop(self, *ids):
        self.client.stop_instances(InstanceIds=ids)

    def states(self):
        """id -> state, of all instances."""
        pages = self.client.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 1000})
        return {
            instance["InstanceId"]: instance["State"]["Name"]
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        }


@pytest.fixture
def ec2(moto_endpoint):
    """An empty account."""
    urllib.request.urlopen(urllib.request.Request(f"{moto_endpoint}/moto-api/reset", method="POST")).close()
    return Fleet(moto_endpoint)


class Between:
    """Stands between the function and moto: counts the calls, and may answer in moto's place.

    `instead(action, region)` gives a status and a body, or None to pass the call on.
    `page` is the most that moto puts on a page: EC2 may give less than it is asked for.
    """

    def __init__(self, ec2, instead=lambda action, region: None, page=1000):
        self.ec2 = ec2
        self.instead = instead
        self.page = page
        self.calls = collections.Counter()

    def __enter__(self):
        between = self

        class Ec2Handler(Handler):
            def do_POST(self):
                body = self.body()
                [action] = urllib.parse.parse_qs(body.decode())["Action"]
                region = self.headers["Authorization"].split("/")[2]
                between.calls[action] += 1
                status, answer = between.instead(action, region) or between.pass_on(self.headers, body)
                self.answer(status, "text/xml;charset=UTF-8", answer)

        self._server = Server(Ec2Handler)
        self.endpoint = f"http://{self._server.address}"
        return self

    def __exit__(self, *_):
        self._server.close()

    def pass_on(self, headers, body):
        body = body.replace(b"MaxResults=1000", b"MaxResults=%d" % self.page)
        headers = {name: headers[name] for name in ("Authorization", "Content-Type")}  # moto checks no signature
        try:
            with urllib.request.urlopen(urllib.request.Request(self.ec2.endpoint, body, headers)) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


class Earlier(Between):
    """What moto tells the time of, a launch, creation or stop, was so many hours earlier. Its own are all recent."""

    TIMES = [
        (rb"(?<=<launchTime>)[^<]+(?=</launchTime>)", "%Y-%m-%dT%H:%M:%S.%fZ"),
        (rb"(?<=<InstanceCreateTime>)[^<]+(?=</InstanceCreateTime>)", "%Y-%m-%dT%H:%M:%S.%fZ"),
        (rb"(?<=User initiated \()[^)]+(?=\))", "%Y-%m-%d %H:%M:%S UTC"),
    ]

    def __init__(self, ec2, hours):
        super().__init__(ec2)
        self.hours = hours

    def pass_on(self, headers, body):
        status, answer = super().pass_on(headers, body)
        for pattern, form in self.TIMES:
            answer = re.sub(pattern, lambda found, form=form: self.earlier(found[0].decode(), form).encode(), answer)
        return status, answer

    def earlier(self, text, form):
        then = datetime.datetime.strptime(text, form) - datetime.timedelta(hours=self.hours)
        return then.strftime(form)


def refusal(status, code, text):
    """EC2's own form of it, for Between."""
    error = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
    return status, f"<Response><Errors>{error}</Errors><RequestID>1</RequestID></Response>".encode()


# -- the function's side --


def function(ec2, timeout=120, **env):
    # To look again takes two seconds or more: only for the tests that are about it.
    return Function([BINARY], {"AWS_ENDPOINT_URL": ec2.endpoint, "STOPINATOR_VERIFY_SECONDS": "0", **env}, timeout)


def invoke(ec2, event, **env):
    """The report of one invocation, which must succeed and add up."""
    with function(ec2, **env) as stopinator:
        return report(stopinator.invoke(event))


def report(result):
    assert result.ok, result.error_message
    found = result.payload
    assert set(found) == {"action", "time", "dry_run", "counts", "instances"}
    check_sums(found["counts"], found["dry_run"])
    assert found["counts"]["found"] == len(found["instances"])
    keys = [(row.get("region", ""), "kind" in row, row["id"]) for row in found["instances"]]  # databases come last
    assert keys == sorted(keys)
    for row in found["instances"]:
        assert row["decision"] in ("stop", "start", "keep")
        assert None not in row.values(), "what does not apply is left out"
        assert ("outcome" in row) == (row["decision"] != "keep" and not found["dry_run"])
        assert "reason" in row or row["decision"] != "keep"
    return found


def check_sums(counts, dry_run):
    assert set(counts) == {"found", "kept", "planned", *OUTCOMES}
    assert counts["found"] == counts["kept"] + counts["planned"]
    assert sum(counts[outcome] for outcome in OUTCOMES) == (0 if dry_run else counts["planned"])


def rows(found):
    """id -> decision, or the reason of what was kept."""
    return {row["id"]: row["reason" if row["decision"] == "keep" else "decision"] for row in found["instances"]}


def expect_counts(response, **expected):
    """All that are not named are zero."""
    assert {name: count for name, count in response["counts"].items() if count} == expected


def timestamp(**ago):
    then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**ago)
    return then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def scheduled_event(time):
    return {"detail-type": "Scheduled Event", "source": "aws.events", "time": time, "detail": {}}


# -- stop and start --


def test_stop_then_start(ec2):
    web, database = ec2.launch(name="web"), ec2.launch(tag="")
    with function(ec2) as stopinator:
        stopped = report(stopinator.invoke(STOP))
        assert ec2.states() == {web: "stopped", database: "stopped"}
        again = report(stopinator.invoke(STOP))
        started = report(stopinator.invoke(START))
        assert ec2.states() == {web: "running", database: "running"}
    assert (stopped["action"], stopped["dry_run"], started["action"]) == ("stop", False, "start")
    decided = datetime.datetime.fromisoformat(stopped["time"].replace("Z", "+00:00"))
    assert abs(decided.timestamp() - time.time()) < 60
    row = {"region": SEOUL, "decision": "stop", "outcome": "accepted"}
    expected = [{"id": web, "name": "web", **row}, {"id": database, **row}]
    assert stopped["instances"] == sorted(expected, key=lambda row: row["id"])
    expect_counts(stopped, found=2, planned=2, accepted=2)
    assert rows(again) == {web: "already-stopped", database: "already-stopped"}
    expect_counts(again, found=2, kept=2)
    expect_counts(started, found=2, planned=2, accepted=2)


def test_more_than_two_pages(ec2):
    """moto counts reservations for a page, hence one launch for each instance; EC2 counts instances."""
    due = {ec2.launch() for _ in range(41)}
    spared = ec2.launch(tag="false")
    with Between(ec2, page=20) as between, function(between) as stopinator:
        found = report(stopinator.invoke(STOP))
    expect_counts(found, found=42, kept=1, planned=41, accepted=41)
    assert between.calls == {"DescribeInstances": 3, "StopInstances": 1}
    assert ec2.states() == {**dict.fromkeys(due, "stopped"), spared: "running"}


def test_it_looks_again_and_confirms(ec2):
    web, spared = ec2.launch(name="web"), ec2.launch(tag="false")
    with Between(ec2) as between, function(between, STOPINATOR_VERIFY_SECONDS="60") as stopinator:
        for event, action, state in [(STOP, "stop", "stopped"), (START, "start", "running")]:
            between.calls.clear()
            result = stopinator.invoke(event)
            found = report(result)
            expect_counts(found, found=2, kept=1, planned=1, confirmed=1)
            about_web = {"id": web, "name": "web", "region": SEOUL, "decision": action, "outcome": "confirmed"}
            assert about_web in found["instances"]
            assert ec2.states() == {web: state, spared: "running"}
            assert between.calls == {"DescribeInstances": 2, f"{action.title()}Instances": 1}
            [line] = [line for line in stopinator.logs(result.request_id) if "outcome" in line]
            assert (line["level"], line["message"]) == ("INFO", f"{action} confirmed")
        # Where nothing was done there is nothing to look at.
        between.calls.clear()
        report(stopinator.invoke(START))
        assert between.calls == {"DescribeInstances": 1}


@pytest.mark.parametrize("action, before, after", [("stop", "running", "stopped"), ("start", "stopped", "running")])
def test_a_scheduled_event_means_the_deployments_action(ec2, action, before, after):
    instance = ec2.launch()
    if before == "stopped":
        ec2.stop(instance)
    # moto's instance is younger than any real event: this one comes from a clock that is a minute ahead.
    found = invoke(ec2, scheduled_event(timestamp(minutes=-1)), STOPINATOR_ACTION=action)
    assert found["action"] == action
    assert ec2.states() == {instance: after}


def test_a_repeated_event_undoes_nobodys_work(ec2):
    up, down = ec2.launch(), ec2.launch()
    ec2.stop(down)
    with function(ec2) as stopinator:
        old = timestamp(minutes=10)
        assert rows(report(stopinator.invoke(scheduled_event(old))))[up] == "started-by-hand"
        assert rows(report(stopinator.invoke({**START, "time": old})))[down] == "stopped-by-hand"
    assert ec2.states() == {up: "running", down: "stopped"}


def test_several_regions(ec2):
    seoul, tokyo = ec2.launch(), Fleet(ec2.endpoint, TOKYO)
    other = tokyo.launch()
    with function(ec2, STOPINATOR_REGIONS=f"{SEOUL},{TOKYO}") as stopinator:
        narrowed = report(stopinator.invoke({**STOP, "regions": [TOKYO]}))
        assert [(row["id"], row["region"]) for row in narrowed["instances"]] == [(other, TOKYO)]
        assert (ec2.states()[seoul], tokyo.states()[other]) == ("running", "stopped")
        both = report(stopinator.invoke(STOP))
    assert rows(both) == {other: "already-stopped", seoul: "stop"}
    assert ec2.states()[seoul] == "stopped"


@pytest.mark.parametrize(
    "env, command",
    [
        ({"STOPINATOR_DRY_RUN": "true"}, {"action": "stop"}),
        ({"STOPINATOR_DRY_RUN": "true"}, {"action": "stop", "dry_run": False}),
        ({}, {"action": "stop", "dry_run": True}),
    ],
    ids=["setting", "setting that a command cannot lift", "command"],
)
def test_a_dry_run_touches_nothing(ec2, env, command):
    due, spared, down = ec2.launch(), ec2.launch(tag="no"), ec2.launch()
    ec2.stop(down)
    before = ec2.states()
    found = invoke(ec2, command, **env)
    assert found["dry_run"] is True
    assert rows(found) == {due: "stop", spared: "opted-out", down: "already-stopped"}
    expect_counts(found, found=3, kept=2, planned=1)
    assert ec2.states() == before == {due: "running", spared: "running", down: "stopped"}


# -- schedules in the tag --


def clock(hours, zone=datetime.timezone.utc):
    """What the clocks of a zone show so many hours from now."""
    then = datetime.datetime.now(zone) + datetime.timedelta(hours=hours)
    return then.strftime("%H:%M")


def window(begin, end, zone=datetime.timezone.utc):
    """A daily window, its edges so many hours from now."""
    return f"daily {clock(begin, zone)}-{clock(end, zone)}"


def until(**ahead):
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(**ahead)
    return then.strftime("until %Y-%m-%d %H:%M UTC")


def test_a_window_stops_and_starts(ec2):
    over, on, parked, stopped = (ec2.launch(tag=window(*edges)) for edges in [(-3, -1), (-1, 3), (-3, -1), (-1, 3)])
    ec2.stop(parked, stopped)
    with Earlier(ec2, hours=2) as between, function(between) as stopinator:
        found = report(stopinator.invoke(SCHEDULE))
    assert found["action"] == "schedule"
    assert rows(found) == {over: "stop", on: "already-running", parked: "already-stopped", stopped: "start"}
    expect_counts(found, found=4, kept=2, planned=2, accepted=2)
    assert ec2.states() == {over: "stopped", on: "running", parked: "stopped", stopped: "running"}


def test_nobodys_work_is_undone_but_where_the_tag_says_so(ec2):
    up, down = ec2.launch(tag=window(-3, -1)), ec2.launch(tag=window(-1, 3))
    up_enforced, down_enforced = (ec2.launch(tag=window(*edges) + " enforced") for edges in [(-3, -1), (-1, 3)])
    ec2.stop(down, down_enforced)
    expected = {up: "started-by-hand", down: "stopped-by-hand", up_enforced: "stop", down_enforced: "start"}
    assert rows(invoke(ec2, SCHEDULE)) == expected
    assert ec2.states() == {up: "running", down: "stopped", up_enforced: "stopped", down_enforced: "running"}


def test_a_moment_acts_for_an_hour(ec2):
    fresh, over = ec2.launch(tag=f"stop daily {clock(-0.5)}"), ec2.launch(tag=f"stop daily {clock(-1.5)}")
    down, up = ec2.launch(tag=f"start daily {clock(-0.5)}"), ec2.launch(tag=f"start daily {clock(-0.5)}")
    ec2.stop(down)
    with Earlier(ec2, hours=2) as between, function(between) as stopinator:
        found = report(stopinator.invoke(SCHEDULE))
    assert rows(found) == {fresh: "stop", over: "not-due", down: "start", up: "already-running"}


def test_a_dry_run_looks_ahead(ec2):
    instance = ec2.launch(tag=window(-1, 3))
    tomorrow = timestamp(hours=-28)
    with function(ec2) as stopinator:
        ahead = report(stopinator.invoke({**SCHEDULE, "dry_run": True, "time": tomorrow}))
        assert rows(ahead) == {instance: "stop"}
        assert ahead["time"][:19] == tomorrow[:19]
        assert rows(report(stopinator.invoke(SCHEDULE))) == {instance: "already-running"}


@pytest.mark.parametrize("action, plain, scheduled", [
    ("stop", "stop", "own-schedule"), ("start", "already-running", "own-schedule"), ("schedule", "plain-tag", "stop"),
])
def test_rule_and_schedule_keep_out_of_each_others_way(ec2, action, plain, scheduled):
    follows_rule, follows_tag = ec2.launch(), ec2.launch(tag=window(-3, -1) + " enforced")
    found = invoke(ec2, {"action": action})
    assert rows(found) == {follows_rule: plain, follows_tag: scheduled}


@pytest.mark.parametrize("hold, action, tag, said", [
    (until(days=2), "schedule", window(-3, -1) + " enforced", "held"),
    (until(days=-2), "schedule", window(-3, -1) + " enforced", "stop"),
    ("ON " + until(days=2), "schedule", window(-3, -1) + " enforced", "held"),
    ("off " + until(days=2), "schedule", window(-1, 3), "stop"),
    ("until tomorrow", "schedule", window(-3, -1) + " enforced", "invalid-hold"),
    (until(days=2), "stop", "true", "held"),
    ("on " + until(days=2), "stop", "true", "held"),
    ("off " + until(days=2), "stop", "true", "stop"),
    ("for ever", "stop", "true", "invalid-hold"),
    (until(days=2), "stop", "false", "opted-out"),
])
def test_a_hold(ec2, hold, action, tag, said):
    instance = ec2.launch(tag=tag, hold=hold)
    assert rows(invoke(ec2, {"action": action})) == {instance: said}
    assert ec2.states() == {instance: "stopped" if said == "stop" else "running"}


@pytest.mark.parametrize("hold, action, tag, said", [
    ("on " + until(days=2), "schedule", window(-3, -1), "start"),
    ("off " + until(days=2), "schedule", window(-1, 3) + " enforced", "held"),
    (until(days=2), "start", "true", "held"),
    ("off " + until(days=2), "start", "true", "held"),
    ("on " + until(days=2), "start", "true", "start"),
])
def test_a_hold_on_a_stopped_instance(ec2, hold, action, tag, said):
    instance = ec2.launch(tag=tag, hold=hold)
    ec2.stop(instance)
    assert rows(invoke(ec2, {"action": action})) == {instance: said}
    assert ec2.states() == {instance: "running" if said == "start" else "stopped"}


def test_a_schedule_that_does_not_parse_names_the_piece(ec2):
    instance, other = ec2.launch(tag="weekdaze 07:00-19:00"), ec2.launch(tag=window(-3, -1) + " enforced")
    found = invoke(ec2, SCHEDULE)
    assert rows(found) == {instance: "invalid-schedule", other: "stop"}
    [detail] = [row["detail"] for row in found["instances"] if row["id"] == instance]
    assert "weekdaze" in detail and "weekdays" in detail


@pytest.mark.parametrize("zone, said", [(None, "started-by-hand"), ("Asia/Seoul", "already-running")])
def test_the_deployments_time_zone(ec2, zone, said):
    """An evening in Seoul is a morning in Greenwich; a zone in the tag wins."""
    seoul = datetime.timezone(datetime.timedelta(hours=9))
    unnamed, named = ec2.launch(tag=window(-1, 1, seoul)), ec2.launch(tag=window(-1, 1, seoul) + " Asia/Seoul")
    found = invoke(ec2, SCHEDULE, **({"STOPINATOR_TIME_ZONE": zone} if zone else {}))
    assert rows(found) == {unnamed: said, named: "already-running"}


@pytest.mark.parametrize("limit, said", [("0", "started-by-hand"), ("5", "started-by-hand"), ("3", "stop")])
def test_the_limit_on_a_start_by_hand(ec2, limit, said):
    instance = ec2.launch(tag=window(-8, -6))
    with Earlier(ec2, hours=4) as between, function(between, STOPINATOR_HAND_START_HOURS=limit) as stopinator:
        assert rows(report(stopinator.invoke(SCHEDULE))) == {instance: said}
    assert ec2.states() == {instance: "stopped" if said == "stop" else "running"}


# -- who is left alone --


def test_the_tag_decides(ec2):
    due = [ec2.launch(tag=value) for value in ("true", "TRUE", " yes ", "")]
    opted_out = [ec2.launch(tag=value) for value in ("false", " No ", "NEVER", "ignore")]
    invalid = [ec2.launch(tag=value) for value in ("on", "0", "weekdaze")]
    unseen = [ec2.launch(tag=None), ec2.launch(key="stopinator"), ec2.launch(key="Stopinator2")]
    found = invoke(ec2, STOP)
    expected = dict.fromkeys(due, "stop") | dict.fromkeys(opted_out, "opted-out")
    assert rows(found) == expected | dict.fromkeys(invalid, "invalid-schedule")
    states = ec2.states()
    assert {id for id, state in states.items() if state == "stopped"} == set(due)
    assert {states[id] for id in opted_out + invalid + unseen} == {"running"}


def test_another_tag_key(ec2):
    due, other = ec2.launch(key="acme:hours*"), ec2.launch(key="acme:hours-2")
    found = invoke(ec2, STOP, STOPINATOR_TAG_KEY="acme:hours*")
    assert rows(found) == {due: "stop"}, "a star in the key is no wildcard"
    assert ec2.states() == {due: "stopped", other: "running"}


def test_scope_all(ec2):
    plain, tagged, spared = ec2.launch(tag=None), ec2.launch(), ec2.launch(tag="false")
    # That m5d has disks of its own stands in DescribeInstanceTypes alone.
    disks = ec2.launch(tag=None, InstanceType="m5d.large")
    owners_choice = ec2.launch(InstanceType="m5d.large")
    with function(ec2, STOPINATOR_SCOPE="all") as stopinator:
        stopped = report(stopinator.invoke(STOP))
        expected = {plain: "stop", tagged: "stop", owners_choice: "stop"}
        assert rows(stopped) == {**expected, spared: "opted-out", disks: "instance-store-data"}
        assert ec2.states() == {**dict.fromkeys(expected, "stopped"), spared: "running", disks: "running"}
        # It never starts an untagged one.
        report(stopinator.invoke(START))
    assert ec2.states() == dict.fromkeys([tagged, owners_choice, spared, disks], "running") | {plain: "stopped"}


# -- databases --


class Databases:
    """moto's RDS in one region. It stops and starts at once, and its log says nothing of either."""

    def __init__(self, ec2, region=SEOUL):
        self.client = boto3.client(
            "rds",
            endpoint_url=ec2.endpoint,
            region_name=region,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def create(self, name, tag=None):
        """One that runs, its id."""
        self.client.create_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.t4g.micro", Engine="postgres", AllocatedStorage=20,
            MasterUsername="somebody", MasterUserPassword="something",
            Tags=[{"Key": "Stopinator", "Value": tag}] if tag is not None else [],
        )
        return f"db:{name}"

    def states(self):
        """id -> status, of all."""
        pages = self.client.get_paginator("describe_db_instances").paginate()
        told = [database for page in pages for database in page["DBInstances"]]
        return {f"db:{database['DBInstanceIdentifier']}": database["DBInstanceStatus"] for database in told}


def test_more_than_a_page_of_databases(ec2):
    """RDS knows no filter by tags: all are listed, 100 a page. The last three are on the second one."""
    rds, machine = Databases(ec2), ec2.launch(tag=window(-3, -1))
    first = rds.create("a-due", tag=window(-3, -1))
    others = [rds.create(f"db-{number:03}", tag=window(-1, 3)) for number in range(100)]
    spared, bare, last = rds.create("x-spared", "false"), rds.create("y-bare"), rds.create("z-due", window(-3, -1))
    with Earlier(ec2, hours=2) as between, function(between, STOPINATOR_SERVICES="ec2,rds") as stopinator:
        result = stopinator.invoke(SCHEDULE)
        found, logs = report(result), stopinator.logs(result.request_id)
    expected = {machine: "stop", first: "stop", last: "stop", spared: "opted-out"}
    assert rows(found) == {**dict.fromkeys(others, "already-running"), **expected}
    expect_counts(found, found=104, kept=101, planned=3, accepted=3)
    due = {"region": SEOUL, "decision": "stop", "outcome": "accepted"}
    assert {"id": last, "kind": "db", "name": "z-due", **due} in found["instances"]
    kinds = {line["id"]: line.get("kind") for line in logs if "outcome" in line}
    assert kinds == {machine: None, first: "db", last: "db"}
    assert between.calls == {
        "DescribeInstances": 1, "StopInstances": 1,
        "DescribeDBInstances": 2, "DescribeDBClusters": 1, "DescribeEvents": 1, "StopDBInstance": 2,
    }
    running = dict.fromkeys([*others, spared, bare], "available")
    assert rds.states() == {**running, first: "stopped", last: "stopped"}


def test_a_database_that_was_created_after_the_edge_is_somebodys(ec2):
    database = Databases(ec2).create("orders", tag=window(-3, -1))
    assert rows(invoke(ec2, SCHEDULE, STOPINATOR_SERVICES="ec2,rds")) == {database: "started-by-hand"}


def test_without_services_nobody_asks_for_databases(ec2):
    rds, machine = Databases(ec2), ec2.launch()
    database = rds.create("orders", tag="true")
    with Between(ec2) as between, function(between) as stopinator:
        assert rows(report(stopinator.invoke(STOP))) == {machine: "stop"}
        assert "STOPINATOR_SERVICES=ec2,rds" in stopinator.invoke({**STOP, "databases": [database]}).error_message
    assert between.calls == {"DescribeInstances": 1, "StopInstances": 1}
    assert rds.states() == {database: "available"}


# -- what is named --


def test_explicit_ids_narrow_and_never_widen(ec2):
    named, not_named, untagged, spared = ec2.launch(), ec2.launch(), ec2.launch(tag=None), ec2.launch(tag="false")
    unknown = "i-0123456789abcdef0"
    found = invoke(ec2, {**STOP, "instance_ids": [unknown, untagged, named, spared, named]})
    assert rows(found) == {named: "stop", untagged: "not-selected", spared: "opted-out", unknown: "gone"}
    expect_counts(found, found=4, kept=3, planned=1, accepted=1)
    assert ec2.states() == {named: "stopped", not_named: "running", untagged: "running", spared: "running"}


def test_a_terminated_instance_is_gone(ec2):
    gone, due = ec2.launch(), ec2.launch()
    ec2.client.terminate_instances(InstanceIds=[gone])
    assert rows(invoke(ec2, STOP)) == {gone: "gone", due: "stop"}


# -- errors --


def outcomes(lines):
    """id -> the line that tells an instance's outcome."""
    return {line["id"]: line for line in lines if "outcome" in line}


def test_stop_protected_instances_cost_nobody_else(ec2):
    """DescribeInstances does not tell; moto, like EC2, refuses the whole call and names one of them."""
    others = [ec2.launch() for _ in range(6)]
    protected = [ec2.launch(DisableApiStop=True) for _ in range(2)]
    with Between(ec2) as between, function(between) as stopinator:
        result = stopinator.invoke(STOP)
        found, logs = report(result), stopinator.logs(result.request_id)
    expect_counts(found, found=8, planned=8, accepted=6, refused=2)
    assert between.calls == {"DescribeInstances": 1, "StopInstances": len(protected) + 1}
    assert ec2.states() == dict.fromkeys(others, "stopped") | dict.fromkeys(protected, "running")
    for row in found["instances"]:
        if row["id"] in protected:
            assert (row["decision"], row["outcome"], row["reason"]) == ("stop", "refused", "stop-protected")
            assert "OperationNotPermitted" in row["detail"] and "disableApiStop" in row["detail"]
            assert row["id"] in row["detail"]
            line = outcomes(logs)[row["id"]]
            assert (line["level"], line["detail"]) == ("WARN", row["detail"])
    assert {line["level"] for line in logs} == {"INFO", "WARN"}


def test_a_missing_permission_is_one_error_line(ec2):
    """What another try cannot mend ends in no error; the line is there for an alarm to see."""
    instances = [ec2.launch() for _ in range(5)]
    text = "You are not authorized to perform this operation."
    denied = refusal(403, "UnauthorizedOperation", text)
    stop_denied = Between(ec2, lambda action, region: denied if action == "StopInstances" else None)
    with stop_denied as between, function(between) as stopinator:
        result = stopinator.invoke(STOP)
        found, logs = report(result), stopinator.logs(result.request_id)
    expect_counts(found, found=5, planned=5, refused=5)
    assert {row["id"]: row["reason"] for row in found["instances"]} == dict.fromkeys(instances, "not-permitted")
    assert between.calls["StopInstances"] == 1 + 5, "the batch, and each alone"
    [error] = [line for line in logs if line["level"] == "ERROR"]
    assert (error["instances"], error["detail"]) == (5, f"UnauthorizedOperation: {text}")
    assert {line["level"] for line in outcomes(logs).values()} == {"WARN"}


def test_what_another_try_may_finish_ends_in_an_error(ec2):
    instances = [ec2.launch(), ec2.launch()]
    expired = refusal(400, "ExpiredToken", "The security token included in the request is expired")
    stop_expired = Between(ec2, lambda action, region: expired if action == "StopInstances" else None)
    with stop_expired as between, function(between) as stopinator:
        result = stopinator.invoke(STOP)
        logs = stopinator.logs(result.request_id)
        assert not result.ok and result.error_type == "unfinished"
        assert "2 failed" in result.error_message and "ExpiredToken" in result.error_message
        assert "\n" not in result.error_message
        assert set(outcomes(logs)) == set(instances)
        for line in outcomes(logs).values():
            assert (line["level"], line["outcome"], line["reason"]) == ("ERROR", "failed", "ec2-error")
        assert summary(logs)["failed"] == 2
        # As Lambda does: the next try finds what is left.
        between.instead = lambda action, region: None
        expect_counts(report(stopinator.invoke(STOP)), found=2, planned=2, accepted=2)


def test_a_region_that_cannot_be_observed_is_named(ec2):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = "http://127.0.0.1:%d" % closed.getsockname()[1]
        with function(ec2, AWS_ENDPOINT_URL=nowhere) as stopinator:
            result = stopinator.invoke(STOP)
    assert not result.ok
    assert SEOUL in result.error_message and "DescribeInstances" in result.error_message


def test_a_region_that_does_not_answer_ends_before_the_deadline(ec2):
    """What Lambda says in Lambda-Runtime-Deadline-Ms; a little is kept of it for the report."""
    instance, silent = ec2.launch(), threading.Event()
    with Between(ec2, lambda action, region: silent.wait() and None) as between:
        with function(between, timeout=8) as stopinator:
            stopinator.start_seconds()  # the start is no part of it
            began = time.monotonic()
            result = stopinator.invoke(STOP)
            assert 3 < result.received - began < 8
            silent.set()
            # And the process goes on.
            report(stopinator.invoke(STOP))
    assert not result.ok and "\n" not in result.error_message
    assert f"{SEOUL} could not be observed: DescribeInstances: no answer in time" in result.error_message
    assert ec2.states() == {instance: "stopped"}


def test_a_region_that_fails_costs_only_itself(ec2):
    seoul, tokyo = ec2.launch(), Fleet(ec2.endpoint, TOKYO)
    other = tokyo.launch()
    denied = refusal(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
    with Between(ec2, lambda action, region: denied if region == TOKYO else None) as between:
        with function(between, STOPINATOR_REGIONS=f"{SEOUL},{TOKYO}") as stopinator:
            result = stopinator.invoke(STOP)
    assert not result.ok
    assert f"{TOKYO} could not be observed: DescribeInstances: UnauthorizedOperation" in result.error_message
    assert (ec2.states()[seoul], tokyo.states()[other]) == ("stopped", "running")


def test_hibernation_may_be_asked_for(ec2):
    """What is not configured for it, as all of moto's, is stopped as ever."""
    instance = ec2.launch()
    expect_counts(invoke(ec2, STOP, STOPINATOR_HIBERNATE="true"), found=1, planned=1, accepted=1)
    assert ec2.states() == {instance: "stopped"}


def test_too_many_actions_trip_the_breaker(ec2):
    for _ in range(3):
        ec2.launch()
    with function(ec2, STOPINATOR_MAX_ACTIONS="2") as stopinator:
        result = stopinator.invoke(STOP)
        assert not result.ok
        assert "3" in result.error_message and "STOPINATOR_MAX_ACTIONS" in result.error_message
        assert summary(stopinator.logs(result.request_id))["not_attempted"] == 3
        assert set(ec2.states().values()) == {"running"}
        # A dry run shows the plan all the same.
        expect_counts(report(stopinator.invoke({**STOP, "dry_run": True})), found=3, planned=3)


BAD_TRIGGERS = [
    (b"{}", "action"),
    (b'{"action": "halt"}', "action"),
    (b'{"action": null}', "action"),
    (b'{"action": "stop", "force": true}', "force"),
    (b'{"action": "stop", "dry_run": "yes"}', "dry_run"),
    (b'{"action": "stop", "dry_run": null}', "dry_run"),
    (b'{"action": "stop", "time": "yesterday"}', "time"),
    (b'{"action": "stop", "instance_ids": []}', "instance_ids"),
    (b'{"action": "stop", "instance_ids": ["web"]}', "instance_ids"),
    (b'{"action": "stop", "instance_ids": "i-0123456789abcdef0"}', "instance_ids"),
    (b'{"action": "stop", "regions": []}', "regions"),
    (b'{"action": "stop", "regions": ["us-west-2"]}', "regions"),
    (b'{"action": "stop", "action": "start"}', "action"),
    (b'{"detail-type": "Scheduled Event", "source": "my.app", "time": "2026-11-21T09:00:00Z"}', "source"),
    (b'{"detail-type": "Other", "source": "aws.events", "time": "2026-11-21T09:00:00Z"}', "detail-type"),
    (b'{"detail-type": "Scheduled Event", "source": "aws.events"}', "time"),
    (b"[]", "object"),
    (b'"stop"', "object"),
    (b"null", "object"),
]


def test_bad_triggers_name_the_field_and_touch_nothing(ec2):
    instance = ec2.launch()
    with function(ec2) as stopinator:
        for event, field in BAD_TRIGGERS:
            result = stopinator.invoke(event)
            assert not result.ok, event
            assert field in result.error_message, event
            [line] = stopinator.logs(result.request_id)
            assert (line["level"], line["message"]) == ("ERROR", result.error_message)
            assert ec2.states() == {instance: "running"}, event
        # None of them killed the process.
        report(stopinator.invoke(STOP))
        assert ec2.states() == {instance: "stopped"}


@pytest.mark.parametrize(
    "trigger, ago",
    [
        (scheduled_event, {"hours": 2}),
        (lambda time: {**STOP, "time": time}, {"hours": 2}),
        (lambda time: {**STOP, "time": time}, {"minutes": -10}),
    ],
    ids=["event", "command", "command from the future"],
)
def test_a_stale_trigger_is_refused(ec2, trigger, ago):
    instance = ec2.launch()
    with function(ec2) as stopinator:
        result = stopinator.invoke(trigger(timestamp(**ago)))
        assert not result.ok and "stale-event" in result.error_message
        assert ec2.states() == {instance: "running"}
        report(stopinator.invoke(STOP))
    assert ec2.states() == {instance: "stopped"}


@pytest.mark.parametrize(
    "env",
    [
        {"STOPINATOR_ACTION": "halt", "STOPINATOR_TYPO": "1", "STOPINATOR_MAX_ACTIONS": "x"},
        {"STOPINATOR_HIBERNATE": "1", "STOPINATOR_TIME_ZONE": "KST", "STOPINATOR_REGIONS": "Seoul"},
        {"STOPINATOR_HAND_START_HOURS": "8h", "STOPINATOR_TIME_ZONE": "Etc/GMT+9"},
        {"STOPINATOR_VERIFY_SECONDS": "601"},
    ],
    ids=["wrong", "not understood", "not offered", "out of range"],
)
def test_a_failed_start_names_every_problem_in_one_line(ec2, env):
    with function(ec2, **env) as stopinator:
        assert stopinator.wait() != 0
        [line] = stopinator.logs()
        assert stopinator.stderr() == ""
    assert line["level"] == "ERROR" and line["timestamp"]
    for name in env:
        assert name in line["message"]


# -- the log --


def summary(lines):
    [line] = [line for line in lines if line["message"] == "run finished"]
    return line


def test_the_log_lines_of_an_invocation(ec2):
    web, spared = ec2.launch(name="web"), ec2.launch(tag="false")
    with function(ec2, AWS_LAMBDA_LOG_LEVEL="DEBUG") as stopinator:
        first, second = stopinator.invoke(STOP), stopinator.invoke({**STOP, "dry_run": True})
        everything = stopinator.logs()
        assert stopinator.stderr() == ""
        logs, dry = (stopinator.logs(result.request_id) for result in (first, second))
    for line in everything:
        assert datetime.datetime.fromisoformat(line["timestamp"].replace("Z", "+00:00"))
        assert line["level"] in ("ERROR", "WARN", "INFO", "DEBUG")
    instances = {line["id"]: line for line in logs if "decision" in line}
    assert set(instances) == {web, spared}
    about_web = {"level": "INFO", "name": "web", "region": SEOUL, "decision": "stop", "outcome": "accepted"}
    assert about_web.items() <= instances[web].items()
    about_spared = {"level": "DEBUG", "region": SEOUL, "decision": "keep", "reason": "opted-out"}
    assert about_spared.items() <= instances[spared].items()
    finished = summary(logs)
    assert isinstance(finished["duration_ms"], (int, float))
    counts = {name: finished[name] for name in ("found", "kept", "planned", *OUTCOMES)}
    assert counts == first.payload["counts"]
    assert [finished[name] for name in ("action", "time", "dry_run")] == [
        first.payload[name] for name in ("action", "time", "dry_run")
    ]
    assert summary(dry)["dry_run"] is True
    assert not [line for line in dry if "outcome" in line]


@pytest.mark.parametrize("level, kept, finished", [(None, 0, 1), ("INFO", 0, 1), ("DEBUG", 1, 1), ("WARN", 0, 0)])
def test_the_log_level(ec2, level, kept, finished):
    ec2.launch(tag="false")
    env = {"AWS_LAMBDA_LOG_LEVEL": level} if level else {}
    with function(ec2, **env) as stopinator:
        request_id = stopinator.invoke(STOP).request_id
        logs, metrics = stopinator.logs(request_id), stopinator.metrics(request_id)
    assert len([line for line in logs if line.get("decision") == "keep"]) == kept
    assert len([line for line in logs if line["message"] == "run finished"]) == finished
    assert len(metrics) == 1


def test_the_metrics_of_a_run(ec2):
    for tag in ("true", "true", "office hours"):
        ec2.launch(tag=tag)
    with function(ec2, AWS_LAMBDA_FUNCTION_NAME="evening") as stopinator:
        [metrics] = stopinator.metrics(stopinator.invoke(STOP).request_id)
    [directive] = metrics["_aws"]["CloudWatchMetrics"]
    told = {metric["Name"]: metrics[metric["Name"]] for metric in directive["Metrics"]}
    assert told == {"Found": 3, "Stopped": 2, "Duration": metrics["Duration"]}
    assert directive["Namespace"] == "Stopinator" and directive["Dimensions"] == [["FunctionName"]]
    assert metrics["FunctionName"] == "evening"
    assert metrics["reasons"]["invalid-schedule"] == 1
    assert abs(metrics["_aws"]["Timestamp"] / 1000 - time.time()) < 60


# -- the sample events --


EVENTS = sorted((ROOT / "events").glob("*.json"))


def test_there_are_sample_events():
    assert EVENTS


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: path.stem)
def test_every_sample_event_is_accepted(ec2, path):
    running, stopped = ec2.launch(), ec2.launch()
    ec2.stop(stopped)
    event = json.loads(path.read_text())
    events = {"STOPINATOR_EVENTS": "true"} if "notice" in event else {}
    found = invoke(ec2, event, STOPINATOR_MAX_EVENT_AGE_MINUTES="0", **events)
    after = ec2.states()
    if "instance_ids" in event:
        assert rows(found) == dict.fromkeys(event["instance_ids"], "gone")
    # On `schedule` these two are plain, and left to the other rules.
    if "instance_ids" in event or found["dry_run"] or found["action"] == "schedule":
        assert after == {running: "running", stopped: "stopped"}
    else:
        assert set(after.values()) == {"stopped" if found["action"] == "stop" else "running"}
