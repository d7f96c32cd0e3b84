//! One run: observe, plan, execute, verify.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::aws::{Clients, execute, observe, verify};
use crate::executor::{Executor, Target};
use crate::instance::{Action, Outcome, Reason, Region};
use crate::plan::plan;
use crate::report::{Report, Row};
use crate::settings::Settings;
use crate::trigger::Request;

/// How many regions are looked at side by side: each holds one page in memory.
const REGIONS_AT_ONCE: usize = 4;
/// What is kept of the invocation's time for the report; of a short time a tenth.
const FOR_THE_REPORT: Duration = Duration::from_secs(3);

/// What a run leaves behind.
#[derive(Debug)]
pub struct Run {
    /// What became of every instance found.
    pub report: Report,
    /// The regions that could not be observed. They cost only themselves.
    pub unobserved: Vec<Unobserved>,
    /// Whether the breaker held the plan back.
    pub too_many: bool,
}

/// A region that could not be observed.
#[derive(Debug, thiserror::Error)]
#[error("{region} could not be observed: {why}")]
pub struct Unobserved {
    /// The region.
    pub region: Region,
    /// The call that failed, and what EC2 said.
    pub why: String,
}

/// Carries out a request within `time`, the report included; a dry one ends with the plan. `seed` spreads the pauses.
pub async fn run(settings: &Settings, clients: &Clients, request: &Request, time: Duration, seed: u64) -> Run {
    let clock = clients.clock(time.saturating_sub(FOR_THE_REPORT.min(time / 10)));
    let regions = clients.open(&request.regions, &clock);
    // A region that does not answer must leave the others time to be acted on.
    let look_until = clock.deadline() / 2;
    let mut found_by_region = Vec::new();
    let mut looked_in = Vec::new();
    let mut unobserved = Vec::new();
    let mut looks = stream::iter(&regions)
        .map(async |(region, ec2)| {
            (region, clock.before(look_until, observe::observe(ec2, region, settings, request)).await)
        })
        .buffer_unordered(REGIONS_AT_ONCE);
    while let Some((region, found)) = looks.next().await {
        let why = match found {
            Some(Ok(found)) => {
                found_by_region.push(found);
                looked_in.push(region.clone());
                continue;
            }
            Some(Err(error)) => error.to_string(),
            None => "DescribeInstances: no answer in time".to_owned(),
        };
        unobserved.push(Unobserved { region: region.clone(), why });
    }
    unobserved.sort_by(|a, b| a.region.cmp(&b.region));

    let plan = plan(settings, request, found_by_region.into_iter().flatten(), &looked_in);
    let too_many = !request.dry_run && settings.max_actions.is_some_and(|max| plan.actions() > max.get());
    let mut report = Report::new(request, plan);
    if too_many {
        for row in report.instances.iter_mut().filter(|row| row.planned.is_some()) {
            row.settle(Outcome::NotAttempted, Some(Reason::TooMany), None);
        }
    } else if !request.dry_run {
        let parts = planned(&mut report.instances).into_iter();
        let parts = parts.filter_map(|((region, action), rows)| Some((regions.get(&region)?, action, rows)));
        join_all(parts.map(async |(ec2, action, mut rows)| {
            let targets = rows.iter().map(|row| target(row, request.instant)).collect();
            let executor = Executor::new(action, targets, settings.hibernate, clock.deadline(), seed);
            // On the heap: one of these for each region is much for a stack.
            let executor = Box::pin(execute::execute(ec2, action, executor)).await;
            note(&mut rows, executor);
            verify::verify(ec2, settings.verify, action, &mut rows).await;
        }))
        .await;
    }
    Run { report, unobserved, too_many }
}

/// So long before an action is no longer due it is not sent any more: it takes time to arrive, and the instant decided
/// for is a second old at most.
const BEFORE_AN_EDGE: SignedDuration = SignedDuration::from_secs(3);

fn target(row: &Row, instant: Timestamp) -> Target {
    let left = |until: Timestamp| (until.duration_since(instant) - BEFORE_AN_EDGE).try_into().unwrap_or_default();
    let due_until = row.due_until.map(left);
    Target { id: row.id, launch: row.launch.clone(), due_until }
}

/// The planned rows, by region and action: each part has clients, buckets and an executor of its own.
fn planned(rows: &mut [Row]) -> BTreeMap<(Region, Action), Vec<&mut Row>> {
    let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        if let (Some(region), Some(action)) = (&row.region, row.planned) {
            parts.entry((region.clone(), action)).or_default().push(row);
        }
    }
    parts
}

fn note(rows: &mut [&mut Row], executor: Executor) {
    let (targets, settled) = executor.into_settled();
    let mut by_id: BTreeMap<_, _> = rows.iter_mut().map(|row| (row.id, row)).collect();
    for settled in settled {
        if let Some(row) = by_id.get_mut(&targets[settled.target].id) {
            row.settle(settled.outcome, settled.reason, settled.detail);
        }
    }
}
