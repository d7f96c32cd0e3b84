use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::action::Action;
use crate::reason::{FailedStart, Reason};
use crate::resource::{LastStop, State};
use crate::schedule::Tag;
use crate::testing::{at, instance, region, resource_id};
use crate::trigger;

fn settings(scope: &str) -> Settings {
    Settings::from_environment(
        [("STOPINATOR_SCOPE", scope), ("STOPINATOR_REGIONS", "eu-west-1,us-east-1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    )
    .unwrap()
}

fn request(json: &str) -> Request {
    trigger::parse(json, &settings("tagged"), at("2026-11-21T09:00:00Z")).unwrap()
}

/// A decision as these tests tell it: the reason alone, without what it bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Act(Action),
    Keep(Reason),
}

impl From<&super::Decision> for Decision {
    fn from(decision: &super::Decision) -> Self {
        match decision {
            super::Decision::Act(action) => Self::Act(*action),
            super::Decision::Keep(why) => Self::Keep(why.reason()),
        }
    }
}

fn detail(entry: &Entry) -> String {
    match &entry.decision {
        super::Decision::Act(_) => String::new(),
        super::Decision::Keep(why) => why.to_string(),
    }
}

fn failed_start() -> LastStop {
    LastStop::FailedStart(FailedStart { told: "Client.VolumeLimitExceeded".into(), advice: None }.into())
}

fn started(started_at: Option<Timestamp>) -> Launch {
    Launch { started_at, ..Launch::default() }
}

fn untagged() -> Resource {
    Resource { tag: None, ..instance() }
}

fn decided(scope: &str, json: &str, instance: Resource) -> Decision {
    let request = request(json);
    let plan = plan(&settings(scope), &request, vec![instance], Looked::EVERYWHERE);
    assert_eq!(plan.entries.len(), 1);
    (&plan.entries[0].decision).into()
}

const STOP: &str = r#"{"action": "stop", "time": "2026-11-21T08:59:00Z"}"#;
const SCHEDULE: &str = r#"{"action": "schedule", "time": "2026-11-21T08:59:00Z"}"#;
const START: &str = r#"{"action": "start", "time": "2026-11-21T08:59:00Z"}"#;
const ON_TIME: &str = "2026-11-21T08:59:00Z";
const BEFORE: &str = "2026-11-21T08:58:59Z";

#[test]
fn a_due_instance_is_stopped_or_started() {
    assert_eq!(decided("tagged", STOP, instance()), Decision::Act(Action::Stop));
    let stopped = Resource { state: State::Stopped, ..instance() };
    assert_eq!(decided("tagged", START, stopped), Decision::Act(Action::Start));
    assert_eq!(decided("all", STOP, untagged()), Decision::Act(Action::Stop));
}

/// Each step of the ladder of reasons, with every later reason present as well: the first one wins.
#[test]
fn the_first_reason_wins() {
    let mut instance = Resource {
        tag: Some("false".into()),
        state: State::Terminated,
        forbids: Some(Why::CannotStop),
        hold: Some("until further notice".into()),
        ..instance()
    };
    let expect = |instance: &Resource, reason| {
        for (scope, action) in [("tagged", STOP), ("tagged", START), ("all", STOP), ("all", START)] {
            assert_eq!(decided(scope, action, instance.clone()), Decision::Keep(reason), "{scope} {action}");
        }
    };
    expect(&instance, Reason::OptedOut);
    assert_eq!(decided("tagged", SCHEDULE, instance.clone()), Decision::Keep(Reason::OptedOut));
    instance.tag = Some("on".into());
    expect(&instance, Reason::Gone);
    instance.state = State::Pending;
    expect(&instance, Reason::CannotStop);
    assert_eq!(decided("tagged", SCHEDULE, instance.clone()), Decision::Keep(Reason::CannotStop));
    instance.forbids = None;
    expect(&instance, Reason::InvalidSchedule);
    assert_eq!(decided("tagged", SCHEDULE, instance.clone()), Decision::Keep(Reason::InvalidSchedule));
    instance.tag = Some("stop daily 18:00".into());
    expect(&instance, Reason::OwnSchedule);
    assert_eq!(decided("tagged", SCHEDULE, instance.clone()), Decision::Keep(Reason::InvalidHold));
    instance.tag = Some("true".into());
    assert_eq!(decided("tagged", SCHEDULE, instance.clone()), Decision::Keep(Reason::PlainTag));
    expect(&instance, Reason::InvalidHold);
    instance.hold = Some("until 2026-11-22".into());
    expect(&instance, Reason::Held);
    instance.hold = None;
    expect(&instance, Reason::InTransition);
    instance.state = State::Stopped;
    assert_eq!(decided("tagged", STOP, instance.clone()), Decision::Keep(Reason::AlreadyStopped));
    instance.state = State::Running;
    assert_eq!(decided("tagged", START, instance), Decision::Keep(Reason::AlreadyRunning));
}

#[test]
fn what_forbids_any_action_beats_hold_and_enforcement() {
    let interrupted = |tag: &str| Resource {
        tag: Some(tag.into()),
        state: State::Stopped,
        last_stop: LastStop::ByAws,
        forbids: Some(Why::SpotInterrupted("Server.SpotInstanceShutdown".into())),
        hold: Some("on until 2026-11-22".into()),
        ..instance()
    };
    for (tag, json) in [("true", START), ("true", STOP), ("00:00-24:00 enforced", SCHEDULE)] {
        let plan = plan(&settings("tagged"), &request(json), [interrupted(tag)], Looked::EVERYWHERE);
        assert_eq!(Decision::from(&plan.entries[0].decision), Decision::Keep(Reason::SpotInterrupted), "{tag}");
        assert_eq!(detail(&plan.entries[0]), "Server.SpotInstanceShutdown: only EC2 may start it again");
    }
    let free = Resource { forbids: None, hold: None, ..interrupted("09:00-24:00") };
    assert_eq!(decided("tagged", SCHEDULE, free), Decision::Act(Action::Start));
}

#[test]
fn a_start_by_aws_is_nobodys_hand() {
    for (last_start, expected) in [
        (LastStart::ByAws, Decision::Act(Action::Stop)),
        (LastStart::BySomebody, Decision::Keep(Reason::StartedByHand)),
    ] {
        // At night, after the schedule turned off; and after the stop rule's time.
        let at_night = scheduled("05:00-08:00", State::Running, "2026-11-21T08:30:00Z", LastStop::ByAws);
        assert_eq!(decided("tagged", SCHEDULE, Resource { last_start, ..at_night }), expected);
        let plain = Resource { launch: started(Some(at(ON_TIME))), last_start, ..instance() };
        assert_eq!(decided("tagged", STOP, plain), expected);
    }
}

/// On a page each, and changed in between: the order of the pages decides nothing.
#[test]
fn listed_twice_and_not_alike_it_is_on_its_way() {
    let running = instance();
    for other in [
        Resource { state: State::Stopped, ..instance() },
        Resource { state: State::Stopping, ..instance() },
        Resource { tag: Some("false".into()), ..instance() },
        Resource { launch: started(Some(at(ON_TIME))), ..instance() },
    ] {
        for fleet in [[running.clone(), other.clone()], [other.clone(), running.clone()]] {
            let plan = plan(&settings("tagged"), &request(STOP), fleet, Looked::EVERYWHERE);
            assert_eq!(plan.entries.len(), 1);
            assert_eq!(Decision::from(&plan.entries[0].decision), Decision::Keep(Reason::InTransition), "{other:?}");
        }
    }
    let renamed = Resource { name: Some("web".into()), ..instance() };
    let plan = plan(&settings("tagged"), &request(STOP), [instance(), renamed], Looked::EVERYWHERE);
    assert_eq!(plan.entries.len(), 1);
    assert_eq!(Decision::from(&plan.entries[0].decision), Decision::Act(Action::Stop));
}

#[test]
fn the_untagged_are_not_selected_but_by_stop_in_scope_all() {
    for (scope, action) in [("tagged", STOP), ("tagged", START), ("all", START)] {
        for state in [State::Running, State::Stopped, State::Terminated] {
            let instance = Resource { state, ..untagged() };
            assert_eq!(decided(scope, action, instance), Decision::Keep(Reason::NotSelected), "{scope} {action}");
        }
    }
}

#[test]
fn every_state_that_is_neither_running_nor_stopped_is_left_alone() {
    for (state, reason) in [
        (State::Pending, Reason::InTransition),
        (State::Stopping, Reason::InTransition),
        (State::Unknown, Reason::InTransition),
        (State::ShuttingDown, Reason::Gone),
        (State::Terminated, Reason::Gone),
    ] {
        for action in [STOP, START] {
            assert_eq!(decided("tagged", action, Resource { state, ..instance() }), Decision::Keep(reason));
        }
    }
}

#[test]
fn a_start_by_hand_survives_a_repeated_stop_event() {
    for (started, decision) in [
        (Some(BEFORE), Decision::Act(Action::Stop)),
        (Some(ON_TIME), Decision::Keep(Reason::StartedByHand)),
        (Some("2026-11-21T08:59:30Z"), Decision::Keep(Reason::StartedByHand)),
        (None, Decision::Act(Action::Stop)),
    ] {
        let instance = Resource { launch: super::tests::started(started.map(at)), ..instance() };
        assert_eq!(decided("tagged", STOP, instance), decision, "{started:?}");
    }
}

#[test]
fn a_stop_by_hand_survives_a_repeated_start_event() {
    for (stopped, decision) in [
        (Some(BEFORE), Decision::Act(Action::Start)),
        (Some(ON_TIME), Decision::Keep(Reason::StoppedByHand)),
        (None, Decision::Act(Action::Start)),
    ] {
        let last_stop = stopped.map_or(LastStop::Unknown, |stopped| LastStop::BySomebody(Some(at(stopped))));
        let instance = Resource { state: State::Stopped, last_stop, ..instance() };
        assert_eq!(decided("tagged", START, instance), decision, "{stopped:?}");
    }
}

#[test]
fn a_stop_by_hand_without_a_date_is_known_by_the_start_before_it() {
    for (started_at, last_stop, decision) in [
        (ON_TIME, LastStop::BySomebody(None), Decision::Keep(Reason::StoppedByHand)),
        (BEFORE, LastStop::BySomebody(None), Decision::Act(Action::Start)),
        (ON_TIME, LastStop::BySomebody(Some(at(BEFORE))), Decision::Keep(Reason::StoppedByHand)),
        (ON_TIME, failed_start(), Decision::Act(Action::Start)),
        (ON_TIME, LastStop::ByAws, Decision::Act(Action::Start)),
        (ON_TIME, LastStop::Unknown, Decision::Act(Action::Start)),
    ] {
        let launch = started(Some(at(started_at)));
        let instance = Resource { state: State::Stopped, launch, last_stop: last_stop.clone(), ..instance() };
        assert_eq!(decided("tagged", START, instance), decision, "{started_at} {last_stop:?}");
    }
}

/// The stories of `docs/tag.md`: each row of its tables is one tick.
#[test]
fn what_happens_when() {
    let page = include_str!("../../docs/tag.md");
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with('|') && line.matches('|').count() == 6) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [tag, hold, now, story, decision] = cells[..] else { panic!("{line}") };
        if tag == "tag" || tag.starts_with("---") {
            continue;
        }
        let (tag, hold, decision) = (tag.trim_matches('`'), hold.trim_matches('`'), decision.trim_matches('`'));
        let Tag::Schedule(schedule) = Tag::parse(tag) else { panic!("{tag}") };
        let local = |text: &str| local(text, schedule.zone(&TimeZone::UTC));
        let told = [
            ("running since ", State::Running, LastStop::Unknown),
            ("stopped by somebody at ", State::Stopped, LastStop::BySomebody(None)),
            ("stopped by AWS, started at ", State::Stopped, LastStop::ByAws),
            ("start failed, started at ", State::Stopped, failed_start()),
            ("started by AWS at ", State::Running, LastStop::ByAws),
            ("stopped, nobody knows when, started at ", State::Stopped, LastStop::Unknown),
        ];
        let (state, last_stop, since) = told
            .into_iter()
            .find_map(|(words, state, last_stop)| Some((state, last_stop, local(story.strip_prefix(words)?))))
            .unwrap_or_else(|| panic!("{story}"));
        let (last_stop, started_at) = match last_stop {
            LastStop::BySomebody(_) => (LastStop::BySomebody(Some(since)), None),
            other => (other, Some(since)),
        };
        let instance = Resource {
            state,
            last_stop,
            tag: Some(tag.into()),
            hold: (!hold.is_empty()).then(|| hold.into()),
            launch: started(started_at),
            last_start: if story.starts_with("started by AWS") { LastStart::ByAws } else { LastStart::BySomebody },
            ..instance()
        };
        let request = Request { instant: local(now), ..request(SCHEDULE) };
        let plan = plan(&settings("tagged"), &request, [instance], Looked::EVERYWHERE);
        let decided = match Decision::from(&plan.entries[0].decision) {
            Decision::Act(action) => action.as_str(),
            Decision::Keep(reason) => reason.as_str(),
        };
        assert_eq!(decided, decision, "{line}");
        rows += 1;
    }
    assert!(rows > 60, "{rows}");
}

