//! One decision for every resource found. Pure: no clock, no I/O, no AWS types.

mod by_schedule;
mod decide;
mod decision;
mod evidence;
mod notice;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::place::{AccountId, Place, Region};
use crate::reason::Why;
use crate::request::Request;
use crate::resource::{Kind, LastStart, LastStop, Launch, Resource, ResourceId, State};
use crate::settings::Settings;
use decide::decide;
use decision::Decided;
pub use decision::Decision;
pub use evidence::Evidence;
pub use notice::{Ahead, Notice, by_owner, notices, stops};

/// What is to be done, and why the rest is left alone: one entry for every resource found, by account, region and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of account, region and id; those of which nobody knows the place come first.
    pub entries: Vec<Entry>,
}

/// The decision about one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: ResourceId,
    /// The value of its `Name` tag.
    pub name: Option<Box<str>>,
    /// Whom to tell of it.
    pub owner: Option<Box<Box<str>>>,
    /// Where it is; unknown for an id that AWS does not know in any of several regions.
    pub place: Option<Place>,
    /// How it was launched.
    pub launch: Launch,
    /// What to do.
    pub decision: Decision,
    /// How long the decision holds, where it is an action and that is known. Boxed, since most are kept.
    pub until: Option<Box<Until>>,
}

/// How long an action is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Until {
    /// Since when it is due, where that is known.
    pub since: Option<Timestamp>,
    /// Until when it is due, where that is known: what waits longer is not sent.
    pub due: Option<Timestamp>,
    /// Until when a stop saves the resource's hours: the next time its schedule turns on, the end of its hold, or, where
    /// nothing turns on, the next edge.
    pub off: Option<Timestamp>,
    /// When what is stopped is turned on again, where that is known.
    pub on: Option<Timestamp>,
}

impl Plan {
    /// How many are to be acted on.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.decision, Decision::Act(_))).count()
    }
}

impl Entry {
    /// Whom to tell of it, where that is known.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.owner.as_ref().map(|owner| &***owner)
    }

    /// The account that it is in, where there is more than the function's own, and that is known.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.place.as_ref()?.account
    }

    /// The region that it is in, where that is known.
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        self.place.as_ref().map(|place| &place.region)
    }
}

/// Where was looked for what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked {
    /// For instances.
    pub for_instances: Extent,
    /// For databases.
    pub for_databases: Extent,
}

/// At how many of the request's places was looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// At all.
    Everywhere,
    /// At all where one may look.
    WhereReachable,
    /// Not at all of them, but another try may.
    InPart,
}

impl Looked {
    /// Nothing was left out.
    pub const EVERYWHERE: Self = Self { for_instances: Extent::Everywhere, for_databases: Extent::Everywhere };
}

