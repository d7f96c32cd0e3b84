//! One run: look, plan, carry out. What was planned is what is done; nothing is looked at again in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::action::{Action, Outcome};
use crate::aws::clock::Clock;
use crate::aws::{CallError, Clients, Ec2, Rds, execute, observe, rds, verify};
use crate::ec2::executor::{Executor, Target};
use crate::place::Region;
use crate::plan::{Looked, depends_on_history, plan};
use crate::rds::executor::{Executor as RdsExecutor, Target as RdsTarget};
use crate::reason::Reason;
use crate::report::{Report, Row, Unobserved};
use crate::request::Request;
use crate::resource::{Kind, Resource, ResourceId};
use crate::settings::Settings;
use crate::settled::Settled;

/// How many regions are looked at side by side: each holds one page in memory.
const REGIONS_AT_ONCE: usize = 4;
/// What is kept of the invocation's time for the report, and where that is more than a tenth of it, a tenth.
const FOR_THE_REPORT: Duration = Duration::from_secs(3);

/// How far a run has come, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many instances, or databases, have been found in a region; more may come.
    Found(Region, usize),
    /// A region was looked at, and so many were found there.
    Looked(Region, usize),
    /// A region could not be looked at.
    Unobserved(Region),
    /// So many actions in a region have been sent, or given up.
    Sent(Region, Action, usize),
    /// So many of those that AWS accepted were looked at until they arrived, or until the time was over.
    Verified(Region, Action, usize),
}

/// A request that is being carried out.
#[derive(Debug)]
pub struct Run<'a> {
    settings: &'a Settings,
    request: &'a Request,
    clock: Clock,
    ec2: BTreeMap<Region, Ec2>,
    rds: BTreeMap<Region, Rds>,
    /// Whether somebody will ask what a hold keeps from being done.
    what_if: bool,
}

/// What was found, and where nobody could look.
#[derive(Debug, Clone)]
pub struct Found {
    /// As they came, region by region: they are many.
    by_region: Vec<Vec<Resource>>,
    looked: Looked,
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
    /// The resources, in no order.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.by_region.iter().flatten()
    }
}

impl<'a> Run<'a> {
    /// Begins a run that has to be over within `time`, the report included. No call is made yet.
    #[must_use]
    pub fn begin(settings: &'a Settings, clients: &Clients, request: &'a Request, time: Duration) -> Self {
        let clock = clients.clock(time.saturating_sub(FOR_THE_REPORT.min(time / 10)));
        let ec2 = clients.open(&request.regions, &clock);
        let rds = clients.open_rds(&request.regions, &clock);
        Self { settings, request, clock, ec2, rds, what_if: false }
    }

    /// For people, who also ask what would be done without a hold: so the history of what is held is asked for, too.
    #[must_use]
    pub fn and_what_if(self) -> Self {
        Self { what_if: true, ..self }
    }

    /// Looks in every region, and plans: the report of which nothing has been done. `tell` hears of each page.
    pub async fn look(&self, tell: &impl Fn(Progress)) -> Report {
        self.plan(self.find(tell).await)
    }