/// What the entry of one scheduled instance says at an instant: decision, detail, and until when it is due and off.
fn tick(settings: &Settings, now: &str, instance: Resource) -> (Decision, String, String, String) {
    let request = Request { instant: at(now), ..request(SCHEDULE) };
    let entry = plan(settings, &request, [instance], Looked::EVERYWHERE).entries.remove(0);
    let told = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let until = entry.until.as_deref().copied().unwrap_or_default();
    ((&entry.decision).into(), detail(&entry), told(until.due), told(until.off))
}

fn scheduled(tag: &str, state: State, started_at: &str, last_stop: LastStop) -> Resource {
    let launch = started(Some(at(started_at)));
    Resource { tag: Some(tag.into()), state, launch, last_stop, ..instance() }
}

#[test]
fn to_the_second() {
    let by_hand = |text: &str| LastStop::BySomebody(Some(at(text)));
    let (running, stopped) = (State::Running, State::Stopped);
    let (start, stop) = (Decision::Act(Action::Start), Decision::Act(Action::Stop));
    let keep = Decision::Keep;
    let yesterday = "2026-11-20T00:00:00Z";
    for (tag, now, state, started_at, last_stop, decision) in [
        ("07:00-09:00", "2026-11-21T09:00:00Z", running, "2026-11-21T08:59:59Z", LastStop::Unknown, stop),
        (
            "07:00-09:00",
            "2026-11-21T09:00:00Z",
            running,
            "2026-11-21T09:00:00Z",
            LastStop::Unknown,
            keep(Reason::StartedByHand),
        ),
        ("07:00-09:00", "2026-11-21T08:59:59Z", running, yesterday, LastStop::Unknown, keep(Reason::AlreadyRunning)),
        ("07:00-09:00", "2026-11-21T08:00:00Z", stopped, yesterday, by_hand("2026-11-21T06:59:59Z"), start),
        (
            "07:00-09:00",
            "2026-11-21T08:00:00Z",
            stopped,
            yesterday,
            by_hand("2026-11-21T07:00:00Z"),
            keep(Reason::StoppedByHand),
        ),
        ("07:00-09:00", "2026-11-21T07:59:59Z", stopped, yesterday, failed_start(), start),
        ("07:00-09:00", "2026-11-21T08:00:00Z", stopped, yesterday, failed_start(), keep(Reason::Bounced)),
        ("07:00-09:00", "2026-11-21T08:00:00Z", stopped, "2026-11-21T07:30:00Z", LastStop::ByAws, start),
        ("07:00-09:00", "2026-11-21T07:59:59Z", stopped, yesterday, LastStop::Unknown, start),
        (
            "07:00-09:00",
            "2026-11-21T08:00:00Z",
            stopped,
            yesterday,
            LastStop::BySomebody(None),
            keep(Reason::StopTimeUnknown),
        ),
        (
            "07:00-09:00",
            "2026-11-21T07:30:00Z",
            stopped,
            "2026-11-21T07:00:00Z",
            LastStop::Unknown,
            keep(Reason::StoppedByHand),
        ),
        ("07:00-09:00", "2026-11-21T07:30:00Z", stopped, "2026-11-21T06:59:59Z", LastStop::BySomebody(None), start),
        ("07:00-09:00 enforced", "2026-11-21T08:00:00Z", stopped, yesterday, failed_start(), start),
        ("07:00-09:00 enforced", "2026-11-21T08:00:00Z", stopped, yesterday, LastStop::Unknown, start),
    ] {
        let instance = scheduled(tag, state, started_at, last_stop.clone());
        assert_eq!(tick(&settings("tagged"), now, instance).0, decision, "{tag} {now} {started_at} {last_stop:?}");
    }
    let unknown_start =
        Resource { launch: started(None), ..scheduled("07:00-09:00", running, yesterday, LastStop::Unknown) };
    let told = tick(&settings("tagged"), "2026-11-21T10:00:00Z", unknown_start);
    assert_eq!(told.0, keep(Reason::StartedByHand));
    assert_eq!(told.1, "EC2 does not tell when it started");
}

