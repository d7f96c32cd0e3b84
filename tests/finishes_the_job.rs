//! One bad instance never costs the others, whatever EC2 answers, at the fewest calls.

use std::time::Duration;

use crate::support::ec2::{Machine, Room, Whims};
use crate::support::{RULE_FIRED, START, Scenario, Story, fleet, id};

/// So many due instances, every 37th of them protected against stopping, `bad` in all.
fn protected(size: usize, bad: usize) -> Scenario {
    let machine = |n| {
        let stop_protected = n % 37 == 0 && n / 37 < bad;
        Machine { stop_protected, ..Machine::running(id(n)).due() }
    };
    fleet((0..size).map(machine)).with("STOPINATOR_MAX_ACTIONS", "0")
}

fn counts(story: &Story) -> [u64; 4] {
    ["confirmed", "refused", "failed", "not_attempted"]
        .map(|name| story.response()["counts"][name].as_u64().expect("a count"))
}

#[test]
fn named_offenders_cost_a_call_each_and_the_rest_is_done() {
    for bad in [0, 1, 10, 27] {
        let story = protected(1000, bad).on(RULE_FIRED);
        assert_eq!(story.calls_of("StopInstances").len(), bad + 1);
        assert_eq!(counts(&story), [1000 - bad as u64, bad as u64, 0, 0]);
    }
    let story = protected(1000, 1).on(RULE_FIRED);
    assert_eq!(story.said(&id(0)), ("stop".into(), "refused".into()));
    assert_eq!(story.row(&id(0))["reason"], "stop-protected");
    assert_eq!(story.state(&id(0)), "running", "protection is never stripped");
}

#[test]
fn offenders_named_together_cost_one_call() {
    let scenario = protected(1000, 27).where_ec2_has(Whims { names_all: true, ..Whims::default() });
    let story = scenario.on(RULE_FIRED);
    assert_eq!(story.calls_of("StopInstances").len(), 2);
    assert_eq!(counts(&story), [973, 27, 0, 0]);
}

#[test]
fn offenders_that_nobody_names_are_found_by_halving() {
    let scenario = protected(1000, 3).where_ec2_has(Whims { names_nobody: true, ..Whims::default() });
    let story = scenario.on(RULE_FIRED);
    assert_eq!(counts(&story), [997, 3, 0, 0]);
    assert!(story.calls_of("StopInstances").len() <= 61);
}

#[test]
fn each_refusal_is_told_by_its_reason() {
    let story = fleet([
        Machine { one_time_spot: true, ..Machine::running(id(1)).due() },
        Machine { vanishes_at: Some(Duration::from_millis(1)), ..Machine::running(id(2)).due() },
        Machine { stop_protected: true, ..Machine::running(id(3)).due() },
        Machine::running(id(4)).due(),
    ])
    .where_ec2_has(Whims { throttled: 1, ..Whims::default() })
    .on(RULE_FIRED);
    let reason = |n| story.row(&id(n))["reason"].as_str().unwrap_or("none").to_owned();
    assert_eq!([reason(1), reason(2), reason(3), reason(4)], ["spot-one-time", "gone", "stop-protected", "none"]);
    assert_eq!(story.state(&id(4)), "stopped");
}

#[test]
fn throttled_for_ever_it_keeps_the_batch_and_answers_in_time() {
    let story = fleet((0..500).map(|n| Machine::running(id(n)).due()))
        .with("STOPINATOR_MAX_ACTIONS", "0")
        .where_ec2_has(Whims { throttled: usize::MAX, ..Whims::default() })
        .on(RULE_FIRED);
    let stops = story.calls_of("StopInstances");
    assert!(stops.iter().all(|call| call.ids().len() == 500));
    assert!(stops.iter().filter(|call| call.at.as_secs() < 60).count() <= 8);
    assert!(story.took < Duration::from_mins(5));
    assert!(story.error().1.contains("500 failed"), "{:?}", story.error());
}

