//! One decision for every instance found. Pure: no clock, no I/O, no AWS types.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;

use crate::facts::advice;
use crate::instance::{
    Action, Instance, InstanceId, LastStop, Launch, Reason, Region, RequestedAction, State, StateReason,
};
use crate::schedule::{Edge, Hold, HoldMode, MOMENT, Schedule, Tag};
use crate::settings::{Scope, Settings};
use crate::trigger::Request;

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
    /// Until when an action is due, where that is known: what waits longer is not sent.
    pub due_until: Option<Timestamp>,
    /// Until when a stop saves the instance's hours: the next time its schedule turns on, the end of its hold, or, where
    /// nothing turns on, the next edge.
    pub off_until: Option<Timestamp>,
    /// More about the reason, where there is more to say.
    pub detail: Option<Box<str>>,
}

/// What to do with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Act on it.
    Act(Action),
    /// Leave it alone.
    Keep(Reason),
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
            let Verdict { decision, due_until, off_until, detail } = decide(settings, request, &instance);
            let (id, name, region) = (instance.id, instance.name, Some(instance.region));
            Entry { id, name, region, launch: instance.launch, decision, due_until, off_until, detail }
        })
        .collect();
    if looked_in.len() == request.regions.len() {
        entries.extend(not_found(request, &entries));
    }
    entries.sort_by(|a, b| (&a.region, &a.id, &a.launch.started_at).cmp(&(&b.region, &b.id, &b.launch.started_at)));
    entries.dedup_by(|second, first| {
        let same = (&first.region, &first.id) == (&second.region, &second.id);
        if same && first.decision != second.decision {
            // It changed from one page to the next.
            first.decision = Decision::Keep(Reason::InTransition);
            first.detail = Some("EC2 listed it twice, and not alike".into());
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
            decision: Decision::Keep(Reason::Gone),
            due_until: None,
            off_until: None,
            detail: Some("EC2 does not know this id here".into()),
        })
        .collect()
}

/// How many edges ahead of a stop are looked at for one that turns on: more than a week of them, in most schedules.
const EDGES_AHEAD: usize = 16;

/// What is decided about one instance.
struct Verdict {
    decision: Decision,
    due_until: Option<Timestamp>,
    off_until: Option<Timestamp>,
    detail: Option<Box<str>>,
}

impl From<Reason> for Verdict {
    fn from(reason: Reason) -> Self {
        Self { decision: Decision::Keep(reason), due_until: None, off_until: None, detail: None }
    }
}

impl From<Action> for Verdict {
    fn from(action: Action) -> Self {
        Self { decision: Decision::Act(action), due_until: None, off_until: None, detail: None }
    }
}

impl Verdict {
    fn because(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into().into()), ..self }
    }

    fn due_until(self, due_until: Option<Timestamp>) -> Self {
        Self { due_until, ..self }
    }

    fn off_until(self, off_until: Option<Timestamp>) -> Self {
        Self { off_until, ..self }
    }
}

/// The first reason that holds wins; the order is part of the contract.
fn decide(settings: &Settings, request: &Request, instance: &Instance) -> Verdict {
    let tag = instance.tag.as_deref().map(Tag::parse);
    let untagged = tag.is_none();
    let facts = instance.facts;

    if untagged && !(settings.scope == Scope::All && request.action == RequestedAction::Stop) {
        return Reason::NotSelected.into();
    }
    if tag == Some(Tag::OptedOut) {
        return Reason::OptedOut.into();
    }
    if matches!(instance.state, State::ShuttingDown | State::Terminated) {
        return Reason::Gone.into();
    }
    if facts.operator_managed || (untagged && facts.service_tag) {
        return Reason::ServiceManaged.into();
    }
    if facts.auto_scaling {
        return Reason::AsgMember.into();
    }
    if facts.instance_store_root {
        return Reason::InstanceStoreRoot.into();
    }
    if untagged && facts.instance_store_data {
        return Reason::InstanceStoreData.into();
    }
    if facts.unstoppable_lifecycle {
        return Reason::CannotStop.into();
    }
    if facts.spot && instance.state == State::Stopped && instance.last_stop == LastStop::Interrupted {
        return Verdict::from(Reason::SpotInterrupted)
            .because(format!("{}: only EC2 may start it again", stop_reason(instance)));
    }
    let schedule = match tag {
        Some(Tag::Invalid(error)) => return Verdict::from(Reason::InvalidSchedule).because(error.to_string()),
        Some(Tag::Schedule(schedule)) => Some(schedule),
        _ => None,
    };
    match (&schedule, request.action) {
        (None, RequestedAction::Schedule) => return Reason::PlainTag.into(),
        (Some(_), RequestedAction::Stop | RequestedAction::Start) => return Reason::OwnSchedule.into(),
        _ => {}
    }
    let hold = match instance.hold.as_deref().map(Hold::parse).transpose() {
        Err(error) => return Verdict::from(Reason::InvalidHold).because(error.to_string()),
        Ok(hold) => hold,
    };
    let zone = schedule.as_ref().map_or(&settings.time_zone, |schedule| schedule.zone(&settings.time_zone));
    let hold_end = hold.as_ref().map(|hold| hold.end(zone));
    if let (Some(hold), Some(end)) = (&hold, hold_end.filter(|end| request.instant < *end))
        && let Some(verdict) = held(request.action, instance.state, hold.mode(), end)
    {
        return verdict;
    }
    match (request.action, &schedule) {
        (RequestedAction::Schedule, Some(schedule)) => {
            by_schedule(settings, request.instant, instance, schedule, hold_end)
        }
        (RequestedAction::Start, _) => by_start_rule(request.time, instance),
        _ => by_stop_rule(request.time, instance),
    }
}

