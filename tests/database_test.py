"""What a tick decides about databases, reckoned a second time and held against the Rust.

    .tools/venv/bin/python -m pytest tests/database_test.py

Each case is a schedule with a hold or none, what RDS shows of a database, and what its log of events says, which is
mostly the log of a story, and now and then just any: shuffled, doubled, in other letters, without what got lost. When
the schedule turned is reckoned as in `schedule_test.py`; what follows from that and from the evidence, here.
DATABASE_SEED chooses other random cases.
"""

import collections
import functools
import itertools
import json
import os
import random
import re
import subprocess
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from schedule_test import (
    DAY, EVER, HOUR, LONGEST_TAG, MIDNIGHT, MINUTE, MOMENT_LASTS, REFUSED, REFUSED_HOLDS, Days, Except, Hold, Maker,
    Moment, Schedule, Varied, Window, around, last, local, reaches, utc,
)

ROOT = Path(__file__).parent.parent
DATABASES = ROOT / "target/debug/examples/databases"
SEED = os.environ.get("DATABASE_SEED", "20261119")
CASES = 20_000

KEPT_STOPPED = 7 * DAY  # then AWS starts it
REMEMBERED = 14 * DAY  # by the log
AWS_STARTS_WITHIN = 4 * HOUR
# In doubt it is stopped this long after the edge.
DOUBT = range(50 * MINUTE, 60 * MINUTE)
NAME = "orders"


# -- cases --


@dataclass(frozen=True)
class Database:
    """What RDS shows. `restart_time` may have a fraction of a second."""

    kind: str
    status: str
    engine: str
    engine_mode: str = ""
    multi_az: bool = False
    member_of: str = None
    replicates: bool = False
    created: int = None
    restart_time: float = None


@dataclass(frozen=True)
class Case:
    """The tag is a `Schedule`, or one of the words of `TAGS`; the hold a `Hold`, None or "invalid"."""

    now: int
    default: str
    tag: object
    tag_text: str
    hold: object
    hold_text: str
    database: Database
    events: tuple  # of (database, instant, message)

    def json(self):
        return json.dumps({
            "now": written(self.now),
            "zone": self.default,
            **vars(self.database),
            "created": written(self.database.created),
            "restart_time": written(self.database.restart_time),
            "tag": self.tag_text,
            "hold": self.hold_text,
            "events": [(source, written(at), message) for source, at, message in self.events],
        })


