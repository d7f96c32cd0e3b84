//! `check`: what a value means, or where it is wrong, without any AWS.

use super::Program;

const PAGE: &str = include_str!("../../docs/tag.md");

/// The first cells of the rows of the page's tables with this header.
fn values(header: &str) -> Vec<String> {
    let tables = PAGE.split("\n\n").filter(|block| block.lines().next() == Some(header));
    let first =
        |row: &str| row.trim_matches('|').split('|').next().unwrap_or_default().trim().trim_matches('`').to_owned();
    tables.flat_map(|table| table.lines().skip(2).map(first)).collect()
}

#[test]
fn a_value_in_words_and_what_comes_of_it() {
    let program = Program::alone().columns(80);
    for (name, arguments) in [
        ("office_hours", &["weekdays 08:00-18:00 Europe/Berlin", "--at", "2026-11-23T16:02:00Z"][..]),
        ("clocks_change", &["Sat 20:00-02:30 Europe/Berlin", "--at", "2027-03-26T00:00:00Z"]),
        ("clocks_are_put_back", &["daily 01:00-05:00 Europe/Berlin", "--at", "2026-10-24T10:00:00Z"]),
        ("always", &["00:00-24:00", "--at", "2026-11-23T16:02:00Z"]),
        ("a_moment", &["stop daily 19:00", "--at", "2026-11-23T16:02:00Z", "-n", "2"]),
        ("plain", &["true"]),
        ("opted_out", &["never"]),
        ("a_hold", &["--hold", "on until 2026-11-23 21:00", "--zone", "Europe/Berlin", "--at", "2026-11-23T16:02:00Z"]),
        ("two_values", &["weekdays 8-18h", "no"]),
        (
            "json",
            &[
                "--format",
                "json",
                "weekdays 08:00-18:00",
                "weekday 08:00-18:00",
                "true",
                "--at",
                "2026-11-23T16:02:00Z",
                "-n",
                "2",
            ],
        ),
        ("github", &["--format", "github", "weekdays 08:00-18:00", "weekday 08:00-18:00 100%"]),
    ] {
        let said = program.run(&[&["check"], arguments].concat());
        assert_eq!(said.err, "", "{name}");
        insta::assert_snapshot!(name, format!("{}[{}]", said.out, said.code));
    }
}

#[test]
fn an_error_has_a_caret_and_a_value_that_is_right() {
    let program = Program::alone().columns(80);
    let mut told = String::new();
    for value in [
        "weekday 08:00-18:00",
        "weekdays 08:00-18:00 America/New York",
        "Mon,Wed,Fri 9am-5pm EST",
        "서울 08:00-18:00",
        "9-5",
        "on",
        "",
        "cron(0 9 ? * MON-FRI *)",
        "\u{1b}[31mred\u{7}",
        "\u{202e}08:00-18:00",
    ] {
        let said = program.run(&["check", value]);
        told.push_str(&said.out);
        told.push_str(&format!("[{}]\n\n", said.code));
        assert!(!said.out.chars().any(|c| c.is_control() && c != '\n'), "{value:?}");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn every_value_of_the_page_is_as_the_page_says() {
    let (right, wrong, holds) =
        (values("| value | means |"), values("| value | what it says |"), values("| hold | means |"));
    assert!(right.len() > 30 && wrong.len() > 50 && holds.len() > 5);
    let program = Program::alone();
    let said = program.reading(&right.join("\n")).run(&["check", "-"]);
    assert_eq!((said.code, said.out), (0, format!("{} values, 0 wrong\n", right.len())));
    let said = Program::alone().reading(&holds.join("\n")).run(&["check", "--hold", "-"]);
    assert_eq!((said.code, said.out), (0, format!("{} values, 0 wrong\n", holds.len())));
    let said = Program::alone().reading(&wrong.join("\n")).run(&["check", "-"]);
    assert_eq!(said.code, 1);
    assert!(said.out.ends_with(&format!("{0} values, {0} wrong\n", wrong.len())), "{}", said.out);
    for line in 1..=wrong.len() {
        assert!(said.out.contains(&format!("<stdin>:{line}:")), "{line}");
    }
    // What is suggested is right.
    let tried: Vec<&str> = said.out.lines().filter_map(|line| line.trim().strip_prefix("try: ")).collect();
    assert!(tried.len() > 20, "{tried:?}");
    let said = Program::alone().reading(&tried.join("\n")).run(&["check", "-"]);
    assert_eq!(said.code, 0, "{}", said.out);
}

#[test]
fn many_values_from_standard_input() {
    let said = Program::alone().reading("weekdays 08:00-18:00\r\n\nweekday 8-18h\ntrue\n").run(&["check", "-"]);
    insta::assert_snapshot!(format!("{}[{}]", said.out, said.code));
    let said = Program::alone().run(&["check", "-", "true"]);
    assert_eq!(
        (said.code, said.err.trim()),
        (2, "error: `-` stands alone: values come from standard input or from the command line")
    );
}

#[test]
fn the_help_gives_values_that_are_right() {
    let said = Program::alone().run(&["check", "--help"]);
    let values = said.out.split("Values:\n").nth(1).expect("values").split("Holds").next().unwrap_or_default();
    let values: Vec<&str> = values.lines().filter_map(|line| line.trim().split("  ").next()).map(str::trim).collect();
    assert!(values.len() > 9, "{values:?}");
    let said = Program::alone().reading(&values.join("\n")).run(&["check", "-"]);
    assert_eq!(said.code, 0, "{}", said.out);
}
