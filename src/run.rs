//! One run: look, plan, carry out. What was planned is what is done; nothing is looked at again in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{join, join_all};
use futures_util::stream::{self, StreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::action::{Action, Outcome, RequestedAction};
use crate::aws::accounts::{Entered, Hub, Look};
use crate::aws::clock::Clock;
use crate::aws::tell::{TO_TELL, Untold, tell};
use crate::aws::{CALLS_AT_ONCE, CallError, Clients, Ec2, Rds, execute, observe, rds, verify};
use crate::ec2::executor::{Executor, Target};
use crate::place::{AccountId, Place};
use crate::plan::{Ahead, Extent, Looked, Notice, depends_on_history, notices, plan, stops};
use crate::rds::executor::{Executor as RdsExecutor, Target as RdsTarget};
use crate::reach::{Reach, Silence};
use crate::report::events::Event;
use crate::report::{Report, Row, Unobserved, is_open};
use crate::request::Request;
use crate::resource::{Kind, Resource, ResourceId, State};
use crate::settings::Settings;
use crate::settled::Settled;

/// What is kept of the invocation's time for the report, and where that is more than a tenth of it, a tenth.
const FOR_THE_REPORT: Duration = Duration::from_secs(3);

/// How far a run has come, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// So many instances, or databases, have been found at a place; more may come.
    Found(Place, usize),
    /// A place was looked at, and so many were found there.
    Looked(Place, usize),
    /// A place could not be looked at.
    Unobserved(Place),
    /// So many actions at a place have been sent, or given up.
    Sent(Place, Action, usize),
    /// So many of those that AWS accepted were looked at until they arrived, or until the time was over.
    Verified(Place, Action, usize),
}

/// A request that is being carried out.
#[derive(Debug)]
pub struct Run<'a> {
    settings: &'a Settings,
    request: &'a Request,
    clock: Clock,
    ec2: BTreeMap<Place, Ec2>,
    rds: BTreeMap<Place, Rds>,
    /// The way into other accounts, and how far it went, where the deployment looks after such.
    hub: Option<(Arc<Hub>, Entered)>,
    seed: u64,
    /// Whether somebody will ask what a hold keeps from being done.
    what_if: bool,
}

/// What was found, and where nobody could look.
#[derive(Debug, Clone)]
pub struct Found {
    /// As they came, place by place: they are many.
    by_place: Vec<Vec<Resource>>,
    looked: Looked,
    unobserved: Vec<Unobserved>,
    unreachable: Vec<Unobserved>,
    /// The accounts in which something could be looked at.
    in_reach: BTreeSet<AccountId>,
}

/// Carries out a request within `time`, the report included; a dry one ends with the plan. `seed` spreads the pauses,
/// and draws who is tried first. Of stops that are ahead the event bus is told while others are acted on; `untold` hears
/// what it was not.
pub async fn run(
    settings: &Settings,
    clients: &Clients,
    request: &Request,
    (time, seed): (Duration, u64),
    ahead: impl FnOnce(Vec<Notice<'_>>) -> Vec<Event>,
    untold: impl FnOnce(Untold),
) -> Report {
    let nobody = |_| ();
    let run = Run::begin(settings, clients, request, time, seed).await;
    let found = run.find(&nobody).await;
    let notices = ahead(run.notices(&found));
    let mut report = run.plan(found);
    let told = tell(clients, &notices, TO_TELL.min(time / 20));
    if let (Some(left), ()) = join(told, run.carry_out(&mut report, &nobody)).await {
        untold(left);
    }
    report
}

impl Found {
    /// The resources, in no order.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.by_place.iter().flatten()
    }
}