#[test]
fn a_limit_for_hand_starts() {
    let limited = Settings { hand_start_limit: Some(SignedDuration::from_hours(8)), ..settings("tagged") };
    for (now, decision) in [
        ("2026-11-21T17:59:59Z", Decision::Keep(Reason::StartedByHand)),
        ("2026-11-21T18:00:00Z", Decision::Act(Action::Stop)),
    ] {
        let instance = scheduled("07:00-09:00", State::Running, "2026-11-21T10:00:00Z", LastStop::Unknown);
        assert_eq!(tick(&limited, now, instance).0, decision, "{now}");
    }
    // What a moment started, no hand did, be it at its own time or when a hold ended.
    let put_off = Some("until 2026-11-21 12:00");
    let (stop, keep) = (Decision::Act(Action::Stop), Decision::Keep(Reason::StartedByHand));
    for (moment, hold, started_at, decision) in [
        ("start", None, "2026-11-21T09:59:59Z", stop),
        ("start", None, "2026-11-21T10:00:00Z", keep),
        ("start", None, "2026-11-21T10:59:59Z", keep),
        ("start", None, "2026-11-21T11:00:00Z", stop),
        ("start", put_off, "2026-11-21T10:30:00Z", stop),
        ("start", put_off, "2026-11-21T12:00:00Z", keep),
        ("start", put_off, "2026-11-21T12:59:59Z", keep),
        ("start", put_off, "2026-11-21T13:00:00Z", stop),
        ("stop", None, "2026-11-21T10:05:00Z", stop),
    ] {
        let tag = format!("07:00-09:00 + {moment} 10:00");
        let instance = scheduled(&tag, State::Running, started_at, LastStop::Unknown);
        let instance = Resource { hold: hold.map(Into::into), ..instance };
        assert_eq!(tick(&limited, "2026-11-21T23:00:00Z", instance).0, decision, "{tag} {hold:?} {started_at}");
    }
}

