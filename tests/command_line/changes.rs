//! `hold` and `run`: what is shown is what is done, and nothing else.

use std::time::Duration;

use super::demo::{self, NOW};
use super::fleet;
use crate::support::ec2::{Call, Ec2, Machine};
use crate::support::id;

fn changes(ec2: &Ec2) -> Vec<Call> {
    let asks = |call: &Call| call.changes_something() && call.action != "GetCallerIdentity";
    ec2.calls().into_iter().filter(asks).collect()
}

#[test]
fn a_hold_is_set_extended_and_lifted() {
    let (program, ec2) = demo::program();
    let mut told = String::new();
    for arguments in [
        &["hold", "web-*", "build-server", "demo", "legacy", "eks-node", "--for", "5h", "--yes"][..],
        &["hold", "web-1", "--until", "23:30", "--yes"],
        &["hold", "night-batch", "--on", "--until", "2026-11-24 09:00", "--yes"],
        &["hold", "web-2", "--off", "--for", "2h", "--yes"],
        &["hold", "web-1", "demo", "night-batch", "--clear", "--yes"],
        &["hold", "legacy", "--for", "2h", "--yes"],
        &["hold", "web-1", "--clear", "--yes"],
        &["hold", "web-2", "jenkins*", "--for", "90m", "--print"],
    ] {
        let said = program.run(&[arguments, &["-p", "dev", "--now", NOW]].concat());
        told.push_str(&format!("$ stopinator {}\n{}{}[{}]\n\n", arguments.join(" "), said.out, said.err, said.code));
    }
    insta::assert_snapshot!("holds", told);
    let calls: Vec<String> = changes(&ec2)
        .iter()
        .map(|call| {
            let ids = call.list("ResourceId");
            let value = call.parameters.get("Tag.1.Value").map_or("", String::as_str);
            format!("{} {} {} {} = {value}", call.action, call.region, ids.join(" "), call.parameters["Tag.1.Key"])
        })
        .collect();
    insta::assert_snapshot!("holds_calls", calls.join("\n"));
}

/// The function reads what `hold` writes, in the zone of whoever wrote it.
#[test]
fn a_hold_is_what_the_function_reads() {
    let (program, _ec2) = demo::program();
    program.run(&["hold", "web-1", "--for", "5h", "--yes", "-p", "dev", "--now", NOW]);
    let json = program.run(&["plan", "-p", "dev", "web-1", "-o", "json", "--at", "18:05", "--now", NOW]).json();
    assert_eq!(
        (&json["instances"][0]["reason"], &json["instances"][0]["detail"]),
        (&"held".into(), &"until 2026-11-23T21:02:00Z".into())
    );
    let json = program.run(&["plan", "-p", "dev", "web-1", "-o", "json", "--at", "22:02", "--now", NOW]).json();
    assert_eq!(json["instances"][0]["decision"], "stop");
}

/// An hour that comes twice is written by UTC where it is the second that is meant.
#[test]
fn the_hour_that_comes_twice() {
    let (program, ec2) = demo::program();
    for (now, value) in [
        ("2026-10-25T00:00:00Z", "until 2026-10-25 02:30 Europe/Berlin"),
        ("2026-10-25T01:00:00Z", "until 2026-10-25 01:30 UTC"),
        ("2026-10-25T02:00:30Z", "until 2026-10-25 03:31 Europe/Berlin"),
    ] {
        program.run(&["hold", "web-1", "--for", "30m", "--yes", "-p", "dev", "--now", now]);
        assert_eq!(changes(&ec2).last().expect("a call").parameters["Tag.1.Value"], value, "{now}");
    }
}

#[test]
fn a_hold_that_says_nothing() {
    let (program, ec2) = demo::program();
    for (arguments, says) in [
        (&["web-1"][..], "error: for how long? give --for 3h, --until TIME, or --clear"),
        (&["web-1", "--for", "soon"], "error: --for: `soon` is no length of time: write 3h, 90m or 2h30m"),
        (&["web-1", "--until", "2026-11-23 09:00"], "error: --until: this has passed; to end a hold give --clear"),
        (&["web-1", "--for", "3h"], "error: nobody is there to ask: answer with --yes"),
    ] {
        let said = program.run(&[&["hold"], arguments, &["-p", "dev", "--now", NOW]].concat());
        assert_eq!((said.code, said.err.trim()), (2, says));
    }
    assert!(changes(&ec2).is_empty());
}