def written(instant):
    if instant is None:
        return None
    return datetime.fromtimestamp(instant, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- what RDS shows --

BUSY = """
    backing-up backtracking configuring-enhanced-monitoring configuring-iam-database-auth configuring-log-exports
    converting-to-vpc failing-over maintenance migrating modifying moving-to-vpc promoting rebooting renaming
    resetting-master-credentials storage-config-upgrade storage-initialization storage-optimization
    update-iam-db-auth upgrading
""".split()
MOVING = ["starting", "stopping", "creating", "something-new"]
UNHEALTHY = """
    failed incompatible-network incompatible-option-group incompatible-parameters incompatible-restore
    insufficient-capacity restore-error storage-full inaccessible-encryption-credentials
    inaccessible-encryption-credentials-recoverable cloning-failed migration-failed
""".split()
GOING = ["deleting", "delete-precheck"]


def forbidden(database):
    """What forbids any action, the first of the reasons."""
    engine, is_cluster = database.engine, database.kind == "cluster"
    if database.member_of is not None:
        return "cluster-member"
    if is_cluster:
        if not engine.startswith("aurora") and engine not in ("docdb", "neptune"):
            return "cannot-stop"  # a Multi-AZ DB cluster
        if database.engine_mode == "serverless":
            return "cannot-stop"  # Aurora Serverless v1
    elif engine.startswith("custom-oracle-"):
        return "cannot-stop"
    elif engine.startswith(("sqlserver-", "custom-sqlserver-")) and database.multi_az:
        return "cannot-stop"
    if database.replicates:
        return "read-replica"
    return "unhealthy" if database.status.lower() in UNHEALTHY else None


# -- what the log says --

TURN = re.compile(r"(DB )?(instance|cluster)( has been)? (started|stopped)", re.IGNORECASE)
OF_AWS = "exceeding the maximum allowed time being stopped"


class Log:
    """The turns of one database, as far back as the log reaches: when it was stopped and started, and when AWS said
    that it would start it.
    """

    def __init__(self, case):
        turns = {"stopped": set(), "aws": set(), "started": set()}
        created = case.database.created
        for source, at, message in case.events:
            if source != f"{case.database.kind}:{NAME}":
                continue
            # What is older is of another that had the name.
            if created is not None and at < created:
                continue
            message = message.lower().removesuffix(".")
            turn = TURN.fullmatch(message)
            if OF_AWS in message:
                turns["aws"].add(at)
            elif turn:
                turns[turn[4]].add(at)
        # It was started when it was created.
        if created is not None and case.now - created <= REMEMBERED:
            turns["started"].add(created)
        self.stops, self.of_aws, self.starts = (turns[name] for name in ("stopped", "aws", "started"))
        self.last_stop, self.last_of_aws, self.last_start = (
            max(of_one, default=None) for of_one in (self.stops, self.of_aws, self.starts)
        )

    def start(self):
        """How a database that runs was started: "long ago", "aws" or "unclear", or an instant. And what tells that."""
        if not (self.stops or self.of_aws or self.starts):
            return "long ago", "nothing"
        stop = EVER if self.last_stop is None else self.last_stop
        if self.last_of_aws is not None and self.last_of_aws >= stop:
            since = [start for start in self.starts if start >= self.last_of_aws]
            if not since:
                return "aws", "its message alone"
            if min(since) == self.last_start:
                return "aws", "its message"
        if self.last_start is not None and self.last_start >= stop:
            # One at that very second is not before it.
            before = max((stop for stop in self.stops if stop < self.last_start), default=EVER)
            if KEPT_STOPPED <= self.last_start - before <= KEPT_STOPPED + AWS_STARTS_WITHIN:
                return "aws", "the seven days"
            return self.last_start, "a start"
        return "unclear", "a stop"

    def stop(self, database):
        """When a database that is stopped was stopped, or None. And what tells that."""
        if database.restart_time is not None:
            stop = database.restart_time - KEPT_STOPPED
            is_its_own = database.created is None or database.created <= stop
            return (stop, "the restart") if is_its_own else (None, "a restart before its creation")
        if self.last_stop is None:
            return None, "nothing"
        if self.last_start is not None and self.last_stop < self.last_start:
            return None, "a lost stop"
        return self.last_stop, "a stop"


# -- the decision --


@dataclass(frozen=True, order=True)
class Edge:
    """The greatest counts: the latest, of two at one instant on, and what the windows say before a moment put off."""

    at: float
    on: bool
    since: float  # what starts and stops are held against: of a moment that a hold has put off its own time

    @property
    def is_put_off(self):
        return self.since != self.at


def edges(case):
    return latest(case.tag, case.hold, case.default, case.now)


@functools.lru_cache(100_000)
def latest(schedule, hold, default, now):
    """The latest edge that counts, or None; and the latest moment, as (instant, turn), or None."""
    held_until = hold.ends(schedule, default) if hold else EVER
    change, moment = latest_of_each(schedule, schedule.zone or default, now)
    counting = []
    if change:
        at = max(change[0], held_until)
        counting.append(Edge(at, change[1] == "on", at))
    if moment and not (moment[0] < held_until and change and change[0] > moment[0]):
        at = max(moment[0], held_until)
        if now < at + MOMENT_LASTS:
            counting.append(Edge(at, moment[1] == "on", moment[0]))
    return max(counting, default=None), moment


def latest_of_each(schedule, zone, now):
    """As `schedule_test.search`, without what follows."""
    for reach in reaches(schedule, local(zone, now)[0]):
        changes, moments, state = around(schedule, zone, now, reach)
        change, moment = last(changes, now), last(moments, now)
        if (change or not schedule.has_state) and (moment or not schedule.has_moments):
            break
    if schedule.has_state and not change:
        change = (EVER, state)
    return change, moment


def decided(case):
    """The decision about a database, and where that comes from."""
    database, status = case.database, case.database.status.lower()
    if case.tag == "opted-out":
        return "opted-out", "tag"
    if status in GOING:
        return "gone", "status"
    if reason := forbidden(database):
        return reason, "forbidden"
    if case.tag == "invalid":
        return "invalid-schedule", "tag"
    if case.tag == "plain":
        return "plain-tag", "tag"
    if case.hold == "invalid":
        return "invalid-hold", "hold"
    if case.hold and case.hold.ends(case.tag, case.default) > case.now:
        if (case.hold.mode, status) == ("on", "stopped"):
            return "start", "hold"
        if (case.hold.mode, status) == ("off", "available"):
            return "stop", "hold"
        return "held", "hold"
    if status not in ("available", "stopped"):
        return "in-transition", "status"

    edge, moment = edges(case)
    if not edge:
        if status == "available" and moment and moment[1] == "off" and Log(case).start()[0] == "aws":
            return "stop", "no edge: started by AWS since a moment"
        return "not-due", "no edge"
    if status == "available":
        return ("already-running", "edge") if edge.on else while_it_runs(case, edge)
    return while_it_is_stopped(case, edge) if edge.on else ("already-stopped", "edge")


def while_it_runs(case, edge):
    if case.tag.enforced and not edge.is_put_off:
        return "stop", "enforced"
    start, told_by = Log(case).start()
    if start == "aws":
        return "stop", f"started by AWS: {told_by}"
    if start == "long ago" and edge.since >= case.now - REMEMBERED:
        return "stop", "started long ago"
    if start in ("long ago", "unclear"):
        in_doubt = f"in doubt: {told_by}"
        return ("stop", in_doubt) if case.now - edge.at in DOUBT else ("start-time-unknown", in_doubt)
    return ("stop", "started before") if start < edge.since else ("started-by-hand", "started since")


def while_it_is_stopped(case, edge):
    if case.tag.enforced and not edge.is_put_off:
        return "start", "enforced"
    log = Log(case)
    stop, told_by = log.stop(case.database)
    if stop is not None:
        return ("start" if stop < edge.since else "stopped-by-hand"), f"stop told by {told_by}"
    in_doubt = f"in doubt: {told_by}"
    start = log.last_start
    if case.database.restart_time is not None or edge.at == EVER:
        start = case.database.created  # however old; the log is not read
    if start is not None and start >= edge.since:
        return "stopped-by-hand", in_doubt
    return ("start" if case.now - edge.at < MOMENT_LASTS else "stop-time-unknown"), in_doubt


# -- random cases --

TAGS = {
    "opted-out": ["false", "no", "never", "ignore"],
    "plain": ["true", "yes", ""],
    "invalid": REFUSED,
}
ENGINES = {
    "db": """
        postgres mysql mariadb oracle-ee db2-se sqlserver-ee sqlserver-web custom-oracle-ee custom-sqlserver-se
    """.split(),
    "cluster": ["aurora-mysql", "aurora-postgresql", "aurora", "docdb", "neptune", "postgres", "mysql"],
}
USUAL = {"db": ["postgres", "mysql", "oracle-ee"], "cluster": ["aurora-mysql", "aurora-postgresql", "docdb", "neptune"]}
NOISE = [
    "DB instance restarted", "DB instance shutdown", "Replication has stopped.", "DB cluster stop failed.",
    "Backing up DB instance", "Finished DB Instance backup", "DB instance is being started.", "Restarted",
    "The DB instance stopped", "DB instance stopped by request", "DB instance started; recovery complete",
    "Started", "stopped", "Cluster failover stopped", "DB instance has been deleted", "Recovery of the DB has started.",
]
AGES = [  # of an edge
    0, 1, 50 * MINUTE - 1, 50 * MINUTE, 50 * MINUTE + 1, HOUR - 1, HOUR, HOUR + 1, 90 * MINUTE,
    KEPT_STOPPED, REMEMBERED - 1, REMEMBERED, REMEMBERED + 1,
]
GAPS = [  # between a stop and AWS's start
    KEPT_STOPPED - 1, KEPT_STOPPED, KEPT_STOPPED + 1, KEPT_STOPPED + AWS_STARTS_WITHIN - 1,
    KEPT_STOPPED + AWS_STARTS_WITHIN, KEPT_STOPPED + AWS_STARTS_WITHIN + 1,
]


class DatabaseMaker(Maker):
    """One random case: a schedule, an instant near its edges, and then events near both."""

    def database_case(self):
        rng = self.rng
        schedule, now, default, hold = self.turning()
        if self.chance(0.65):
            now = self.at_an_age(schedule, now, default, hold)
        hold_text = Varied(rng).hold(hold) or None
        if self.chance(0.015):
            hold, hold_text = "invalid", rng.choice(REFUSED_HOLDS)
        tag, text = schedule, Varied(rng).schedule(schedule)
        if self.chance(0.07):
            tag = rng.choice(list(TAGS))
            text = Varied(rng).word(rng.choice(TAGS[tag])) if tag != "invalid" else rng.choice(REFUSED)
        bare = Case(now, default, tag, text, hold, hold_text, Database("db", "available", "postgres"), ())

        anchors = [now]
        if tag == schedule and hold != "invalid":
            edge, moment = edges(bare)
            anchors += [at for at in (edge.at, edge.since) if at != EVER] * 2 if edge else []
            anchors += [moment[0]] if moment else []
            anchors += [hold.ends(schedule, default)] if hold else []
        anchors = [at for at in anchors if now - 30 * DAY < at <= now]
        database = self.database(anchors)
        source = f"{database.kind}:{NAME}"
        turns = self.story(now, anchors, database.status.lower())
        if database.restart_time is not None and self.chance(0.4):
            stops = [at for at, turn in turns if turn == "stopped"]
            database = replace(database, restart_time=max(stops, default=now) + KEPT_STOPPED)
        return replace(bare, database=database, events=tuple(self.log(now, source, turns)))

    # -- schedules --

    def turning(self):
        """A schedule, an instant, the deployment's zone, and a hold or none."""
        kind = self.rng.choices(["any", "moments", "put off", "rare"], [37, 13, 22, 28])[0]
        if kind == "any":
            case = self.case()
            return case.schedule, case.instant, case.default, case.hold
        zone = self.zone
        now = self.place + self.rng.randrange(-DAY, DAY)
        hold = self.hold(now) if kind == "rare" and self.chance(0.1) else None
        if kind == "rare":
            schedule = self.rare()
        else:
            moments = tuple(self.moment() for _ in range(self.rng.choice([1, 1, 2])))
            windows = (self.window(),) if kind == "put off" and self.chance(0.2) else ()
            schedule = Schedule(moments + windows, zone, self.exceptions(), self.chance(0.15))
        if kind == "put off":
            if self.chance(0.35):
                schedule, days = replace(schedule, exceptions=(self.silence(),)), self.rng.choice([13, 14, 15, 16])
                now += days * DAY
            day, minute = local(zone, now)
            hold = Hold(self.rng.choice(["until", "on", "off"]), day, minute, zone)
            ages = [0, 1, self.rng.randrange(2 * HOUR), self.rng.choice(DOUBT)]
            now = hold.ends(schedule, zone) + self.rng.choice(ages)
        return schedule, now, zone, hold

    def rare(self):
        """One whose edges lie days and weeks apart."""
        rng = self.rng
        clauses = rng.choice([
            lambda: [self.moment()],
            lambda: [Window(Days(ranges=((self.weekday(), self.weekday()),)), *self.times_of_day())],
            lambda: [self.window()],
            lambda: [self.span()],
        ])()
        exceptions = (self.silence(),) if self.chance(0.7) else ()
        if self.chance(0.06):
            exceptions = (Except((1, 1), (12, 31)),)
        return Schedule(tuple(clauses), self.zone, exceptions, self.chance(0.1))

    def silence(self):
        """Days and weeks without an edge."""
        begin = max(self.days) + timedelta(self.rng.choice([0, 1, 2]))
        return Except(begin, begin + timedelta(self.rng.choice([4, 9, 13, 14, 15, 29, 59])))

    def times_of_day(self):
        return sorted(self.rng.sample(range(0, MIDNIGHT, 30), 2))

    def at_an_age(self, schedule, now, default, hold):
        """An instant at which an edge has a certain age."""
        changes, moments, _ = around(schedule, schedule.zone or default, now, 4)
        passed = [at for at in (*changes, *moments) if at <= now]
        instants = [max(passed)] if passed else [*changes, *moments][:1]
        if hold:
            instants += [hold.ends(schedule, default)] * 3
        instants = [at for at in instants if abs(at - now) < 40 * DAY]
        if not instants:
            return now
        ages = [*AGES, *(self.rng.randrange(width) for width in (HOUR, HOUR, DAY, 20 * DAY)), self.rng.choice(DOUBT)]
        return self.rng.choice(instants) + self.rng.choice(ages)

    # -- databases --

    def database(self, anchors):
        rng = self.rng
        kind = rng.choice(["db", "cluster"])
        status = rng.choices(["available", "stopped", "busy", "moving", "unhealthy", "going"], [54, 36, 3, 3, 2, 2])[0]
        among = {"busy": BUSY, "moving": MOVING, "unhealthy": UNHEALTHY, "going": GOING}
        status = rng.choice(among.get(status, [status]))
        if self.chance(0.05):
            status = rng.choice([status.upper(), status.title()])
        odd = self.chance(0.08)
        engine = rng.choice((ENGINES if odd else USUAL)[kind])
        mode = ""
        if kind == "cluster":
            mode = "serverless" if odd and engine.startswith("aurora") and self.chance(0.3) else "provisioned"
        member = "billing" if odd and kind == "db" and self.chance(0.2) else None
        restart_time = None
        if self.chance(0.5 if status.lower() == "stopped" else 0.05):
            restart_time = self.near(anchors) + KEPT_STOPPED + rng.choice([0, 0, 0.001, 0.882, 0.999])
        replicates = odd and self.chance(0.25)
        # Most are old; some were created lately, which is a start.
        created = self.near(anchors) if self.chance(0.15) else min(anchors) - rng.choice([DAY, 7 * DAY, 400 * DAY])
        if self.chance(0.05):
            created = max(anchors) - REMEMBERED - rng.choice([-1, 0, 1])
        return Database(kind, status, engine, mode, self.chance(0.3), member, replicates, created, restart_time)

    # -- logs --

    def near(self, anchors):
        rng = self.rng
        far = [rng.randrange(-HOUR, HOUR), rng.randrange(-DAY, DAY), -rng.randrange(8 * DAY)]
        return rng.choice(anchors) + rng.choice([0, 0, 0, 1, -1, *far])

    def story(self, now, anchors, status):
        """Turns, as (instant, name): as they may have happened to a database that shows this status, or just any."""
        rng = self.rng
        if self.chance(0.18):
            return []
        if self.chance(0.25):
            names = ["stopped", "aws", "started"]
            instants = [self.near(anchors) - rng.choice([0, 0, 0, KEPT_STOPPED]) for _ in range(rng.randint(1, 5))]
            return [(at, rng.choice(names)) for at in instants if now - REMEMBERED <= at <= now]
        # What happens while the tick looks may be in the log, too.
        turns, at = [], min(self.near(anchors), now + rng.choice([0, 0, MINUTE]))
        turn = "stopped" if status in ("stopped", "stopping") else "started"
        for _ in range(rng.randint(1, 6)):
            turns.append((at, turn))
            if turn == "stopped":
                turn, at = "started", at - rng.choice([rng.randrange(1, HOUR), rng.randrange(1, 3 * DAY)])
            elif self.chance(0.4):
                gap = rng.choice([*GAPS, KEPT_STOPPED + rng.randrange(AWS_STARTS_WITHIN)])
                if self.chance(0.6):
                    turns.append((at - rng.choice([0, rng.randrange(HOUR), max(gap - KEPT_STOPPED, 0)]), "aws"))
                turn, at = "stopped", at - gap
            else:
                turn, at = "stopped", at - rng.choice([rng.randrange(2), rng.randrange(DAY), rng.randrange(9 * DAY)])
        if self.chance(0.1):
            del turns[0]
        if self.chance(0.15):
            stop = next((place for place, (_, turn) in enumerate(turns) if turn == "stopped"), None)
            turns = [turn for place, turn in enumerate(turns) if place != stop]
        if self.chance(0.2):
            turns = [turn for turn in turns if self.chance(0.8)]
        return [turn for turn in turns if turn[0] >= now - REMEMBERED]

    def log(self, now, source, turns):
        rng = self.rng
        events = [(source, at, self.message(source, turn)) for at, turn in turns]
        others = ["db:orders-2", "cluster:billing", "db:order", f"cluster:{NAME}", f"db:{NAME}"]
        others.remove(source)
        for _ in range(rng.choice([0, 0, 1, 2, 4])):
            at = now - rng.choice([rng.randrange(HOUR), rng.randrange(REMEMBERED)])
            if self.chance(0.5):
                events.append((source, at, rng.choice(NOISE)))
            else:
                events.append((rng.choice(others), at, self.message(source, rng.choice(["stopped", "aws", "started"]))))
        letters = rng.choices([str, str.upper, str.lower, str.swapcase], [70, 10, 10, 10])[0]
        events = sorted((source, at, letters(message)) for source, at, message in events)
        if self.chance(0.2):
            events += rng.choices(events, k=rng.randint(1, len(events))) if events else []
        if self.chance(0.5):
            rng.shuffle(events)
        return events

    def message(self, source, turn):
        rng = self.rng
        what = "instance" if source.startswith("db:") else "cluster"
        stop = rng.choice(["", "."])
        if turn == "aws":
            return f"DB {what} is being started due to it {OF_AWS}{stop}"
        what = rng.choice([f"DB {what}", f"DB {what}", what.title()])
        return f"{what}{rng.choice(['', '', ' has been'])} {turn}{stop}"


def random_cases(seed):
    rng = random.Random(seed)
    while True:
        case = DatabaseMaker(rng).database_case()
        if len(case.tag_text) <= LONGEST_TAG:
            yield case


# -- the Rust's side --


@pytest.fixture(scope="session")
def rust():
    """Asks the example `databases`: cases in, decisions out."""
    build = ["cargo", "build", "--quiet", "--example", "databases", "--no-default-features"]
    subprocess.run(build, cwd=ROOT, check=True)

    def ask(cases):
        asked = "".join(f"{case.json()}\n" for case in cases)
        done = subprocess.run(
            [DATABASES], input=asked, stdout=subprocess.PIPE, check=True, timeout=600, encoding="utf-8"
        )
        answers = done.stdout.splitlines()
        assert len(answers) == len(cases), "one answer for each case"
        return answers

    return ask


def compare(cases, expected, answers):
    """Shows the first five that differ."""
    differing = [
        f"Python: {wanted} ({why})\nRust:   {answer}\nedge:   {told(case)}\ncase:   {case.json()}\n"
        for case, (wanted, why), answer in zip(cases, expected, answers)
        if wanted != answer
    ]
    if differing:
        shown = "\n".join(differing[:5])
        pytest.fail(f"{len(differing)} of {len(cases)} differ, DATABASE_SEED={SEED}\n\n{shown}", pytrace=False)


def told(case):
    """When the schedule turned, and what is told of the last start and stop."""
    if not isinstance(case.tag, Schedule) or case.hold == "invalid":
        return "none"
    edge, moment = edges(case)
    seen = f", started {Log(case).start()}, stopped {Log(case).stop(case.database)}"
    return f"{edge}, latest moment {moment}, {case.now - edge.at if edge else None} s ago{seen}"


EARLY = {"tag", "status", "forbidden", "hold"}


def features(case, decision):
    """What there is to a case: for `LEAST`."""
    word, why = decision
    yield word
    yield f"{word}: {why}"
    sources = [source for source, *_ in case.events]
    mine = [event for event in case.events if event[0] == f"{case.database.kind}:{NAME}"]
    if sorted(case.events, key=lambda event: event[1]) != list(case.events):
        yield "log: shuffled"
    if len(set(mine)) < len(mine):
        yield "log: doubled"
    if any(message.isupper() for *_, message in mine):
        yield "log: upper case"
    if len(mine) < len(sources):
        yield "log: of others, too"
    if why in EARLY:
        return
    edge, _ = edges(case)
    log = Log(case)
    if edge:
        if edge.is_put_off:
            yield f"a moment put off: {word}"
        if edge.at == EVER:
            yield f"{'on' if edge.on else 'off'} for ever: {word}"
        if abs(case.now - edge.since - REMEMBERED) <= 1:
            yield "an edge fourteen days old, give or take a second"
        if case.now - edge.at in (DOUBT.start - 1, DOUBT.start, DOUBT.stop - 1, DOUBT.stop) and "in doubt" in why:
            yield f"at an end of the doubt: {word}"
        if log.last_start == edge.since and why.startswith("started"):
            yield "started at the edge"
        if why.startswith("stop told") and int(log.stop(case.database)[0]) == edge.since:
            yield "stopped at the edge"
    created = case.database.created
    if log.last_start == created:
        yield f"no start since its creation: {word}"
    if abs(case.now - created - REMEMBERED) <= 1:
        yield "created fourteen days ago, give or take a second"
    if log.last_start is not None and log.last_stop is not None:
        if log.last_start - log.last_stop in GAPS:
            yield "started at an end of the seven days"
        if log.last_start == log.last_stop:
            yield "stopped and started at one instant"


# How many of the cases must have a feature, so that none is lost unseen.
LEAST = {
    "a moment put off: already-running": 330,
    "a moment put off: already-stopped": 180,
    "a moment put off: start": 50,
    "a moment put off: start-time-unknown": 15,
    "a moment put off: started-by-hand": 90,
    "a moment put off: stop": 140,
    "a moment put off: stopped-by-hand": 150,
    "already-running": 1700,
    "already-stopped": 1400,
    "an edge fourteen days old, give or take a second": 50,
    "at an end of the doubt: start": 15,
    "at an end of the doubt: start-time-unknown": 7,
    "at an end of the doubt: stop": 8,
    "at an end of the doubt: stop-time-unknown": 1,
    "at an end of the doubt: stopped-by-hand": 9,
    "cannot-stop": 270,
    "cluster-member": 80,
    "created fourteen days ago, give or take a second": 470,
    "gone": 220,
    "held": 290,
    "in-transition": 500,
    "invalid-hold": 140,
    "invalid-schedule": 250,
    "log: doubled": 1900,
    "log: of others, too": 5100,
    "log: shuffled": 6600,
    "log: upper case": 1000,
    "no start since its creation: already-running": 490,
    "no start since its creation: already-stopped": 500,
    "no start since its creation: not-due": 600,
    "no start since its creation: start": 160,
    "no start since its creation: start-time-unknown": 35,
    "no start since its creation: started-by-hand": 130,
    "no start since its creation: stop": 470,
    "no start since its creation: stop-time-unknown": 15,
    "no start since its creation: stopped-by-hand": 240,
    "not-due": 2100,
    "off for ever: already-stopped": 35,
    "off for ever: start-time-unknown": 4,
    "off for ever: started-by-hand": 35,
    "off for ever: stop": 10,
    "on for ever: already-running": 90,
    "on for ever: start": 5,
    "on for ever: stopped-by-hand": 50,
    "opted-out": 260,
    "plain-tag": 250,
    "read-replica": 120,
    "start": 500,
    "start-time-unknown": 150,
    "start-time-unknown: in doubt: a stop": 120,
    "start-time-unknown: in doubt: nothing": 15,
    "start: enforced": 110,
    "start: hold": 50,
    "start: in doubt: a lost stop": 20,
    "start: in doubt: a restart before its creation": 8,
    "start: in doubt: nothing": 90,
    "start: stop told by a stop": 50,
    "start: stop told by the restart": 100,
    "started at an end of the seven days": 400,
    "started at the edge": 350,
    "started-by-hand": 600,
    "stop": 1600,
    "stop-time-unknown": 50,
    "stop-time-unknown: in doubt: a lost stop": 8,
    "stop-time-unknown: in doubt: a restart before its creation": 2,
    "stop-time-unknown: in doubt: nothing": 20,
    "stop: enforced": 240,
    "stop: hold": 70,
    "stop: in doubt: a stop": 15,
    "stop: in doubt: nothing": 4,
    "stop: no edge: started by AWS since a moment": 160,
    "stop: started before": 460,
    "stop: started by AWS: its message": 250,
    "stop: started by AWS: its message alone": 140,
    "stop: started by AWS: the seven days": 40,
    "stop: started long ago": 120,
    "stopped and started at one instant": 300,
    "stopped at the edge": 170,
    "stopped-by-hand": 600,
    "stopped-by-hand: in doubt: a lost stop": 15,
    "stopped-by-hand: in doubt: a restart before its creation": 15,
    "stopped-by-hand: in doubt: nothing": 35,
    "stopped-by-hand: stop told by a stop": 180,
    "stopped-by-hand: stop told by the restart": 330,
    "unhealthy": 220,
}


def test_random_databases(rust):
    print(f"DATABASE_SEED={SEED}")
    cases = list(itertools.islice(random_cases(SEED), CASES))
    expected = [decided(case) for case in cases]
    counts = collections.Counter()
    for case, decision in zip(cases, expected):
        counts.update(set(features(case, decision)))
    print(json.dumps(counts, indent=4, sort_keys=True))
    assert {name: counts[name] for name, least in LEAST.items() if counts[name] < least} == {}
    compare(cases, expected, rust(cases))


OFFICE = Schedule((Window(Days("weekdays"), 8 * 60, 18 * 60),))
EVENING = utc(2026, 11, 19, 18)  # a Thursday


def decision(status, log=(), at=EVENING + 5 * MINUTE, schedule=OFFICE, **shown):
    """Of a DB instance with these turns, each an instant and what happened then."""
    events = tuple((f"db:{NAME}", at, SAID[turn]) for at, turn in log)
    return decided(Case(at, "UTC", schedule, "", None, None, Database("db", status, "postgres", **shown), events))[0]


SAID = {
    "stopped": "DB instance stopped.",
    "aws": "DB instance is being started due to it exceeding the maximum allowed time being stopped.",
    "started": "DB instance started.",
}


def test_off_while_it_runs():
    week_ago = EVENING - KEPT_STOPPED
    assert decision("available", [(EVENING - 1, "started")]) == "stop"
    assert decision("available", [(EVENING, "started")]) == "started-by-hand"
    assert decision("available") == "stop"
    assert decision("available", [(EVENING, "aws")]) == "stop"
    assert decision("available", [(week_ago, "stopped"), (EVENING, "aws"), (EVENING + 1, "started")]) == "stop"
    assert decision("available", [(week_ago, "stopped"), (EVENING, "started")]) == "stop"
    assert decision("available", [(week_ago + 1, "stopped"), (EVENING, "started")]) == "started-by-hand"
    again = [(EVENING, "aws"), (EVENING + 60, "started"), (EVENING + 120, "stopped"), (EVENING + 180, "started")]
    assert decision("available", again) == "started-by-hand"
    for minutes, expected in ((5, "start-time-unknown"), (50, "stop"), (59, "stop"), (60, "start-time-unknown")):
        assert decision("available", [(EVENING, "stopped")], EVENING + minutes * MINUTE) == expected
    assert decision("available", created=EVENING) == "started-by-hand"
    assert decision("available", created=EVENING - 1) == "stop"
    enforced = replace(OFFICE, enforced=True)
    assert decision("available", [(EVENING, "started")], schedule=enforced) == "stop"
    assert decision("stopped") == "already-stopped"


def test_on_while_it_is_stopped():
    morning = EVENING - 10 * HOUR
    soon, late = morning + 5 * MINUTE, morning + HOUR
    for away, expected in ((-1, "start"), (0, "stopped-by-hand")):
        assert decision("stopped", at=late, restart_time=morning + away + KEPT_STOPPED) == expected
        assert decision("stopped", [(morning + away, "stopped")], late) == expected
    assert decision("stopped", at=soon) == "start"
    assert decision("stopped", at=late) == "stop-time-unknown"
    lost = [(morning - HOUR, "stopped"), (morning - MINUTE, "started")]
    assert (decision("stopped", lost, soon), decision("stopped", lost, late)) == ("start", "stop-time-unknown")
    assert decision("stopped", [(morning, "started")], soon) == "stopped-by-hand"
    assert decision("available", at=late) == "already-running"


def test_no_edge_that_counts():
    moments = Schedule((Moment("off", Days("weekdays"), 18 * 60),))
    at = EVENING + 5 * HOUR
    assert decision("available", [(at - HOUR, "aws"), (at - MINUTE, "started")], at, moments) == "stop"
    assert decision("available", [(at - MINUTE, "started")], at, moments) == "not-due"
    assert decision("available", [], at, moments) == decision("stopped", [], at, moments) == "not-due"
    moments = Schedule((*moments.clauses, Moment("on", Days(), 19 * 60)))
    assert decision("available", [(at - HOUR, "aws")], at, moments) == "not-due"
