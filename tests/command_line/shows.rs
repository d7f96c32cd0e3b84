//! What people see: at several widths, with and without colours, and whatever the names are.

use super::demo::{self, NOW};
use super::fleet;
use crate::support::ec2::Machine;
use crate::support::id;

const ALL: [&str; 6] = ["-p", "dev", "-p", "staging", "-r", "all"];

fn snapshot(name: &str, columns: Option<usize>, arguments: &[&str]) {
    let (program, _ec2) = demo::program();
    let program = match columns {
        Some(columns) => program.columns(columns),
        None => program.without("COLUMNS"),
    };
    let said = program.run(&[arguments, &["--now", NOW]].concat());
    if let Some(columns) = columns {
        use unicode_width::UnicodeWidthStr;
        for line in said.out.lines().filter(|line| !is_to_copy(line)) {
            assert!(line.width() <= columns, "{name}: {line}");
        }
    }
    let err = if said.err.is_empty() { String::new() } else { format!("\n--- standard error\n{}", said.err) };
    insta::assert_snapshot!(name, format!("{}[{}]{err}", said.out, said.code));
}

#[test]
fn a_plan() {
    let all = |more: &[&'static str]| [&["plan", "--at", "18:05"][..], &ALL, more].concat();
    snapshot("plan_80", Some(80), &["plan", "--at", "18:05", "-p", "dev"]);
    snapshot("plan_two_accounts_80", Some(80), &all(&[]));
    snapshot("plan_two_accounts_120", Some(120), &all(&[]));
    snapshot("plan_piped", None, &all(&["--all"]));
    snapshot("plan_ascii", Some(80), &all(&["--ascii"]));
    snapshot("plan_colour", Some(200), &["plan", "--at", "18:05", "-p", "dev", "--color", "always"]);
    snapshot("plan_stop_rule", Some(80), &["plan", "--action", "stop", "-p", "dev"]);
    snapshot("plan_notice", Some(80), &["plan", "--notice", "15", "--at", "17:44", "-p", "dev"]);
    snapshot("plan_no_notice", Some(80), &["plan", "--notice", "15", "--at", "12:00", "-p", "dev"]);
    snapshot("plan_json", None, &["plan", "--at", "18:05", "-p", "staging", "-o", "json"]);
    snapshot("plan_csv", None, &all(&["-o", "csv"]));
}

#[test]
fn a_week() {
    let all = |more: &[&'static str]| [&["week"][..], &ALL, more].concat();
    snapshot("week_80", Some(80), &all(&[]));
    snapshot("week_120", Some(120), &all(&["--prices", "prices.csv"]));
    snapshot("week_priced_80", Some(80), &all(&["--price", "0.1"]));
    snapshot("week_ascii", Some(80), &all(&["--ascii"]));
    snapshot("week_by_tag", Some(80), &all(&["--by", "tag"]));
    snapshot("week_by_account", Some(80), &all(&["--by", "account"]));
    snapshot("week_narrow", Some(60), &all(&[]));
    snapshot("week_in_another_zone", Some(80), &["week", "-p", "dev", "--in", "Asia/Seoul", "--from", "2027-03-22"]);
    snapshot("week_csv", None, &all(&["-o", "csv", "--price", "0.1"]));
    snapshot("week_json", None, &["week", "-p", "dev", "-o", "json", "build-server"]);
}

#[test]
fn why() {
    let explain = |name: &'static str| ["explain", "-p", "dev", "-p", "staging", "-r", "all", name];
    snapshot("explain_started_by_hand", Some(80), &explain("서울-데모"));
    snapshot("explain_running", Some(80), &explain("web-1"));
    snapshot("explain_due", Some(80), &[&explain("web-1")[..], &["--at", "18:05"]].concat());
    snapshot("explain_starts", Some(80), &[&explain("night-batch")[..], &["--at", "18:05"]].concat());
    snapshot("explain_held", Some(80), &explain("build-server"));
    snapshot("explain_plain", Some(80), &explain("demo"));
    snapshot("explain_invalid", Some(80), &explain("analytics"));
    snapshot("explain_member", Some(80), &explain("eks-node"));
}

/// Nobody, one, and names that would do harm.
#[test]
fn whatever_the_names_are() {
    let names = [
        "a-name-of-sixty-letters-which-is-as-long-as-people-make-them",
        "서울-데모-서버-일호기-그리고-아주-긴-이름",
        "👩\u{200d}💻-emoji-🏳️\u{200d}🌈",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}-rtl",
        "\u{202e}gpj.exe",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "two\nlines\r\ttabs",
        "=HYPERLINK(\"http://example.com\")",
        "<script>alert(1)</script>",
        "",
    ];
    let machines = || {
        names
            .iter()
            .enumerate()
            .map(|(n, name)| Machine::running(id(n)).named(name).tagged("Stopinator", "weekdays 08:00-18:00"))
    };
    let (program, _ec2) = fleet(machines());
    let program = program.columns(80);
    let mut told = String::new();
    for arguments in [
        &["plan", "--at", "2026-11-23T18:05:00Z"][..],
        &["plan", "--at", "2026-11-23T18:05:00Z", "--ascii"],
        &["week"],
        &["hold", "i-00000000000000005", "--for", "3h", "--print"],
        &["explain", "i-00000000000000005"],
    ] {
        let said = program.run(&[arguments, &["--now", NOW]].concat());
        assert!(
            !said.out.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'),
            "{arguments:?}: {:?}",
            said.out
        );
        told.push_str(&format!("$ stopinator {}\n{}[{}]\n\n", arguments.join(" "), said.out, said.code));
        for line in said.out.lines().filter(|line| !is_to_copy(line)) {
            use unicode_width::UnicodeWidthStr;
            assert!(line.width() <= 80, "{line}");
        }
    }
    let csv = program.run(&["plan", "-o", "csv"]).out;
    assert!(csv.contains("\"'=HYPERLINK(\"\"http://example.com\"\")\""), "{csv}");
    insta::assert_snapshot!(told);
}

#[test]
fn one_and_many() {
    let (program, _ec2) = fleet([Machine::running(id(1)).named("web-1").tagged("Stopinator", "weekdays 08:00-18:00")]);
    let said = program.columns(80).run(&["plan", "--now", NOW, "--at", "2026-11-23T18:05:00Z"]);
    insta::assert_snapshot!("one", said.out);
    let many = (0..1000)
        .map(|n| Machine::running(id(n)).named(&format!("web-{n}")).tagged("Stopinator", "weekdays 08:00-18:00"));
    let (program, _ec2) = fleet(many);
    let said = program.columns(80).run(&["plan", "--now", NOW, "--at", "2026-11-23T18:05:00Z"]);
    assert_eq!(said.out.lines().filter(|line| line.starts_with("  stop ")).count(), 1000);
    assert!(said.out.ends_with("1000 to stop, 0 to start, 0 kept. Nothing was changed.\n"), "{}", said.out);
}

/// What machines read is not made plain with the screen, and steers no terminal.
#[test]
fn what_machines_read_has_all_letters() {
    let name = "서울\u{9b}31m\u{202e}\u{1b}c";
    let (program, _ec2) = fleet([Machine::running(id(1)).named(name).tagged("Stopinator", "weekdays 08:00-18:00")]);
    let program = program.with("LC_ALL", "C");
    let json = program.run(&["plan", "-o", "json", "--ascii"]);
    assert_eq!(json.json()["instances"][0]["name"], name);
    let csv = program.run(&["plan", "-o", "csv"]);
    assert!(csv.out.contains(",서울\\u{9b}31m\\u{202e}\\x1bc,"), "{}", csv.out);
    for out in [json.out, csv.out] {
        assert!(!out.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{out:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_no_success() {
    let program = super::Program::alone();
    let full = std::fs::File::create("/dev/full").expect("Linux has one");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_stopinator"))
        .args(["check", "true"])
        .current_dir(&program.home)
        .stdout(full)
        .stderr(std::process::Stdio::null())
        .status();
    assert_eq!(status.expect("it runs").code(), Some(1));
}

#[test]
fn standard_output_has_the_result_alone() {
    let (program, _ec2) = demo::program();
    for arguments in [["plan", "-o", "json"], ["week", "-o", "json"]] {
        let said = program.run(&[&arguments[..], &["-p", "dev", "-v"]].concat());
        said.json();
        assert!(!said.err.is_empty(), "the SDK's log");
    }
}

/// A command is one line, however long: who copies it wants it whole.
fn is_to_copy(line: &str) -> bool {
    line.contains("aws ec2 ") || line.contains("stopinator hold ")
}
