//! Random stories of bad ids, denied ones, pools without room, throttling, half-done calls, slow stops, vanishing
//! instances and repeated events: in the end every instance that can be acted on has been, nothing else is touched, and
//! the counts add up.

use std::time::Duration;

use proptest::prelude::*;

use crate::support::ec2::{Machine, Room, Whims};
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
        3 if !stop => {
            let reasons = [
                ("Client.InternalError", "Client.InternalError: Client error on launch"),
                ("Server.InternalError", "Client.VolumeLimitExceeded: Volume limit exceeded"),
                ("Server.InternalError", "Server.InternalError: Internal error on launch"),
            ];
            (machine.falls_back, possible) = (Some(reasons[n % reasons.len()]), false);
        }
        4 if !stop => (machine.zone, possible) = ("full-zone", false),
        5 if !stop => (machine.host, machine.instance_type) = (Some("h-1"), "m5.large"),
        6 if !stop => machine.placement_group = Some("cluster"),
        7 => (machine.breaks_ec2, possible) = (true, false),
        8 => (machine.zone, machine.instance_type) = ("other-zone", "m5.large"),
        _ => {}
    }
    Member { machine, due: tag > 1, possible }
}

fn whims() -> impl Strategy<Value = Whims> {
    // Nobody, or some, in any number up to a third of the largest fleet.
    let forbidden = prop_oneof![Just(Vec::new()), prop::collection::vec(0_usize..50, 1..16)];
    let rooms = (0_usize..4, 0_usize..4);
    (0_usize..4, 0_usize..4, 0_usize..6, forbidden, rooms).prop_map(
        |(naming, half_done, throttled, forbidden, (host, group))| Whims {
            names_all: naming == 1,
            names_nobody: naming == 2,
            other_resource: (naming == 3)
                .then_some("arn:aws:license-manager:ap-northeast-2:123456789012:license-configuration:lic-0123"),
            rooms: vec![
                Room::of("t3.micro", "full-zone", 0),
                Room { host: Some("h-1"), ..Room::of("m5.large", "ap-northeast-2a", host) },
                Room { placement_group: Some("cluster"), ..Room::of("t3.micro", "ap-northeast-2a", group) },
            ],
            forbidden: forbidden.into_iter().map(id).collect(),
            half_done,
            throttled,
            ..Whims::default()
        },
    )
}

/// The pools of the story with limited room: how much, and who needs it.
fn limited(whims: &Whims) -> [(usize, IsLimited); 2] {
    let on_host: IsLimited = |machine| machine.host.is_some();
    [(whims.rooms[1].left, on_host), (whims.rooms[2].left, |machine| machine.placement_group.is_some())]
}

type IsLimited = fn(&Machine) -> bool;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_job_is_done_and_nothing_else(
        stop in prop::bool::weighted(0.6),
        drawn in prop::collection::vec((0_usize..6, 0_usize..14, 1_u64..120), 1..50),
        whims in whims(),
    ) {
        let members: Vec<Member> = drawn.into_iter().enumerate().map(|(n, drawn)| member(n, stop, drawn)).collect();
        let (forbidden, limited) = (whims.forbidden.clone(), limited(&whims));
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
            if machine.vanishes_at.is_none() && !limited.iter().any(|(_, is_limited)| is_limited(machine)) {
                prop_assert_eq!(*state, expected, "{:?}", machine);
            }
        }
        for (room, is_limited) in limited {
            let wanting = members.iter().filter(|member| is_limited(&member.machine) && member.possible);
            let wanting: Vec<&String> =
                wanting.map(|member| &member.machine.id).filter(|id| !forbidden.contains(*id)).collect();
            let running = wanting.iter().filter(|id| end.states.get(**id) == Some(&"running")).count();
            prop_assert_eq!(running, room.min(wanting.len()), "of {}", wanting.len());
        }
    }
}
