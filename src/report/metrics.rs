//! The metrics of a run, as one JSON document in CloudWatch's embedded metric format.
//!
//! What is zero stands there as a property and is no metric: CloudWatch bills a metric by the hours in which it has
//! data, and of most runs there is nothing to tell but that they were.
//!
//! Source: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::rows::{Report, Row};
use crate::action::{Action, Outcome};
use crate::place::AccountId;
use crate::reason::Reason;

/// The namespace of all metrics. Their one dimension is `FunctionName`.
pub const NAMESPACE: &str = "Stopinator";

/// The most that one stop is counted for. `off until` a far date would drown all the rest.
const MOST_SAVED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Of how many accounts the line tells: of more it would grow long, and nobody reads them.
const MOST_ACCOUNTS: usize = 200;

/// The metrics of a run that took so long, at the instant `now`. Reasons are properties, for queries.
#[must_use]
pub fn document(report: &Report, function: &str, request_id: &str, took: Duration, now: Timestamp) -> Value {
    let counts = report.counts();
    let arrived = |row: &&Row| matches!(row.outcome, Some(Outcome::Accepted | Outcome::Confirmed));
    let acted = |action| report.instances.iter().filter(arrived).filter(move |row| row.planned() == Some(action));
    let bounced =
        report.instances.iter().filter(|row| row.planned().is_some() && row.reason() == Some(Reason::Bounced));
    let hours_of = |row: &Row| match row.entry.until.as_ref().and_then(|until| until.off) {
        Some(until) => until.duration_since(report.time).min(MOST_SAVED).as_secs_f64() / 3600.0,
        None => 0.0,
    };
    let hours = acted(Action::Stop).map(hours_of).fold(0.0, |sum, hours| sum + hours);
    let mut metrics = vec![
        ("Found", "Count", json!(counts.found)),
        ("Stopped", "Count", json!(acted(Action::Stop).count())),
        ("Started", "Count", json!(acted(Action::Start).count())),
        ("Refused", "Count", json!(counts.refused)),
        ("Failed", "Count", json!(counts.failed)),
        ("Bounced", "Count", json!(bounced.count())),
        ("NotAttempted", "Count", json!(counts.not_attempted)),
        ("Duration", "Milliseconds", json!(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))),
        ("InstanceHoursSaved", "None", json!((hours * 100.0).round() / 100.0)),
    ];
    // Who looks after no databases hears nothing of them.
    let unsettled = report.instances.iter().filter(|row| row.is_unsettled()).count();
    if unsettled > 0 {
        metrics.push(("DatabasesUnsettled", "Count", json!(unsettled)));
    }
    if !report.unreachable.is_empty() {
        metrics.push(("Unreachable", "Count", json!(report.unreachable.len())));
    }
    let told = metrics.iter().filter(|(name, _, value)| {
        // That it ran, and on how many, is always told.
        matches!(*name, "Found" | "Duration") || value.as_f64() != Some(0.0)
    });
    let mut document = json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["FunctionName"]],
                "Metrics": told.map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect::<Vec<_>>(),
            }],
        },
        "FunctionName": function,
        "requestId": request_id,
        "action": report.action,
        "dry_run": report.dry_run,
        "Kept": counts.kept,
        "Planned": counts.planned,
        "reasons": reasons(report),
    });
    for (name, _, value) in metrics {
        document[name] = value;
    }
    if report.notice {
        document["notice"] = json!(true);
    }
    if let Some(reach) = report.reach {
        document["accounts"] = json!(reach.looked_at);
        document["by_account"] = json!(by_account(report));
    }
    document
}

/// What was planned, and what became of it, in the accounts in which most was. A dimension of a metric would cost a
/// metric for each account; a property costs nothing.
fn by_account(report: &Report) -> BTreeMap<AccountId, BTreeMap<&'static str, usize>> {
    let mut all: BTreeMap<AccountId, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for row in &report.instances {
        if let (Some(account), Some(action)) = (row.entry.account(), row.planned()) {
            let what = match (row.outcome, action) {
                (Some(Outcome::Accepted | Outcome::Confirmed), Action::Stop) => "stopped",
                (Some(Outcome::Accepted | Outcome::Confirmed), Action::Start) => "started",
                (Some(other), _) => other.as_str(),
                (None, _) => "planned",
            };
            *all.entry(account).or_default().entry(what).or_default() += 1;
        }
    }
    let mut most: Vec<_> = all.into_iter().collect();
    most.sort_by_key(|(account, what)| (Reverse(what.values().sum::<usize>()), *account));
    most.truncate(MOST_ACCOUNTS);
    most.into_iter().collect()
}