#[test]
fn a_run_does_what_the_plan_shows() {
    let machines = || {
        (0..12).map(|n| {
            let machine = Machine { takes: Duration::from_millis(300), ..Machine::running(id(n)) };
            let machine = Machine { stop_protected: n == 3, ..machine.named(&format!("web-{n}")) };
            if n < 8 { machine.tagged("Stopinator", "daily 08:00-16:00") } else { machine.due() }
        })
    };
    let (program, ec2) = fleet(machines());
    let program = program.columns(80);
    // Without an answer, and with too many, nothing is done.
    let said = program.run(&["run", "--now", NOW]);
    assert_eq!((said.code, said.err.trim()), (2, "error: nobody is there to ask: answer with --yes"));
    let said = program.run(&["run", "--yes", "--max-actions", "7", "--now", NOW]);
    let too_many =
        "error: the plan has 8 actions and the most is 7, so none was taken: give --max-actions if this is meant";
    assert_eq!((said.code, said.err.trim()), (1, too_many));
    let said = program.run(&["run", "i-00000000000000009", "--yes", "--now", NOW]);
    assert!(said.code == 0 && said.out.ends_with("There is nothing to do.\n"), "{}", said.out);
    assert!(changes(&ec2).is_empty());

    let said = program.run(&["run", "--yes", "--now", NOW]);
    insta::assert_snapshot!("run", format!("{}[{}]", said.out.replace(&seconds(&said.out), "(2 s)"), said.code));
    let stopped: Vec<String> =
        ec2.states().into_iter().filter(|(_, state)| *state == "stopped").map(|(id, _)| id).collect();
    assert_eq!(stopped, [0, 1, 2, 4, 5, 6, 7].map(id));
    assert!(changes(&ec2).iter().all(|call| call.action == "StopInstances"));
}

/// `(3 s)`, as it was this time.
fn seconds(out: &str) -> String {
    let (_, rest) = out.rsplit_once('(').expect("a time");
    format!("({})", rest.split(')').next().unwrap_or_default())
}

#[test]
fn without_a_proof_where_nobody_wants_one() {
    let (program, ec2) = fleet([Machine::stopped(id(1)).named("web-1").tagged("Stopinator", "daily 08:00-18:00")]);
    let said = program.run(&["run", "--yes", "--no-verify", "--now", NOW]);
    assert!(
        said.code == 0 && said.out.ends_with("  start  1 accepted  (0 s)\n0 confirmed.\n"),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(ec2.states()[&id(1)], "pending");
}

/// What was changed is told, and what was not.
#[test]
fn a_hold_that_is_refused_in_one_region() {
    let (program, ec2) = demo::program();
    ec2.refuse("ap-northeast-2", "CreateTags", "UnauthorizedOperation", "You are not authorized");
    let said =
        program.run(&["hold", "-p", "staging", "-r", "all", "db-1", "api-*", "--for", "3h", "--yes", "--now", NOW]);
    assert!(said.code == 1 && said.out.ends_with("Set on 1 of 2 instances.\n"), "{}{}", said.out, said.err);
    let why = "1 not changed: staging ap-northeast-2: CreateTags: UnauthorizedOperation: You are not authorized";
    assert_eq!(said.err.trim(), why);
}

/// Any letters hold, so all of them go.
#[test]
fn lifting_a_hold_lifts_each() {
    let held =
        Machine::running(id(1)).tagged("Stopinator", "daily 08:00-12:00").tagged("Stopinator-HOLD", "until 2026-12-01");
    let (program, ec2) = fleet([held]);
    let reason = || program.run(&["plan", "-o", "json", "--now", NOW]).json()["instances"][0]["reason"].clone();
    assert_eq!(reason(), "held");
    assert_eq!(program.run(&["hold", &id(1), "--clear", "--yes", "--now", NOW]).code, 0);
    assert_eq!(reason(), serde_json::Value::Null, "it is due");
    assert_eq!(changes(&ec2).len(), 1);
}

/// What the end of a hold does, the plan for that instant says: a moment means nobody who started it later.
#[test]
fn a_hold_and_a_moment_that_has_passed() {
    let restarted = Machine::running(id(1)).named("web-1").tagged("Stopinator", "stop daily 19:00");
    let (program, _ec2) = fleet([restarted.launched("2026-11-23T20:00:00.000Z")]);
    let said = program.run(&["hold", "web-1", "--for", "3h", "--yes", "--now", "2026-11-23T20:30:00Z"]);
    assert!(said.out.contains("would have stopped at Tue 19:00, stops at Tue 19:00"), "{}", said.out);
    let said = program.run(&["explain", "web-1", "--now", "2026-11-23T20:31:00Z"]);
    assert!(said.out.contains("23:30:00       the hold ends\n"), "{}", said.out);
}

#[test]
fn the_scope_all_has_holds_without_the_tag() {
    let (program, ec2) = fleet([Machine::running(id(1)).named("web-1")]);
    let all = |arguments: &[&str]| program.run(&[arguments, &["--scope", "all", "--now", NOW]].concat());
    let said = all(&["explain", "web-1"]);
    assert!(said.out.contains("  stop rule     stop  it is due"), "{}", said.out);
    let said = all(&["hold", "web-1", "--for", "3h", "--yes"]);
    assert!(said.code == 0 && said.out.contains("the stop rule heeds it"), "{}", said.out);
    let json = all(&["plan", "--action", "stop", "-o", "json"]).json();
    assert_eq!(json["instances"][0]["reason"], "held");
    assert_eq!(changes(&ec2).len(), 1);
}

/// Nobody lifts the dry run that a deployment asks for without saying so.
#[test]
fn a_dry_run_by_the_settings() {
    let (program, ec2) = fleet([Machine::running(id(1)).tagged("Stopinator", "daily 08:00-12:00")]);
    let said = program.with("STOPINATOR_DRY_RUN", "true").run(&["run", "--yes", "--now", NOW]);
    assert!(
        said.code == 0 && said.out.ends_with("The settings ask for a dry run, so nothing is done.\n"),
        "{}",
        said.out
    );
    assert!(changes(&ec2).is_empty());
}
