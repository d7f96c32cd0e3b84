//! Accepted is not stopped: what was acted on is looked at until it has arrived.

use std::time::Duration;

use crate::support::ec2::Machine;
use crate::support::{RULE_FIRED, START, fleet, id};

fn takes(seconds: u64, machine: Machine) -> Machine {
    Machine { takes: Duration::from_secs(seconds), ..machine }
}

#[test]
fn it_is_confirmed_when_it_is_seen() {
    let story =
        fleet([takes(50, Machine::running(id(1)).due()), takes(5, Machine::running(id(2)).due())]).on(RULE_FIRED);
    assert_eq!(story.said(&id(1)), ("stop".into(), "confirmed".into()));
    assert_eq!(story.said(&id(2)), ("stop".into(), "confirmed".into()));
    assert!(story.took >= Duration::from_secs(50) && story.took <= Duration::from_secs(62), "{:?}", story.took);
}

#[test]
fn it_is_over_as_soon_as_all_have_arrived() {
    let story = fleet([takes(1, Machine::running(id(1)).due())]).on(RULE_FIRED);
    assert_eq!(story.took, Duration::from_secs(2));
}

#[test]
fn what_takes_longer_is_accepted_and_named_so() {
    for (trigger, machine, reason) in [
        (RULE_FIRED, takes(600, Machine::running(id(1)).due()), "still-stopping"),
        (START, takes(600, Machine::stopped(id(1)).due()), "still-starting"),
    ] {
        let story = fleet([machine]).on(trigger);
        assert_eq!(story.row(&id(1))["outcome"], "accepted");
        assert_eq!(story.row(&id(1))["reason"], reason);
        assert_eq!(story.took, Duration::from_mins(1));
    }
}

#[test]
fn the_budget_is_the_deployments_and_zero_is_off() {
    let machine = || takes(100, Machine::running(id(1)).due());
    let story = fleet([machine()]).with("STOPINATOR_VERIFY_SECONDS", "120").on(RULE_FIRED);
    assert_eq!(story.row(&id(1))["outcome"], "confirmed");
    let story = fleet([machine()]).with("STOPINATOR_VERIFY_SECONDS", "0").on(RULE_FIRED);
    assert_eq!((&story.row(&id(1))["outcome"], story.took), (&"accepted".into(), Duration::ZERO));
    assert_eq!(story.calls.len(), 2, "no look");
    assert!(story.row(&id(1)).get("reason").is_none(), "and nothing said of what was not looked at");
    let story =
        fleet([machine()]).with("STOPINATOR_VERIFY_SECONDS", "600").within(Duration::from_secs(40)).on(RULE_FIRED);
    assert_eq!(story.row(&id(1))["reason"], "still-stopping");
    assert!(story.took < Duration::from_secs(40), "the deadline is before the budget");
}

#[test]
fn a_start_that_falls_back_is_told_with_its_cause() {
    let falls = |n, reason| Machine { falls_back: Some(reason), ..Machine::stopped(id(n)).due() };
    for (code, message, advice) in [
        ("Client.InternalError", "Client.InternalError: Client error on launch", "kms:CreateGrant"),
        ("Server.InternalError", "Client.InternalError: Client error on launch", "kms:CreateGrant"),
        ("Client.InvalidKMSKey.InvalidState", "The KMS key provided is in an incorrect state", "enable the KMS key"),
        ("Server.InternalError", "Client.VolumeLimitExceeded: Volume limit exceeded", ""),
    ] {
        let story = fleet([falls(1, (code, message)), Machine::stopped(id(2)).due()]).on(START);
        let row = story.row(&id(1));
        assert_eq!((&row["outcome"], &row["reason"]), (&"refused".into(), &"bounced".into()), "{code}: {message}");
        let detail = row["detail"].as_str().expect("a detail");
        assert!(detail.contains(code) && detail.contains(message) && detail.contains(advice), "{detail}");
        assert_eq!(detail.contains("kms:CreateGrant"), advice == "kms:CreateGrant", "{detail}");
        assert_eq!(story.said(&id(2)), ("start".into(), "confirmed".into()));
    }
    let full = ("Server.InsufficientInstanceCapacity", "Server.InsufficientInstanceCapacity: Insufficient capacity.");
    let story = fleet([falls(1, full)]).on(START);
    assert!(story.error().1.contains("1 failed"), "AWS's side: the next try may succeed: {:?}", story.error());
}

#[test]
fn what_vanishes_while_it_is_looked_at_is_gone() {
    let vanishing = Machine { vanishes_at: Some(Duration::from_secs(4)), ..Machine::running(id(1)).due() };
    let story = fleet([vanishing, Machine::running(id(2)).due()]).on(RULE_FIRED);
    assert_eq!(story.row(&id(1))["reason"], "gone");
    assert_eq!(story.said(&id(2)), ("stop".into(), "confirmed".into()));
}

#[test]
fn a_look_costs_one_call_for_a_thousand() {
    let story =
        fleet((0..1000).map(|n| Machine::running(id(n)).due())).with("STOPINATOR_MAX_ACTIONS", "0").on(RULE_FIRED);
    let looks = story.calls.iter().filter(|call| call.ids().len() == 1000 && !call.changes_something());
    assert_eq!(looks.count(), 4, "after 2, 6, 14 and 30 seconds");
}