impl<'a> Run<'a> {
    /// Begins a run that has to be over within `time`, the report included. Where the deployment looks after other
    /// accounts, they are entered; no other call is made yet. `seed` spreads the pauses, and draws who comes first.
    pub async fn begin(
        settings: &'a Settings,
        clients: &Clients,
        request: &'a Request,
        time: Duration,
        seed: u64,
    ) -> Self {
        let clock = clients.clock(time.saturating_sub(FOR_THE_REPORT.min(time / 10)));
        let hub = match clients.hub() {
            // What cannot be entered must leave the others time to be looked at, and acted on.
            Some(hub) => {
                let deadline = clock.deadline();
                Some((hub.clone(), hub.enter(request, &clock, deadline / 4, deadline * 3 / 8).await))
            }
            None => None,
        };
        let own = [(None, None)];
        let accounts = hub.iter().flat_map(|(_, entered)| &entered.open);
        let accounts: Vec<_> = accounts.map(|(account, session)| (Some(*account), session.as_ref())).collect();
        let accounts = if hub.is_some() { &*accounts } else { &own };
        let (mut ec2, mut rds) = (BTreeMap::new(), BTreeMap::new());
        for (account, session) in accounts {
            for region in &request.regions {
                let place = Place::new(*account, region.clone());
                rds.extend(clients.open_rds(&place, *session, &clock).map(|rds| (place.clone(), rds)));
                ec2.extend(clients.open(&place, *session, &clock).map(|ec2| (place, ec2)));
            }
        }
        Self { settings, request, clock, ec2, rds, hub, seed, what_if: false }
    }

    /// For people, who also ask what would be done without a hold: so the history of what is held is asked for, too.
    #[must_use]
    pub fn and_what_if(self) -> Self {
        Self { what_if: true, ..self }
    }

