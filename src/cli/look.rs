//! What is there, and what is decided about it: in all accounts and regions, side by side.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stopinator::action::{Action, RequestedAction};
use stopinator::aws::{observe, rds};
use stopinator::meant::nearest;
use stopinator::plan::{Decision, Evidence, Looked as LookedFor, plan};
use stopinator::reason::Reason;
use stopinator::report::{Report, Row};
use stopinator::request::Request;
use stopinator::resource::{DatabaseId, InstanceId, Resource, ResourceId};
use stopinator::run::{Progress, Run};
use stopinator::settings::Settings;

use crate::accounts::{Account, Accounts, fits};
use crate::failure::Failure;
use crate::screen::Screen;
use crate::when;

/// How many accounts are looked at side by side.
const ACCOUNTS_AT_ONCE: usize = 8;
/// The longest that a run may take; half of it is for looking.
const LONGEST: Duration = Duration::from_hours(1);

/// How far ticks lie apart unless somebody changes it, for notices.
const TICK: SignedDuration = SignedDuration::from_mins(5);

/// Something else each time, for pauses that keep step with nobody's.
fn seed() -> u64 {
    u64::from(Timestamp::now().subsec_nanosecond().unsigned_abs())
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) action: RequestedAction,
    /// The instant to decide for, in whole seconds.
    pub(crate) instant: Timestamp,
    pub(crate) dry_run: bool,
    /// Ids, names and patterns; none is all.
    pub(crate) instances: Vec<String>,
    /// Whether a name must be looked for everywhere, or nothing is done.
    pub(crate) needs_all: bool,
}

/// One account, looked at.
#[derive(Debug)]
pub(crate) struct Looked<'a> {
    pub(crate) account: &'a Account,
    pub(crate) run: Run<'a>,
    pub(crate) report: Report,
    /// The instances of the report's rows, with what is decided by; none of an id that is not known.
    pub(crate) instances: Vec<Option<(Resource, Evidence)>>,
}

impl Looked<'_> {
    /// The rows, each with its instance.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&Row, Option<&(Resource, Evidence)>)> {
        self.report.instances.iter().zip(self.instances.iter().map(Option::as_ref))
    }
}

/// A request for each account; none for one in which nothing is that was named.
pub(crate) async fn requests(
    accounts: &Accounts,
    question: &Question,
    waiting: &Waiting,
) -> Result<Vec<Option<Request>>, Failure> {
    let whole = |account: &Account| Request {
        action: question.action,
        time: question.instant,
        instant: question.instant,
        dry_run: question.dry_run || account.settings.dry_run,
        only: None,
        regions: account.settings.regions.clone(),
        accounts: None,
        tick: account.settings.notice.map(|_| TICK),
        notice: false,
        counts_alone: false,
    };
    let mut requests: Vec<Request> = accounts.open.iter().map(whole).collect();
    if question.instances.is_empty() {
        return Ok(requests.into_iter().map(Some).collect());
    }
    let databases = accounts.open.iter().any(|account| account.settings.databases);
    let id = |word: &str| id(word).filter(|id| databases || id.database().is_none());
    let (ids, names): (Vec<&String>, Vec<&String>) =
        question.instances.iter().partition(|instance| id(instance).is_some());
    let ids: BTreeSet<ResourceId> = ids.into_iter().filter_map(|text| id(text)).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let (bearers, unobserved) = named(accounts, &requests, &names, waiting).await;
    for name in &names {
        if !bearers.iter().flatten().any(|(_, found)| fits(name, found)) {
            let missing: Vec<String> = accounts.failed.iter().cloned().chain(unobserved).collect();
            if !missing.is_empty() {
                let text = format!("no instance is named {name} in what could be looked at");
                return Err(Failure::incomplete([missing, vec![text]].concat().join("\n")));
            }
            let (all, _) = named(accounts, &requests, &["*".to_owned()], waiting).await;
            let all = all.iter().flatten().map(|(_, name)| name.as_str());
            let meant = nearest(name, all, 2).map_or(String::new(), |meant| format!("; did you mean {meant}?"));
            let is_database = !databases && DatabaseId::try_from(name.clone()).is_ok();
            let meant = if is_database { "; --services ec2,rds looks at databases, too".to_owned() } else { meant };
            return Err(Failure::wrong(format!("no instance is named {name} in {}{meant}", accounts.places())));
        }
    }
    // A name could be anywhere, so for what changes something all must be seen; a report tells what it could not see,
    // since the same regions are looked at again.
    if question.needs_all && !unobserved.is_empty() {
        let text = "not all that may be meant could be looked at, so nothing was done".to_owned();
        return Err(Failure::incomplete([unobserved, vec![text]].concat().join("\n")));
    }
    for (request, bearers) in requests.iter_mut().zip(bearers) {
        request.only = Some(ids.iter().cloned().chain(bearers.into_iter().map(|(id, _)| id)).collect());
    }
    // An empty list is no request.
    let asks = |request: &Request| request.only.as_ref().is_some_and(|ids| !ids.is_empty());
    Ok(requests.into_iter().map(|request| Some(request).filter(asks)).collect())
}

