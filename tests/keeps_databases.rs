//! Databases keep hours too: RDS, Aurora, `DocumentDB` and Neptune, by the same tag, at their own pace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stopinator::schedule::Schedule;

use crate::support::ec2::Machine;
use crate::support::rds::{Database, Event, Whims};
use crate::support::{NOW, RULE_FIRED, START, Story, at, databases, fleet, id};

const TICK: &str = r#"{"action": "schedule"}"#;
/// It is 09:00:10 on a Saturday: these hours ended an hour ago, and these have begun.
const OFF: &str = "daily 05:00-08:00";
const ON: &str = "daily 08:00-18:00";

fn tagged(id: &str, tag: &str) -> Database {
    Database::available(id).tagged("Stopinator", tag)
}

fn started(id: &str, when: Timestamp) -> Event {
    let what = if id.starts_with("db:") { "DB instance started" } else { "DB cluster started" };
    Event::notification(id, when, what)
}

/// What was said of a database: decision, and outcome or reason.
fn said(story: &Story, id: &str) -> String {
    let (decision, word) = story.said(id);
    format!("{decision} {word}")
}

#[test]
fn a_tick_with_nothing_due_asks_for_pages_and_nothing_else() {
    let within_hours = (0..250).map(|n| tagged(&format!("db:db{n}"), ON));
    let clusters = (0..120).map(|n| tagged(&format!("cluster:cl{n}"), ON));
    let story = databases(within_hours.chain(clusters)).on(TICK);
    assert_eq!(story.rds_calls.len(), 3 + 2);
    assert_eq!((story.asked_rds("DescribeDBInstances"), story.asked_rds("DescribeDBClusters")), (3, 2));
    assert_eq!(story.response()["counts"]["found"], 370);
    assert_eq!(said(&story, "db:db7"), "keep already-running");
    assert_eq!(story.row("db:db7")["kind"], "db");
    assert_eq!(story.row("cluster:cl7")["kind"], "cluster");
}

