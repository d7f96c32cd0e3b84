//! Nothing untagged, opted out or unstoppable is ever named in a Stop or Start call, whatever the fleet.

use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::ec2::Machine;
use crate::support::{RULE_FIRED, START, fleet, id};

const FLEETS: u32 = 300;

/// A machine, and whether a stop (or else a start) may name it: in scope `tagged`, and in scope `all`.
/// Written down here machine by machine, apart from the code that decides.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "a row of a table")]
struct Case {
    machine: Machine,
    nothing_forbids_it: bool,
    tagged_plainly: bool,
    untagged: bool,
    disks: bool,
}

fn cases() -> impl Strategy<Value = Vec<Case>> {
    let tags = prop::sample::select(vec![
        None,
        Some("true"),
        Some("true"),
        Some("true"),
        Some("YES "),
        Some(""),
        Some("false"),
        Some("Never"),
        Some(" no"),
        Some("ignore"),
        Some("on"),
        Some("0"),
        Some("weekdays 07:00-19:00"),
    ]);
    let states = prop::sample::select(vec![
        "running",
        "running",
        "running",
        "stopped",
        "stopped",
        "pending",
        "stopping",
        "shutting-down",
        "terminated",
    ]);
    let obstacles = prop::sample::select(vec![
        "none",
        "none",
        "none",
        "none",
        "group",
        "operator",
        "store-root",
        "capacity-block",
        "scheduled",
        "service-tag",
        "other-case",
        "just-changed",
    ]);
    let types = prop::sample::select(vec!["t3.micro", "m5.large", "m5d.large", "x9.future"]);
    prop::collection::vec((tags, states, obstacles, types), 0..40).prop_map(|drawn| {
        let numbered = drawn.into_iter().enumerate();
        numbered.map(|(n, (tag, state, obstacle, kind))| case(n, tag, state, obstacle, kind)).collect()
    })
}

fn case(n: usize, tag: Option<&str>, state: &'static str, obstacle: &str, instance_type: &'static str) -> Case {
    let base = if state == "stopped" { Machine::stopped(id(n)) } else { Machine::running(id(n)).in_state(state) };
    let mut machine = Machine { instance_type, ..base };
    if let Some(value) = tag {
        machine = machine.tagged("Stopinator", value);
    }
    let mut untagged = tag.is_none();
    let mut nothing_forbids_it = matches!(state, "running" | "stopped");
    match obstacle {
        "group" => machine = machine.tagged("aws:autoscaling:groupName", "web"),
        "operator" => machine.operator_managed = true,
        "store-root" => machine.root_device_type = "instance-store",
        "capacity-block" => machine.lifecycle = Some("capacity-block"),
        "scheduled" => machine.lifecycle = Some("scheduled"),
        "service-tag" => machine = machine.tagged("eks:cluster-name", "blue"),
        "other-case" => machine = machine.tagged("stopinator", "true"),
        "just-changed" => {
            machine.launch_time = "2026-11-21T09:00:00.000Z".into();
            machine.transition_reason = "User initiated (2026-11-21 09:00:00 GMT)".into();
        }
        _ => {}
    }
    nothing_forbids_it &= matches!(obstacle, "none" | "other-case" | "service-tag");
    if obstacle == "service-tag" && untagged {
        untagged = false; // owned by somebody else: out of reach in either scope
    }
    let tagged_plainly = matches!(tag, Some("true" | "YES " | ""));
    let disks = !matches!(instance_type, "t3.micro" | "m5.large");
    Case { machine, nothing_forbids_it, tagged_plainly, untagged, disks }
}

#[test]
fn exactly_the_right_ones_are_named() {
    let named_at_all = Cell::new(0);
    let mut runner = TestRunner::new(Config { cases: FLEETS, failure_persistence: None, ..Config::default() });
    let strategy = (cases(), prop::bool::ANY, prop::bool::ANY);
    let result = runner.run(&strategy, |(cases, all, stop)| {
        let story = fleet(cases.iter().map(|case| case.machine.clone()))
            .with("STOPINATOR_SCOPE", if all { "all" } else { "tagged" })
            .on(if stop { RULE_FIRED } else { START });
        let may_be_named = |case: &&Case| {
            let in_reach = case.tagged_plainly || (all && stop && case.untagged && !case.disks);
            case.nothing_forbids_it && in_reach && case.machine.state == if stop { "running" } else { "stopped" }
        };
        let expected: BTreeSet<String> =
            cases.iter().filter(may_be_named).map(|case| case.machine.id.clone()).collect();
        let named = story.named();
        named_at_all.set(named_at_all.get() + named.len());
        prop_assert_eq!(named.len(), expected.len(), "each once");
        prop_assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), expected);
        let action = if stop { "StopInstances" } else { "StartInstances" };
        prop_assert!(story.calls.iter().all(|call| !call.changes_something() || call.action == action));
        let counts = &story.response()["counts"];
        let count = |name: &str| counts[name].as_u64().expect("a count");
        prop_assert_eq!(count("found"), count("kept") + count("planned"));
        prop_assert_eq!(count("planned"), count("confirmed"));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert!(named_at_all.get() > 150, "the fleets are not worth their name: {named_at_all:?}");
}
