//! What `plan` prints is what the function's dry run decides, on the same EC2.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::Value;

use super::fleet;
use crate::support::ec2::Machine;
use crate::support::{self, at, id};

const TAGS: [&str; 14] = [
    "true",
    "false",
    "",
    "weekdays 08:00-18:00",
    "weekdays 08:00-18:00 Europe/Berlin",
    "Sat 08:00-12:00 enforced",
    "Fri 20:00-09:30",
    "stop daily 08:30",
    "start Sat 08:45 + stop Sat 20:00",
    "Mon 06:00 - Fri 20:00 Asia/Seoul",
    "00:00-24:00",
    "daily 09:00-18:00 except 11-21",
    "weekday 08:00-18:00",
    "서울",
];
const HOLDS: [&str; 6] = [
    "until 2026-11-21 09:30",
    "on until 2026-11-22",
    "off until 2026-11-21 10:00",
    "until 2026-11-21 08:00",
    "until then",
    "",
];

fn member(n: usize, (tag, hold, state, hours, extra): (usize, usize, usize, i64, usize)) -> Machine {
    let mut machine = match state {
        0..3 => Machine::running(id(n)),
        3..6 => Machine::stopped(id(n)),
        _ => Machine::running(id(n)).in_state(["pending", "stopping", "terminated"][state - 6]),
    };
    let launched: Timestamp = at(support::NOW) - SignedDuration::from_mins(hours);
    machine.launch_time = launched.to_string().into();
    if state == 4 {
        machine.transition_reason = "User initiated (2026-11-21 08:40:00 GMT)".into();
    } else if state == 5 {
        machine.transition_reason = "".into();
        machine.state_reason =
            Some(("Server.ScheduledStop", "Server.ScheduledStop: Stopped due to scheduled retirement"));
    }
    if let Some(tag) = TAGS.get(tag) {
        machine = machine.tagged("Stopinator", tag);
    }
    if let Some(hold) = HOLDS.get(hold) {
        machine = machine.tagged("Stopinator-Hold", hold);
    }
    match extra {
        0 => machine.tagged("aws:autoscaling:groupName", "g"),
        1 => Machine { root_device_type: "instance-store", ..machine },
        2 => machine.named("\u{1b}[2J=cmd"),
        _ => machine.named(&format!("web-{n}")),
    }
}

/// What both tell of an instance.
fn told(row: &Value) -> BTreeMap<String, Value> {
    let fields = ["id", "name", "region", "decision", "reason", "detail"];
    fields.iter().filter_map(|field| Some(((*field).to_owned(), row.get(*field)?.clone()))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_the_functions_dry_run(
        drawn in prop::collection::vec((0_usize..16, 0_usize..18, 0_usize..9, 0_i64..1500, 0_usize..12), 0..40),
        action in prop::sample::select(vec!["schedule", "schedule", "stop", "start"]),
        minutes in -90_i64..600,
        scope in prop::sample::select(vec!["tagged", "tagged", "all"]),
        hand_start_hours in prop::sample::select(vec!["0", "1", "8"]),
    ) {
        let machines: Vec<Machine> = drawn.into_iter().enumerate().map(|(n, drawn)| member(n, drawn)).collect();
        let instant = at("2026-11-21T09:00:00Z") + SignedDuration::from_mins(minutes);
        let function = support::fleet(machines.clone())
            .with("STOPINATOR_SCOPE", scope)
            .with("STOPINATOR_HAND_START_HOURS", hand_start_hours)
            .with("STOPINATOR_MAX_EVENT_AGE_MINUTES", "0")
            .on(&format!(r#"{{"action": "{action}", "dry_run": true, "time": "{instant}"}}"#));
        let settings = format!("STOPINATOR_SCOPE={scope}\nSTOPINATOR_HAND_START_HOURS={hand_start_hours}\n");
        let (program, ec2) = fleet(machines);
        let program = program.file("settings", &settings);
        let arguments = ["plan", "-o", "json", "--settings", "settings", "--action", action, "--at", &instant.to_string()];
        let said = program.run(&arguments);
        prop_assert_eq!(said.code, 0, "{}", said.err);
        let said = said.json();
        let rows = |value: &Value| value["instances"].as_array().expect("rows").iter().map(told).collect::<Vec<_>>();
        prop_assert_eq!(rows(&said), rows(function.response()));
        for count in ["found", "kept", "planned"] {
            prop_assert_eq!(&said["counts"][count], &function.response()["counts"][count]);
        }
        prop_assert!(ec2.calls().iter().all(|call| !call.changes_something() || call.action == "GetCallerIdentity"));
    }
}