/// The id, where a word is one.
fn id(word: &str) -> Option<ResourceId> {
    let instance = InstanceId::try_from(word).ok().map(ResourceId::from);
    instance.or_else(|| DatabaseId::try_from(word.to_owned()).ok().map(ResourceId::from))
}

/// The instances and databases of each account that bear one of the names, and where nobody could look.
async fn named(
    accounts: &Accounts,
    requests: &[Request],
    names: &[String],
    waiting: &Waiting,
) -> (Vec<Vec<(ResourceId, String)>>, Vec<String>) {
    let (mut found, mut unobserved) = (Vec::new(), Vec::new());
    for (account, request) in accounts.open.iter().zip(requests) {
        waiting.say(format!("looking for names in {}", account.name));
        let run = Run::begin(&account.settings, &account.clients, request, LONGEST, seed()).await;
        let looks = stream::iter(run.ec2()).map(async |(region, ec2)| (region, observe::named(ec2, names).await));
        let looks: Vec<_> =
            if names.is_empty() { Vec::new() } else { looks.buffered(ACCOUNTS_AT_ONCE).collect().await };
        let mut here = Vec::new();
        for (region, named) in looks {
            match named {
                Ok(bearers) => here.extend(bearers.into_iter().map(|(id, name)| (ResourceId::from(id), name))),
                Err(error) => unobserved.push(format!("{} {region}: not observed: {error}", account.name)),
            }
        }
        // RDS finds nothing by name, so all are listed.
        for (region, rds) in run.rds().iter().filter(|_| !names.is_empty()) {
            match rds::names(rds, &account.settings).await {
                Ok(all) => here.extend(
                    all.into_iter()
                        .filter(|(_, found)| names.iter().any(|name| fits(name, found)))
                        .map(|(id, name)| (ResourceId::from(id), name)),
                ),
                Err(error) => unobserved.push(format!("{} {region}: not observed: {error}", account.name)),
            }
        }
        found.push(here);
    }
    (found, unobserved)
}

