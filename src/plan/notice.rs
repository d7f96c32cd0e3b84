//! What will be stopped soon: who is to be told before it happens. By the plan alone, so that holds, exceptions, clock
//! changes and starts by hand are right by construction, and with nothing stored.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::decide::decide;
use super::decision::{Decided, Decision};
use crate::action::Action;
use crate::request::Request;
use crate::resource::{Resource, State};
use crate::schedule::Tag;
use crate::settings::Settings;

/// A stop that is ahead.
#[derive(Debug, Clone)]
pub struct Notice<'a> {
    /// What will be stopped, if nothing happens to it before.
    pub resource: &'a Resource,
    /// When; none where that is the stop rule's to say.
    pub at: Option<Timestamp>,
    /// When it is turned on again, where that is known.
    pub on_at: Option<Timestamp>,
    /// The zone of its schedule, or else the deployment's.
    pub zone: TimeZone,
}

/// A tick's questions for the stops that are ahead. They count from the trigger's time and not from the clock, so that a
/// tick that is late, or comes twice, asks the same.
#[derive(Debug, Clone)]
pub struct Ahead {
    /// What would be done at the trigger's time.
    pub now: Request,
    /// What would be done so long ahead as the settings say.
    pub not_yet: Request,
    /// What would be done one tick later than that.
    pub due: Request,
}

impl Ahead {
    /// The questions of a tick; none where there are no notices, or nobody says how far ticks lie apart.
    #[must_use]
    pub fn of(settings: &Settings, request: &Request) -> Option<Self> {
        let whole = |instant: Timestamp| Timestamp::from_second(instant.as_second()).ok();
        let now = whole(request.time)?;
        let not_yet = now.checked_add(settings.notice?).ok()?;
        let due = not_yet.checked_add(request.tick?).ok()?;
        let [now, not_yet, due] = [now, not_yet, due].map(|instant| at(request, instant));
        Some(Self { now, not_yet, due })
    }

    /// The instants between which stops are to be told, each a tick or less from the one before, so that no moment is
    /// overlooked. Ticks tile time, so that each stop is told once. But what has started since the tick before, perhaps
    /// by it, has not been asked about yet, and may have less time than all others.
    fn instants(&self, resource: &Resource) -> Vec<Timestamp> {
        let (now, not_yet, due) = (self.now.instant, self.not_yet.instant, self.due.instant);
        let tick = due.duration_since(not_yet);
        let is_new = |started: Timestamp| started <= now && now.duration_since(started) <= tick;
        if !resource.launch.started_at.is_some_and(is_new) {
            return vec![not_yet, due];
        }
        let steps = std::iter::successors(Some(now), |before| before.checked_add(tick).ok());
        steps.take_while(|instant| *instant < due).chain([due]).collect()
    }
}

fn at(request: &Request, instant: Timestamp) -> Request {
    Request { time: instant, instant, ..request.clone() }
}

/// Which stops a tick tells: those that the later question plans, and the earlier does not. What is on its way up, or takes
/// no call now, is taken to run by then.
#[must_use]
pub fn notices<'a>(
    settings: &Settings,
    ahead: &Ahead,
    found: impl IntoIterator<Item = &'a Resource>,
) -> Vec<Notice<'a>> {
    let told = found.into_iter().filter(|resource| is_asked_for(&ahead.now, resource)).filter_map(|resource| {
        let supposed = matches!(resource.state, State::Pending | State::Busy).then(|| Resource {
            state: State::Running,
            status: None,
            ..resource.clone()
        });
        let by_then = supposed.as_ref().unwrap_or(resource);
        let decided = |instant: Timestamp| decide(settings, &at(&ahead.due, instant), by_then);
        let instants = ahead.instants(by_then);
        let turn = instants.windows(2).find(|pair| is_stop(&decided(pair[1])) && !is_stop(&decided(pair[0])))?;
        // The plan has it that it stops in between; by halves, to the second when.
        let (mut not_yet, mut due) = (turn[0].as_second(), turn[1].as_second());
        while due - not_yet > 1 {
            let middle = not_yet.midpoint(due);
            if is_stop(&decided(Timestamp::from_second(middle).ok()?)) { due = middle } else { not_yet = middle }
        }
        let then = decided(Timestamp::from_second(due).ok()?);
        let zone = match resource.tag.as_deref().map(Tag::parse) {
            Some(Tag::Schedule(schedule)) => schedule.zone(&settings.time_zone).clone(),
            _ => settings.time_zone.clone(),
        };
        Some(Notice { resource, at: Timestamp::from_second(due).ok(), on_at: then.on_at, zone })
    });
    once(told.collect())
}

