//! One run: observe, plan, execute.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt};

use crate::aws::{CallError, Clients, execute, observe};
use crate::instance::{Action, Reason, Region};
use crate::plan::plan;
use crate::report::{Outcome, Report, Row};
use crate::settings::Settings;
use crate::trigger::Request;

/// How many regions are looked at side by side: each holds one page in memory.
const REGIONS_AT_ONCE: usize = 4;

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
#[error("{region} could not be observed: {source}")]
pub struct Unobserved {
    /// The region.
    pub region: Region,
    /// The call that failed.
    pub source: CallError,
}

/// Carries out a request; a dry one ends with the plan.
pub async fn run(settings: &Settings, clients: &Clients, request: &Request) -> Run {
    let mut found_by_region = Vec::new();
    let mut looked_in = Vec::new();
    let mut unobserved = Vec::new();
    let looks = request.regions.iter().filter_map(|region| Some((region, clients.get(region)?)));
    let mut looks = stream::iter(looks)
        .map(async |(region, client)| (region, observe::observe(client, region, settings, request).await))
        .buffered(REGIONS_AT_ONCE);
    while let Some((region, found)) = looks.next().await {
        match found {
            Ok(found) => {
                found_by_region.push(found);
                looked_in.push(region.clone());
            }
            Err(source) => unobserved.push(Unobserved { region: region.clone(), source }),
        }
    }

    let plan = plan(settings, request, found_by_region.into_iter().flatten(), &looked_in);
    let too_many = !request.dry_run && settings.max_actions.is_some_and(|max| plan.actions() > max.get());
    let mut report = Report::new(request, plan);
    if too_many {
        for row in report.instances.iter_mut().filter(|row| row.planned.is_some()) {
            row.settle(Outcome::NotAttempted, Some(Reason::TooMany), None);
        }
    } else if !request.dry_run {
        execute(clients, &mut report.instances).await;
    }
    Run { report, unobserved, too_many }
}

/// A call that fails marks its own batch; the other batches go on.
async fn execute(clients: &Clients, rows: &mut [Row]) {
    for ((region, action), mut rows) in due(rows) {
        let Some(client) = clients.get(&region) else { continue };
        for batch in rows.chunks_mut(execute::IDS_A_CALL) {
            let ids: Vec<_> = batch.iter().map(|row| &row.id).collect();
            let result = execute::send(client, action, &ids).await;
            for row in batch {
                match &result {
                    Ok(()) => row.settle(Outcome::Accepted, None, None),
                    Err(error) => {
                        row.settle(Outcome::Failed, Some(Reason::Ec2Error), Some(error.said.as_str().into()));
                    }
                }
            }
        }
    }
}

/// The planned rows, by the calls that they need.
fn due(rows: &mut [Row]) -> BTreeMap<(Region, Action), Vec<&mut Row>> {
    let mut due: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        if let (Some(region), Some(action)) = (&row.region, row.planned) {
            due.entry((region.clone(), action)).or_default().push(row);
        }
    }
    due
}