    /// Looks in every region. `tell` hears of each page.
    pub async fn find(&self, tell: &impl Fn(Progress)) -> Found {
        // A region that does not answer must leave the others time to be acted on.
        let until = self.clock.deadline() / 2;
        let mut found = Found { by_region: Vec::new(), looked: Looked::EVERYWHERE, unobserved: Vec::new() };
        let mut looks = stream::iter(&self.request.regions)
            .map(async |region| {
                let page = |found| tell(Progress::Found(region.clone(), found));
                let instances = async {
                    let ec2 = self.ec2.get(region).filter(|_| self.request.is_about(Kind::Instance))?;
                    let look = observe::observe(ec2, region, self.settings, self.request, &page);
                    Some(self.clock.before(until, look).await)
                };
                let databases = async {
                    let is_about = self.request.is_about(Kind::Db) || self.request.is_about(Kind::Cluster);
                    let rds = self.rds.get(region).filter(|_| is_about)?;
                    Some(self.clock.before(until, self.find_databases(rds, region, until, &page)).await)
                };
                (region, join(instances, databases).await)
            })
            .buffer_unordered(REGIONS_AT_ONCE);
        while let Some((region, (instances, databases))) = looks.next().await {
            let (mut count, mut has_failed) = (None, false);
            let mut failed = |call: &'static str, why: String| {
                has_failed = true;
                found.unobserved.push(Unobserved { region: region.clone(), call, why: why.into() });
            };
            match instances {
                None => {}
                Some(Some(Ok(instances))) => {
                    *count.get_or_insert(0) += instances.len();
                    found.by_region.push(instances);
                }
                Some(other) => {
                    found.looked.for_instances = false;
                    let (call, why) = told(other, "DescribeInstances");
                    failed(call, why);
                }
            }
            match databases {
                None => {}
                Some(Some(Ok((databases, without_history)))) => {
                    *count.get_or_insert(0) += databases.len();
                    found.by_region.push(databases);
                    if let Some(error) = without_history {
                        failed(error.call, error.said);
                    }
                }
                Some(other) => {
                    found.looked.for_databases = false;
                    let (call, why) = told(other, "DescribeDBInstances");
                    failed(call, why);
                }
            }
            match count.filter(|_| !has_failed) {
                Some(count) => tell(Progress::Looked(region.clone(), count)),
                None => tell(Progress::Unobserved(region.clone())),
            }
        }
        found.unobserved.sort_by(|a, b| a.region.cmp(&b.region));
        found
    }

    /// The databases of a region, with their history where something would be decided by it; and why there is none,
    /// where that could not be had.
    async fn find_databases(
        &self,
        rds: &Rds,
        region: &Region,
        until: Duration,
        page: &impl Fn(usize),
    ) -> Result<(Vec<Resource>, Option<CallError>), CallError> {
        let mut databases = rds::observe(rds, region, self.settings, self.request, page).await?;
        let depends = |database: &Resource| depends_on_history(self.settings, self.request, database);
        let without_hold = |database: &Resource| Resource { hold: None, ..database.clone() };
        let is_asked =
            |one: &Resource| depends(one) || (self.what_if && one.hold.is_some() && depends(&without_hold(one)));
        let asked: Vec<&mut Resource> = databases.iter_mut().filter(|one| is_asked(one)).collect();
        let kinds: BTreeSet<Kind> = asked.iter().map(|database| database.id.kind()).collect();
        let without_history = match self.clock.before(until, rds::history(rds, kinds)).await {
            Some(Ok(history)) => {
                for database in asked {
                    history.tell(database, self.request.instant);
                }
                None
            }
            // In doubt they are left alone.
            Some(Err(error)) => Some(error),
            None => Some(CallError { call: "DescribeEvents", said: "no answer in time".to_owned(), source: None }),
        };
        Ok((databases, without_history))
    }

    /// EC2 in each of the regions, to ask what is beside the plan.
    #[must_use]
    pub fn ec2(&self) -> &BTreeMap<Region, Ec2> {
        &self.ec2
    }

    /// RDS in each of the regions, where the deployment looks after databases.
    #[must_use]
    pub fn rds(&self) -> &BTreeMap<Region, Rds> {
        &self.rds
    }

    /// Plans for what was found: the report of which nothing has been done.
    #[must_use]
    pub fn plan(&self, found: Found) -> Report {
        let plan = plan(self.settings, self.request, found.by_region.into_iter().flatten(), found.looked);
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
        let (instances, databases): (Vec<&mut Row>, Vec<&mut Row>) = report
            .instances
            .iter_mut()
            .filter(|row| row.planned().is_some())
            .partition(|row| row.entry.id.kind() == Kind::Instance);
        join(self.act_on_instances(instances, seed, tell), self.act_on_databases(databases, seed, tell)).await;
    }

    async fn act_on_instances(&self, rows: Vec<&mut Row>, seed: u64, tell: &impl Fn(Progress)) {
        let parts = parted(rows, Row::planned).into_iter();
        let parts = parts.filter_map(|((region, action), rows)| Some((self.ec2.get(&region)?, region, action, rows)));
        join_all(parts.map(async |(ec2, region, action, mut rows)| {
            let targets = rows.iter().filter_map(|row| target(row, self.request.instant)).collect();
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
            note(&mut rows, settled.into_iter().chain(arrived), |place| targets[place].id.into());
        }))
        .await;
    }

    /// In turn in each region, since all calls of RDS draw from one bucket there.
    async fn act_on_databases(&self, rows: Vec<&mut Row>, seed: u64, tell: &impl Fn(Progress)) {
        let parts = parted(rows, |_| Some(())).into_iter();
        let parts = parts.filter_map(|((region, ()), rows)| Some((self.rds.get(&region)?, region, rows)));
        join_all(parts.map(async |(rds, region, mut rows)| {
            let targets = rows.iter().filter_map(|row| rds_target(row, self.request.instant)).collect();
            let executor = RdsExecutor::new(targets, self.clock.deadline(), seed);
            let (targets, settled) = Box::pin(rds::act(rds, self.settings.verify, executor)).await;
            for action in [Action::Stop, Action::Start] {
                let count = targets.iter().filter(|target| target.action == action).count();
                if count > 0 {
                    tell(Progress::Sent(region.clone(), action, count));
                    tell(Progress::Verified(region.clone(), action, count));
                }
            }
            note(&mut rows, settled.into_iter(), |place| targets[place].id.clone().into());
        }))
        .await;
    }
}

