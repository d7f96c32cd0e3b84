//! One decision for every instance found. Pure: no clock, no I/O, no AWS types.

mod by_schedule;
mod decide;
mod decision;
mod evidence;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::place::Region;
use crate::reason::Why;
use crate::request::Request;
use crate::resource::{Instance, InstanceId, Launch};
use crate::settings::Settings;
use decide::decide;
use decision::Decided;
pub use decision::Decision;
pub use evidence::Evidence;

/// What is to be done, and why the rest is left alone: one entry for every instance found, by region and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of region, then id; instances whose region nobody knows come first.
    pub entries: Vec<Entry>,
}

/// The decision about one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: InstanceId,
    /// The value of its `Name` tag.
    pub name: Option<Box<str>>,
    /// Where it is; unknown for an id that EC2 does not know in any of several regions.
    pub region: Option<Region>,
    /// How it was launched.
    pub launch: Launch,
    /// What to do.
    pub decision: Decision,
    /// How long the decision holds, where it is an action and that is known. Boxed, since most instances are kept.
    pub until: Option<Box<Until>>,
}

/// How long an action is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Until {
    /// Until when it is due, where that is known: what waits longer is not sent.
    pub due: Option<Timestamp>,
    /// Until when a stop saves the instance's hours: the next time its schedule turns on, the end of its hold, or, where
    /// nothing turns on, the next edge.
    pub off: Option<Timestamp>,
}

impl Plan {
    /// How many instances are to be acted on.
    #[must_use]
    pub fn actions(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.decision, Decision::Act(_))).count()
    }
}

/// Decides about every instance, and about every id that the request names.
///
/// `instances` are those found in `looked_in`, in any order; one that EC2 listed twice is taken once, and is on its way
/// if it was not alike. Explicit ids
/// narrow and never widen. An id that was not found is `gone` only where all the regions of the request were looked
/// in: it may live in one that could not be observed, and of that nothing is said.
///
/// ```
/// use stopinator::action::Action;
/// use stopinator::plan::{Decision, plan};
/// use stopinator::resource::{Instance, InstanceId, LastStop, Launch, State};
/// use stopinator::settings::Settings;
/// use stopinator::trigger;
///
/// let settings = Settings::from_environment([("AWS_REGION".to_owned(), "eu-west-1".to_owned())]).unwrap();
/// let now = "2026-11-20T18:00:00Z".parse().unwrap();
/// let tick = trigger::parse(r#"{"action": "schedule"}"#, &settings, now).unwrap();
/// let runs_since_the_morning = Instance {
///     id: InstanceId::try_from("i-0000000a").unwrap(),
///     region: settings.regions[0].clone(),
///     name: None,
///     state: State::Running,
///     tag: Some("weekdays 08:00-18:00".into()),
///     hold: None,
///     launch: Launch { started_at: "2026-11-20T08:00:00Z".parse().ok(), ..Launch::default() },
///     started_by_aws: false,
///     last_stop: LastStop::Unknown,
///     forbids: None,
/// };
/// let held = Instance { hold: Some("until 2026-11-20 22:00".into()), ..runs_since_the_morning.clone() };
///
/// let decision = |instance| plan(&settings, &tick, [instance], &settings.regions).entries.remove(0).decision;
/// assert_eq!(decision(runs_since_the_morning), Decision::Act(Action::Stop));
/// let Decision::Keep(why) = decision(held) else { panic!() };
/// assert_eq!((why.reason().as_str(), why.to_string()), ("held", "until 2026-11-20T22:00:00Z".to_owned()));
/// ```
#[must_use]
pub fn plan(
    settings: &Settings,
    request: &Request,
    instances: impl IntoIterator<Item = Instance>,
    looked_in: &[Region],
) -> Plan {
    let asked_for = |id: &InstanceId| request.instance_ids.as_ref().is_none_or(|ids| ids.contains(id));
    let mut entries: Vec<Entry> = instances
        .into_iter()
        .filter(|instance| asked_for(&instance.id))
        .map(|instance| {
            let Decided { decision, due_until, off_until } = decide(settings, request, &instance);
            let (id, name, region) = (instance.id, instance.name, Some(instance.region));
            let until = Until { due: due_until, off: off_until };
            let until = (until != Until::default()).then(|| until.into());
            Entry { id, name, region, launch: instance.launch, decision, until }
        })
        .collect();
    if looked_in.len() == request.regions.len() {
        entries.extend(not_found(request, &entries));
    }
    entries.sort_unstable_by(|a, b| {
        (&a.region, &a.id, &a.launch.started_at).cmp(&(&b.region, &b.id, &b.launch.started_at))
    });
    entries.dedup_by(|second, first| {
        let same = (&first.region, &first.id) == (&second.region, &second.id);
        if same && first.decision != second.decision {
            // It changed from one page to the next.
            first.decision = Decision::Keep(Why::ListedTwice);
        }
        same
    });
    Plan { entries }
}

fn not_found(request: &Request, entries: &[Entry]) -> Vec<Entry> {
    let found: BTreeSet<&InstanceId> = entries.iter().map(|entry| &entry.id).collect();
    let region = match request.regions.as_slice() {
        [only] => Some(only),
        _ => None,
    };
    let missing = request.instance_ids.iter().flatten().filter(|id| !found.contains(id));
    missing
        .map(|id| Entry {
            id: *id,
            name: None,
            region: region.cloned(),
            launch: Launch::default(),
            decision: Decision::Keep(Why::UnknownId),
            until: None,
        })
        .collect()
}