/// Decides about every resource, and about every id that the request names.
///
/// `found` comes in any order; one that AWS listed twice is taken once, and is on its way if it was not alike. Explicit
/// ids narrow and never widen. An id that was not found is `gone` only where all the regions of the request were looked
/// in: it may live in one that could not be observed, and of that nothing is said; where some may not be looked in, that
/// is what is said of it.
///
/// ```
/// use stopinator::action::Action;
/// use stopinator::plan::{Decision, Looked, plan};
/// use stopinator::resource::{InstanceId, LastStart, LastStop, Launch, Resource, State};
/// use stopinator::settings::Settings;
/// use stopinator::trigger;
///
/// let settings = Settings::from_environment([("AWS_REGION".to_owned(), "eu-west-1".to_owned())]).unwrap();
/// let now = "2026-11-20T18:00:00Z".parse().unwrap();
/// let tick = trigger::parse(r#"{"action": "schedule"}"#, &settings, now).unwrap();
/// let runs_since_the_morning = Resource {
///     id: InstanceId::try_from("i-0000000a").unwrap().into(),
///     place: settings.regions[0].clone().into(),
///     name: None,
///     state: State::Running,
///     status: None,
///     tag: Some("weekdays 08:00-18:00".into()),
///     hold: None,
///     owner: None,
///     launch: Launch { started_at: "2026-11-20T08:00:00Z".parse().ok(), ..Launch::default() },
///     last_start: LastStart::BySomebody,
///     last_stop: LastStop::Unknown,
///     forbids: None,
/// };
/// let held = Resource { hold: Some("until 2026-11-20 22:00".into()), ..runs_since_the_morning.clone() };
///
/// let decision = |instance| plan(&settings, &tick, [instance], Looked::EVERYWHERE).entries.remove(0).decision;
/// assert_eq!(decision(runs_since_the_morning), Decision::Act(Action::Stop));
/// let Decision::Keep(why) = decision(held) else { panic!() };
/// assert_eq!((why.reason().as_str(), why.to_string()), ("held", "until 2026-11-20T22:00:00Z".to_owned()));
/// ```
#[must_use]
pub fn plan(settings: &Settings, request: &Request, found: impl IntoIterator<Item = Resource>, looked: Looked) -> Plan {
    let asked_for = |id: &ResourceId| request.only.as_ref().is_none_or(|ids| ids.contains(id));
    let mut entries: Vec<Entry> = found
        .into_iter()
        .filter(|resource| asked_for(&resource.id))
        .map(|resource| {
            let Decided { decision, due_since, due_until, off_until, on_at } = decide(settings, request, &resource);
            let (id, name, owner, place) = (resource.id, resource.name, resource.owner, Some(resource.place));
            let until = Until { since: due_since, due: due_until, off: off_until, on: on_at };
            let until = (until != Until::default()).then(|| until.into());
            Entry { id, name, owner, place, launch: resource.launch, decision, until }
        })
        .collect();
    entries.extend(not_found(request, &entries, looked));
    entries
        .sort_unstable_by(|a, b| (&a.place, &a.id, &a.launch.started_at).cmp(&(&b.place, &b.id, &b.launch.started_at)));
    entries.dedup_by(|second, first| {
        let same = (&first.place, &first.id) == (&second.place, &second.id);
        if same && first.decision != second.decision {
            // It changed from one page to the next.
            first.decision = Decision::Keep(Why::ListedTwice);
        }
        same
    });
    Plan { entries }
}

/// Whether the decision about a database depends on its history, so that it is worth asking for: it is not where it would
/// be the same whoever started or stopped it last, and whenever.
#[must_use]
pub fn depends_on_history(settings: &Settings, request: &Request, database: &Resource) -> bool {
    let starts: &[(LastStart, Option<Timestamp>)] = match database.state {
        State::Stopped => &[(LastStart::BySomebody, None)],
        _ => &[
            (LastStart::ByAws, None),
            (LastStart::LongAgo, None),
            (LastStart::BySomebody, Some(request.instant.max(request.time))),
        ],
    };
    let stops = match &database.last_stop {
        LastStop::Unknown => [Timestamp::MIN, Timestamp::MAX].map(|at| LastStop::BySomebody(Some(at))).to_vec(),
        known => vec![known.clone()],
    };
    let decided = stops.iter().flat_map(|last_stop| {
        starts.iter().map(|&(last_start, started_at)| {
            let launch = Launch { started_at, ..Launch::default() };
            let supposed = Resource { last_start, launch, last_stop: last_stop.clone(), ..database.clone() };
            decide(settings, request, &supposed).decision
        })
    });
    // One that is started, or stopped, at another time is kept for the same reason.
    let mut alike = decided.map(|decision| match decision {
        Decision::Act(action) => Ok(action),
        Decision::Keep(why) => Err((why.reason(), why.is_unsettled())),
    });
    let first = alike.next();
    alike.any(|other| Some(other) != first)
}

fn not_found(request: &Request, entries: &[Entry], looked: Looked) -> Vec<Entry> {
    let found: BTreeSet<&ResourceId> = entries.iter().map(|entry| &entry.id).collect();
    let place = match request.regions.as_slice() {
        [only] => Some(Place::from(only.clone())),
        _ => None,
    };
    let looked_for = |id: &ResourceId| match id.kind() {
        Kind::Instance => looked.for_instances,
        Kind::Db | Kind::Cluster => looked.for_databases,
    };
    let missing = request.only.iter().flatten().filter(|id| !found.contains(id));
    missing
        .filter_map(|id| {
            let why = match looked_for(id) {
                Extent::Everywhere => Why::UnknownId,
                Extent::WhereReachable => Why::NotFoundWhereLooked,
                Extent::InPart => return None,
            };
            Some(Entry {
                id: id.clone(),
                name: None,
                owner: None,
                place: place.clone(),
                launch: Launch::default(),
                decision: Decision::Keep(why),
                until: None,
            })
        })
        .collect()
}