/// What went wrong with a look: where there is no error, it took too long.
fn told<T>(answer: Option<Result<T, CallError>>, call: &'static str) -> (&'static str, String) {
    match answer {
        Some(Err(error)) => (error.call, error.said),
        _ => (call, "no answer in time".to_owned()),
    }
}

/// So long before an action is no longer due it is not sent any more: it takes time to arrive, and the instant decided
/// for is a second old at most.
const BEFORE_AN_EDGE: SignedDuration = SignedDuration::from_secs(3);

fn due_until(row: &Row, instant: Timestamp) -> Option<Duration> {
    let left = |until: Timestamp| (until.duration_since(instant) - BEFORE_AN_EDGE).try_into().unwrap_or_default();
    row.entry.until.as_ref().and_then(|until| until.due).map(left)
}

fn target(row: &Row, instant: Timestamp) -> Option<Target> {
    Some(Target { id: row.entry.id.instance()?, launch: row.entry.launch.clone(), due_until: due_until(row, instant) })
}

fn rds_target(row: &Row, instant: Timestamp) -> Option<RdsTarget> {
    Some(RdsTarget { id: row.entry.id.database()?.clone(), action: row.planned()?, due_until: due_until(row, instant) })
}

/// The rows, by region and by what else parts them: each part has clients, buckets and an executor of its own.
fn parted<By: Ord>(rows: Vec<&mut Row>, by: impl Fn(&Row) -> Option<By>) -> BTreeMap<(Region, By), Vec<&mut Row>> {
    let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        if let (Some(region), Some(by)) = (row.entry.region.clone(), by(row)) {
            parts.entry((region, by)).or_default().push(row);
        }
    }
    parts
}

/// Notes what became of the rows; of several that are told of one, the last counts.
fn note(rows: &mut [&mut Row], settled: impl Iterator<Item = Settled>, id: impl Fn(usize) -> ResourceId) {
    let mut by_id: BTreeMap<_, _> = rows.iter_mut().map(|row| (row.entry.id.clone(), row)).collect();
    for settled in settled {
        if let Some(row) = by_id.get_mut(&id(settled.target)) {
            row.settle(settled.outcome, settled.reason, settled.detail);
        }
    }
}