/// One that AWS listed twice is told once.
fn once(mut notices: Vec<Notice<'_>>) -> Vec<Notice<'_>> {
    notices.sort_by(|a, b| (&a.resource.place, &a.resource.id).cmp(&(&b.resource.place, &b.resource.id)));
    notices.dedup_by(|a, b| (&a.resource.place, &a.resource.id) == (&b.resource.place, &b.resource.id));
    notices
}

/// What a request plans to stop, as notices without a time: for what follows the stop rule.
#[must_use]
pub fn stops<'a>(
    settings: &Settings,
    request: &Request,
    found: impl IntoIterator<Item = &'a Resource>,
) -> Vec<Notice<'a>> {
    let told = found.into_iter().filter(|resource| is_asked_for(request, resource)).filter_map(|resource| {
        let decided = decide(settings, request, resource);
        let zone = settings.time_zone.clone();
        is_stop(&decided).then_some(Notice { resource, at: None, on_at: decided.on_at, zone })
    });
    once(told.collect())
}

/// The notices that make one message: of one owner, at one time, in one zone; each in the order of place and id.
#[must_use]
pub fn by_owner(notices: Vec<Notice<'_>>) -> Vec<Vec<Notice<'_>>> {
    let mut groups: BTreeMap<_, Vec<Notice<'_>>> = BTreeMap::new();
    for notice in notices {
        let zone = notice.zone.iana_name().map(str::to_owned);
        groups.entry((notice.at, notice.resource.owner(), zone)).or_default().push(notice);
    }
    groups.into_values().collect()
}

fn is_asked_for(request: &Request, resource: &Resource) -> bool {
    request.only.as_ref().is_none_or(|ids| ids.contains(&resource.id))
}

fn is_stop(decided: &Decided) -> bool {
    decided.decision == Decision::Act(Action::Stop)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::action::RequestedAction;
    use crate::plan::{Looked, plan};
    use crate::resource::{LastStart, LastStop};
    use crate::testing::{at, instance};

    const TAGS: [&str; 9] = [
        "weekdays 08:00-18:00 Europe/Berlin",
        "22:00-02:30 America/New_York",
        "Mon 06:00 - Fri 20:00",
        "Sat 20:00-02:30 Europe/Berlin",
        "stop daily 18:00 Asia/Seoul",
        "start weekdays 07:10 + stop daily 23:00 Australia/Lord_Howe",
        "weekdays 07:00-19:00 except 2026-10-26..2026-10-28",
        "07:03-07:59 + 12:00-12:30",
        "08:00-18:00 enforced",
    ];
    const HOLDS: [&str; 4] = ["", "until 2026-10-23 20:07", "on until 2026-10-27 23:30", "off until 2026-10-24 12:00"];

    /// Tag and hold, tick and notice in minutes, the tick's second, the limit on starts by hand in hours, the minutes at
    /// which somebody starts it, and how late ticks are.
    type Case = (usize, usize, i64, i64, i64, Option<i64>, Vec<i64>, Vec<u8>);

    fn case() -> impl Strategy<Value = Case> {
        (
            0..TAGS.len(),
            0..HOLDS.len(),
            prop::sample::select(vec![5_i64, 10, 30, 59]),
            prop::sample::select(vec![5_i64, 15, 60, 120]),
            0_i64..60,
            prop::option::of(1_i64..6),
            prop::collection::vec(0_i64..4 * 7 * 24 * 60, 0..6),
            prop::collection::vec(0_u8..10, 97),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Four weeks of ticks, over a change of clocks, each late by up to two minutes, some of them twice: whatever is
        /// stopped was announced, once, and in time; and whatever was announced is stopped.
        #[test]
        fn every_stop_is_told_once_and_in_time(
            (tag, hold, tick, ahead, phase, limit, starts, whims) in case()
        ) {
            let settings = Settings {
                hand_start_limit: limit.map(SignedDuration::from_hours),
                notice: Some(SignedDuration::from_mins(ahead)),
                ..Settings::from_environment([("AWS_REGION".to_owned(), "us-east-1".to_owned())]).unwrap()
            };
            let (tick, ahead) = (SignedDuration::from_mins(tick), SignedDuration::from_mins(ahead));
            let begin = at("2026-10-19T00:00:00Z") + SignedDuration::from_secs(phase);
            let end = begin + SignedDuration::from_hours(4 * 7 * 24);
            let mut starts: Vec<Timestamp> =
                starts.into_iter().map(|minute| begin + SignedDuration::from_millis(minute * 60_000 + 7_500)).collect();
            starts.sort();
            let mut machine = Resource {
                tag: Some(TAGS[tag].into()),
                hold: Some(HOLDS[hold]).filter(|hold| !hold.is_empty()).map(Into::into),
                ..instance()
            };
            machine.launch.started_at = Some(begin - SignedDuration::from_hours(500));
            // When each was told, and of what.
            let mut told: BTreeMap<Timestamp, Vec<Timestamp>> = BTreeMap::new();
            let mut stops: Vec<(Timestamp, Timestamp)> = Vec::new();
            let mut runs_since = begin;
            let (mut time, mut number) = (begin, 0);
            while time < end {
                let whim = whims[number % whims.len()];
                number += 1;
                while let Some(start) = starts.first().copied().filter(|start| *start <= time) {
                    starts.remove(0);
                    if machine.state == State::Stopped {
                        machine.state = State::Running;
                        machine.launch.started_at = Some(start);
                        runs_since = start;
                    }
                }
                let late = SignedDuration::from_secs(i64::from(whim % 3) * 55);
                let request = Request {
                    action: RequestedAction::Schedule,
                    time,
                    instant: time + late,
                    dry_run: false,
                    only: None,
                    regions: settings.regions.clone(),
                    accounts: None,
                    tick: Some(tick),
                    notice: false,
                    counts_alone: false,
                };
                // One in ten comes twice.
                for _ in 0..=usize::from(whim == 9) {
                    for notice in notices(&settings, &Ahead::of(&settings, &request).unwrap(), [&machine]) {
                        told.entry(notice.at.unwrap()).or_default().push(time);
                    }
                }
                let decided = plan(&settings, &request, [machine.clone()], Looked::EVERYWHERE).entries.remove(0);
                match decided.decision {
                    Decision::Act(Action::Stop) => {
                        stops.push((request.instant, runs_since));
                        machine.state = State::Stopped;
                        machine.last_stop = LastStop::BySomebody(Some(request.instant));
                    }
                    Decision::Act(Action::Start) => {
                        machine.state = State::Running;
                        machine.last_start = LastStart::BySomebody;
                        machine.launch.started_at = Some(request.instant);
                        runs_since = request.instant;
                    }
                    Decision::Keep(_) => {}
                }
                time += tick;
            }
            let slack = tick + SignedDuration::from_mins(2);
            for (stop, runs_since) in &stops {
                let due: Vec<_> = told.range(..=*stop).rev().take(1).filter(|(at, _)| **at > *runs_since).collect();
                // One that is stopped by the first tick that sees it run cannot be told before.
                let was_seen = *stop - slack > *runs_since && *stop - ahead - slack > begin;
                prop_assert!(!due.is_empty() || !was_seen, "{stop} untold, running since {runs_since}");
                for (at, times) in due {
                    prop_assert!(*stop - *at <= slack, "{at} stopped at {stop}");
                    // It may have been told of a run before, which ended otherwise.
                    let times: Vec<Timestamp> = times.iter().copied().filter(|time| time >= runs_since).collect();
                    let Some(first) = times.first().copied() else { continue };
                    // What has just started is told at once.
                    let has_just_started = first - *runs_since <= tick;
                    prop_assert!(*at - first > ahead || has_just_started, "{at} told at {first}");
                    prop_assert!(*at - first <= ahead + tick, "{at} told at {first}");
                    prop_assert!(times.iter().all(|time| *time == first), "{at} told at {times:?}");
                }
            }
            for at in told.keys().filter(|at| **at + slack < end) {
                let follows = stops.iter().any(|(stop, _)| *stop >= *at && *stop - *at <= slack);
                prop_assert!(follows, "{at} was told, and nothing stopped: {stops:?}");
            }
        }
    }
}
