//! It tells the event bus what it did, and what it will stop; and a bus that does not listen changes nothing.

use std::time::Duration;

use serde_json::Value;

use crate::support::bus::{Told, Whims};
use crate::support::ec2::Machine;
use crate::support::rds::Database;
use crate::support::{FUNCTION, RULE_FIRED, Scenario, fleet, id};

/// Running, off since an hour by its own hours.
fn late(n: usize) -> Machine {
    Machine::running(id(n)).tagged("Stopinator", "daily 00:00-08:00").tagged("Name", &format!("web-{n}"))
}

fn telling(machines: impl IntoIterator<Item = Machine>) -> Scenario {
    fleet(machines).with("STOPINATOR_EVENTS", "true")
}

/// On this scenario's morning, 9 o'clock and ten seconds.
fn tick(time: &str) -> String {
    format!(r#"{{"action": "schedule", "tick_minutes": 5, "time": "2026-11-21T{time}Z"}}"#)
}

fn of_type(told: &[Told], detail_type: &str) -> Vec<Value> {
    told.iter().filter(|told| told.detail_type == detail_type).map(|told| told.detail.clone()).collect()
}

fn titles(told: &[Told]) -> Vec<String> {
    let title = |told: &Told| told.detail["message"]["title"].as_str().map(str::to_owned);
    told.iter().filter_map(title).collect()
}

#[test]
fn what_was_done_is_told_after_it_was_seen() {
    let refused =
        Machine { stop_protected: true, ..Machine::running(id(2)).due().tagged("Stopinator-Owner", "data team") };
    let scenario = telling([Machine::running(id(1)).due(), refused, Machine::running(id(3))]);
    let story = scenario.on(RULE_FIRED);
    assert_eq!(story.response()["counts"]["planned"], 2);
    let told = scenario.bus.told();
    assert!(told.iter().all(|told| (&*told.source, &*told.region) == ("stopinator", "ap-northeast-2")));
    let instances = of_type(&told, "Stopinator Instance");
    assert_eq!(instances.len(), 2);
    assert_eq!((&instances[0]["outcome"], &instances[0]["by"]), (&"confirmed".into(), &"stop".into()));
    assert_eq!((&instances[1]["reason"], &instances[1]["owner"]), (&"stop-protected".into(), &"data team".into()));
    let account = FUNCTION.split(':').nth(4).expect("an account");
    assert_eq!(told[1].resources, [format!("arn:aws:ec2:ap-northeast-2:{account}:instance/{}", id(1))]);
    assert_eq!(titles(&told), ["1 stopped, 1 refused"]);
    let run = &of_type(&told, "Stopinator Run")[0];
    assert_eq!((&run["counts"], &run["function"]), (&story.response()["counts"], &"stopinator".into()));
}

#[test]
fn nothing_is_told_where_nobody_asked_for_it() {
    let scenario = fleet([Machine::running(id(1)).due()]);
    scenario.on(RULE_FIRED);
    assert_eq!(scenario.bus.attempts(), 0);
    let dry = telling([Machine::running(id(1)).due()]);
    dry.on(r#"{"action": "stop", "dry_run": true}"#);
    assert_eq!(dry.bus.attempts(), 0, "nor of a dry run");
}

#[test]
fn a_run_that_ends_in_an_error_is_told_too() {
    let scenario = telling([1, 2].map(|n| Machine::running(id(n)).due())).with("STOPINATOR_MAX_ACTIONS", "1");
    assert_eq!(scenario.on(RULE_FIRED).error().0, "too-many");
    let run = &of_type(&scenario.bus.told(), "Stopinator Run")[0];
    assert_eq!((&run["error"], &run["message"]["title"]), (&"too-many".into(), &"2 not attempted".into()));
    assert!(of_type(&scenario.bus.told(), "Stopinator Instance").is_empty(), "on none of them anything was tried");
}

#[test]
fn ten_events_go_into_a_call() {
    let scenario = telling((0..25).map(|n| Machine::running(id(n)).due()));
    scenario.on(RULE_FIRED);
    assert_eq!(scenario.bus.sizes(), [10, 10, 6]);
}

#[test]
fn a_bus_that_does_not_listen_changes_nothing() {
    let machines = || (0..25).map(|n| Machine::running(id(n)).due());
    let alone = fleet(machines()).on(RULE_FIRED);
    let denied = ("AccessDeniedException", "not authorized to perform: events:PutEvents");
    let throttled = ("ThrottlingException", "Rate exceeded");
    for whims in [
        Whims { refuses: Some(denied), ..Whims::default() },
        Whims { refuses: Some(throttled), ..Whims::default() },
        Whims { refuses: Some(("InternalException", "oh")), ..Whims::default() },
        Whims { drops_one: Some("InternalFailure"), ..Whims::default() },
        Whims { silent: true, ..Whims::default() },
    ] {
        let scenario = telling(machines());
        scenario.bus.set_whims(whims);
        let story = scenario.on(RULE_FIRED);
        assert!(scenario.bus.attempts() > 0);
        assert_eq!(story.response(), alone.response());
        assert_eq!(story.states, alone.states);
        assert!(story.took <= alone.took + Duration::from_secs(2), "{:?} and {:?}", story.took, alone.took);
    }
}

#[test]
fn of_a_short_time_the_bus_takes_next_to_nothing() {
    let scenario = telling([Machine::running(id(1)).due()]).within(Duration::from_secs(10));
    scenario.bus.set_whims(Whims { silent: true, ..Whims::default() });
    let story = scenario.on(RULE_FIRED);
    assert!(story.answer.is_ok() && story.took < Duration::from_secs(10), "{:?}", story.took);
}

#[test]
fn one_protected_machine_is_one_message_and_not_one_for_each_tick() {
    let protected = Machine { stop_protected: true, ..late(1).tagged("Stopinator-Owner", "ops") };
    let protected = Machine { tags: vec![("Stopinator".into(), "daily 00:00-09:02".into())], ..protected };
    let scenario = telling([protected]);
    for minute in 0..12 {
        let time = format!("09:{:02}:00", minute * 5);
        scenario.on(&tick(&time));
        scenario.after(Duration::from_mins(5));
    }
    let told = scenario.bus.told();
    let runs = of_type(&told, "Stopinator Run");
    assert_eq!(runs.iter().filter(|run| run["digest"] != true).count(), 12, "an event for each run");
    assert_eq!(titles(&told), ["1 refused"]);
}

#[test]
fn a_stop_is_told_a_quarter_of_an_hour_ahead() {
    let hours = |n: usize, hours: &str| Machine::running(id(n)).tagged("Stopinator", hours);
    let scenario = telling([
        hours(1, "daily 00:00-09:17"),
        hours(2, "daily 00:00-09:30"),
        hours(3, "daily 00:00-09:17").tagged("Stopinator-Hold", "until 2026-11-21 10:00"),
    ])
    .with("STOPINATOR_NOTICE_MINUTES", "15");
    let story = scenario.on(&tick("09:00:00"));
    assert!(story.touched_nothing());
    let notices = of_type(&scenario.bus.told(), "Stopinator Notice");
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!((&notices[0]["id"], &notices[0]["at"]), (&id(1).into(), &"2026-11-21T09:17:00Z".into()));
    assert_eq!((&notices[0]["minutes"], &notices[0]["group"]), (&16.into(), &"stopinator-notice".into()));
    assert_eq!(notices[0]["hold"], "2026-11-21T11:17");
    // A tick that does not say how far ticks lie apart tells none, nor does a deployment that stops nothing.
    scenario.on(r#"{"action": "schedule", "time": "2026-11-21T09:00:00Z"}"#);
    assert_eq!(of_type(&scenario.bus.told(), "Stopinator Notice").len(), 1);
    let dry = telling([hours(1, "daily 00:00-09:17")])
        .with("STOPINATOR_NOTICE_MINUTES", "15")
        .with("STOPINATOR_DRY_RUN", "true");
    dry.on(&tick("09:00:00"));
    assert_eq!(dry.bus.attempts(), 0);
    // Nor does a dry run, whatever time it asks for; and what Lambda tries again is told once.
    let before = of_type(&scenario.bus.told(), "Stopinator Notice").len();
    scenario.on(r#"{"action": "schedule", "dry_run": true, "tick_minutes": 5, "time": "2026-11-21T09:15:00Z"}"#);
    scenario.on(&tick("09:00:00"));
    assert_eq!(of_type(&scenario.bus.told(), "Stopinator Notice").len(), before);
}

#[test]
fn a_notice_goes_out_before_what_takes_long() {
    let slow = Machine { takes: Duration::from_mins(4), ..late(1) };
    let soon = Machine::running(id(2)).tagged("Stopinator", "daily 00:00-09:06");
    let scenario =
        telling([slow, soon]).with("STOPINATOR_NOTICE_MINUTES", "5").with("STOPINATOR_VERIFY_SECONDS", "200");
    let story = scenario.on(&tick("09:00:00"));
    assert!(story.took > Duration::from_mins(3), "{:?}", story.took);
    let told = scenario.bus.told();
    assert_eq!(told[0].detail_type, "Stopinator Notice");
    assert_eq!((&told[0].detail["id"], &told[0].detail["minutes"]), (&id(2).into(), &5.into()));
}

#[test]
fn the_stop_rule_can_be_told_ahead_by_a_rule_of_its_own() {
    let scenario = telling([Machine::running(id(1)).due(), late(2), Machine::stopped(id(3)).due()]);
    let story = scenario.on(r#"{"action": "stop", "dry_run": true, "notice": true}"#);
    assert!(story.touched_nothing());
    let told = scenario.bus.told();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0].detail["id"], told[0].detail.get("at")), (&id(1).into(), None));
}

#[test]
fn databases_are_told_ahead_by_their_history() {
    let database = Database::available("db:orders").tagged("Stopinator", "daily 00:00-09:17");
    let scenario =
        fleet([]).and_databases([database]).with("STOPINATOR_EVENTS", "true").with("STOPINATOR_NOTICE_MINUTES", "15");
    scenario.on(&tick("08:55:00"));
    assert!(of_type(&scenario.bus.told(), "Stopinator Notice").is_empty());
    let story = scenario.on(&tick("09:00:00"));
    assert!(story.asked_rds("DescribeEvents") > 0, "whether somebody started it is worth a question now");
    let notices = of_type(&scenario.bus.told(), "Stopinator Notice");
    assert_eq!((notices.len(), &notices[0]["instances"][0]["id"]), (1, &"db:orders".into()));
    assert_eq!(notices[0].get("group"), None, "no button holds a database");
}

#[test]
fn a_silent_bus_takes_two_seconds_of_a_tick_with_notices_too() {
    let scenario = telling([Machine::running(id(1)).tagged("Stopinator", "daily 00:00-09:17")])
        .with("STOPINATOR_NOTICE_MINUTES", "15");
    scenario.bus.set_whims(Whims { silent: true, ..Whims::default() });
    let story = scenario.on(&tick("09:00:00"));
    assert!(scenario.bus.attempts() > 1, "for the notice, and for the run");
    assert!(story.answer.is_ok() && story.took <= Duration::from_secs(2), "{:?}", story.took);
}