/// A shutdown from within may leave the date of an earlier stop.
#[test]
fn a_date_from_before_the_last_start_is_none() {
    for (stopped, now, decision) in [
        ("2026-11-20T18:00:00Z", "2026-11-21T12:00:00Z", Decision::Keep(Reason::StoppedByHand)),
        ("2026-11-21T07:59:59Z", "2026-11-21T12:00:00Z", Decision::Keep(Reason::StoppedByHand)),
        ("2026-11-20T18:00:00Z", "2026-11-22T07:00:00Z", Decision::Act(Action::Start)),
        ("2026-11-21T07:59:59Z", "2026-11-22T09:00:00Z", Decision::Keep(Reason::StopTimeUnknown)),
        ("2026-11-21T08:00:00Z", "2026-11-22T09:00:00Z", Decision::Act(Action::Start)),
    ] {
        let last_stop = LastStop::BySomebody(Some(at(stopped)));
        let instance = scheduled("07:00-18:00", State::Stopped, "2026-11-21T08:00:00Z", last_stop);
        assert_eq!(tick(&settings("tagged"), now, instance).0, decision, "{stopped} {now}");
    }
}

#[test]
fn the_limit_for_hand_starts_is_not_for_moments() {
    let limited = Settings { hand_start_limit: Some(SignedDuration::from_hours(8)), ..settings("tagged") };
    let hold = Some("until 2026-11-21 15:00".into());
    let instance = scheduled("stop 18:00", State::Running, "2026-11-21T06:00:00Z", LastStop::Unknown);
    let told = tick(&limited, "2026-11-21T15:05:00Z", Resource { hold, ..instance });
    assert_eq!(told.0, Decision::Keep(Reason::StartedByHand));
}

#[test]
fn what_a_tick_says() {
    let settings = settings("tagged");
    let by_hand = || LastStop::BySomebody(Some(at("2026-11-21T08:00:00Z")));
    for (tag, state, last_stop, says) in [
        (
            "05:00-06:00",
            State::Running,
            LastStop::Unknown,
            "started at 2026-11-21T07:00:00Z, not before its schedule turned off at 2026-11-21T06:00:00Z",
        ),
        (
            "06:00-11:00",
            State::Stopped,
            by_hand(),
            "stopped at 2026-11-21T08:00:00Z, not before its schedule turned on at 2026-11-21T06:00:00Z",
        ),
        (
            "00:00-24:00",
            State::Stopped,
            by_hand(),
            "stopped at 2026-11-21T08:00:00Z, not before its schedule was on for ever",
        ),
        (
            "06:00-11:00",
            State::Stopped,
            LastStop::Unknown,
            "started at 2026-11-21T07:00:00Z, not before its schedule turned on at 2026-11-21T06:00:00Z, and stopped since",
        ),
        (
            "07:30-11:00",
            State::Stopped,
            LastStop::Unknown,
            "AWS does not tell whether it was stopped before its schedule turned on at 2026-11-21T07:30:00Z",
        ),
        (
            "06:00-11:00",
            State::Stopped,
            failed_start(),
            "Client.VolumeLimitExceeded: the last start fell back; start it by hand once the cause is mended",
        ),
        (
            "stop 08:00",
            State::Running,
            LastStop::Unknown,
            "its latest moment, 2026-11-21T08:00:00Z, has passed; the next is 2026-11-22T08:00:00Z",
        ),
        (
            "stop 08:00 except 0001-01-01..2026-11-30",
            State::Running,
            LastStop::Unknown,
            "its latest moment, 0000-12-31T08:00:00Z, has passed; the next is 2026-12-01T08:00:00Z",
        ),
        (
            "stop 08:00 except 01-01..12-31",
            State::Running,
            LastStop::Unknown,
            "it has had no moment; there is no next one",
        ),
    ] {
        let instance = scheduled(tag, state, "2026-11-21T07:00:00Z", last_stop);
        assert_eq!(tick(&settings, "2026-11-21T10:00:00Z", instance).1, says, "{tag}");
    }
}

