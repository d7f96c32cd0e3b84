//! Template and code say the same: environment names, binary, and the API actions that the code really calls.

use std::collections::BTreeSet;
use std::fs;

use stopinator::settings;

use crate::support::ec2::Machine;
use crate::support::rds::Database;
use crate::support::{RULE_FIRED, START, at, databases, fleet, id};

fn template() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/template.yaml");
    let text = fs::read_to_string(path).expect("the template");
    let code: Vec<&str> = text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with('#')).collect();
    code.concat()
}

/// The words in `text` that begin with `start` and go on with letters, digits and underscores.
fn words(text: &str, start: &str) -> BTreeSet<String> {
    let rest = |at: usize| &text[at + start.len()..];
    text.match_indices(start)
        .map(|(at, _)| {
            let end = rest(at).find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest(at).len());
            format!("{start}{}", &rest(at)[..end])
        })
        .collect()
}

#[test]
fn the_environment_holds_only_names_that_the_code_reads() {
    let named = words(&template(), "STOPINATOR_");
    let known: BTreeSet<String> = settings::NAMES.map(str::to_owned).into();
    assert!(named.len() >= 5 && named.is_subset(&known), "{named:?}");
}

#[test]
fn the_binary_is_the_one_that_the_package_builds() {
    assert!(template().contains("Binary: stopinator-lambda\n"));
    let _: &str = env!("CARGO_BIN_EXE_stopinator-lambda");
}

#[test]
fn the_role_allows_of_databases_what_the_code_calls_and_no_more() {
    let stopped =
        |id: &str| Database::stopped(id, at("2026-11-20T18:00:00Z")).tagged("Stopinator", "daily 08:00-18:00");
    let running = |id: &str| Database::available(id).tagged("Stopinator", "daily 05:00-08:00");
    let story = databases([stopped("db:a"), stopped("cluster:a"), running("db:b"), running("cluster:b")])
        .on(r#"{"action": "schedule"}"#);
    let called: BTreeSet<String> = story.rds_calls.iter().map(|call| format!("rds:{}", call.action)).collect();
    // A resource's ARN has the word, too, and no action after it.
    let allowed: BTreeSet<String> =
        words(&template(), "rds:").into_iter().filter(|word| word.len() > "rds:".len()).collect();
    assert_eq!(allowed, called);
}

#[test]
fn the_role_allows_what_the_code_calls_and_no_more() {
    let mut called = BTreeSet::new();
    for (scope, trigger) in [("tagged", RULE_FIRED), ("tagged", START), ("all", RULE_FIRED), ("all", START)] {
        let machines = [Machine::running(id(1)).due(), Machine::stopped(id(2)).due(), Machine::running(id(3))];
        let story = fleet(machines).with("STOPINATOR_SCOPE", scope).on(trigger);
        called.extend(story.calls.iter().map(|call| format!("ec2:{}", call.action)));
    }
    // What connects the function to a network is called by Lambda, not by the code.
    let template = template();
    let (before, rest) = template.split_once("Sid: ConnectToVpc").expect("a statement");
    let (_, after) = rest.split_once("Resource:").expect("its resource");
    let allowed = words(&format!("{before}{after}"), "ec2:");
    let allowed: BTreeSet<String> = allowed.into_iter().filter(|word| word.len() > "ec2:".len()).collect();
    assert_eq!(allowed, called);
}
