//! One run: look, plan, carry out. What was planned is what is done; nothing is looked at again in between.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::action::{Action, Outcome};
use crate::aws::clock::Clock;
use crate::aws::{Clients, Ec2, execute, observe, verify};
use crate::ec2::executor::{Executor, Settled, Target};
use crate::place::Region;
use crate::plan::plan;
use crate::reason::Reason;
use crate::report::{Report, Row, Unobserved};
use crate::request::Request;
use crate::resource::Instance;
use crate::settings::Settings;

/// How many regions are looked at side by side: each holds one page in memory.
const REGIONS_AT_ONCE: usize = 4;
/// What is kept of the invocation's time for the report, and where that is more than a tenth of it, a tenth.
const FOR_THE_REPORT: Duration = Duration::from_secs(3);

/// How far a run has come, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many instances have been found in a region; more may come.
    Found(Region, usize),
    /// A region was looked at, and so many instances were found there.
    Looked(Region, usize),
    /// A region could not be looked at.
    Unobserved(Region),
    /// So many actions in a region have been sent, or given up.
    Sent(Region, Action, usize),
    /// So many of those that EC2 accepted were looked at until they arrived, or until the time was over.
    Verified(Region, Action, usize),
}

/// A request that is being carried out.
#[derive(Debug)]
pub struct Run<'a> {
    settings: &'a Settings,
    request: &'a Request,
    clock: Clock,
    ec2: BTreeMap<Region, Ec2>,
}

/// What was found, and where nobody could look.
#[derive(Debug, Clone)]
pub struct Found {
    /// As they came, region by region: they are many.
    by_region: Vec<Vec<Instance>>,
    looked_in: Vec<Region>,
    unobserved: Vec<Unobserved>,
}

/// Carries out a request within `time`, the report included; a dry one ends with the plan. `seed` spreads the pauses,
/// and draws who is tried first.
pub async fn run(settings: &Settings, clients: &Clients, request: &Request, time: Duration, seed: u64) -> Report {
    let nobody = |_| ();
    let run = Run::begin(settings, clients, request, time);
    let mut report = run.look(&nobody).await;
    run.carry_out(&mut report, seed, &nobody).await;
    report
}

impl Found {
    /// The instances, in no order.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.by_region.iter().flatten()
    }
}

impl<'a> Run<'a> {
    /// Begins a run that has to be over within `time`, the report included. No call is made yet.
    #[must_use]
    pub fn begin(settings: &'a Settings, clients: &Clients, request: &'a Request, time: Duration) -> Self {
        let clock = clients.clock(time.saturating_sub(FOR_THE_REPORT.min(time / 10)));
        let ec2 = clients.open(&request.regions, &clock);
        Self { settings, request, clock, ec2 }
    }

    /// Looks in every region, and plans: the report of which nothing has been done. `tell` hears of each page.
    pub async fn look(&self, tell: &impl Fn(Progress)) -> Report {
        self.plan(self.find(tell).await)
    }

    /// Looks in every region. `tell` hears of each page.
    pub async fn find(&self, tell: &impl Fn(Progress)) -> Found {
        // A region that does not answer must leave the others time to be acted on.
        let until = self.clock.deadline() / 2;
        let mut by_region = Vec::new();
        let mut looked_in = Vec::new();
        let mut unobserved = Vec::new();
        let mut looks = stream::iter(&self.ec2)
            .map(async |(region, ec2)| {
                let page = |found| tell(Progress::Found(region.clone(), found));
                let look = observe::observe(ec2, region, self.settings, self.request, &page);
                (region, self.clock.before(until, look).await)
            })
            .buffer_unordered(REGIONS_AT_ONCE);
        while let Some((region, found)) = looks.next().await {
            let (call, why) = match found {
                Some(Ok(found)) => {
                    tell(Progress::Looked(region.clone(), found.len()));
                    by_region.push(found);
                    looked_in.push(region.clone());
                    continue;
                }
                Some(Err(error)) => (error.call, error.said),
                None => ("DescribeInstances", "no answer in time".to_owned()),
            };
            tell(Progress::Unobserved(region.clone()));
            unobserved.push(Unobserved { region: region.clone(), call, why: why.into() });
        }
        unobserved.sort_by(|a, b| a.region.cmp(&b.region));
        Found { by_region, looked_in, unobserved }
    }

