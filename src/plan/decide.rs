//! The ladder of reasons, and the stop rule and the start rule.

use jiff::Timestamp;

use super::by_schedule::by_schedule;
use super::decision::{Decided, already_stopped, in_transition};
use crate::action::{Action, RequestedAction};
use crate::reason::{Mark, Why};
use crate::request::Request;
use crate::resource::{LastStart, LastStop, Resource, State};
use crate::schedule::{Hold, HoldMode, Tag};
use crate::settings::{Scope, Settings};

/// The first reason that holds wins; the order is part of the contract.
pub(super) fn decide(settings: &Settings, request: &Request, resource: &Resource) -> Decided {
    let tag = resource.tag.as_deref().map(Tag::parse);
    // Nobody's database is stopped for want of a tag.
    let reaches_untagged =
        settings.scope == Scope::All && request.action == RequestedAction::Stop && resource.id.database().is_none();
    if tag.is_none() && !reaches_untagged {
        return Why::NotSelected.into();
    }
    if tag == Some(Tag::OptedOut) {
        return Why::OptedOut.into();
    }
    if matches!(resource.state, State::ShuttingDown | State::Terminated) {
        return Why::Gone.into();
    }
    if let Some(why) = &resource.forbids {
        return why.clone().into();
    }
    let schedule = match tag {
        Some(Tag::Invalid(error)) => return Why::InvalidSchedule(error.into()).into(),
        Some(Tag::Schedule(schedule)) => Some(schedule),
        _ => None,
    };
    match (&schedule, request.action) {
        (None, RequestedAction::Schedule) => return Why::PlainTag.into(),
        (Some(_), RequestedAction::Stop | RequestedAction::Start) => return Why::OwnSchedule.into(),
        _ => {}
    }
    let hold = match resource.hold.as_deref().map(Hold::parse).transpose() {
        Err(error) => return Why::InvalidHold(error.into()).into(),
        Ok(hold) => hold,
    };
    let zone = schedule.as_ref().map_or(&settings.time_zone, |schedule| schedule.zone(&settings.time_zone));
    let hold_end = hold.as_ref().map(|hold| hold.end(zone));
    if let (Some(hold), Some(end)) = (&hold, hold_end.filter(|end| request.instant < *end))
        && let Some(decided) = held(request.action, resource.state, hold.mode(), end)
    {
        return decided;
    }
    match (request.action, &schedule) {
        (RequestedAction::Schedule, Some(schedule)) => {
            by_schedule(settings, request.instant, resource, schedule, hold_end)
        }
        (RequestedAction::Start, _) => by_start_rule(request.time, resource),
        _ => by_stop_rule(request.time, resource),
    }
}

/// What a hold that is in force decides; nothing where it leaves the rule its way.
fn held(action: RequestedAction, state: State, mode: HoldMode, end: Timestamp) -> Option<Decided> {
    use RequestedAction as Asked;
    Some(match (action, mode, state) {
        (Asked::Stop, HoldMode::Off, _) | (Asked::Start, HoldMode::On, _) => return None,
        (Asked::Schedule, HoldMode::On, State::Stopped) => Decided::from(Action::Start).due_until(Some(end)),
        (Asked::Schedule, HoldMode::Off, State::Running) => {
            Decided::from(Action::Stop).due_until(Some(end)).off_until(Some(end))
        }
        _ => Why::Held(end).into(),
    })
}

fn by_stop_rule(time: Timestamp, resource: &Resource) -> Decided {
    match (resource.state, resource.last_start, resource.launch.started_at) {
        (State::Running, LastStart::Unclear | LastStart::NotTold, _) => {
            Why::StartUnclear(Box::new(Mark::Trigger(time))).into()
        }
        (State::Running, LastStart::BySomebody, Some(started)) if started >= time => {
            Why::StartedByHand(Box::new((started, Mark::Trigger(time)))).into()
        }
        (State::Running, ..) => Decided::from(Action::Stop).due_since(time),
        (State::Stopped, ..) => already_stopped(resource).into(),
        _ => in_transition(resource).into(),
    }
}

fn by_start_rule(time: Timestamp, resource: &Resource) -> Decided {
    match (resource.state, &resource.last_stop, resource.launch.started_at) {
        (State::Stopped, LastStop::BySomebody(Some(stopped)), _) if *stopped >= time => {
            Why::StoppedByHand(Box::new((*stopped, Mark::Trigger(time)))).into()
        }
        // Not every stop by hand bears a date, but one that follows a later start came later still.
        (State::Stopped, LastStop::BySomebody(_), Some(started)) if started >= time => {
            Why::StoppedSince(Box::new((started, Mark::Trigger(time)))).into()
        }
        // Nobody has read the log.
        (State::Stopped, LastStop::Unknown, _) if resource.log_was_not_read() => {
            Why::StopTimeUnknown(Box::new(Mark::Trigger(time))).into()
        }
        (State::Stopped, ..) => Decided::from(Action::Start).due_since(time),
        (State::Running, ..) => Why::AlreadyRunning.into(),
        _ => in_transition(resource).into(),
    }
}
