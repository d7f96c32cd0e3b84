//! What is due is stopped or started, in whole batches; what goes wrong is told and costs only itself.

use std::time::Duration;

use stopinator::action::Action;
use stopinator::place::{Place, Region};
use stopinator::run::Progress;

use crate::support::ec2::{Machine, Whims};
use crate::support::{RULE_FIRED, START, fleet, id};

#[test]
fn the_rule_stops_the_tagged_fleet() {
    let story = fleet([
        Machine::running(id(1)).due().tagged("Name", "web"),
        Machine::running(id(2)).tagged("Stopinator", ""),
        Machine::running(id(3)).tagged("Stopinator", "No"),
        Machine::running(id(4)).tagged("Stopinator", "office hours"),
        Machine::running(id(5)),
        Machine::stopped(id(6)).due(),
    ])
    .on(RULE_FIRED);
    insta::assert_snapshot!(serde_json::to_string_pretty(story.response()).unwrap());
    assert_eq!(story.named(), [id(1), id(2)]);
    assert_eq!(story.calls_of("StopInstances").len(), 1);
}

#[test]
fn a_start_command_starts_it_again() {
    let story =
        fleet([Machine::stopped(id(1)).due(), Machine::running(id(2)).due(), Machine::stopped(id(3))]).on(START);
    assert_eq!(story.said(&id(1)), ("start".into(), "confirmed".into()));
    assert_eq!(story.said(&id(2)), ("keep".into(), "already-running".into()));
    assert_eq!(story.named(), [id(1)]);
    assert_eq!(story.state(&id(1)), "running");
}

#[test]
fn the_deployments_action_is_what_a_bare_event_means() {
    let story = fleet([Machine::stopped(id(1)).due()]).with("STOPINATOR_ACTION", "start").on(RULE_FIRED);
    assert_eq!(story.state(&id(1)), "running");
}

#[test]
fn a_repeated_event_undoes_nobodys_work() {
    let started = Machine { launch_time: "2026-11-21T09:00:05.000Z".into(), ..Machine::running(id(1)).due() };
    let story = fleet([started]).on(RULE_FIRED);
    assert_eq!(story.said(&id(1)), ("keep".into(), "started-by-hand".into()));
    assert!(story.touched_nothing());

    let by_hand = Machine {
        transition_reason: "User initiated (2026-11-21 09:00:05 GMT)".into(),
        ..Machine::stopped(id(1)).due()
    };
    let retired = ("Server.ScheduledStop", "Server.ScheduledStop: Stopped due to scheduled retirement");
    let by_aws = Machine { state_reason: Some(retired), ..by_hand.clone() };
    let by_aws = Machine { id: id(2), ..by_aws };
    let story = fleet([by_hand, by_aws]).on(START);
    assert_eq!(story.said(&id(1)), ("keep".into(), "stopped-by-hand".into()));
    assert_eq!(story.said(&id(2)), ("start".into(), "confirmed".into()));

    let scenario = fleet([Machine::running(id(1)).due()]);
    assert_eq!(scenario.on(RULE_FIRED).named(), [id(1)]);
    let again = scenario.on(RULE_FIRED);
    assert_eq!(again.said(&id(1)), ("keep".into(), "already-stopped".into()));
    assert!(again.touched_nothing());
}

#[test]
fn calls_carry_up_to_a_thousand_ids() {
    for (size, expected) in
        [(0, vec![]), (1, vec![1]), (999, vec![999]), (1000, vec![1000]), (2001, vec![1000, 1000, 1])]
    {
        let machines = (0..size).map(|n| Machine::running(id(n)).due());
        let story = fleet(machines).with("STOPINATOR_MAX_ACTIONS", "0").on(RULE_FIRED);
        let sizes: Vec<usize> = story.calls_of("StopInstances").iter().map(|call| call.ids().len()).collect();
        assert_eq!(sizes, expected);
        assert_eq!(story.response()["counts"]["confirmed"], size);
    }
}

#[test]
fn describe_is_tried_again_when_throttled() {
    let story = fleet([Machine::running(id(1)).due()])
        .where_ec2_refuses("ap-northeast-2", "DescribeInstances", "RequestLimitExceeded", "Request limit exceeded.")
        .on(RULE_FIRED);
    assert_eq!(story.calls_of("DescribeInstances").len(), 5);
    assert!(story.touched_nothing());
}

#[test]
fn a_region_that_cannot_be_observed_costs_only_itself() {
    let story = fleet([Machine::running(id(1)).due(), Machine::running(id(2)).due().in_region("eu-west-1")])
        .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1")
        .where_ec2_refuses("eu-west-1", "DescribeInstances", "UnauthorizedOperation", "You are not authorized")
        .on(RULE_FIRED);
    let (code, message) = story.error();
    assert_eq!(code, "unfinished");
    assert!(message.contains("eu-west-1 could not be observed: DescribeInstances: UnauthorizedOperation"), "{message}");
    assert_eq!(story.state(&id(1)), "stopped");
}

#[test]
fn a_region_that_never_answers_costs_only_itself() {
    let story = fleet([Machine::running(id(1)).due(), Machine::running(id(2)).due().in_region("eu-west-1")])
        .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1")
        .where_ec2_has(Whims { silent: Some("eu-west-1"), ..Whims::default() })
        .on(RULE_FIRED);
    assert!(story.error().1.contains("eu-west-1 could not be observed: DescribeInstances"), "{:?}", story.error());
    assert_eq!((story.state(&id(1)), story.state(&id(2))), ("stopped", "running"));
    assert!(story.took < Duration::from_mins(5));
}

