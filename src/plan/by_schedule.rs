//! What a schedule decides on a tick: the table in `docs/tag.md`.

use jiff::Timestamp;

use super::decision::{Decided, Decision};
use crate::action::Action;
use crate::reason::Why;
use crate::resource::{Instance, LastStop, State};
use crate::schedule::{MOMENT, Schedule};
use crate::settings::Settings;

/// How many edges ahead of a stop are looked at for one that turns on: more than a week of them, in most schedules.
const EDGES_AHEAD: usize = 16;

/// Holds the latest edge that counts against the instance's last start or stop.
pub(super) fn by_schedule(
    settings: &Settings,
    now: Timestamp,
    instance: &Instance,
    schedule: &Schedule,
    hold_end: Option<Timestamp>,
) -> Decided {
    if !matches!(instance.state, State::Running | State::Stopped) {
        return Why::InTransition.into();
    }
    let hold_ended = hold_end.filter(|end| *end <= now);
    let zone = &settings.time_zone;
    let next = || schedule.edges_after(zone, now).next().map(|next| next.at);
    let Some(edge) = schedule.latest_edge(zone, now, hold_ended) else {
        return Why::NotDue(Box::new((schedule.latest_moment(zone, now), next()))).into();
    };
    let start = || Decided::from(Action::Start).due_until(edge.over_at().into_iter().chain(next()).min());
    let stop = || {
        // A moment may stop again before anything starts.
        let on = schedule.edges_after(zone, now).take(EDGES_AHEAD).find(|edge| edge.on);
        let off_until = on.map(|on| on.at).or_else(next);
        Decided { decision: Decision::Act(Action::Stop), ..start() }.off_until(off_until)
    };
    // Whether a moment that was put off fell within the hold nobody knows: against people it happens at its own time only.
    let enforced = schedule.is_enforced() && edge.from == edge.at;
    let started_by_moment = |started: Timestamp| {
        let then = schedule.latest_edge(zone, started, hold_ended.filter(|end| *end <= started));
        then.is_some_and(|edge| edge.moment && edge.on)
    };
    match (edge.on, instance.state) {
        (true, State::Running) => Why::AlreadyRunning.into(),
        (false, State::Stopped) => Why::AlreadyStopped.into(),
        (true, _) if enforced => start(),
        (false, _) if enforced => stop(),
        (false, _) => match instance.launch.started_at {
            _ if instance.started_by_aws => stop(),
            Some(started) if started < edge.from => stop(),
            // A moment lets go: the limit is for windows, which say off until they say on.
            Some(started)
                if !edge.moment
                    && settings.hand_start_limit.is_some_and(|limit| now.duration_since(started) >= limit)
                    && !started_by_moment(started) =>
            {
                stop()
            }
            Some(started) => Why::StartedByHand(Box::new((started, edge.into()))).into(),
            None => Why::StartTimeUnknown.into(),
        },
        (true, _) => match (last_stop(instance), instance.launch.started_at) {
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

/// A stop that bears a date from before the last start bears that of an earlier stop.
fn last_stop(instance: &Instance) -> &LastStop {
    match (&instance.last_stop, instance.launch.started_at) {
        (LastStop::BySomebody(Some(stopped)), Some(started)) if *stopped < started => &LastStop::BySomebody(None),
        (last_stop, _) => last_stop,
    }
}