/// Looks everywhere, and plans. `first` is called once the first page is there.
pub(crate) async fn look<'a>(
    accounts: &'a Accounts,
    requests: &'a [Option<Request>],
    waiting: &Waiting,
    screen: Screen,
    first: &impl Fn(),
) -> Result<Vec<Looked<'a>>, Failure> {
    let zone = |account: &Account| account.settings.time_zone.clone();
    let asked = accounts.open.iter().zip(requests).filter_map(|(account, request)| Some((account, request.as_ref()?)));
    let mut looked: Vec<Looked<'_>> = stream::iter(asked)
        .map(async |(account, request)| {
            let run = Run::begin(&account.settings, &account.clients, request, LONGEST, seed()).await.and_what_if();
            let tell = |progress| {
                if let Progress::Found(..) = progress {
                    first();
                }
                waiting.found(account, &progress);
            };
            let found = run.find(&tell).await;
            let mut by_id: BTreeMap<ResourceId, Resource> = BTreeMap::new();
            by_id.extend(found.resources().map(|resource| (resource.id.clone(), resource.clone())));
            let report = run.plan(found);
            let evidence = |row: &Row| {
                let instance = by_id.remove(&row.entry.id)?;
                let evidence = Evidence::of(&instance, &zone(account), request.instant);
                Some((instance, evidence))
            };
            let instances = report.instances.iter().map(evidence).collect();
            Looked { account, run, report, instances }
        })
        .buffered(ACCOUNTS_AT_ONCE)
        .collect()
        .await;
    forget_ids_of_others(&mut looked);
    let missing = !accounts.failed.is_empty() || looked.iter().any(|looked| !looked.report.unobserved.is_empty());
    match unknown(&looked) {
        ids if ids.is_empty() => Ok(looked),
        // It may live where nobody could look.
        ids if missing => {
            waiting.pause(|| screen.tell(&format!("{} could not be found in what was looked at", ids.join(", "))));
            forget_unknown_ids(&mut looked);
            Ok(looked)
        }
        ids => {
            waiting.over();
            let who = if ids.iter().all(|id| id.starts_with("i-")) { "EC2" } else { "AWS" };
            Err(Failure::wrong(format!("{who} does not know {} in {}", ids.join(", "), accounts.places())))
        }
    }
}