#[test]
fn a_region_that_never_answers_holds_up_no_other_however_many_there_are() {
    let others = ["eu-central-1", "eu-west-1", "us-east-1", "us-east-2", "us-west-2"];
    let machines = others.iter().enumerate().map(|(n, region)| Machine::running(id(n)).due().in_region(region));
    let story = fleet(machines)
        .with("STOPINATOR_REGIONS", &format!("ap-northeast-2,{}", others.join(",")))
        .where_ec2_has(Whims { silent: Some("ap-northeast-2"), ..Whims::default() })
        .on(RULE_FIRED);
    assert!((0..others.len()).all(|n| story.state(&id(n)) == "stopped"), "{:?}", story.error());
    let first_looks = story.calls.iter().filter(|call| call.parameters.contains_key("MaxResults"));
    assert_eq!(first_looks.map(|call| call.at).collect::<Vec<_>>(), [Duration::ZERO; 5], "nobody waits for it");
}

#[test]
fn the_breaker_holds_back_a_plan_that_is_too_large() {
    let machines =
        || (0..6).map(|n| Machine::running(id(n)).due().in_region(if n < 3 { "eu-west-1" } else { "us-east-1" }));
    let scenario =
        |max| fleet(machines()).with("STOPINATOR_REGIONS", "eu-west-1,us-east-1").with("STOPINATOR_MAX_ACTIONS", max);
    let story = scenario("5").on(RULE_FIRED);
    assert!(story.touched_nothing());
    let (code, message) = story.error();
    assert_eq!(code, "too-many");
    for part in ["6 actions", "STOPINATOR_MAX_ACTIONS is 5", "6 not attempted"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(scenario("6").on(RULE_FIRED).named().len(), 6);
    assert_eq!(scenario("0").on(RULE_FIRED).named().len(), 6);

    let dry = scenario("5").on(r#"{"action": "stop", "dry_run": true}"#);
    assert_eq!(dry.response()["counts"]["planned"], 6, "a dry run shows the plan all the same");
}

#[test]
fn a_dry_run_is_the_same_plan_and_nothing_more() {
    let machines = || [Machine::running(id(1)).due(), Machine::running(id(2)).tagged("Stopinator", "false")];
    let by_command = fleet(machines()).on(r#"{"action": "stop", "dry_run": true}"#);
    let by_setting = fleet(machines()).with("STOPINATOR_DRY_RUN", "true").on(RULE_FIRED);
    for story in [by_command, by_setting] {
        assert!(story.touched_nothing());
        assert_eq!(story.response()["dry_run"], true);
        assert_eq!(story.said(&id(1)), ("stop".into(), String::new()));
        assert_eq!(story.said(&id(2)), ("keep".into(), "opted-out".into()));
        let counts = &story.response()["counts"];
        assert_eq!((&counts["planned"], &counts["confirmed"]), (&1.into(), &0.into()));
    }
}

#[test]
fn a_dry_run_looks_ahead_to_any_time() {
    let machine = Machine { launch_time: "2026-11-21T08:30:00.000Z".into(), ..Machine::running(id(1)).due() };
    for (time, decision) in [("2026-11-21T08:00:00Z", "keep"), ("2027-01-01T00:00:00Z", "stop")] {
        let command = format!(r#"{{"action": "stop", "dry_run": true, "time": "{time}"}}"#);
        let story = fleet([machine.clone()]).on(&command);
        assert_eq!(story.response()["time"], time);
        assert_eq!(story.said(&id(1)).0, decision);
    }
}

/// Look, plan, carry out: what was shown is what is done, whatever has changed in between, and progress is told.
#[test]
fn what_was_shown_is_what_is_done() {
    let west = |n| Machine::running(id(n)).due().in_region("eu-west-1");
    let scenario =
        fleet([Machine::running(id(1)).due(), Machine::running(id(2)), west(3), west(4).tagged("Name", "db")])
            .with("STOPINATOR_REGIONS", "ap-northeast-2,eu-west-1")
            .where_ec2_refuses("eu-west-1", "StopInstances", "ExpiredToken", "expired");
    let (shown, done, told) = scenario.shown_and_done(r#"{"action": "stop"}"#);
    assert_eq!(shown.counts().to_string(), "3 found, 0 kept, 3 planned");
    assert_eq!(done.counts().to_string(), "3 found, 0 kept, 3 planned: 1 confirmed, 2 failed");
    for (before, after) in shown.instances.iter().zip(&done.instances) {
        assert_eq!(before.entry, after.entry);
    }
    let region = |name: &str| Place::from(Region::try_from(name.to_owned()).expect("a region"));
    let (east, west) = (region("ap-northeast-2"), region("eu-west-1"));
    let expected = [
        Progress::Found(east.clone(), 1),
        Progress::Found(west.clone(), 2),
        Progress::Looked(east.clone(), 1),
        Progress::Looked(west.clone(), 2),
        Progress::Sent(east.clone(), Action::Stop, 1),
        Progress::Sent(west.clone(), Action::Stop, 2),
        Progress::Verified(east, Action::Stop, 1),
        Progress::Verified(west, Action::Stop, 0),
    ];
    assert!(expected.iter().all(|progress| told.contains(progress)) && told.len() == 8, "{told:?}");
    // A dry run, and a plan that the breaker holds, end there.
    let (shown, done, _) =
        fleet([Machine::running(id(1)).due()]).shown_and_done(r#"{"action": "stop", "dry_run": true}"#);
    assert_eq!(shown, done);
    let scenario = fleet((1..4).map(|n| Machine::running(id(n)).due())).with("STOPINATOR_MAX_ACTIONS", "2");
    let (_, done, told) = scenario.shown_and_done(r#"{"action": "stop"}"#);
    assert_eq!((done.counts().not_attempted, told.len()), (3, 2));
}