/// What a hold that is in force decides; nothing where it leaves the rule its way.
fn held(action: RequestedAction, state: State, mode: HoldMode, end: Timestamp) -> Option<Verdict> {
    use RequestedAction as Asked;
    Some(match (action, mode, state) {
        (Asked::Stop, HoldMode::Off, _) | (Asked::Start, HoldMode::On, _) => return None,
        (Asked::Schedule, HoldMode::On, State::Stopped) => Verdict::from(Action::Start).due_until(Some(end)),
        (Asked::Schedule, HoldMode::Off, State::Running) => {
            Verdict::from(Action::Stop).due_until(Some(end)).off_until(Some(end))
        }
        _ => Verdict::from(Reason::Held).because(format!("until {end}")),
    })
}

fn by_stop_rule(time: Timestamp, instance: &Instance) -> Verdict {
    match (instance.state, instance.launch.started_at) {
        (State::Running, Some(started)) if started >= time && !started_by_ec2(instance) => {
            Verdict::from(Reason::StartedByHand)
                .because(format!("started at {started}, not before the trigger's time {time}"))
        }
        (State::Running, _) => Action::Stop.into(),
        (State::Stopped, _) => Reason::AlreadyStopped.into(),
        _ => Reason::InTransition.into(),
    }
}

fn by_start_rule(time: Timestamp, instance: &Instance) -> Verdict {
    match (instance.state, instance.last_stop, instance.launch.started_at) {
        (State::Stopped, LastStop::BySomebody(Some(stopped)), _) if stopped >= time => {
            Verdict::from(Reason::StoppedByHand)
                .because(format!("stopped at {stopped}, not before the trigger's time {time}"))
        }
        // Not every stop by hand bears a date, but one that follows a later start came later still.
        (State::Stopped, LastStop::BySomebody(_), Some(started)) if started >= time => {
            Verdict::from(Reason::StoppedByHand)
                .because(format!("started at {started}, not before the trigger's time {time}, and stopped since"))
        }
        (State::Stopped, ..) => Action::Start.into(),
        (State::Running, ..) => Reason::AlreadyRunning.into(),
        _ => Reason::InTransition.into(),
    }
}

