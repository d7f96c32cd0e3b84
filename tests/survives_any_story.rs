//! Random stories of bad ids, throttling, half-done calls, slow stops, vanishing instances and repeated events: in
//! the end every instance that can be acted on has been, nothing else is touched, and the counts add up.

use std::time::Duration;

use proptest::prelude::*;

use crate::support::ec2::{Machine, Whims};
use crate::support::{RULE_FIRED, START, fleet, id};

const TIMEOUT: Duration = Duration::from_mins(5);

#[derive(Debug, Clone)]
struct Member {
    machine: Machine,
    /// Tagged, and nothing that the plan sees is in the way.
    due: bool,
    /// Due, and nothing that EC2 knows is in the way either.
    possible: bool,
}

fn member(n: usize, stop: bool, (tag, trouble, seconds): (usize, usize, u64)) -> Member {
    let base = if stop { Machine::running(id(n)) } else { Machine::stopped(id(n)) };
    let mut machine = match tag {
        0 => base,
        1 => base.tagged("Stopinator", "false"),
        _ => base.due(),
    };
    machine.takes = Duration::from_secs(seconds);
    let mut possible = tag > 1;
    match trouble {
        0 if stop => (machine.stop_protected, possible) = (true, false),
        1 => (machine.one_time_spot, possible) = (true, false),
        2 => (machine.vanishes_at, possible) = (Some(Duration::from_millis(seconds * 700 + 1)), false),
        3 if !stop => (machine.falls_back, possible) = (Some("Client.InternalError"), false),
        4 if !stop => (machine.zone, possible) = ("full-zone", false),
        _ => {}
    }
    Member { machine, due: tag > 1, possible }
}

fn whims() -> impl Strategy<Value = Whims> {
    let forbidden = prop::option::weighted(0.3, 0_usize..50);
    (0_usize..3, 0_usize..4, 0_usize..6, forbidden).prop_map(|(naming, half_done, throttled, forbidden)| Whims {
        names_all: naming == 1,
        names_nobody: naming == 2,
        full: vec![("t3.micro", "full-zone")],
        forbidden: forbidden.map(id).into_iter().collect(),
        silent: None,
        half_done,
        throttled,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_job_is_done_and_nothing_else(
        stop in prop::bool::weighted(0.6),
        drawn in prop::collection::vec((0_usize..6, 0_usize..14, 1_u64..120), 1..50),
        whims in whims(),
    ) {
        let members: Vec<Member> = drawn.into_iter().enumerate().map(|(n, drawn)| member(n, stop, drawn)).collect();
        let forbidden = whims.forbidden.clone();
        let scenario = fleet(members.iter().map(|member| member.machine.clone())).within(TIMEOUT).where_ec2_has(whims);
        // The event, Lambda's two retries of it, and one that EventBridge sent twice.
        for _ in 0..4 {
            let story = scenario.on(if stop { RULE_FIRED } else { START });
            prop_assert!(story.took < TIMEOUT);
            prop_assert!(story.calls.iter().all(|call| call.at < story.began + TIMEOUT));
            let due = |id: &String| members.iter().any(|member| member.machine.id == *id && member.due);
            prop_assert!(story.named().iter().all(due), "something else was named");
            if let Ok(response) = &story.answer {
                let count = |name: &str| response["counts"][name].as_u64().expect("a count");
                prop_assert_eq!(count("found"), count("kept") + count("planned"));
                let outcomes = ["confirmed", "accepted", "refused", "failed", "not_attempted"];
                prop_assert_eq!(count("planned"), outcomes.map(count).iter().sum::<u64>());
            }
            scenario.after(Duration::from_mins(1));
        }
        let end = scenario.after(Duration::from_mins(5)).on(r#"{"action": "stop", "dry_run": true}"#);
        for member in &members {
            let machine = &member.machine;
            let Some(state) = end.states.get(&machine.id) else { continue };
            let (before, after) = if stop { ("running", "stopped") } else { ("stopped", "running") };
            let expected = if member.possible && !forbidden.contains(&machine.id) { after } else { before };
            if machine.vanishes_at.is_none() {
                prop_assert_eq!(*state, expected, "{:?}", machine);
            }
        }
    }
}
