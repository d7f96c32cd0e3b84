//! Calls keep to EC2's documented token buckets instead of running into them, and use all that these give.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::ec2::Machine;
use crate::support::{RULE_FIRED, START, Story, fleet, id};

const LAMBDAS_LONGEST: Duration = Duration::from_mins(15);

/// How many seconds after the invocation's begin the last call went out.
fn last_call(story: &Story) -> f64 {
    let last = story.calls.iter().rev().find(|call| call.changes_something()).expect("a call");
    last.at.saturating_sub(story.began).as_secs_f64()
}

#[test]
fn within_five_percent_of_what_the_buckets_allow() {
    for (size, machine, trigger, least) in [
        (5_000, Machine::running as fn(String) -> Machine, RULE_FIRED, 200.0),
        (2_000, Machine::stopped as fn(String) -> Machine, START, 500.0),
    ] {
        let story = fleet((0..size).map(|n| machine(id(n)).due()))
            .with("STOPINATOR_MAX_ACTIONS", "0")
            .with("STOPINATOR_VERIFY_SECONDS", "0")
            .within(LAMBDAS_LONGEST)
            .on(trigger);
        assert_eq!(story.response()["counts"]["accepted"], size);
        let last = last_call(&story);
        assert!((least..least * 1.05).contains(&last), "{size} took {last} s, the arithmetic says {least}");
        assert!(story.calls_of("StopInstances").len() + story.calls_of("StartInstances").len() <= size / 1000);
    }
}

#[test]
fn what_does_not_fit_is_finished_by_the_next_invocations_and_nothing_is_done_twice() {
    let scenario = fleet((0..5_000).map(|n| Machine::stopped(id(n)).due()))
        .with("STOPINATOR_MAX_ACTIONS", "0")
        .with("STOPINATOR_MAX_EVENT_AGE_MINUTES", "0")
        .within(LAMBDAS_LONGEST);
    let mut started = Vec::new();
    let mut invocations = 0;
    loop {
        invocations += 1;
        let story = scenario.on(r#"{"action": "start"}"#);
        assert!(story.took <= LAMBDAS_LONGEST);
        started.extend(story.calls_of("StartInstances").iter().filter(|call| call.taken).flat_map(|call| call.ids()));
        if story.answer.is_ok() {
            break;
        }
        assert_eq!(story.error().0, "unfinished");
        assert!(invocations < 5, "{:?}", story.error());
        scenario.after(Duration::from_mins(1));
    }
    assert_eq!(started.len(), 5_000, "each once");
    assert_eq!(started.iter().collect::<BTreeSet<_>>().len(), 5_000);
    assert_eq!(invocations, 3, "1000 and 2 a second, for 4,000 / 2 = 2,000 seconds");
}
