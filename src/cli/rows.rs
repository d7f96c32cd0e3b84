//! Rows for machines: JSON, with the names of the function's response, and CSV.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use stopinator::action::RequestedAction;
use stopinator::place::Region;
use stopinator::plan::Evidence;
use stopinator::reason::Reason;
use stopinator::report::{Counts, Row};
use stopinator::resource::{Resource, State};
use stopinator::schedule::Edge;
use stopinator::settings::{Scope, Settings};

use crate::accounts::Accounts;
use crate::failure::Failure;
use crate::look::{Looked, Question};
use crate::screen::{Screen, json_text};
use crate::when::name_of;

/// The version of what is written here: it changes where a name or a meaning does.
pub(crate) const VERSION: u8 = 1;

#[derive(Serialize)]
struct Document<'a> {
    version: u8,
    action: RequestedAction,
    time: Timestamp,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Rules<'a>>,
    counts: Counts,
    unobserved: Vec<Unobserved<'a>>,
    instances: Vec<Fields<'a>>,
}

/// The settings that decide.
#[derive(Serialize)]
pub(crate) struct Rules<'a> {
    tag_key: &'a str,
    time_zone: &'a str,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hand_start_hours: Option<i64>,
}

/// What did not answer: a region, or an account as a whole.
#[derive(Serialize)]
pub(crate) struct Unobserved<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    why: &'a str,
}

#[derive(Serialize)]
struct Fields<'a> {
    account: &'a str,
    account_id: &'a str,
    #[serde(flatten)]
    row: &'a Row,
    #[serde(flatten)]
    found: Option<Found<'a>>,
}

/// What was found of an instance, and what its tags make of it. What does not apply is left out.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    off_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_edge: Option<Turn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_edge: Option<Turn>,
}

/// An edge.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Turn {
    pub(crate) at: Timestamp,
    pub(crate) turn: &'static str,
}

impl Turn {
    /// None for the edge of what has been so for ever.
    pub(crate) fn of(edge: Edge) -> Option<Self> {
        (edge.at > Timestamp::MIN).then_some(Self { at: edge.at, turn: turn(edge.on) })
    }
}

/// `on` or `off`.
pub(crate) fn turn(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl<'a> Rules<'a> {
    pub(crate) fn of(settings: &'a Settings) -> Self {
        Self {
            tag_key: &settings.tag_key,
            time_zone: name_of(&settings.time_zone),
            scope: if settings.scope == Scope::All { "all" } else { "tagged" },
            hand_start_hours: settings.hand_start_limit.as_ref().map(SignedDuration::as_hours),
        }
    }
}

impl<'a> Unobserved<'a> {
    pub(crate) fn all(accounts: &'a Accounts, looked: &'a [Looked<'_>]) -> Vec<Self> {
        let failed = accounts.failed.iter().map(|why| Self { account: None, region: None, why });
        let regions = looked.iter().flat_map(|looked| {
            let account = Some(looked.account.name.as_str());
            looked.report.unobserved.iter().map(move |unobserved| Self {
                account,
                region: unobserved.region.as_ref().map(Region::as_str),
                why: &unobserved.why,
            })
        });
        failed.chain(regions).collect()
    }
}

/// EC2's name of a state, or what comes nearest to RDS's.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Running => "running",
        State::Busy => "busy",
        State::Stopping => "stopping",
        State::Stopped => "stopped",
        State::ShuttingDown => "shutting-down",
        State::Terminated => "terminated",
        State::Unknown => "unknown",
    }
}

/// The type of an instance, such as `m6i.large`.
pub(crate) fn instance_type(instance: &Resource) -> Option<&str> {
    instance.launch.pool.as_ref().map(|pool| &*pool.instance_type).filter(|kind| !kind.is_empty())
}

