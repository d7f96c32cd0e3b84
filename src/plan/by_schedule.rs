//! What a schedule decides on a tick: the table in `docs/tag.md`.

use jiff::{SignedDuration, Timestamp};

use super::decision::{Decided, Decision, already_stopped, in_transition};
use crate::action::Action;
use crate::reason::Why;
use crate::resource::{LastStart, LastStop, RDS_REMEMBERS, Resource, State};
use crate::schedule::{Edge, MOMENT, Schedule};
use crate::settings::Settings;

/// So long after an edge a database ought to have arrived.
const ARRIVES_WITHIN: SignedDuration = SignedDuration::from_mins(90);
/// So long after an edge, up to its [`MOMENT`], a database is stopped although nobody knows who started it: the log may
/// lack an event, and then would for ever.
const IN_DOUBT_AFTER: SignedDuration = SignedDuration::from_mins(50);
/// How many edges ahead of a stop are looked at for one that turns on: more than a week of them, in most schedules.
const EDGES_AHEAD: usize = 16;

/// Holds the latest edge that counts against the resource's last start or stop.
pub(super) fn by_schedule(
    settings: &Settings,
    now: Timestamp,
    resource: &Resource,
    schedule: &Schedule,
    hold_end: Option<Timestamp>,
) -> Decided {
    let hold_ended = hold_end.filter(|end| *end <= now);
    let zone = &settings.time_zone;
    let next = || schedule.edges_after(zone, now).next().map(|next| next.at);
    let edge = schedule.latest_edge(zone, now, hold_ended);
    if !matches!(resource.state, State::Running | State::Stopped) {
        // A moment is over after an hour, but a database may be on its way for longer.
        let turn = edge.or_else(|| schedule.latest_turn(zone, now)).filter(|edge| is_unsettled(resource, *edge, now));
        return match turn {
            Some(edge) => Why::Unsettled(Box::new((resource.status.clone().unwrap_or_default(), edge.into()))).into(),
            None => in_transition(resource).into(),
        };
    }
    let Some(edge) = edge else {
        let restarted = resource.id.database().is_some()
            && (resource.state, resource.last_start) == (State::Running, LastStart::ByAws);
        // A start by AWS leaves standing what the schedule last said.
        return if restarted && schedule.left_on(zone, now) == Some(false) {
            Decided::from(Action::Stop).due_until(next()).off_until(next())
        } else {
            Why::NotDue(Box::new((schedule.latest_moment(zone, now), next()))).into()
        };
    };
    let start =
        || Decided::from(Action::Start).due_since(edge.at).due_until(edge.over_at().into_iter().chain(next()).min());
    let stop = || {
        // A moment may stop again before anything starts.
        let on = schedule.edges_after(zone, now).take(EDGES_AHEAD).find(|edge| edge.on);
        let on_at = on.map(|on| on.at);
        Decided { decision: Decision::Act(Action::Stop), on_at, ..start() }.off_until(on_at.or_else(next))
    };
    // Whoever is not left in peace by the edge alone came after it.
    let stop_what_started_since = || {
        let since = resource.launch.started_at.filter(|started| *started > edge.at);
        Decided { due_since: Some(since.unwrap_or(edge.at)), ..stop() }
    };
    // Whether a moment that was put off fell within the hold nobody knows: against people it happens at its own time only.
    let enforced = schedule.is_enforced() && edge.from == edge.at;
    let started_by_moment = |started: Timestamp| {
        let then = schedule.latest_edge(zone, started, hold_ended.filter(|end| *end <= started));
        then.is_some_and(|edge| edge.moment && edge.on)
    };
    match (edge.on, resource.state) {
        (true, State::Running) => Why::AlreadyRunning.into(),
        (false, State::Stopped) => already_stopped(resource).into(),
        (true, _) if enforced => start(),
        (false, _) if enforced || resource.last_start == LastStart::ByAws => stop_what_started_since(),
        (false, _)
            if resource.last_start == LastStart::LongAgo
                && edge.from >= now.saturating_sub(RDS_REMEMBERS).unwrap_or(Timestamp::MIN) =>
        {
            stop()
        }
        // Nobody has read the log; the next tick may.
        (false, _) if resource.last_start == LastStart::NotTold => Why::StartUnclear(Box::new(edge.into())).into(),
        (false, _) if matches!(resource.last_start, LastStart::LongAgo | LastStart::Unclear) => {
            let since = now.duration_since(edge.at);
            if since >= IN_DOUBT_AFTER && since < MOMENT {
                Decided { due_since: edge.at.checked_add(IN_DOUBT_AFTER).ok(), ..stop() }
            } else {
                Why::StartUnclear(Box::new(edge.into())).into()
            }
        }
        (false, _) => match resource.launch.started_at {
            Some(started) if started < edge.from => stop(),
            // A moment lets go: the limit is for windows, which say off until they say on.
            Some(started)
                if !edge.moment
                    && settings.hand_start_limit.is_some_and(|limit| now.duration_since(started) >= limit)
                    && !started_by_moment(started) =>
            {
                let over = settings.hand_start_limit.and_then(|limit| started.checked_add(limit).ok());
                Decided { due_since: over, ..stop() }
            }
            Some(started) => Why::StartedByHand(Box::new((started, edge.into()))).into(),
            None => Why::StartTimeUnknown.into(),
        },
        // Of what has been on for ever, the log could not tell more.
        (true, _)
            if resource.last_stop == LastStop::Unknown && resource.log_was_not_read() && edge.from > Timestamp::MIN =>
        {
            Why::StopTimeUnknown(Box::new(edge.into())).into()
        }
        (true, _) => match (last_stop(resource), resource.launch.started_at) {
            (LastStop::ByAws, _) => start(),
            (LastStop::BySomebody(Some(stopped)), _) if *stopped < edge.from => start(),
            (LastStop::BySomebody(Some(stopped)), _) => Why::StoppedByHand(Box::new((*stopped, edge.into()))).into(),
            (LastStop::BySomebody(None) | LastStop::Unknown, Some(started)) if started >= edge.from => {
                Why::StoppedSince(Box::new((started, edge.into()))).into()
            }
            _ if now.duration_since(edge.at) < MOMENT => start(),
            (LastStop::FailedStart(start), _) => Why::Bounced(start.clone()).into(),
            (LastStop::BySomebody(None) | LastStop::Unknown, _) => Why::StopTimeUnknown(Box::new(edge.into())).into(),
        },
    }
}