/// The ids that were asked for and are nowhere.
fn unknown(looked: &[Looked<'_>]) -> Vec<String> {
    let mut ids: Vec<String> = looked
        .iter()
        .flat_map(Looked::rows)
        .filter(|(row, found)| found.is_none() && row.reason() == Some(Reason::Gone))
        .map(|(row, _)| row.entry.id.to_string())
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

/// An id that is known in one account is not known in the others, and that is nothing to tell of.
fn forget_ids_of_others(looked: &mut [Looked<'_>]) {
    let known = looked.iter().flat_map(|looked| &looked.instances).flatten();
    let known: BTreeSet<ResourceId> = known.map(|(resource, _)| resource.id.clone()).collect();
    retain(looked, |row, is_known| is_known || !known.contains(&row.entry.id));
}

fn forget_unknown_ids(looked: &mut [Looked<'_>]) {
    retain(looked, |_, is_known| is_known);
}

/// Keeps the rows of which `keep` says so, by the row and whether EC2 knows its instance.
fn retain(looked: &mut [Looked<'_>], keep: impl Fn(&Row, bool) -> bool) {
    for looked in looked {
        let instances = std::mem::take(&mut looked.instances);
        let rows = std::mem::take(&mut looked.report.instances);
        let both = rows.into_iter().zip(instances);
        (looked.report.instances, looked.instances) =
            both.filter(|(row, instance)| keep(row, instance.is_some())).unzip();
    }
}

/// A tick at an instant.
pub(crate) fn tick(settings: &Settings, instant: Timestamp) -> Request {
    Request {
        action: RequestedAction::Schedule,
        time: instant,
        instant,
        dry_run: true,
        only: None,
        regions: settings.regions.clone(),
        accounts: None,
        tick: Some(TICK),
        notice: false,
        counts_alone: false,
    }
}

/// What a tick at an instant does with an instance that is as it is now; nothing where it is kept.
pub(crate) fn ticked(account: &Account, instance: &Resource, instant: Timestamp) -> Option<Action> {
    let (settings, request) = (&account.settings, tick(&account.settings, instant));
    match plan(settings, &request, [instance.clone()], LookedFor::EVERYWHERE).entries.first()?.decision {
        Decision::Act(action) => Some(action),
        Decision::Keep(_) => None,
    }
}

/// Why nothing was found, where nothing was: perhaps a key in other letters. Where not all could be looked at, only that.
pub(crate) async fn nothing_found(accounts: &Accounts, looked: &[Looked<'_>]) -> String {
    let Some(first) = accounts.open.first() else { return String::new() };
    if looked.iter().any(|looked| !looked.report.unobserved.is_empty()) {
        return "nothing was found in what could be looked at".to_owned();
    }
    let key = &*first.settings.tag_key;
    let databases = if first.settings.databases { " and no database" } else { "" };
    let mut said = format!("no instance{databases} in {} carries the tag {key}", accounts.places());
    let capital = |text: &str| {
        let mut letters = text.chars();
        letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
    };
    let lower = key.to_lowercase();
    let mut others = vec![lower.clone(), key.to_uppercase(), capital(&lower), capital(key)];
    others.sort();
    others.dedup();
    others.retain(|other| other != key);
    for other in others {
        let mut count = 0;
        for ec2 in looked.iter().flat_map(|looked| looked.run.ec2().values()) {
            count += observe::count_tagged(ec2, std::slice::from_ref(&other)).await.unwrap_or(0);
        }
        if count > 0 {
            let carries = if count == 1 { "carries" } else { "carry" };
            said = format!("{said}; {count} {carries} {other}: keys are case-sensitive");
        }
    }
    said
}

/// The instant to decide for, in whole seconds.
pub(crate) fn instant(at: Option<&str>, now: Timestamp, zone: &TimeZone, screen: Screen) -> Result<Timestamp, Failure> {
    let named = match at {
        None => now,
        Some(text) => {
            let named = when::read(text, now, zone).map_err(|error| Failure::usage(format!("--at: {error}")))?;
            if let Some(remark) = named.remark {
                screen.tell(&remark);
            }
            named.at
        }
    };
    Timestamp::from_second(named.as_second()).map_err(|error| Failure::usage(format!("--at: {error}")))
}

/// Says what did not answer; whether anything did not.
pub(crate) fn tell_what_is_missing(screen: Screen, accounts: &Accounts, looked: &[Looked<'_>]) -> bool {
    for said in accounts.remarks.iter().chain(&missing(accounts, looked)) {
        screen.tell(&screen.text(said));
    }
    !missing(accounts, looked).is_empty()
}

/// A line for each account and region that did not answer.
pub(crate) fn missing(accounts: &Accounts, looked: &[Looked<'_>]) -> Vec<String> {
    let regions = looked.iter().flat_map(|looked| {
        let name = &looked.account.name;
        let unobserved = looked.report.unobserved.iter();
        unobserved.map(move |unobserved| {
            let region = unobserved.region.as_ref().map_or("", |region| region.as_str());
            format!("{name} {region}: not observed: {}", unobserved.why)
        })
    });
    accounts.failed.iter().cloned().chain(regions).collect()
}

/// A line on standard error for whoever waits at a terminal.
pub(crate) struct Waiting {
    bar: ProgressBar,
    regions: Cell<usize>,
    found: Cell<usize>,
    counts: std::cell::RefCell<BTreeMap<String, usize>>,
}

impl Waiting {
    pub(crate) fn new(quiet: bool, screen: Screen) -> Self {
        // indicatif is silent where standard error is no terminal.
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        let ticks = if screen.ascii { "|/-\\ " } else { "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ " };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style.tick_chars(ticks));
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, regions: Cell::new(0), found: Cell::new(0), counts: std::cell::RefCell::default() }
    }

    pub(crate) fn say(&self, text: impl Into<std::borrow::Cow<'static, str>>) {
        self.bar.set_message(text);
    }

    fn found(&self, account: &Account, progress: &Progress) {
        match progress {
            Progress::Found(region, count) => {
                let mut counts = self.counts.borrow_mut();
                counts.insert(format!("{} {region}", account.name), *count);
                self.found.set(counts.values().sum());
            }
            Progress::Looked(..) | Progress::Unobserved(_) => self.regions.set(self.regions.get() + 1),
            _ => {}
        }
        self.say(format!("{} instances, {} regions looked at", self.found.get(), self.regions.get()));
    }

    /// Takes the line away while something else is shown.
    pub(crate) fn pause<T>(&self, show: impl FnOnce() -> T) -> T {
        self.bar.suspend(show)
    }

    pub(crate) fn over(&self) {
        self.bar.finish_and_clear();
    }
}