#[test]
fn until_when_it_is_due_and_off() {
    let settings = settings("tagged");
    for (tag, hold, state, due_until, off_until) in [
        ("07:00-09:00", None, State::Running, "2026-11-22T07:00:00Z", "2026-11-22T07:00:00Z"),
        ("09:00-11:00", None, State::Stopped, "2026-11-21T11:00:00Z", ""),
        ("stop 09:30", None, State::Running, "2026-11-21T10:30:00Z", "2026-11-22T09:30:00Z"),
        ("07:00-09:00 + stop 10:15", None, State::Running, "2026-11-21T10:15:00Z", "2026-11-22T07:00:00Z"),
        ("07:00-09:00", Some("on until 2026-11-21 12:00"), State::Stopped, "2026-11-21T12:00:00Z", ""),
        (
            "07:00-12:00",
            Some("off until 2026-11-21 11:00"),
            State::Running,
            "2026-11-21T11:00:00Z",
            "2026-11-21T11:00:00Z",
        ),
        // In force to the last second, and then an edge.
        (
            "07:00-09:00",
            Some("on until 2026-11-21 10:00"),
            State::Running,
            "2026-11-22T07:00:00Z",
            "2026-11-22T07:00:00Z",
        ),
    ] {
        let last_stop = LastStop::BySomebody(Some(at("2026-11-21T06:00:00Z")));
        let instance = scheduled(tag, state, "2026-11-20T07:00:00Z", last_stop);
        let (decision, _, due, off) =
            tick(&settings, "2026-11-21T10:00:00Z", Resource { hold: hold.map(Into::into), ..instance });
        assert!(matches!(decision, Decision::Act(_)), "{tag} {hold:?}: {decision:?}");
        assert_eq!((due.as_str(), off.as_str()), (due_until, off_until), "{tag} {hold:?}");
    }
}

#[test]
fn what_holds_do() {
    let with = |mode: &str, state| Resource {
        hold: Some(format!("{mode}until 2026-11-22 12:00").into()),
        state,
        ..instance()
    };
    let (stop, start) = (Decision::Act(Action::Stop), Decision::Act(Action::Start));
    let held = Decision::Keep(Reason::Held);
    for (mode, on_stop, on_start) in [("", held, held), ("on ", held, start), ("off ", stop, held)] {
        assert_eq!(decided("tagged", STOP, with(mode, State::Running)), on_stop, "{mode}");
        assert_eq!(decided("tagged", START, with(mode, State::Stopped)), on_start, "{mode}");
    }
    for (mode, running, stopped) in [("", held, held), ("on ", held, start), ("off ", stop, held)] {
        for (state, expected) in [(State::Running, running), (State::Stopped, stopped), (State::Pending, held)] {
            let instance = Resource { tag: Some("stop 18:00".into()), ..with(mode, state) };
            assert_eq!(decided("tagged", SCHEDULE, instance), expected, "{mode} {state:?}");
        }
    }
}

/// `2026-10-25 02:35`, or `2026-10-25 02:35 +01:00` where it exists twice.
fn local(text: &str, zone: &TimeZone) -> Timestamp {
    let (time, offset) = text.split_at("2026-10-25 02:35".len());
    if offset.is_empty() {
        let time: DateTime = time.parse().unwrap();
        zone.to_ambiguous_timestamp(time).unambiguous().unwrap()
    } else {
        format!("{time}{}", offset.trim()).parse().unwrap()
    }
}

#[test]
fn ids_narrow_and_never_widen() {
    let json = r#"{"action": "stop", "instance_ids": ["i-0000000a", "i-0000000b", "i-0000000c"]}"#;
    let request = request(json);
    let found = ["i-0000000a", "i-0000000b", "i-0000000d"].map(|text| Resource {
        id: resource_id(text),
        tag: (text != "i-0000000b").then(|| "true".into()),
        ..instance()
    });
    let decisions = |looked: Looked| -> Vec<(String, Decision)> {
        let plan = plan(&settings("tagged"), &request, found.to_vec(), looked);
        plan.entries.into_iter().map(|entry| (entry.id.to_string(), (&entry.decision).into())).collect()
    };
    let a = ("i-0000000a".to_owned(), Decision::Act(Action::Stop));
    let b = ("i-0000000b".to_owned(), Decision::Keep(Reason::NotSelected));
    let c = ("i-0000000c".to_owned(), Decision::Keep(Reason::Gone));
    assert_eq!(decisions(Looked::EVERYWHERE), [c, a.clone(), b.clone()]);
    let somewhere = ("i-0000000c".to_owned(), Decision::Keep(Reason::NotFoundWhereLooked));
    let instances = |extent| Looked { for_instances: extent, ..Looked::EVERYWHERE };
    assert_eq!(decisions(instances(Extent::WhereReachable)), [somewhere, a.clone(), b.clone()]);
    assert_eq!(decisions(instances(Extent::InPart)), [a, b], "it may live where nobody could look");
}