#[test]
fn without_services_nobody_asks_rds() {
    let scenario = databases([tagged("db:orders", OFF)]).with("STOPINATOR_SERVICES", "ec2");
    for trigger in [TICK, RULE_FIRED, START] {
        let story = scenario.on(trigger);
        assert!(story.rds_calls.is_empty(), "{trigger}");
        assert_eq!(story.response()["counts"]["found"], 0);
    }
    let (code, message) = scenario.on(r#"{"action": "stop", "databases": ["db:orders"]}"#).answer.expect_err("refused");
    assert_eq!(code, "bad-trigger");
    assert!(message.contains("STOPINATOR_SERVICES=ec2,rds"), "{message}");
}

#[test]
fn what_ran_before_the_edge_is_stopped_and_the_log_is_asked_once_for_all() {
    let ids = ["db:orders", "db:users", "cluster:orders"];
    let scenario = databases(ids.map(|id| tagged(id, OFF)));
    scenario.rds.add_event(started("db:orders", at("2026-11-21T05:10:00Z")));
    let story = scenario.on(TICK);
    assert_eq!(
        story.stopped_or_started(),
        ["StopDBCluster cluster:orders", "StopDBInstance db:orders", "StopDBInstance db:users"]
    );
    assert_eq!(story.asked_rds("DescribeEvents"), 2, "one for each kind");
    for id in ids {
        assert_eq!(said(&story, id), "stop accepted", "{id}");
        assert_eq!(story.row(id)["reason"], "still-stopping");
        assert_eq!(story.statuses[id], "stopping");
    }
    // The next tick sees it through.
    let later = scenario.after(Duration::from_mins(10)).on(TICK);
    assert_eq!(said(&later, "db:orders"), "keep already-stopped");
    let detail = later.row("db:orders")["detail"].as_str().expect("a detail");
    assert!(detail.starts_with("AWS starts it at 2026-11-28T09:"), "{detail}");
    assert!(later.touched_nothing() && later.asked_rds("DescribeEvents") == 0);
}

#[test]
fn what_was_stopped_before_the_edge_is_started() {
    let stopped = |id: &str| Database::stopped(id, at("2026-11-20T18:05:00Z")).tagged("Stopinator", ON);
    let by_hand = Database::stopped("db:mine", at("2026-11-21T08:30:00Z")).tagged("Stopinator", ON);
    let scenario = databases([stopped("db:orders"), stopped("cluster:orders"), by_hand]);
    let story = scenario.on(TICK);
    assert_eq!(story.stopped_or_started(), ["StartDBCluster cluster:orders", "StartDBInstance db:orders"]);
    assert_eq!(story.asked_rds("DescribeEvents"), 0, "Describe tells when they were stopped");
    assert_eq!(said(&story, "db:mine"), "keep stopped-by-hand");
    assert_eq!(said(&story, "db:orders"), "start accepted");
}

#[test]
fn people_come_first_and_aws_is_nobody() {
    let scenario = databases(["db:mine", "db:awss", "db:unclear"].map(|id| tagged(id, OFF)));
    scenario.rds.add_event(started("db:mine", at("2026-11-21T08:40:00Z")));
    scenario.rds.add_event(Event::notification(
        "db:awss",
        at("2026-11-21T08:20:00Z"),
        "DB instance is being started due to it exceeding the maximum allowed time being stopped.",
    ));
    scenario.rds.add_event(started("db:awss", at("2026-11-21T08:40:00Z")));
    scenario.rds.add_event(Event::notification("db:unclear", at("2026-11-21T04:00:00Z"), "DB instance stopped"));
    let story = scenario.on(TICK);
    assert_eq!(story.stopped_or_started(), ["StopDBInstance db:awss"]);
    assert_eq!(said(&story, "db:mine"), "keep started-by-hand");
    assert_eq!(said(&story, "db:unclear"), "keep start-time-unknown");
}

#[test]
fn what_rds_cannot_stop_is_never_sent() {
    let kinds = [
        tagged("cluster:orders", OFF),
        tagged("db:member", OFF).in_cluster("orders"),
        Database { replicas: vec!["copy".into()], ..tagged("db:source", OFF) },
        Database { replica_of: Some("source".into()), ..tagged("db:copy", OFF) },
        Database { engine: "sqlserver-se", multi_az: true, ..tagged("db:mssql", OFF) },
        Database { engine_mode: "serverless", ..tagged("cluster:v1", OFF) },
        Database { engine: "postgres", ..tagged("cluster:multi-az", OFF) },
        Database { engine: "custom-oracle-ee", ..tagged("db:oracle", OFF) },
        tagged("db:broken", OFF).with_status("incompatible-network"),
        tagged("db:saving", OFF).with_status("backing-up"),
        tagged("db:odd", OFF).with_status("something-new"),
    ];
    let story = databases(kinds).on(TICK);
    assert_eq!(story.stopped_or_started(), ["StopDBCluster cluster:orders"]);
    for (id, expected) in [
        ("db:member", "keep cluster-member"),
        ("db:source", "keep read-replica"),
        ("db:copy", "keep read-replica"),
        ("db:mssql", "keep cannot-stop"),
        ("cluster:v1", "keep cannot-stop"),
        ("cluster:multi-az", "keep cannot-stop"),
        ("db:oracle", "keep cannot-stop"),
        ("db:broken", "keep unhealthy"),
        ("db:saving", "keep in-transition"),
        ("db:odd", "keep in-transition"),
    ] {
        assert_eq!(said(&story, id), expected, "{id}");
    }
    assert_eq!(story.row("db:member")["detail"], "tag cluster:orders instead");
    assert_eq!(story.row("db:saving")["detail"], "RDS calls it `backing-up`");
}

#[test]
fn one_that_is_refused_costs_the_others_nothing() {
    let refuses = |n: usize| Database {
        refuses: (n % 4 == 1).then_some(("KMSKeyNotAccessibleFault", "The key is disabled")),
        ..tagged(&format!("db:db{n:02}"), OFF)
    };
    let story = databases((0..20).map(refuses)).on(TICK);
    assert_eq!(story.stopped_or_started().len(), 20);
    for n in 0..20 {
        let id = format!("db:db{n:02}");
        let expected = if n % 4 == 1 { "stop refused" } else { "stop accepted" };
        assert_eq!(said(&story, &id), expected);
    }
    assert_eq!(story.row("db:db01")["reason"], "kms-key");
    assert_eq!(story.row("db:db01")["detail"], "KMSKeyNotAccessibleFault: The key is disabled");
}

#[test]
fn a_refusal_that_no_look_explains_stands() {
    let database = Database {
        refuses: Some(("InvalidDBInstanceState", "Instance orders is not in available state.")),
        ..tagged("db:orders", OFF)
    };
    let story = databases([database]).on(TICK);
    assert_eq!(said(&story, "db:orders"), "stop refused");
    assert_eq!(story.row("db:orders")["reason"], "in-transition");
}

#[test]
fn what_is_on_its_way_all_the_same_is_no_refusal() {
    // Somebody stops it at the moment of the call, and the look sees that.
    let database = Database {
        refuses: Some(("InvalidDBInstanceState", "Instance orders is not in available state.")),
        on_its_way: Some((at(NOW) + SignedDuration::from_secs(1), "stopping")),
        ..tagged("db:orders", OFF)
    };
    let story = databases([database]).on(TICK);
    assert_eq!(said(&story, "db:orders"), "stop accepted");
    assert_eq!(story.row("db:orders")["reason"], "still-stopping");
}

#[test]
fn instances_and_databases_share_a_run_and_its_limit() {
    let machine = Machine::running(id(1)).tagged("Stopinator", OFF);
    let scenario = fleet([machine]).and_databases([tagged("db:orders", OFF)]).with("STOPINATOR_MAX_ACTIONS", "1");
    let story = scenario.on(TICK);
    let (code, message) = story.error();
    assert_eq!(code, "too-many");
    assert!(message.contains("2 actions"), "{message}");
    assert!(story.touched_nothing());
    let scenario = scenario.with("STOPINATOR_MAX_ACTIONS", "2");
    let dry = scenario.on(r#"{"action": "schedule", "dry_run": true}"#);
    assert_eq!((dry.response()["counts"]["planned"].as_u64(), dry.touched_nothing()), (Some(2), true));
    let story = scenario.on(TICK);
    assert_eq!(said(&story, &id(1)), "stop confirmed");
    assert_eq!(said(&story, "db:orders"), "stop accepted");
    assert!(story.row(&id(1)).get("kind").is_none(), "an instance's kind is left out");
}

#[test]
fn what_one_service_denies_the_other_does() {
    let scenario = || {
        let machine = Machine::running(id(1)).tagged("Stopinator", OFF);
        fleet([machine]).and_databases([tagged("db:orders", OFF)])
    };
    let blind = scenario();
    blind.rds.refuse("ap-northeast-2", "DescribeDBInstances", "AccessDenied", "not authorized");
    let story = blind.on(TICK);
    let (code, message) = story.error();
    assert_eq!(code, "unfinished");
    assert!(message.contains("DescribeDBInstances: AccessDenied"), "{message}");
    assert_eq!(story.state(&id(1)), "stopped");

    let forgetful = scenario();
    forgetful.rds.refuse("ap-northeast-2", "DescribeEvents", "AccessDenied", "not authorized");
    let story = forgetful.on(TICK);
    assert!(story.error().1.contains("DescribeEvents: AccessDenied"));
    assert_eq!((story.state(&id(1)), story.stopped_or_started()), ("stopped", Vec::new()));

    let other = scenario().where_ec2_refuses("ap-northeast-2", "DescribeInstances", "UnauthorizedOperation", "no");
    let story = other.on(TICK);
    assert_eq!((story.error().0, story.stopped_or_started().len()), ("unfinished", 1));
}

#[test]
fn a_command_may_name_databases() {
    let machine = Machine::running(id(1)).due();
    let scenario =
        fleet([machine]).and_databases([Database::available("db:orders").due(), Database::available("db:bare")]);
    let story = scenario.on(r#"{"action": "stop", "databases": ["db:orders", "db:bare", "cluster:gone"]}"#);
    assert!(story.calls.is_empty(), "nobody asked for instances");
    assert_eq!(said(&story, "db:orders"), "stop accepted");
    assert_eq!(said(&story, "db:bare"), "keep not-selected");
    assert_eq!(said(&story, "cluster:gone"), "keep gone");
    let story = scenario.on(&format!(r#"{{"action": "stop", "instance_ids": ["{}"]}}"#, id(1)));
    assert!(story.rds_calls.is_empty(), "nobody asked for databases");
    assert_eq!(said(&story, &id(1)), "stop confirmed");
}

#[test]
fn no_scope_reaches_a_database_without_the_tag() {
    let scenario = databases([Database::available("db:bare"), Database::available("db:orders").due()])
        .with("STOPINATOR_SCOPE", "all");
    let story = scenario.on(RULE_FIRED);
    assert_eq!(story.stopped_or_started(), ["StopDBInstance db:orders"]);
    assert_eq!(story.response()["counts"]["found"], 1);
}

#[test]
fn the_rules_know_plain_databases() {
    let stopped = Database::stopped("cluster:away", at("2026-11-20T18:05:00Z")).due();
    let scenario = databases([Database::available("db:orders").due(), stopped]);
    let story = scenario.on(RULE_FIRED);
    assert_eq!(story.stopped_or_started(), ["StopDBInstance db:orders"]);
    assert_eq!(said(&story, "cluster:away"), "keep already-stopped");
    let story = scenario.after(Duration::from_mins(20)).on(r#"{"action": "start"}"#);
    assert_eq!(story.stopped_or_started(), ["StartDBCluster cluster:away", "StartDBInstance db:orders"]);
}

#[test]
fn a_thousand_stop_at_the_pace_of_the_bucket() {
    let scenario = databases((0..1000).map(|n| tagged(&format!("db:db{n}"), OFF)))
        .with("STOPINATOR_MAX_ACTIONS", "0")
        .within(Duration::from_mins(15));
    let story = scenario.on(TICK);
    let stops: Vec<&_> = story.rds_calls.iter().filter(|call| call.changes_something()).collect();
    assert_eq!(stops.len(), 1000);
    assert!(stops.iter().all(|call| call.taken), "nobody was throttled");
    let asked_before = story.rds_calls.len().min(12);
    let best = (1000.0 + f64::from(u32::try_from(asked_before).expect("a few")) - 300.0) / 12.0;
    let took = stops[999].at.duration_since(at(NOW)).as_secs_f64();
    assert!((best * 0.95..best * 1.05).contains(&took), "{took} s, best {best} s");
}

#[test]
fn throttled_by_others_it_waits_and_goes_on() {
    let scenario = databases((0..5).map(|n| tagged(&format!("db:db{n}"), OFF)));
    scenario.rds.refuse("ap-northeast-2", "StopDBInstance", "ThrottlingException", "Rate exceeded");
    let story = scenario.on(TICK);
    let refused: Vec<Timestamp> =
        story.rds_calls.iter().filter(|call| call.changes_something()).map(|call| call.at).collect();
    assert!(
        refused.windows(2).all(|two| two[1].duration_since(two[0]) >= SignedDuration::from_millis(800)),
        "{refused:?}"
    );
    assert!(refused.len() < 12, "{}", refused.len());
    let (code, _) = story.error();
    assert_eq!(code, "unfinished");
}

#[test]
fn the_log_may_be_late_and_in_any_order() {
    let whims = Whims { shuffle: true, ..Whims::default() };
    let scenario = databases([tagged("db:orders", OFF)]);
    scenario.rds.set_whims(whims);
    for (when, what) in [
        ("2026-11-20T05:10:00Z", "DB instance started"),
        ("2026-11-20T08:10:00Z", "DB instance stopped"),
        ("2026-11-21T05:10:00Z", "DB instance started"),
    ] {
        scenario.rds.add_event(Event::notification("db:orders", at(when), what));
        scenario.rds.add_event(Event::notification("db:orders", at(when), what));
    }
    let story = scenario.on(TICK);
    assert_eq!(story.stopped_or_started(), ["StopDBInstance db:orders"]);
}

#[test]
fn each_region_has_its_own() {
    let scenario = databases([tagged("db:seoul", OFF), tagged("db:tokyo", OFF).in_region("ap-northeast-1")])
        .with("STOPINATOR_REGIONS", "ap-northeast-1,ap-northeast-2");
    let story = scenario.on(TICK);
    assert_eq!(said(&story, "db:seoul"), "stop accepted");
    assert_eq!(
        (story.row("db:tokyo")["region"].as_str(), said(&story, "db:tokyo")),
        (Some("ap-northeast-1"), "stop accepted".into())
    );
    scenario.rds.refuse("ap-northeast-1", "DescribeDBClusters", "AccessDenied", "no");
    assert!(scenario.on(TICK).error().1.contains("ap-northeast-1 could not be observed: DescribeDBClusters"));
}

/// What came of days of ticks in which people start and stop databases as they like, and AWS starts what was stopped for
/// a week.
#[derive(Debug, Default)]
struct Days {
    hands: usize,
    /// Starts by hand that were stopped before the schedule turned off again.
    undone: usize,
    stops: usize,
    starts: usize,
    /// Starts by AWS.
    by_aws: usize,
    /// How often a database was seen running ten minutes after AWS had started it in its off hours.
    left_by_aws: usize,
    /// How often one was seen running an hour and ten minutes after its hours ended, untouched since.
    left_on: usize,
}

fn days(count: u64, lose: fn(&Event) -> bool) -> Days {
    // Three are left to themselves, so that AWS starts them.
    let is_left = |id: &str| id.ends_with(['4', '6', '9']);
    let tags = ["weekdays 08:00-18:00", "stop daily 18:00", "Mon 08:00 - Fri 18:00", "daily 20:00-06:00"];
    let id = |n: usize| if n.is_multiple_of(3) { format!("cluster:c{n}") } else { format!("db:d{n}") };
    let tag = |n: usize| if is_left(&id(n)) { "stop daily 18:00" } else { tags[n % 4] };
    let schedules: BTreeMap<String, Schedule> =
        (0..10).map(|n| (id(n), Schedule::parse(tag(n)).expect("a schedule"))).collect();
    let all = (0..10).map(|n| {
        let number = i64::try_from(n).expect("a few");
        let database = if is_left(&id(n)) {
            Database::stopped(id(n), at(NOW) - SignedDuration::from_hours(150 - number))
        } else {
            Database::available(id(n))
        };
        let takes_to_stop = Duration::from_mins(4 + 2 * number.unsigned_abs());
        Database { takes_to_stop, takes_to_start: Duration::from_mins(11), ..database.tagged("Stopinator", tag(n)) }
    });
    let scenario = databases(all).with("STOPINATOR_VERIFY_SECONDS", "0");
    scenario.rds.set_whims(Whims { lose, ..Whims::default() });
    let mut random = fastrand::Rng::with_seed(7);
    let mut by_hand = BTreeSet::new();
    let mut days = Days::default();
    for _ in 0..(count * 24 * 12) {
        scenario.after(Duration::from_mins(5));
        for (id, status) in scenario.rds.statuses() {
            let is_busy = !is_left(&id);
            if is_busy && status == "stopped" && random.u32(..100) == 0 {
                scenario.rds.by_hand(&id, "start");
                by_hand.insert(id);
                days.hands += 1;
            } else if is_busy && status == "available" && random.u32(..300) == 0 {
                scenario.rds.by_hand(&id, "stop");
                by_hand.remove(&id);
            }
        }
        let story = scenario.on(TICK);
        let now = scenario.now();
        for call in story.rds_calls.iter().filter(|call| call.changes_something()) {
            let id = call.id().expect("an id");
            assert!(call.taken, "{} {id} was sent in vain", call.action);
            if call.action.starts_with("Start") {
                days.starts += 1;
                continue;
            }
            days.stops += 1;
            let started = last(&scenario.rds.events(), &id, " started").unwrap_or(Timestamp::MIN);
            let off = schedules[&id].edges_after(&TimeZone::UTC, started).find(|edge| !edge.on);
            days.undone += usize::from(by_hand.remove(&id) && off.is_some_and(|off| now < off.at));
        }
        let events = scenario.rds.events();
        for (id, _) in story.statuses.iter().filter(|(_, status)| *status == "available") {
            let schedule = &schedules[id];
            let (Some(started), aws) = (last(&events, id, " started"), last(&events, id, "maximum allowed")) else {
                continue;
            };
            let stopped = last(&events, id, " stopped").unwrap_or(Timestamp::MIN);
            let is_off = schedule.left_on(&TimeZone::UTC, now) == Some(false);
            if is_off
                && aws.is_some_and(|aws| aws > stopped && aws < started)
                && now - started >= SignedDuration::from_mins(10)
            {
                days.left_by_aws += 1;
            }
            let edge = schedule.latest_edge(&TimeZone::UTC, now, None);
            let is_over = edge
                .is_some_and(|edge| !edge.on && now - edge.at >= SignedDuration::from_mins(70) && started < edge.at);
            days.left_on += usize::from(is_over);
        }
        days.by_aws = events.iter().filter(|event| event.message.contains("maximum allowed")).count();
    }
    days
}

/// When the log last said this of a database, as it would be with nothing lost.
fn last(events: &[Event], id: &str, message: &str) -> Option<Timestamp> {
    events.iter().rev().find(|event| event.source == id && event.message.contains(message)).map(|event| event.at)
}

#[test]
fn in_any_story_people_are_left_alone_and_aws_is_not() {
    let days = days(10, |_| false);
    assert!(days.hands > 60 && days.stops > 40 && days.starts > 10 && days.by_aws > 2, "{days:?}");
    assert!(days.undone * 200 <= days.hands, "{days:?}");
    assert_eq!((days.left_by_aws, days.left_on), (0, 0), "{days:?}");
}

#[test]
fn where_events_are_lost_little_is_undone_and_nothing_left_on() {
    let days = days(10, |event| event.at.as_second() % 101 == 0);
    assert!(days.hands > 60 && days.by_aws > 2, "{days:?}");
    assert!(days.undone * 100 <= days.hands, "{days:?}");
    assert_eq!(days.left_on, 0, "{days:?}");
}