/// Whether a database is still on its way long after an edge, and nothing has happened to it since that explains it.
fn is_unsettled(database: &Resource, edge: Edge, now: Timestamp) -> bool {
    let has_arrived = edge.on && database.state == State::Busy;
    let since = |instant: Option<Timestamp>| instant.is_some_and(|instant| instant >= edge.from);
    let stopped = match database.last_stop {
        LastStop::BySomebody(stopped) => stopped,
        _ => None,
    };
    // Somebody has begun to stop, or to start, what had arrived: of that there is no event yet.
    let leaves_again = match (edge.on, database.state) {
        (true, State::Stopping) => database.launch.started_at.is_some() && database.launch.started_at > stopped,
        (false, State::Pending) => stopped.is_some() && stopped > database.launch.started_at,
        _ => false,
    };
    let is_explained = leaves_again
        || since(database.launch.started_at)
        || since(stopped)
        || matches!(database.last_start, LastStart::ByAws | LastStart::NotTold);
    database.id.database().is_some() && !has_arrived && !is_explained && now.duration_since(edge.at) >= ARRIVES_WITHIN
}

/// A stop that bears a date from before the last start bears that of an earlier stop.
fn last_stop(resource: &Resource) -> &LastStop {
    match (&resource.last_stop, resource.launch.started_at) {
        (LastStop::BySomebody(Some(stopped)), Some(started)) if *stopped < started => &LastStop::BySomebody(None),
        (last_stop, _) => last_stop,
    }
}