fn any_instance() -> impl Strategy<Value = Resource> {
    let states = [
        State::Pending,
        State::Running,
        State::Stopping,
        State::Stopped,
        State::ShuttingDown,
        State::Terminated,
        State::Unknown,
    ];
    let tags = [None, Some("true".into()), Some("false".into()), Some("on".into())];
    let rare = || prop::bool::weighted(0.1);
    (
        (0_u32..40, prop::bool::ANY),
        prop::sample::select(states.to_vec()),
        prop::sample::select(tags.to_vec()),
        (rare(), rare()),
        prop::option::of(-100i64..100),
    )
        .prop_map(|((number, west), state, tag, facts, offset)| {
            let when = offset.map(|seconds| at(ON_TIME) + jiff::SignedDuration::from_secs(seconds));
            Resource {
                owner: None,
                id: resource_id(&format!("i-{number:08x}")),
                place: region(if west { "eu-west-1" } else { "us-east-1" }).into(),
                name: None,
                state,
                status: None,
                tag,
                launch: started(when),
                hold: None,
                last_stop: LastStop::BySomebody(when),
                last_start: if facts.0 { LastStart::ByAws } else { LastStart::BySomebody },
                forbids: facts.1.then_some(Why::CannotStop),
            }
        })
}

proptest! {
    /// Every instance once, in order, whatever the order they came in; the same plan each time.
    #[test]
    fn total_ordered_and_deterministic(
        mut fleet in prop::collection::vec(any_instance(), 0..60),
        all in prop::bool::ANY,
        stop in prop::bool::ANY,
    ) {
        fleet.sort_by(|a, b| (&a.place, &a.id).cmp(&(&b.place, &b.id)));
        fleet.dedup_by(|a, b| (&a.place, &a.id) == (&b.place, &b.id));
        let settings = settings(if all { "all" } else { "tagged" });
        let request = request(if stop { STOP } else { START });
        let forward = plan(&settings, &request, fleet.clone(), Looked::EVERYWHERE);
        let mut reversed = fleet.clone();
        reversed.reverse();
        reversed.extend(fleet.clone());
        prop_assert_eq!(&forward, &plan(&settings, &request, reversed, Looked::EVERYWHERE));
        let planned: Vec<_> = forward.entries.iter().map(|e| (e.place.clone().unwrap(), e.id.clone())).collect();
        let found: Vec<_> = fleet.iter().map(|i| (i.place.clone(), i.id.clone())).collect();
        prop_assert_eq!(planned, found);
        let acted_on = forward.entries.iter().filter(|e| Decision::from(&e.decision) == Decision::Act(if stop { Action::Stop } else { Action::Start })).count();
        prop_assert_eq!(forward.actions(), acted_on);
    }
}

// -- databases --

/// A database that was available, or stopped, with nothing known of its past.
fn database(id: &str, status: &str, tag: &str) -> Resource {
    let state = crate::rds::facts::state(status);
    let settled = matches!(state, State::Running | State::Stopped);
    Resource {
        id: resource_id(id),
        state,
        status: (!settled).then(|| status.into()),
        tag: Some(tag.into()),
        launch: Launch::default(),
        last_start: LastStart::NotTold,
        ..instance()
    }
}

/// What the log says, as `started 08:00`, `aws`, `long ago` or `unclear`; or when it was stopped, as `stopped 12:00`.
fn with_evidence(mut database: Resource, evidence: &str) -> Resource {
    let time = |text: &str| Some(at(&format!("{text}:00Z")));
    match evidence.split_once(' ') {
        Some(("started", when)) => {
            database.last_start = LastStart::BySomebody;
            database.launch.started_at = time(when);
        }
        Some(("stopped", when)) => database.last_stop = LastStop::BySomebody(time(when)),
        _ => {
            database.last_start = match evidence {
                "aws" => LastStart::ByAws,
                "long-ago" => LastStart::LongAgo,
                "unclear" => LastStart::Unclear,
                "" => return database,
                other => panic!("{other}"),
            }
        }
    }
    database
}

