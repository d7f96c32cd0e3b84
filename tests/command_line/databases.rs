//! Databases on the command line: shown, explained, held, and stopped after a question.

use super::Program;
use super::program::with_databases;
use crate::support::ec2::Machine;
use crate::support::rds::{Database, Event, Rds};
use crate::support::{NOW, at, id};

const OFF: &str = "daily 05:00-08:00";

fn program() -> (Program, Rds) {
    let machine = Machine::running(id(1)).named("web-1").tagged("Stopinator", OFF);
    let (program, _, rds) = with_databases(
        [machine],
        [
            Database::available("db:orders").tagged("Stopinator", OFF),
            Database::available("cluster:users").tagged("Stopinator", "daily 08:00-18:00"),
            Database::available("db:mine").tagged("Stopinator", OFF).tagged("Name", "reports"),
            Database::available("db:bare"),
        ],
    );
    rds.add_event(Event::notification("db:mine", at("2026-11-21T08:30:00Z"), "DB instance started"));
    (program.columns(80), rds)
}

fn said(program: &Program, arguments: &[&str]) -> (i32, String) {
    let said = program.run(&[arguments, &["--now", NOW]].concat());
    (said.code, format!("{}{}", said.out, said.err))
}

#[test]
fn a_plan_has_both_where_it_is_asked_for() {
    let (program, rds) = program();
    let (code, out) = said(&program, &["plan", "--all"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("web-1") && !out.contains("orders"), "{out}");
    assert_eq!(rds.count_calls(), 0, "nobody asked for databases");
    let (_, out) = said(&program, &["plan", "--all", "--services", "ec2,rds"]);
    insta::assert_snapshot!(out);
    let (_, by_environment) = said(&program.with("STOPINATOR_SERVICES", "ec2,rds"), &["plan", "--all"]);
    assert_eq!(by_environment, out);
}

#[test]
fn a_week_has_their_hours() {
    let (program, _) = program();
    let (code, out) = said(&program, &["week", "--services", "ec2,rds", "--in", "UTC"]);
    assert_eq!(code, 0, "{out}");
    insta::assert_snapshot!(out);
}

#[test]
fn each_is_explained() {
    let (program, _) = program();
    let explained = |name: &str| said(&program, &["explain", name, "--services", "ec2,rds"]).1;
    insta::assert_snapshot!(["db:orders", "reports", "cluster:users"].map(explained).join("\n"));
    let (code, out) = said(&program, &["explain", "db:orders"]);
    let expected =
        "error: no instance is named db:orders in ap-northeast-2; --services ec2,rds looks at databases, too";
    assert_eq!((code, out.trim()), (1, expected));
}

#[test]
fn rows_for_machines_tell_what_each_is() {
    let (program, _) = program();
    let seen = program.run(&["plan", "--services", "ec2,rds", "-o", "json", "--now", NOW]);
    let kinds: Vec<String> = seen.json()["instances"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| {
            format!(
                "{} {}",
                row["id"].as_str().unwrap_or_default(),
                row.get("kind").map_or("-", |kind| kind.as_str().unwrap_or_default())
            )
        })
        .collect();
    assert_eq!(kinds, [&format!("{} -", id(1)), "cluster:users cluster", "db:mine db", "db:orders db"]);
}

#[test]
fn a_hold_is_set_on_a_database_and_lifted() {
    let (program, rds) = program();
    let (code, out) = said(&program, &["hold", "db:orders", "web-*", "--services", "ec2,rds", "--for", "3h", "--yes"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("Set on 2 instances and databases.\n"), "{out}");
    let (_, out) = said(&program, &["plan", "--services", "ec2,rds", "--all"]);
    assert!(out.contains("held"), "{out}");
    assert!(said(&program, &["run", "--services", "ec2,rds", "--yes"]).1.contains("There is nothing to do."));
    // What it would do without the hold hangs on who started it, so the log is asked for that.
    let (_, lifted) = said(&program, &["hold", "db:orders", "db:mine", "--services", "ec2,rds", "--clear", "--print"]);
    assert!(lifted.contains("aws rds remove-tags-from-resource") && !lifted.contains("db:mine"), "{lifted}");
    let (_, told) = said(&program, &["hold", "db:orders", "--services", "ec2,rds", "--clear"]);
    assert!(told.contains("stops on the next tick"), "{told}");
    let (_, printed) = said(&program, &["hold", "orders", "--services", "ec2,rds", "--clear", "--print"]);
    assert_eq!(
        printed.trim(),
        "aws rds remove-tags-from-resource --region ap-northeast-2 --resource-name \
         arn:aws:rds:ap-northeast-2:123456789012:db:orders --tag-keys Stopinator-Hold"
    );
    let (code, out) = said(&program, &["hold", "orders", "--services", "ec2,rds", "--clear", "--yes"]);
    assert!(code == 0 && out.ends_with("Taken from 1 database.\n"), "{out}");
    let (code, out) = said(&program, &["run", "--services", "ec2,rds", "--yes"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(rds.statuses()["db:orders"], "stopping");
    assert_eq!((rds.statuses()["db:mine"].as_str(), rds.statuses()["db:bare"].as_str()), ("available", "available"));
    insta::assert_snapshot!(out);
}