    /// EC2 in each of the regions, to ask what is beside the plan.
    #[must_use]
    pub fn ec2(&self) -> &BTreeMap<Region, Ec2> {
        &self.ec2
    }

    /// Plans for what was found: the report of which nothing has been done.
    #[must_use]
    pub fn plan(&self, found: Found) -> Report {
        let plan = plan(self.settings, self.request, found.by_region.into_iter().flatten(), &found.looked_in);
        Report { unobserved: found.unobserved, ..Report::new(self.request, plan) }
    }

    /// Does what the report of [`Run::look`] has planned, and notes what became of it; nothing in a dry run, and nothing
    /// where the breaker holds.
    pub async fn carry_out(&self, report: &mut Report, seed: u64, tell: &impl Fn(Progress)) {
        if report.dry_run {
            return;
        }
        let actions = report.counts().planned;
        report.held_back_by = self.settings.max_actions.filter(|limit| actions > limit.get());
        if report.held_back_by.is_some() {
            for row in report.instances.iter_mut().filter(|row| row.planned().is_some()) {
                row.settle(Outcome::NotAttempted, Some(Reason::TooMany), None);
            }
            return;
        }
        let parts = planned(&mut report.instances).into_iter();
        let parts = parts.filter_map(|((region, action), rows)| Some((self.ec2.get(&region)?, region, action, rows)));
        join_all(parts.map(async |(ec2, region, action, mut rows)| {
            let targets = rows.iter().map(|row| target(row, self.request.instant)).collect();
            let executor = Executor::new(action, targets, self.settings.hibernate, self.clock.deadline(), seed);
            // On the heap: one of these for each region is much for a stack.
            let executor = Box::pin(execute::execute(ec2, action, executor)).await;
            let (targets, settled) = executor.into_settled();
            tell(Progress::Sent(region.clone(), action, settled.len()));
            let accepted = settled.iter().filter(|settled| settled.outcome == Outcome::Accepted);
            let accepted: Vec<usize> = accepted.map(|settled| settled.target).collect();
            let looked_at = accepted.len();
            let arrived = verify::verify(ec2, self.settings.verify, action, &targets, accepted).await;
            tell(Progress::Verified(region, action, looked_at));
            note(&mut rows, &targets, settled.into_iter().chain(arrived));
        }))
        .await;
    }
}

/// So long before an action is no longer due it is not sent any more: it takes time to arrive, and the instant decided
/// for is a second old at most.
const BEFORE_AN_EDGE: SignedDuration = SignedDuration::from_secs(3);

fn target(row: &Row, instant: Timestamp) -> Target {
    let left = |until: Timestamp| (until.duration_since(instant) - BEFORE_AN_EDGE).try_into().unwrap_or_default();
    let due_until = row.entry.until.as_ref().and_then(|until| until.due).map(left);
    Target { id: row.entry.id, launch: row.entry.launch.clone(), due_until }
}

/// The planned rows, by region and action: each part has clients, buckets and an executor of its own.
fn planned(rows: &mut [Row]) -> BTreeMap<(Region, Action), Vec<&mut Row>> {
    let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        if let (Some(region), Some(action)) = (row.entry.region.clone(), row.planned()) {
            parts.entry((region, action)).or_default().push(row);
        }
    }
    parts
}

/// Notes what became of the rows; of several that are told of one, the last counts.
fn note(rows: &mut [&mut Row], targets: &[Target], settled: impl Iterator<Item = Settled>) {
    let mut by_id: BTreeMap<_, _> = rows.iter_mut().map(|row| (row.entry.id, row)).collect();
    for settled in settled {
        if let Some(row) = by_id.get_mut(&targets[settled.target].id) {
            row.settle(settled.outcome, settled.reason, settled.detail);
        }
    }
}
