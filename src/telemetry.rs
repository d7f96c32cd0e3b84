//! The log: one JSON object a line on standard output, with `timestamp` and `level`.
//!
//! One line more for each run is the metrics document ([`metrics`](crate::report::metrics)).
//!
//! Not the runtime's own subscriber: that one writes no timestamp, and Lambda files every line without one as INFO.
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::time::Duration;

use serde_json::Value;
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::action::{Action, Outcome};
use crate::aws::tell::Untold;
use crate::ec2::executor::UNTRIED;
use crate::place::{AccountId, Region};
use crate::reason::Reason;
use crate::report::{Report, Row};
use crate::resource::Kind;

const METRICS: &str = "stopinator::metrics";

/// Starts the log, as Lambda's own variables ask: `AWS_LAMBDA_LOG_LEVEL` (`INFO` unless set) and
/// `AWS_LAMBDA_LOG_FORMAT` (`Text` for lines to read at a terminal, else JSON).
///
/// A panic becomes a log line as well. To be called once.
pub fn start(variable: impl Fn(&str) -> Option<String>) {
    let level = level(&variable("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default());
    let targets = Targets::new()
        .with_target("stopinator", level)
        .with_target(METRICS, LevelFilter::OFF)
        // Says again, in Debug form, what `handler` has already said.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
        .with_default(level.min(LevelFilter::WARN));
    let text = variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("text"));
    let lines = if text {
        fmt::layer().with_target(false).boxed()
    } else {
        fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_current_span(false)
            .with_span_list(false)
            .boxed()
    };
    let metrics = MetricsLines.with_filter(Targets::new().with_target(METRICS, LevelFilter::INFO));
    tracing_subscriber::registry().with(lines.with_filter(targets)).with(metrics).init();
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
}

/// Lambda's names for levels; it has one more than `tracing`.
fn level(name: &str) -> LevelFilter {
    match name.to_ascii_uppercase().as_str() {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" => LevelFilter::WARN,
        "ERROR" | "FATAL" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
}

/// Logs a run: a line for each instance, then one with the sums.
pub fn log_run(report: &Report, request_id: &str, took: Duration) {
    for row in &report.instances {
        log_row(row, request_id, report);
    }
    for action in [Action::Stop, Action::Start] {
        // In another account it is the role there.
        let mut refused: BTreeMap<(Option<AccountId>, bool), Vec<&Row>> = BTreeMap::new();
        for row in &report.instances {
            if row.planned() == Some(action) && row.reason() == Some(Reason::NotPermitted) {
                refused.entry((row.entry.account(), row.kind().is_some())).or_default().push(row);
            }
        }
        for ((account, are_databases), rows) in refused {
            let (account, count, detail) = (account.as_ref().map(AccountId::as_str), rows.len(), denied(&rows));
            if are_databases {
                tracing::error!(
                    requestId = request_id,
                    account,
                    databases = count,
                    detail,
                    "the function's role may not {action} some databases"
                );
            } else {
                tracing::error!(
                    requestId = request_id,
                    account,
                    instances = count,
                    detail,
                    "the function's role may not {action} some instances"
                );
            }
        }
    }
    for unreachable in &report.unreachable {
        let account = unreachable.account.as_ref().map(AccountId::as_str);
        let region = unreachable.region.as_ref().map(Region::as_str);
        let (call, detail) = (unreachable.call, &*unreachable.why);
        if unreachable.is_remembered {
            tracing::debug!(requestId = request_id, account, region, call, detail, "unreachable");
        } else {
            tracing::warn!(requestId = request_id, account, region, call, detail, "unreachable");
        }
    }
    let counts = report.counts();
    tracing::info!(
        requestId = request_id,
        action = report.action.as_str(),
        time = %report.time,
        dry_run = report.dry_run,
        found = counts.found,
        kept = counts.kept,
        planned = counts.planned,
        confirmed = counts.confirmed,
        accepted = counts.accepted,
        refused = counts.refused,
        failed = counts.failed,
        not_attempted = counts.not_attempted,
        accounts = report.reach.map(|reach| reach.looked_at),
        unreachable = report.reach.map(|_| report.unreachable.len()),
        duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "run finished"
    );
}

/// Logs that people, or programs, have not heard of something.
pub fn log_untold(untold: &Untold, request_id: &str) {
    tracing::warn!(requestId = request_id, events = untold.events, detail = &*untold.why, "events not sent");
}

/// The text of one of those that the role may not act on; first of one that AWS spoke of.
fn denied<'a>(refused: &[&'a Row]) -> Option<&'a str> {
    let details = || refused.iter().filter_map(|row| row.said.as_deref());
    details().find(|detail| !detail.starts_with(UNTRIED)).or_else(|| details().next())
}

/// Writes the metrics document as a line of its own, whatever the level of the log. The line has no level, which to
/// Lambda is INFO, so that it passes at every level that the template offers.
pub fn write_metrics(document: &Value) {
    tracing::info!(target: METRICS, "{document}");
}

/// Writes what is logged to [`METRICS`], as it is.
struct MetricsLines;

impl<S: Subscriber> Layer<S> for MetricsLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut |field: &Field, value: &dyn Debug| {
            if field.name() == "message" {
                // Where standard output is gone there is nobody left to tell.
                let _ = writeln!(std::io::stdout().lock(), "{value:?}");
            }
        });
    }
}

fn log_row(row: &Row, request_id: &str, report: &Report) {
    macro_rules! line {
        ($level:ident, $($message:tt)+) => {
            tracing::$level!(
                requestId = request_id,
                id = row.entry.id.as_str(),
                kind = row.kind().map(Kind::as_str),
                name = row.entry.name.as_deref(),
                account = row.entry.account().as_ref().map(AccountId::as_str),
                region = row.entry.region().map(Region::as_str),
                decision = row.decision(),
                outcome = row.outcome.map(Outcome::as_str),
                reason = row.reason().map(|reason| reason.as_str()),
                detail = row.detail().as_deref(),
                $($message)+
            )
        };
    }
    match (row.planned(), row.outcome) {
        // Nobody else will tell the owner of the tag.
        (None, _) if matches!(row.reason(), Some(Reason::InvalidSchedule | Reason::InvalidHold)) => line!(warn, "kept"),
        (None, _) if matches!(row.reason(), Some(Reason::Unhealthy)) || row.is_unsettled() => line!(warn, "kept"),
        // A tag that nobody reads, where that of its cluster is missing.
        (None, _) if row.is_member_of_untagged(report) => line!(warn, "kept"),
        (None, _) => line!(debug, "kept"),
        (Some(action), None) => line!(info, "would {action}"),
        (Some(action), Some(outcome @ (Outcome::Accepted | Outcome::Confirmed))) => {
            line!(info, "{action} {}", outcome.as_str());
        }
        (Some(action), Some(outcome @ (Outcome::Refused | Outcome::NotAttempted))) => {
            line!(warn, "{action} {}", outcome.as_str());
        }
        (Some(action), Some(outcome @ Outcome::Failed)) => line!(error, "{action} {}", outcome.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        for (name, expected) in [
            ("TRACE", LevelFilter::TRACE),
            ("debug", LevelFilter::DEBUG),
            ("INFO", LevelFilter::INFO),
            ("Warn", LevelFilter::WARN),
            ("ERROR", LevelFilter::ERROR),
            ("FATAL", LevelFilter::ERROR),
            ("", LevelFilter::INFO),
            ("loud", LevelFilter::INFO),
        ] {
            assert_eq!(level(name), expected, "{name}");
        }
    }
}