pub(crate) fn json(accounts: &Accounts, looked: &[Looked<'_>], question: &Question) -> Result<String, Failure> {
    let mut counts = Counts::default();
    for of_account in looked.iter().map(|looked| looked.report.counts()) {
        counts.found += of_account.found;
        counts.kept += of_account.kept;
        counts.planned += of_account.planned;
    }
    let instances = looked.iter().flat_map(|looked| {
        looked.rows().map(|(row, instance)| Fields {
            account: &looked.account.name,
            account_id: &looked.account.id,
            row,
            found: instance.map(|(instance, evidence)| found(row, instance, evidence, question.instant)),
        })
    });
    json_text(&Document {
        version: VERSION,
        action: question.action,
        time: question.instant,
        dry_run: true,
        settings: accounts.open.first().map(|account| Rules::of(&account.settings)),
        counts,
        unobserved: Unobserved::all(accounts, looked),
        instances: instances.collect(),
    })
}

fn found<'a>(row: &Row, instance: &'a Resource, evidence: &Evidence, instant: Timestamp) -> Found<'a> {
    Found {
        kind: instance_type(instance),
        state: state(instance.state),
        tag: instance.tag.as_deref(),
        hold: instance.hold.as_deref(),
        off_until: row.entry.until.as_ref().and_then(|until| until.off),
        latest_edge: evidence.latest.and_then(Turn::of),
        next_edge: evidence.edges_after(instant).next().and_then(Turn::of),
    }
}

pub(crate) fn csv(looked: &[Looked<'_>], question: &Question) -> Result<String, Failure> {
    const COLUMNS: [&str; 16] = [
        "account",
        "region",
        "id",
        "name",
        "type",
        "state",
        "tag",
        "hold",
        "decision",
        "reason",
        "detail",
        "latest_edge",
        "latest_turn",
        "next_edge",
        "next_turn",
        "off_until",
    ];
    let rows = looked.iter().flat_map(|looked| {
        looked.rows().map(|(row, instance)| {
            let found = instance.map(|(instance, evidence)| found(row, instance, evidence, question.instant));
            let found = found.as_ref();
            let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
            let time = |time: Option<Timestamp>| time.map_or(String::new(), |time| time.to_string());
            let (latest, next) = (found.and_then(|found| found.latest_edge), found.and_then(|found| found.next_edge));
            [
                looked.account.name.clone(),
                text(row.entry.region().map(Region::as_str)),
                row.entry.id.to_string(),
                text(row.entry.name.as_deref()),
                text(found.and_then(|found| found.kind)),
                text(found.map(|found| found.state)),
                text(found.and_then(|found| found.tag)),
                text(found.and_then(|found| found.hold)),
                row.decision().to_owned(),
                text(row.reason().map(Reason::as_str)),
                text(row.detail().as_deref()),
                time(latest.map(|latest| latest.at)),
                text(latest.map(|latest| latest.turn)),
                time(next.map(|next| next.at)),
                text(next.map(|next| next.turn)),
                time(found.and_then(|found| found.off_until)),
            ]
        })
    });
    written(COLUMNS, rows)
}

/// CSV with a header. What a spreadsheet would take for a formula, or would swallow, begins with a `'`: names and tags
/// come from anybody.
///
/// Source: <https://owasp.org/www-community/attacks/CSV_Injection>
pub(crate) fn written<const N: usize>(
    columns: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: String| Failure::wrong(format!("CSV: {error}"));
    writer.write_record(columns).map_err(|error| failed(error.to_string()))?;
    for row in rows {
        writer.write_record(row.map(|text| harmless(&text))).map_err(|error| failed(error.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
}

fn harmless(text: &str) -> String {
    let text = Screen { width: None, ascii: false }.text(text);
    // A number of ours is none of theirs.
    let is_number = || text.parse::<f64>().is_ok() && text.ends_with(|c: char| c.is_ascii_digit());
    let begins = text.trim_start_matches([' ', '\u{a0}', '\u{feff}']).chars().next();
    match begins {
        Some('=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}' | '|') if !is_number() => {
            format!("'{text}")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreadsheet_runs_nothing() {
        for (text, written) in [
            ("web-1", "web-1"),
            ("=1+1", "'=1+1"),
            ("+1-1", "'+1-1"),
            ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\\t=1"),
            ("\u{1b}]0;x\u{7}", "\\x1b]0;x\\x07"),
            (" =1", "' =1"),
            ("＝1", "'＝1"),
            ("-1.5", "-1.5"),
            ("", ""),
        ] {
            assert_eq!(harmless(text), written);
        }
    }
}