/// On 21 November 2026, a Saturday; the window is on from 08:00 to 18:00.
#[test]
fn a_tick_decides_about_databases_by_their_evidence() {
    let window = "daily 08:00-18:00";
    let enforced = "daily 08:00-18:00 enforced";
    let moment = "stop daily 18:00";
    for (tag, status, evidence, now, expected) in [
        // Off.
        (window, "stopped", "", "21T19:00", "already-stopped"),
        (window, "available", "started 2026-11-21T08:20", "21T18:00", "stop"),
        (window, "available", "started 2026-11-21T08:20", "22T03:00", "stop"),
        (window, "available", "started 2026-11-21T18:30", "21T19:00", "started-by-hand"),
        (window, "available", "started 2026-11-21T18:00", "21T19:00", "started-by-hand"),
        (window, "available", "long-ago", "21T19:00", "stop"),
        (window, "available", "aws", "21T19:00", "stop"),
        (window, "available", "unclear", "21T18:49", "start-time-unknown"),
        (window, "available", "unclear", "21T18:50", "stop"),
        (window, "available", "unclear", "21T18:59", "stop"),
        (window, "available", "unclear", "21T19:00", "start-time-unknown"),
        (enforced, "available", "unclear", "21T19:00", "stop"),
        (enforced, "available", "started 2026-11-21T18:30", "21T19:00", "stop"),
        // An edge that the log does not reach back to: off since before it.
        ("08:00-18:00 except 2026-11-01..2026-11-30", "available", "long-ago", "21T19:00", "start-time-unknown"),
        ("08:00-18:00 except 2026-11-09..2026-11-30", "available", "long-ago", "21T19:00", "stop"),
        // On.
        (window, "available", "", "21T12:00", "already-running"),
        // Nobody has read the log.
        (window, "available", "", "21T18:55", "start-time-unknown"),
        (window, "stopped", "stopped 2026-11-20T18:05", "21T08:00", "start"),
        (window, "stopped", "stopped 2026-11-21T12:00", "21T13:00", "stopped-by-hand"),
        (enforced, "stopped", "stopped 2026-11-21T12:00", "21T13:00", "start"),
        (window, "stopped", "long-ago", "21T08:59", "start"),
        (window, "stopped", "long-ago", "21T09:00", "stop-time-unknown"),
        (window, "stopped", "", "21T08:59", "stop-time-unknown"),
        // Moments: AWS's own start leaves standing what the latest one said.
        (moment, "available", "started 2026-11-21T08:00", "21T18:00", "stop"),
        (moment, "available", "started 2026-11-21T08:00", "21T19:00", "not-due"),
        (moment, "available", "aws", "21T12:00", "stop"),
        ("start daily 07:00", "available", "aws", "21T12:00", "not-due"),
        ("start daily 07:00 + stop daily 23:00", "available", "aws", "21T12:00", "not-due"),
        (moment, "available", "unclear", "21T18:55", "stop"),
        (moment, "available", "unclear", "21T18:40", "start-time-unknown"),
        // On their way.
        (window, "stopping", "", "21T18:10", "in-transition"),
        (window, "backing-up", "", "21T18:10", "in-transition"),
        (window, "something-new", "", "21T18:10", "in-transition"),
        (window, "deleting", "", "21T18:10", "gone"),
        // The rules' own.
        ("true", "available", "aws", "21T18:00", "plain-tag"),
        ("false", "available", "aws", "21T18:00", "opted-out"),
        ("ture", "available", "aws", "21T18:00", "invalid-schedule"),
    ] {
        for id in ["db:orders", "cluster:orders"] {
            let database = with_evidence(database(id, status, tag), evidence);
            let now = format!("2026-11-{now}:00Z");
            let (decision, detail, ..) = tick(&settings("tagged"), &now, database);
            let said = match decision {
                Decision::Act(action) => action.as_str(),
                Decision::Keep(reason) => reason.as_str(),
            };
            assert_eq!(said, expected, "{tag} {status} {evidence} {now}: {detail}");
        }
    }
}

#[test]
fn what_is_still_on_its_way_long_after_its_edge_is_told() {
    let window = "daily 08:00-18:00";
    for (status, evidence, now, is_unsettled) in [
        ("stopping", "long-ago", "21T19:29", false),
        ("stopping", "long-ago", "21T19:30", true),
        ("stopping", "started 2026-11-21T08:20", "21T19:30", true),
        ("backing-up", "started 2026-11-21T08:20", "21T19:30", true),
        ("starting", "long-ago", "21T09:30", true),
        // It runs, and that is what is wanted.
        ("backing-up", "long-ago", "21T09:30", false),
        // A moment: it is over, and the database still on its way.
        // Somebody has started or stopped it since; or nobody knows.
        ("starting", "stopped 2026-11-21T12:00", "21T14:00", false),
        // They were off, and somebody has begun to start it, of which there is no event yet.
        ("starting", "stopped 2026-11-21T17:30", "21T22:00", false),
        ("stopping", "started 2026-11-21T18:20", "21T20:00", false),
        ("starting", "aws", "21T20:00", false),
        ("stopping", "", "21T19:30", false),
    ] {
        let mut database = with_evidence(database("db:orders", status, window), evidence);
        if evidence.starts_with("stopped") {
            database.last_start = LastStart::BySomebody;
        }
        let request = Request { instant: at(&format!("2026-11-{now}:00Z")), ..request(SCHEDULE) };
        let entry = plan(&settings("tagged"), &request, [database], Looked::EVERYWHERE).entries.remove(0);
        let super::Decision::Keep(why) = &entry.decision else { panic!("{entry:?}") };
        assert_eq!(
            (why.reason(), why.is_unsettled()),
            (Reason::InTransition, is_unsettled),
            "{status} {evidence} {now}"
        );
    }
    // A moment is over after an hour, and a database may still be on its way.
    let moment = with_evidence(database("db:orders", "stopping", "stop daily 18:00"), "long-ago");
    for (now, is_unsettled) in [("2026-11-21T19:29:00Z", false), ("2026-11-21T19:30:00Z", true)] {
        let (_, detail, ..) = tick(&settings("tagged"), now, moment.clone());
        assert_eq!(detail.starts_with("RDS still calls it"), is_unsettled, "{detail}");
    }
    let late = with_evidence(database("db:orders", "stopping", window), "long-ago");
    let (_, detail, ..) = tick(&settings("tagged"), "2026-11-21T19:30:00Z", late);
    assert_eq!(detail, "RDS still calls it `stopping`, although its schedule turned off at 2026-11-21T18:00:00Z");
}