#[test]
fn a_call_that_was_half_done_is_looked_at_and_nothing_is_counted_twice() {
    let story = fleet((0..100).map(|n| Machine::running(id(n)).due()))
        .where_ec2_has(Whims { half_done: 2, ..Whims::default() })
        .on(RULE_FIRED);
    assert_eq!(counts(&story), [100, 0, 0, 0]);
    let sizes: Vec<usize> = story.calls_of("StopInstances").iter().map(|call| call.ids().len()).collect();
    assert_eq!(sizes, [100, 50, 25]);
}

/// What the bars allow, of `n` instances, without names.
fn log2(n: usize) -> usize {
    n.next_power_of_two().ilog2() as usize
}

#[test]
fn a_role_that_may_nothing_costs_few_calls() {
    let arn = "arn:aws:ec2:ap-northeast-2:123456789012:instance";
    for (names, most) in [(false, 12), (true, 40)] {
        let forbidden = (0..1000).map(id).collect();
        let story = fleet((0..1000).map(|n| Machine::running(id(n)).due()))
            .with("STOPINATOR_MAX_ACTIONS", "0")
            .where_ec2_has(Whims { names_nobody: !names, forbidden, ..Whims::default() })
            .on(RULE_FIRED);
        let calls = story.calls_of("StopInstances");
        assert!(calls.len() <= most, "{}", calls.len());
        assert_eq!(counts(&story), [0, 1000, 0, 0]);
        let alone: Vec<String> = calls.iter().map(|call| call.ids()).filter(|ids| ids.len() == 1).flatten().collect();
        for row in story.response()["instances"].as_array().expect("a list") {
            let [id, reason, detail] = ["id", "reason", "detail"].map(|field| row[field].as_str().expect("a text"));
            assert_eq!(reason, "not-permitted");
            let spoken_of = detail.contains(id) || alone.iter().any(|alone| alone == id);
            assert_eq!(detail.starts_with("not tried alone"), !spoken_of, "{id}: {detail}");
            assert!(!detail.contains(arn) || detail.contains(id), "{id} bears what was said of another: {detail}");
        }
    }
}

#[test]
fn those_that_the_role_may_not_touch_cost_only_themselves() {
    let licence = "arn:aws:license-manager:ap-northeast-2:123456789012:license-configuration:lic-0123456789abcdef";
    for denied in [1, 2, 5, 50, 300] {
        for (names_all, names_nobody, other_resource) in
            [(false, false, None), (true, false, None), (false, true, None), (false, false, Some(licence))]
        {
            let named = !names_nobody && other_resource.is_none();
            if denied == 300 && !named {
                continue; // thousands of calls, and nothing new
            }
            let forbidden = (0..denied).map(|n| id(n * 1000 / denied)).collect();
            let story = fleet((0..1000).map(|n| Machine::running(id(n)).due()))
                .with("STOPINATOR_MAX_ACTIONS", "0")
                .within(Duration::from_mins(15))
                .where_ec2_has(Whims { names_all, names_nobody, other_resource, forbidden, ..Whims::default() })
                .on(RULE_FIRED);
            assert_eq!(counts(&story), [1000 - denied as u64, denied as u64, 0, 0]);
            assert_eq!(story.row(&id(0))["reason"], "not-permitted");
            let most = if named { denied + 10 } else { 2 * denied * log2(1000) + 12 };
            let calls = story.calls_of("StopInstances").len();
            assert!(calls <= most, "{denied} denied took {calls} calls");
        }
    }
}

#[test]
fn what_there_is_room_for_is_started() {
    for names_nobody in [false, true] {
        for room in [0, 1, 150, 199] {
            let rooms = vec![Room::of("t3.micro", "ap-northeast-2a", room)];
            let story = fleet((0..200).map(|n| Machine::stopped(id(n)).due()))
                .where_ec2_has(Whims { names_nobody, rooms, ..Whims::default() })
                .on(START);
            let (code, message) = story.error();
            assert_eq!(code, "unfinished", "the next try may find room");
            let started = if room > 0 { format!("{room} confirmed, ") } else { String::new() };
            assert!(message.contains(&format!("200 planned: {started}{} failed", 200 - room)), "{message}");
            assert_eq!(story.states.values().filter(|state| **state == "running").count(), room);
            let calls = story.calls_of("StartInstances").len();
            assert!(calls <= 2 * log2(200) + 4, "{room}: {calls}");
            let refused = story.calls_of("StartInstances").iter().filter(|call| call.at.is_zero()).count();
            assert!(refused >= calls.min(5), "the bucket of calls is used, and then waited for");
        }
    }
}