/// The decision table of schedules, in `docs/tag.md`.
fn by_schedule(
    settings: &Settings,
    now: Timestamp,
    instance: &Instance,
    schedule: &Schedule,
    hold_end: Option<Timestamp>,
) -> Verdict {
    if !matches!(instance.state, State::Running | State::Stopped) {
        return Reason::InTransition.into();
    }
    let hold_ended = hold_end.filter(|end| *end <= now);
    let zone = &settings.time_zone;
    let next = || schedule.edges_after(zone, now).next().map(|next| next.at);
    let Some(edge) = schedule.latest_edge(zone, now, hold_ended) else {
        let next = next().map_or("there is no next one".to_owned(), |next| format!("the next is {next}"));
        return Verdict::from(Reason::NotDue).because(match schedule.latest_moment(zone, now) {
            Some(latest) => format!("its latest moment, {latest}, has passed; {next}"),
            None => format!("it has had no moment; {next}"),
        });
    };
    let start = || Verdict::from(Action::Start).due_until(edge.over_at().into_iter().chain(next()).min());
    let stop = || {
        // A moment may stop again before anything starts.
        let on = schedule.edges_after(zone, now).take(EDGES_AHEAD).find(|edge| edge.on);
        let off_until = on.map(|on| on.at).or_else(next);
        Verdict { decision: Decision::Act(Action::Stop), ..start() }.off_until(off_until)
    };
    // Whether a moment that was put off fell within the hold nobody knows: against people it happens at its own time only.
    let enforced = schedule.is_enforced() && edge.from == edge.at;
    let started_by_moment = |started: Timestamp| {
        let then = schedule.latest_edge(zone, started, hold_ended.filter(|end| *end <= started));
        then.is_some_and(|edge| edge.moment && edge.on)
    };
    match (edge.on, instance.state) {
        (true, State::Running) => Reason::AlreadyRunning.into(),
        (false, State::Stopped) => Reason::AlreadyStopped.into(),
        (true, _) if enforced => start(),
        (false, _) if enforced => stop(),
        (false, _) => match instance.launch.started_at {
            _ if started_by_ec2(instance) => stop(),
            Some(started) if started < edge.from => stop(),
            // A moment lets go: the limit is for windows, which say off until they say on.
            Some(started)
                if !edge.moment
                    && settings.hand_start_limit.is_some_and(|limit| now.duration_since(started) >= limit)
                    && !started_by_moment(started) =>
            {
                stop()
            }
            Some(started) => Verdict::from(Reason::StartedByHand)
                .because(format!("started at {started}, not before its schedule {}", Told(edge))),
            None => Verdict::from(Reason::StartedByHand).because("EC2 does not tell when it started"),
        },
        (true, _) => match (last_stop(instance), instance.launch.started_at) {
            (LastStop::ByAws | LastStop::Interrupted, _) => start(),
            (LastStop::BySomebody(Some(stopped)), _) if stopped < edge.from => start(),
            (LastStop::BySomebody(Some(stopped)), _) => Verdict::from(Reason::StoppedByHand)
                .because(format!("stopped at {stopped}, not before its schedule {}", Told(edge))),
            (LastStop::BySomebody(None) | LastStop::Unknown, Some(started)) if started >= edge.from => {
                Verdict::from(Reason::StoppedByHand)
                    .because(format!("started at {started}, not before its schedule {}, and stopped since", Told(edge)))
            }
            _ if now.duration_since(edge.at) < MOMENT => start(),
            (LastStop::FailedStart, _) => {
                let reason = stop_reason(instance);
                let first = advice(&reason).map_or_else(String::new, |advice| format!("{advice}; "));
                Verdict::from(Reason::Bounced).because(format!(
                    "{reason}: the last start fell back; {first}start it by hand once the cause is mended"
                ))
            }
            (LastStop::BySomebody(None) | LastStop::Unknown, _) => Verdict::from(Reason::StopTimeUnknown)
                .because(format!("EC2 does not tell whether it was stopped before its schedule {}", Told(edge))),
        },
    }
}

/// Of a Spot Instance that EC2 interrupted, the next start is EC2's own too, and nobody's hand.
///
/// Source: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/interruption-behavior.html>
fn started_by_ec2(instance: &Instance) -> bool {
    instance.facts.spot && instance.last_stop == LastStop::Interrupted
}

fn stop_reason(instance: &Instance) -> StateReason {
    instance.launch.stop_reason.as_deref().cloned().unwrap_or_default()
}

/// A stop that bears a date from before the last start bears that of an earlier stop.
fn last_stop(instance: &Instance) -> LastStop {
    match (instance.last_stop, instance.launch.started_at) {
        (LastStop::BySomebody(Some(stopped)), Some(started)) if stopped < started => LastStop::BySomebody(None),
        (last_stop, _) => last_stop,
    }
}

/// An edge as the details tell it.
struct Told(Edge);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Edge { from: at, on, .. } = self.0;
        match (at > Timestamp::MIN, if on { "on" } else { "off" }) {
            (true, turned) => write!(f, "turned {turned} at {at}"),
            (false, always) => write!(f, "was {always} for ever"),
        }
    }
}