#[test]
fn the_rules_decide_about_plain_databases() {
    for (json, status, evidence, expected) in [
        (STOP, "available", "started 2026-11-21T07:00", Decision::Act(Action::Stop)),
        (STOP, "available", "started 2026-11-21T09:00", Decision::Keep(Reason::StartedByHand)),
        (STOP, "available", "long-ago", Decision::Act(Action::Stop)),
        (STOP, "available", "aws", Decision::Act(Action::Stop)),
        (STOP, "available", "unclear", Decision::Keep(Reason::StartTimeUnknown)),
        (STOP, "stopped", "", Decision::Keep(Reason::AlreadyStopped)),
        (STOP, "modifying", "", Decision::Keep(Reason::InTransition)),
        (START, "stopped", "stopped 2026-11-20T18:00", Decision::Act(Action::Start)),
        (START, "stopped", "stopped 2026-11-21T09:00", Decision::Keep(Reason::StoppedByHand)),
        (START, "stopped", "long-ago", Decision::Act(Action::Start)),
        (START, "stopped", "", Decision::Keep(Reason::StopTimeUnknown)),
        (START, "available", "", Decision::Keep(Reason::AlreadyRunning)),
        (START, "starting", "", Decision::Keep(Reason::InTransition)),
    ] {
        let database = with_evidence(database("db:orders", status, "true"), evidence);
        assert_eq!(decided("tagged", json, database), expected, "{json} {status} {evidence}");
    }
    // No scope reaches a database without the tag.
    for scope in ["tagged", "all"] {
        let untagged = Resource { tag: None, ..database("db:orders", "available", "true") };
        assert_eq!(decided(scope, STOP, untagged), Decision::Keep(Reason::NotSelected));
    }
}

#[test]
fn a_stopped_database_tells_when_aws_starts_it() {
    let stopped = with_evidence(database("db:orders", "stopped", "daily 08:00-18:00"), "stopped 2026-11-20T18:05");
    let (_, detail, ..) = tick(&settings("tagged"), "2026-11-21T19:00:00Z", stopped);
    assert_eq!(detail, "AWS starts it at 2026-11-27T18:05:00Z");
}

/// The log is asked for only where something would be decided by it.
#[test]
fn history_is_asked_for_where_a_decision_hangs_on_it() {
    let window = "daily 08:00-18:00";
    for (json, tag, status, evidence, now, asked) in [
        (SCHEDULE, window, "available", "", "21T12:00", false),
        (SCHEDULE, window, "available", "", "21T18:00", true),
        (SCHEDULE, "daily 08:00-18:00 enforced", "available", "", "21T18:00", false),
        (SCHEDULE, window, "stopped", "stopped 2026-11-20T18:05", "21T19:00", false),
        (SCHEDULE, window, "stopped", "stopped 2026-11-20T18:05", "21T12:00", false),
        (SCHEDULE, window, "stopped", "", "21T12:00", true),
        (SCHEDULE, window, "stopped", "", "21T19:00", false),
        (SCHEDULE, window, "stopping", "", "21T18:30", false),
        (SCHEDULE, window, "stopping", "", "21T19:30", true),
        (SCHEDULE, "stop daily 18:00", "available", "", "21T12:00", true),
        (SCHEDULE, "start daily 07:00", "available", "", "21T12:00", false),
        (SCHEDULE, "true", "available", "", "21T18:00", false),
        (SCHEDULE, "ture", "available", "", "21T18:00", false),
        (STOP, "true", "available", "", "21T09:00", true),
        (STOP, window, "available", "", "21T09:00", false),
        (START, "true", "available", "", "21T09:00", false),
        (START, "true", "stopped", "stopped 2026-11-20T18:05", "21T09:00", false),
        (START, "true", "stopped", "", "21T09:00", true),
    ] {
        let database = with_evidence(database("db:orders", status, tag), evidence);
        let request = Request { instant: at(&format!("2026-11-{now}:00Z")), ..request(json) };
        let asks = depends_on_history(&settings("tagged"), &request, &database);
        assert_eq!(asks, asked, "{json} {tag} {status} {evidence} {now}");
    }
    let held = Resource { hold: Some("until 2026-11-30".into()), ..database("db:orders", "available", window) };
    let request = Request { instant: at("2026-11-21T18:00:00Z"), ..request(SCHEDULE) };
    assert!(!depends_on_history(&settings("tagged"), &request, &held));
    let forbidden = Resource { forbids: Some(Why::ReadReplica), hold: None, ..held };
    assert!(!depends_on_history(&settings("tagged"), &request, &forbidden));
}

#[test]
fn databases_that_a_command_names() {
    let databases = Settings { databases: true, ..settings("tagged") };
    let json = r#"{"action": "stop", "databases": ["db:orders", "db:gone"]}"#;
    let request = trigger::parse(json, &databases, at("2026-11-21T09:00:00Z")).unwrap();
    let found = [
        with_evidence(database("db:orders", "available", "true"), "long-ago"),
        with_evidence(database("cluster:orders", "available", "true"), "long-ago"),
    ];
    let told = |looked: Looked| -> Vec<String> {
        let plan = plan(&databases, &request, found.clone(), looked);
        plan.entries.iter().map(|entry| format!("{} {:?}", entry.id, Decision::from(&entry.decision))).collect()
    };
    assert_eq!(told(Looked::EVERYWHERE), ["db:gone Keep(Gone)", "db:orders Act(Stop)"]);
    assert_eq!(told(Looked { for_databases: Extent::InPart, ..Looked::EVERYWHERE }), ["db:orders Act(Stop)"]);
    assert!(request.is_about(Kind::Db) && !request.is_about(Kind::Instance));
}