    /// Which stops are ahead, and to be told now: those by schedules on a tick, those by the stop rule where a dry run asks
    /// for it. Nothing is ahead where nothing is ever stopped.
    #[must_use]
    pub fn notices<'f>(&self, found: &'f Found) -> Vec<Notice<'f>> {
        match self.ahead() {
            _ if !self.settings.events || self.settings.dry_run => Vec::new(),
            _ if self.request.notice => stops(self.settings, self.request, found.resources()),
            Some(ahead) => notices(self.settings, &ahead, found.resources()),
            None => Vec::new(),
        }
    }

    /// What a tick asks about the stops that are ahead; a dry one tells nobody, but people may ask what it would tell.
    fn ahead(&self) -> Option<Ahead> {
        let is_tick = self.request.action == RequestedAction::Schedule;
        Ahead::of(self.settings, self.request).filter(|_| is_tick && (self.what_if || !self.request.dry_run))
    }

    /// Looks everywhere, and plans: the report of which nothing has been done. `tell` hears of each page.
    pub async fn look(&self, tell: &impl Fn(Progress)) -> Report {
        self.plan(self.find(tell).await)
    }

    /// Looks everywhere. `tell` hears of each page.
    pub async fn find(&self, tell: &impl Fn(Progress)) -> Found {
        // A place that does not answer must leave the others time to be acted on.
        let until = self.clock.deadline() / 2;
        let mut found = self.not_looked_yet();
        // Drawn, so that where time is short it is not always the same that have none.
        let mut places: Vec<&Place> = self.ec2.keys().collect();
        Rng::with_seed(self.seed).shuffle(&mut places);
        let silence = Silence::default();
        let mut looks = stream::iter(places)
            .map(async |place| {
                let page = |found| tell(Progress::Found(place.clone(), found));
                let instances = async {
                    let ec2 = self.ec2.get(place).filter(|_| self.request.is_about(Kind::Instance))?;
                    let look = observe::observe(ec2, place, self.settings, self.request, &page);
                    Some(self.guarded(place, Look::Instances, "DescribeInstances", &silence, until, look).await)
                };
                let databases = async {
                    let is_about = self.request.is_about(Kind::Db) || self.request.is_about(Kind::Cluster);
                    let rds = self.rds.get(place).filter(|_| is_about)?;
                    let look = self.find_databases(rds, place, until, &page);
                    Some(self.guarded(place, Look::Databases, "DescribeDBInstances", &silence, until, look).await)
                };
                // On the heap: 64 of these at once are much for a stack.
                (place, Box::pin(join(instances, databases)).await)
            })
            .buffer_unordered(CALLS_AT_ONCE);
        while let Some((place, (instances, databases))) = looks.next().await {
            let (mut count, mut has_failed) = (None, false);
            match instances {
                None => {}
                Some(Ok(instances)) => {
                    *count.get_or_insert(0) += instances.len();
                    found.by_place.push(instances);
                }
                Some(Err(blind)) => {
                    has_failed = true;
                    let extent = self.note_blind(&mut found, place, Look::Instances, blind);
                    found.looked.for_instances = found.looked.for_instances.max(extent);
                }
            }
            match databases {
                None => {}
                Some(Ok((databases, without_history))) => {
                    *count.get_or_insert(0) += databases.len();
                    found.by_place.push(databases);
                    if let Some(blind) = without_history {
                        has_failed = true;
                        self.note_blind(&mut found, place, Look::History, blind);
                    }
                }
                Some(Err(blind)) => {
                    has_failed = true;
                    let extent = self.note_blind(&mut found, place, Look::Databases, blind);
                    found.looked.for_databases = found.looked.for_databases.max(extent);
                }
            }
            if count.is_some() {
                found.in_reach.extend(place.account);
            }
            match count.filter(|_| !has_failed) {
                Some(count) => tell(Progress::Looked(place.clone(), count)),
                None => tell(Progress::Unobserved(place.clone())),
            }
        }
        found.unobserved.sort();
        found.unreachable.sort();
        found
    }

    /// What is known before anybody looks: which accounts are out of reach.
    fn not_looked_yet(&self) -> Found {
        let mut found = Found {
            by_place: Vec::new(),
            looked: Looked::EVERYWHERE,
            unobserved: Vec::new(),
            unreachable: Vec::new(),
            in_reach: BTreeSet::new(),
        };
        if let Some((_, entered)) = &self.hub {
            found.unobserved.clone_from(&entered.unobserved);
            found.unreachable.clone_from(&entered.unreachable);
            let extent = match (&*found.unobserved, &*found.unreachable) {
                ([], []) => Extent::Everywhere,
                ([], _) => Extent::WhereReachable,
                _ => Extent::InPart,
            };
            found.looked = Looked { for_instances: extent, for_databases: extent };
        }
        found
    }

    /// What a look gives; nothing of it is begun where an earlier run heard that nobody may look, or where too many others
    /// in the region have not answered.
    async fn guarded<T>(
        &self,
        place: &Place,
        what: Look,
        call: &'static str,
        silence: &Silence,
        until: Duration,
        look: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, Blind> {
        if let Some(denial) = self.denial(place, what) {
            return Err(Blind::Denied(denial));
        }
        if silence.is_in(&place.region) {
            return Err(CallError::without_answer(call, "not asked: others in this region gave no answer").into());
        }
        let answer = self.clock.before(until, look).await.unwrap_or_else(|| Err(no_answer(call)));
        silence.hear(&place.region, !matches!(&answer, Err(error) if !error.is_answer));
        answer.map_err(Into::into)
    }

    /// What an earlier run heard of a place, so that nobody has to ask again.
    fn denial(&self, place: &Place, what: Look) -> Option<Unobserved> {
        let (hub, _) = self.hub.as_ref()?;
        hub.denial(place.account?, Some((place.region.clone(), what)))
    }

    /// Notes where nobody could look, or where nobody may, which is remembered; how far that leaves what was looked at.
    fn note_blind(&self, found: &mut Found, place: &Place, what: Look, blind: Blind) -> Extent {
        let error = match blind {
            Blind::Denied(denial) => {
                found.unreachable.push(denial);
                return Extent::WhereReachable;
            }
            Blind::Failed(error) => error,
        };
        let unobserved = Unobserved {
            account: place.account,
            region: Some(place.region.clone()),
            call: error.call,
            why: error.said.as_str().into(),
            is_remembered: false,
        };
        // In the only account it is for whoever reads the error to mend; of many some are always out of reach.
        match (&self.hub, place.account) {
            (Some((hub, _)), Some(account)) if error.is_denial => {
                // Not every run asks for instance types.
                if error.call != "DescribeInstanceTypes" {
                    hub.note_denial(account, Some((place.region.clone(), what)), &error);
                }
                found.unreachable.push(unobserved);
                Extent::WhereReachable
            }
            _ => {
                found.unobserved.push(unobserved);
                Extent::InPart
            }
        }
    }

    /// The databases of a place, with their history where something would be decided by it; and why there is none,
    /// where that could not be had.
    async fn find_databases(
        &self,
        rds: &Rds,
        place: &Place,
        until: Duration,
        page: &impl Fn(usize),
    ) -> Result<(Vec<Resource>, Option<Blind>), CallError> {
        let mut databases = rds::observe(rds, place, self.settings, self.request, page).await?;
        let depends = |database: &Resource| depends_on_history(self.settings, self.request, database);
        let without_hold = |database: &Resource| Resource { hold: None, ..database.clone() };
        let is_asked =
            |one: &Resource| depends(one) || (self.what_if && one.hold.is_some() && depends(&without_hold(one)));
        // For a notice alone: of what will run, whether it will be stopped.
        let ahead = self.ahead();
        let is_asked_ahead = |one: &Resource| {
            let will_run = !matches!(one.state, State::Stopped | State::Stopping);
            let by_then = || Resource { state: State::Running, status: None, ..one.clone() };
            let mut questions = ahead.iter().flat_map(|ahead| [&ahead.not_yet, &ahead.due]);
            will_run && questions.any(|question| depends_on_history(self.settings, question, &by_then()))
        };
        let is_for_notices_alone = !databases.iter().any(is_asked);
        let asked: Vec<&mut Resource> =
            databases.iter_mut().filter(|one| is_asked(one) || is_asked_ahead(one)).collect();
        let kinds: BTreeSet<Kind> = asked.iter().map(|database| database.id.kind()).collect();
        if kinds.is_empty() {
            drop(asked);
            return Ok((databases, None));
        }
        // In doubt they are left alone.
        let without_history = match self.denial(place, Look::History) {
            Some(denial) => Some(Blind::Denied(denial)),
            None => match self.clock.before(until, rds::history(rds, kinds)).await {
                Some(Ok(history)) => {
                    for database in asked {
                        history.tell(database, self.request.instant);
                    }
                    None
                }
                Some(Err(error)) => Some(error.into()),
                None => Some(no_answer("DescribeEvents").into()),
            },
        };
        // Nobody's run fails for want of a notice.
        Ok((databases, without_history.filter(|_| !is_for_notices_alone)))
    }

    /// EC2 at each of the places, to ask what is beside the plan.
    #[must_use]
    pub fn ec2(&self) -> &BTreeMap<Place, Ec2> {
        &self.ec2
    }

    /// RDS at each of the places, where the deployment looks after databases.
    #[must_use]
    pub fn rds(&self) -> &BTreeMap<Place, Rds> {
        &self.rds
    }

    /// Plans for what was found: the report of which nothing has been done.
    #[must_use]
    pub fn plan(&self, found: Found) -> Report {
        let Found { by_place, looked, unobserved, unreachable, in_reach } = found;
        let reach = self.hub.as_ref().map(|(hub, entered)| {
            let told: BTreeSet<AccountId> = unreachable.iter().filter_map(|unreachable| unreachable.account).collect();
            let out = told.difference(&in_reach).copied().collect();
            Reach { looked_at: in_reach.len(), is_lost: hub.is_lost(entered, &in_reach, &out) }
        });
        let plan = plan(self.settings, self.request, by_place.into_iter().flatten(), looked);
        Report { unobserved, unreachable, reach, ..Report::new(self.request, plan) }
    }

    /// Does what the report of [`Run::look`] has planned, and notes what became of it; nothing in a dry run, and nothing
    /// where a breaker holds.
    pub async fn carry_out(&self, report: &mut Report, tell: &impl Fn(Progress)) {
        if report.dry_run {
            return;
        }
        report.hold_back(self.settings);
        let (instances, databases): (Vec<&mut Row>, Vec<&mut Row>) = report
            .instances
            .iter_mut()
            .filter(|row| is_open(row))
            .partition(|row| row.entry.id.kind() == Kind::Instance);
        join(self.act_on_instances(instances, tell), self.act_on_databases(databases, tell)).await;
    }

    async fn act_on_instances(&self, rows: Vec<&mut Row>, tell: &impl Fn(Progress)) {
        let parts = parted(rows, Row::planned).into_iter();
        let parts = parts.filter_map(|((place, action), rows)| Some((self.ec2.get(&place)?, place, action, rows)));
        join_all(parts.map(async |(ec2, place, action, mut rows)| {
            let targets = rows.iter().filter_map(|row| target(row, self.request.instant)).collect();
            let executor = Executor::new(action, targets, self.settings.hibernate, self.clock.deadline(), self.seed);
            // On the heap: one of these for each place is much for a stack.
            let executor = Box::pin(execute::execute(ec2, action, executor)).await;
            let (targets, settled) = executor.into_settled();
            tell(Progress::Sent(place.clone(), action, settled.len()));
            let accepted = settled.iter().filter(|settled| settled.outcome == Outcome::Accepted);
            let accepted: Vec<usize> = accepted.map(|settled| settled.target).collect();
            let looked_at = accepted.len();
            let arrived = verify::verify(ec2, self.settings.verify, action, &targets, accepted).await;
            tell(Progress::Verified(place, action, looked_at));
            note(&mut rows, settled.into_iter().chain(arrived), |place| targets[place].id.into());
        }))
        .await;
    }

    /// In turn at each place, since all calls of RDS draw from one bucket there.
    async fn act_on_databases(&self, rows: Vec<&mut Row>, tell: &impl Fn(Progress)) {
        let parts = parted(rows, |_| Some(())).into_iter();
        let parts = parts.filter_map(|((place, ()), rows)| Some((self.rds.get(&place)?, place, rows)));
        join_all(parts.map(async |(rds, place, mut rows)| {
            let targets = rows.iter().filter_map(|row| rds_target(row, self.request.instant)).collect();
            let executor = RdsExecutor::new(targets, self.clock.deadline(), self.seed);
            let (targets, settled) = Box::pin(rds::act(rds, self.settings.verify, executor)).await;
            for action in [Action::Stop, Action::Start] {
                let count = targets.iter().filter(|target| target.action == action).count();
                if count > 0 {
                    tell(Progress::Sent(place.clone(), action, count));
                    tell(Progress::Verified(place.clone(), action, count));
                }
            }
            note(&mut rows, settled.into_iter(), |place| targets[place].id.clone().into());
        }))
        .await;
    }
}

/// Why nobody looked.
enum Blind {
    /// An earlier run heard that nobody may.
    Denied(Unobserved),
    /// This one's call failed.
    Failed(CallError),
}

impl From<CallError> for Blind {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
}

fn no_answer(call: &'static str) -> CallError {
    CallError::without_answer(call, "no answer in time")
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

/// The rows, by place and by what else parts them: each part has buckets and an executor of its own.
fn parted<By: Ord>(rows: Vec<&mut Row>, by: impl Fn(&Row) -> Option<By>) -> BTreeMap<(Place, By), Vec<&mut Row>> {
    let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in rows {
        if let (Some(place), Some(by)) = (row.entry.place.clone(), by(row)) {
            parts.entry((place, by)).or_default().push(row);
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
