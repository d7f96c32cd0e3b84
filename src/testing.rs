//! What the tests of several rooms build on: one builder for each thing.

use jiff::Timestamp;

use crate::action::{Action, Outcome, RequestedAction};
use crate::place::{AccountId, Region};
use crate::plan::{Decision, Entry};
use crate::reason::{Reason, Why};
use crate::report::{Report, Row};
use crate::resource::{DatabaseId, InstanceId, LastStart, LastStop, Launch, Resource, ResourceId, State};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// `i-0123abcd`, `db:orders` or `cluster:orders`.
pub(crate) fn resource_id(text: &str) -> ResourceId {
    match InstanceId::try_from(text) {
        Ok(id) => id.into(),
        Err(_) => DatabaseId::try_from(text.to_owned()).unwrap().into(),
    }
}

pub(crate) fn region(name: &str) -> Region {
    Region::try_from(name.to_owned()).unwrap()
}

/// `000000000001` and so on.
pub(crate) fn account(number: u64) -> AccountId {
    AccountId::try_from(format!("{number:012}")).unwrap()
}

/// Running since yesterday, tagged `true`, nothing in the way.
pub(crate) fn instance() -> Resource {
    Resource {
        id: resource_id("i-0123abcd"),
        place: region("us-east-1").into(),
        name: None,
        state: State::Running,
        status: None,
        tag: Some("true".into()),
        hold: None,
        owner: None,
        launch: Launch { started_at: Some(at("2026-11-20T09:00:00Z")), ..Launch::default() },
        last_start: LastStart::BySomebody,
        last_stop: LastStop::Unknown,
        forbids: None,
    }
}

/// A row of the report; one that nothing is planned for is opted out.
pub(crate) fn row(number: u32, planned: Option<Action>, outcome: Option<Outcome>) -> Row {
    let entry = Entry {
        id: resource_id(&format!("i-{number:08x}")),
        name: None,
        owner: None,
        place: Some(region("ap-northeast-2").into()),
        launch: Launch::default(),
        decision: planned.map_or(Decision::Keep(Why::OptedOut), Decision::Act),
        until: None,
    };
    Row { entry, outcome, reason: None, said: None }
}

/// The report of a run of the stop rule.
pub(crate) fn report(instances: Vec<Row>) -> Report {
    Report {
        action: RequestedAction::Stop,
        time: at("2026-11-21T10:00:00Z"),
        dry_run: false,
        instances,
        unobserved: Vec::new(),
        unreachable: Vec::new(),
        reach: None,
        held_back_by: None,
        held_back: Vec::new(),
        notice: false,
        counts_alone: false,
    }
}

/// A report with a row for each outcome, and two that are kept.
pub(crate) fn one_of_each() -> Report {
    let stop = Some(Action::Stop);
    let mut web = row(1, stop, None);
    web.entry.name = Some("web".into());
    web.settle(Outcome::Failed, Some(Reason::Ec2Error), Some("InternalError: try again".into()));
    let mut gone = row(2, None, None);
    gone.entry.place = None;
    gone.entry.decision = Decision::Keep(Why::Gone);
    report(vec![
        gone,
        web,
        row(3, stop, Some(Outcome::Accepted)),
        row(4, stop, Some(Outcome::Confirmed)),
        row(5, stop, Some(Outcome::Refused)),
        row(6, stop, Some(Outcome::NotAttempted)),
        row(7, None, None),
    ])
}

/// Holds the rows of the tables below `head` in a page of `docs/` to what `row` makes of each; `UPDATE_DOCS=1` writes
/// them instead.
pub(crate) fn hold_rows(page: &str, head: &str, row: impl Fn(&str) -> String) {
    hold_tables(page, head, |rows| rows.iter().map(|old| row(old)).collect());
}

/// The same for whole tables, whose rows may come and go.
pub(crate) fn hold_tables(page: &str, head: &str, rows: impl Fn(&[&str]) -> Vec<String>) {
    // Two tests may write to one page.
    static PAGES: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = PAGES.lock().unwrap();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let is = std::fs::read_to_string(&path).unwrap();
    let mut should = String::new();
    let mut rest = is.as_str();
    while let Some((before, after)) = rest.split_once(head) {
        let (table, after) = after.split_once("\n\n").unwrap();
        let rows = rows(&table.lines().collect::<Vec<_>>()).join("\n");
        should += &[before, head, &rows, "\n\n"].concat();
        rest = after;
    }
    assert!(!should.is_empty(), "{page} has no table {head}");
    should.push_str(rest);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, should).unwrap();
    } else {
        assert!(
            is == should,
            "{page} is not what the code says: UPDATE_DOCS=1 cargo test --no-default-features the_docs writes it"
        );
    }
}

/// What stands between the first two backticks of a row.
pub(crate) fn first_cell(row: &str) -> &str {
    row.split('`').nth(1).unwrap()
}