#[test]
fn capacity_that_lacks_costs_its_own_pool() {
    for names_nobody in [false, true] {
        let zones = ["ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"];
        let machines = (0..90).map(|n| Machine {
            zone: zones[n % 3],
            host: (n % 9 == 0).then_some("h-1"),
            placement_group: (n % 9 == 3).then_some("cluster"),
            ..Machine::stopped(id(n)).due()
        });
        let rooms = vec![
            Room::of("t3.micro", "ap-northeast-2b", 0),
            Room { host: Some("h-1"), ..Room::of("t3.micro", "ap-northeast-2a", 4) },
            Room { placement_group: Some("cluster"), ..Room::of("t3.micro", "ap-northeast-2a", 7) },
        ];
        let story = fleet(machines).where_ec2_has(Whims { names_nobody, rooms, ..Whims::default() }).on(START);
        let (_, message) = story.error();
        assert!(message.contains("90 planned: 51 confirmed, 39 failed"), "{message}");
        let calls = story.calls_of("StartInstances").len();
        assert!(calls <= 3 * (2 * log2(30) + 4), "{calls}");
    }
}

#[test]
fn one_that_ec2_fails_at_costs_no_other() {
    let machine = |n| Machine { breaks_ec2: n == 77, ..Machine::running(id(n)).due() };
    let story = fleet((0..100).map(machine)).on(RULE_FIRED);
    let (code, message) = story.error();
    assert_eq!(code, "unfinished", "EC2's side may mend it");
    assert!(message.contains("100 planned: 99 confirmed, 1 failed"), "{message}");
    assert_eq!(story.state(&id(77)), "running");
}

#[test]
fn hibernation_falls_back_only_where_it_is_not_configured() {
    let machines = || {
        [
            Machine { hibernation: true, ..Machine::running(id(1)).due() },
            Machine { hibernation: true, too_soon_to_hibernate: true, ..Machine::running(id(2)).due() },
            Machine::running(id(3)).due(),
        ]
    };
    let story = fleet(machines()).with("STOPINATOR_HIBERNATE", "true").on(RULE_FIRED);
    assert!(story.error().1.contains("2 confirmed, 1 failed"), "{:?}", story.error());
    assert_eq!((story.state(&id(1)), story.state(&id(2)), story.state(&id(3))), ("stopped", "running", "stopped"));
    let asked = |n: usize| -> Vec<bool> {
        let named = story.calls_of("StopInstances").into_iter().filter(|call| call.ids().contains(&id(n)));
        named.map(|call| call.parameters.contains_key("Hibernate")).collect()
    };
    assert_eq!(asked(1), [true, true]);
    assert_eq!(asked(3), [false]);

    let plain = fleet(machines()).on(RULE_FIRED);
    assert!(plain.calls.iter().all(|call| !call.parameters.contains_key("Hibernate")), "only where it is asked for");
    assert_eq!(counts(&plain), [3, 0, 0, 0]);
}

#[test]
fn what_the_deadline_cuts_off_is_told_and_the_invocation_fails() {
    let story = fleet((0..3000).map(|n| Machine::running(id(n)).due()))
        .with("STOPINATOR_MAX_ACTIONS", "0")
        .within(Duration::from_secs(30))
        .on(RULE_FIRED);
    let (code, message) = story.error();
    assert_eq!(code, "unfinished");
    assert!(message.contains("not attempted"), "{message}");
    assert!(story.calls.iter().all(|call| call.at < Duration::from_secs(30)));
    assert!(story.took <= Duration::from_secs(28), "time is left for the report: {:?}", story.took);
    assert!(story.named().len() > 1400, "as many as there were tokens for: {}", story.named().len());
}

#[test]
fn a_short_timeout_is_used_as_well() {
    let story = fleet([Machine::running(id(1)).due()]).within(Duration::from_secs(3)).on(RULE_FIRED);
    assert_eq!(story.row(&id(1))["outcome"], "accepted");
    assert!(story.took < Duration::from_secs(3));
}