fn reasons(report: &Report) -> BTreeMap<&'static str, usize> {
    let mut reasons = BTreeMap::new();
    for reason in report.instances.iter().filter_map(Row::reason) {
        *reasons.entry(reason.as_str()).or_default() += 1;
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::RequestedAction;
    use crate::plan::{Decision, Until};
    use crate::reach::Reach;
    use crate::reason::{FailedStart, Why};
    use crate::report::Unobserved;
    use crate::testing::{self, account, report};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn row(planned: Option<Action>, outcome: Option<Outcome>, reason: Option<Reason>, off_until: Option<&str>) -> Row {
        let mut row = testing::row(1, planned, outcome);
        row.entry.until = Some(Until { off: off_until.map(at), ..Until::default() }.into());
        if planned.is_some() {
            row.reason = reason;
        } else {
            row.entry.decision = Decision::Keep(kept(reason));
        }
        row
    }

    fn kept(reason: Option<Reason>) -> Why {
        match reason {
            Some(Reason::Bounced) => Why::Bounced(FailedStart { told: "so".into(), advice: None }.into()),
            Some(Reason::NotDue) => Why::NotDue(Box::new((None, None))),
            other => panic!("{other:?}"),
        }
    }

    fn told(instances: Vec<Row>) -> Value {
        let time = at("2026-11-21T18:00:00Z");
        let report = Report { action: RequestedAction::Schedule, time, ..report(instances) };
        document(&report, "stopinator", "request-1", Duration::from_millis(1234), at("2026-11-21T18:00:00.25Z"))
    }

    fn metrics(document: &Value) -> Vec<&str> {
        let metrics = document["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
        metrics.iter().map(|metric| metric["Name"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_run_with_something_of_everything() {
        let (stop, start) = (Some(Action::Stop), Some(Action::Start));
        let document = told(vec![
            row(stop, Some(Outcome::Confirmed), None, Some("2026-11-22T07:00:00Z")),
            row(stop, Some(Outcome::Accepted), Some(Reason::StillStopping), Some("2026-11-21T18:30:00Z")),
            row(stop, Some(Outcome::Confirmed), None, None),
            row(stop, Some(Outcome::Refused), Some(Reason::StopProtected), Some("2026-11-22T07:00:00Z")),
            row(start, Some(Outcome::Confirmed), None, None),
            row(start, Some(Outcome::Refused), Some(Reason::Bounced), None),
            row(start, Some(Outcome::Failed), Some(Reason::NoCapacity), None),
            row(start, Some(Outcome::NotAttempted), Some(Reason::NoTimeLeft), None),
            row(None, None, Some(Reason::Bounced), None),
        ]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
        assert!(metrics(&document).len() <= 10);
        for name in metrics(&document) {
            assert!(document[name].is_number(), "{name} has no value");
        }
    }

    #[test]
    fn a_stop_is_counted_for_a_week_at_most() {
        let stop = row(Some(Action::Stop), Some(Outcome::Confirmed), None, Some("9999-12-30T00:00:00Z"));
        assert_eq!(told(vec![stop])["InstanceHoursSaved"], json!(168.0));
    }

    #[test]
    fn what_is_zero_is_no_metric() {
        let document = told(vec![row(None, None, Some(Reason::NotDue), None)]);
        assert_eq!(metrics(&document), ["Found", "Duration"]);
        assert_eq!((&document["Found"], &document["Refused"]), (&json!(1), &json!(0)));
        assert_eq!(document["reasons"], json!({ "not-due": 1 }));
    }

    #[test]
    fn a_hub_tells_of_accounts_in_properties_and_of_what_is_out_of_reach_as_a_metric() {
        let mut all = Vec::new();
        for number in 0..300 {
            let mut row = row(Some(Action::Stop), Some(Outcome::Confirmed), None, None);
            row.entry.place = row.entry.place.map(|place| place.of(account(number)));
            all.extend(vec![row; if number == 7 { 3 } else { 1 }]);
        }
        let mut refused = all[7].clone();
        refused.settle(Outcome::Refused, None, None);
        all.push(refused);
        let unreachable = Unobserved {
            account: Some(account(1)),
            region: None,
            call: "AssumeRole",
            why: "no".into(),
            is_remembered: true,
        };
        let reach = Some(Reach { looked_at: 300, is_lost: false });
        let report = Report { reach, unreachable: vec![unreachable; 2], ..testing::report(all) };
        let told = document(&report, "f", "r", Duration::ZERO, at("2026-11-21T18:00:00Z"));
        assert_eq!((&told["accounts"], &told["Unreachable"]), (&json!(300), &json!(2)));
        assert_eq!(told["by_account"].as_object().unwrap().len(), MOST_ACCOUNTS);
        assert_eq!(told["by_account"]["000000000007"], json!({ "stopped": 3, "refused": 1 }));
        let names = told["_aws"]["CloudWatchMetrics"][0].to_string();
        assert!(names.contains("Unreachable") && !names.contains("account"), "{names}");
        assert!(told.to_string().len() < 20_000);
    }

    #[test]
    fn the_longest_run_fits_a_line() {
        // Reasons are few, so a document never nears CloudWatch's limit of 1 MB.
        let rows = vec![row(None, None, Some(Reason::NotDue), None); 10_000];
        assert!(told(rows).to_string().len() < 2_000);
    }
}
