//! Each instance keeps the hours in its tag, whoever else starts and stops it, and whether ticks come in time or not.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use stopinator::action::Action;
use stopinator::plan::{Decision, Looked, plan};
use stopinator::reason::Reason;
use stopinator::resource::{InstanceId, LastStart, LastStop, Launch, Resource, State};
use stopinator::schedule::{Hold, Schedule};
use stopinator::settings::Settings;
use stopinator::trigger;

use crate::support::ec2::{Machine, Room, Whims};
use crate::support::{RULE_FIRED, Story, at, fleet, id};

/// A tick at 09:00:00, ten seconds ago. It is a Saturday.
const TICK: &str = r#"{"action": "schedule", "time": "2026-11-21T09:00:00Z"}"#;

fn running(number: usize, tag: &str) -> Machine {
    Machine::running(id(number)).tagged("Stopinator", tag)
}

fn stopped(number: usize, tag: &str) -> Machine {
    Machine::stopped(id(number)).tagged("Stopinator", tag)
}

fn said(story: &Story, number: usize) -> String {
    let (decision, word) = story.said(&id(number));
    format!("{decision} {word}")
}

#[test]
fn each_by_its_own_tag() {
    let started = |machine: Machine, at: &'static str| Machine { launch_time: at.into(), ..machine };
    let story = fleet([
        running(1, "07:00-09:00"),
        stopped(2, "18:00-20:00 Asia/Seoul"),
        started(running(3, "07:00-09:00"), "2026-11-21T09:00:05.000Z"),
        running(4, "07:00-09:00").tagged("Stopinator-Hold", "until 2026-11-21 12:00"),
        running(5, "07:00-09:00").tagged("Stopinator-Hold", "until lunch"),
        running(6, "true"),
        running(7, "weekend 07:00-09:00"),
        running(8, "stop 07:30"),
        started(running(9, "07:00-09:00 enforced"), "2026-11-21T09:00:05.000Z"),
        stopped(10, "07:00-08:00").tagged("Stopinator-Hold", "on until 2026-11-22"),
        running(11, "false").tagged("Stopinator-Hold", "off until 2026-11-22"),
        stopped(12, "Sat 08:00 - Sun 20:00").in_state("stopping"),
        running(13, "07:00-09:00").tagged("aws:autoscaling:groupName", "web"),
    ])
    .on(TICK);
    let words: Vec<String> = (1..=13).map(|number| said(&story, number)).collect();
    assert_eq!(
        words,
        [
            "stop confirmed",
            "start confirmed",
            "keep started-by-hand",
            "keep held",
            "keep invalid-hold",
            "keep plain-tag",
            "keep invalid-schedule",
            "keep not-due",
            "stop confirmed",
            "start confirmed",
            "keep opted-out",
            "keep in-transition",
            "keep asg-member",
        ]
    );
    insta::assert_snapshot!(serde_json::to_string_pretty(story.response()).unwrap());
}

#[test]
fn the_deployments_zone_and_its_limit_for_hand_starts() {
    // 18:00 in Seoul.
    let seoul =
        fleet([running(1, "07:00-18:00"), stopped(2, "18:00-19:00")]).with("STOPINATOR_TIME_ZONE", "Asia/Seoul");
    let story = seoul.on(TICK);
    assert_eq!([said(&story, 1), said(&story, 2)], ["stop confirmed", "start confirmed"]);

    let by_hand = || Machine { launch_time: "2026-11-21T01:00:10.000Z".into(), ..running(1, "20:00-22:00") };
    for (hours, decision) in [("0", "keep started-by-hand"), ("8", "stop confirmed"), ("9", "keep started-by-hand")] {
        let story = fleet([by_hand()]).with("STOPINATOR_HAND_START_HOURS", hours).on(TICK);
        assert_eq!(said(&story, 1), decision, "{hours} hours");
    }
}

#[test]
fn the_rules_leave_schedules_alone_and_heed_holds() {
    let held = |number, mode: &str| {
        Machine::running(id(number)).due().tagged("Stopinator-Hold", &format!("{mode}until 2026-11-21 12:00"))
    };
    let story = fleet([running(1, "07:00-09:00"), held(2, ""), held(3, "on "), held(4, "off ")]).on(RULE_FIRED);
    let words: Vec<String> = (1..=4).map(|number| said(&story, number)).collect();
    assert_eq!(words, ["keep own-schedule", "keep held", "keep held", "stop confirmed"]);

    let held = |number, mode: &str| {
        Machine::stopped(id(number)).due().tagged("Stopinator-Hold", &format!("{mode}until 2026-11-21 12:00"))
    };
    let start = r#"{"action": "start"}"#;
    let story = fleet([stopped(1, "08:00-10:00"), held(2, ""), held(3, "on "), held(4, "off ")]).on(start);
    let words: Vec<String> = (1..=4).map(|number| said(&story, number)).collect();
    assert_eq!(words, ["keep own-schedule", "keep held", "start confirmed", "keep held"]);

    let untagged = Machine::running(id(1)).tagged("Stopinator-Hold", "until 2026-11-21 12:00");
    let story = fleet([untagged]).with("STOPINATOR_SCOPE", "all").on(RULE_FIRED);
    assert_eq!(said(&story, 1), "keep held", "a hold needs no other tag");
}

#[test]
fn the_holds_key_follows_the_tags() {
    let machine = Machine::running(id(1)).tagged("acme:hours", "07:00-09:00");
    let other =
        Machine::running(id(2)).tagged("acme:hours", "07:00-09:00").tagged("Stopinator-Hold", "until 2026-12-01");
    let spelt =
        Machine::running(id(3)).tagged("acme:hours", "07:00-09:00").tagged("acme:hours-hold", "until 2026-12-01");
    let story = fleet([machine.tagged("acme:hours-Hold", "until 2026-12-01"), other, spelt])
        .with("STOPINATOR_TAG_KEY", "acme:hours")
        .on(TICK);
    assert_eq!([said(&story, 1), said(&story, 2), said(&story, 3)], ["keep held", "stop confirmed", "keep held"]);
}

#[test]
fn a_bare_event_can_mean_the_schedule() {
    let story = fleet([running(1, "07:00-09:00")]).with("STOPINATOR_ACTION", "schedule").on(RULE_FIRED);
    assert_eq!(said(&story, 1), "stop confirmed");
    assert_eq!(story.response()["action"], "schedule");
}

#[test]
fn looking_ahead_decides_for_the_time_asked_for() {
    let story = fleet([running(1, "Mon 06:00 - Fri 20:00"), stopped(2, "Mon 06:00 - Fri 20:00")])
        .on(r#"{"action": "schedule", "dry_run": true, "time": "2026-11-23T06:00:00Z"}"#);
    assert_eq!([said(&story, 1), said(&story, 2)], ["keep already-running", "start "]);
    assert!(story.touched_nothing());
}

/// The next tick is the retry, so an error is for when nothing went ahead.
#[test]
fn a_tick_fails_only_when_nothing_went_ahead() {
    let two = || [stopped(1, "08:00-10:00"), Machine { instance_type: "m5.large", ..stopped(2, "08:00-10:00") }];
    let full = |types: &[&'static str]| Whims {
        rooms: types.iter().map(|kind| Room::of(kind, "ap-northeast-2a", 0)).collect(),
        ..Whims::default()
    };
    let story = fleet(two()).where_ec2_has(full(&["m5.large"])).on(TICK);
    assert_eq!([said(&story, 1), said(&story, 2)], ["start confirmed", "start failed"]);
    let story = fleet(two()).where_ec2_has(full(&["m5.large", "t3.micro"])).on(TICK);
    assert_eq!(story.error().0, "unfinished");
    let story = fleet([running(1, "true")]).on(TICK);
    assert_eq!(said(&story, 1), "keep plain-tag", "nothing planned is nothing failed");

    let protected = Machine { stop_protected: true, ..running(1, "07:00-09:00") };
    let story = fleet([protected]).on(TICK);
    assert_eq!(said(&story, 1), "stop refused");
}

/// Every five minutes for two hours, whatever form the failure has.
#[test]
fn what_fails_to_start_is_started_for_an_hour_and_no_longer() {
    for reason in [
        ("Client.InternalError", "Client.InternalError: Client error on launch"),
        ("Server.InternalError", "Client.InternalError: Client error on launch"),
        ("Server.InternalError", "Client.VolumeLimitExceeded: Volume limit exceeded"),
        ("Server.InternalError", "Server.InternalError: Internal error on launch"),
        ("Server.InsufficientInstanceCapacity", "Server.InsufficientInstanceCapacity: Insufficient capacity."),
        ("Server.SomethingNew", ""),
        ("Client.InvalidKMSKey.InvalidState", "The KMS key provided is in an incorrect state"),
        ("", "Client.InternalError: Client error on launch"),
    ] {
        let machine = Machine { falls_back: Some(reason), ..stopped(1, "09:00-18:00") };
        let scenario = fleet([machine]).with("STOPINATOR_MAX_EVENT_AGE_MINUTES", "0");
        let mut starts = 0;
        for tick in 0..24 {
            let story = scenario.on(r#"{"action": "schedule"}"#);
            starts += story.calls_of("StartInstances").len();
            let minutes = story.began.as_secs() / 60;
            assert_eq!(story.touched_nothing(), minutes >= 60, "{reason:?}: tick {tick}, {minutes} minutes past");
            if minutes >= 60 {
                assert_eq!(said(&story, 1), "keep bounced", "{reason:?}");
                let detail = story.row(&id(1))["detail"].as_str().expect("a detail");
                assert!(detail.contains(reason.0) && detail.contains(reason.1), "{detail}");
            }
            scenario.after(Duration::from_mins(5).saturating_sub(story.took));
        }
        assert!((10..=12).contains(&starts), "{reason:?}: {starts}");
    }
}

#[test]
fn what_ec2_interrupted_costs_no_call() {
    let interrupted = Machine {
        lifecycle: Some("spot"),
        state_reason: Some(("Server.SpotInstanceShutdown", "Server.SpotInstanceShutdown: Instance stopped")),
        ..stopped(1, "08:00-18:00")
    };
    let story = fleet([interrupted]).on(TICK);
    assert_eq!(said(&story, 1), "keep spot-interrupted");
    assert!(story.touched_nothing());
}

/// Throttled past the next edge: the batch that waited is looked at again before it is sent.
#[test]
fn what_is_no_longer_due_is_not_sent() {
    let whims = || Whims { throttled: 4, ..Whims::default() };
    let machines = || [running(1, "08:00-09:00 + 09:01-10:00"), running(2, "08:00-09:00")];
    let scenario = fleet(machines()).where_ec2_has(whims());
    scenario.after(Duration::from_secs(45)); // 09:00:55
    let story = scenario.on(TICK);
    assert_eq!(said(&story, 1), "stop not-attempted");
    assert_eq!(story.row(&id(1))["reason"], "no-time-left");
    assert_eq!(story.row(&id(1))["detail"], "no longer due when its turn came");
    assert_eq!(said(&story, 2), "stop confirmed");
    assert_eq!(story.state(&id(1)), "running");
    let in_time = fleet(machines()).where_ec2_has(whims()).on(TICK);
    assert_eq!(said(&in_time, 1), "stop confirmed", "an edge that is far away stops nothing");
}

/// A call takes time to arrive: what is about to turn on is not stopped any more.
#[test]
fn nothing_is_sent_right_before_an_edge() {
    for (seconds, decision) in [(46, "stop confirmed"), (47, "stop not-attempted"), (49, "stop not-attempted")] {
        let scenario = fleet([running(1, "08:00-09:00 + 09:01-10:00"), running(2, "08:00-09:00")]);
        scenario.after(Duration::from_secs(seconds)); // 09:00:56, 09:00:57, 09:00:59
        let story = scenario.on(TICK);
        assert_eq!([said(&story, 1).as_str(), &said(&story, 2)], [decision, "stop confirmed"], "after {seconds} s");
        assert_eq!(story.named().contains(&id(1)), seconds == 46);
    }
}

/// A day at the wire: ticks, people, and the clock of the model.
#[test]
fn a_day() {
    let scenario = fleet([running(1, "daily 10:00-18:00")]);
    let mut states = Vec::new();
    for _ in 0..24 {
        let story = scenario.on(r#"{"action": "schedule"}"#);
        states.push(if story.state(&id(1)) == "running" { '#' } else { '.' });
        let hour = Duration::from_hours(1);
        scenario.after(hour.saturating_sub(story.took));
    }
    // From 09:00 to 08:00: running since yesterday, before the edge of 18:00, it is stopped at once.
    assert_eq!(states.iter().collect::<String>(), ".########...............");
}

/// An instance as EC2 would tell of it, where every action takes no time.
#[derive(Debug, Clone)]
struct Simulated {
    instance: Resource,
}

impl Simulated {
    fn act(&mut self, action: Action, now: Timestamp) {
        match (action, self.instance.state) {
            (Action::Start, State::Stopped) => {
                self.instance.state = State::Running;
                self.instance.launch.started_at = Some(now);
            }
            (Action::Stop, State::Running) => {
                self.instance.state = State::Stopped;
                self.instance.last_stop = LastStop::BySomebody(Some(now));
            }
            _ => {}
        }
    }
}

/// Tag and hold.
const SCHEDULES: [(&str, &str); 11] = [
    ("weekdays 08:00-18:00", ""),
    ("Mon-Fri 07:00-19:00 Asia/Seoul", ""),
    ("Fri 20:00-02:00 + weekdays 09:00-12:00 America/New_York", ""),
    ("Mon 06:00 - Fri 20:00 Europe/London except 2026-10-28", ""),
    ("20:00-02:30 Europe/Berlin", ""),
    ("01:30-05:00 America/New_York", ""),
    ("08:00-12:00 + 12:00-16:00 + 15:00-18:00 Australia/Lord_Howe", ""),
    ("weekdays 07:00-19:00 Africa/Casablanca except 10-20..10-30 enforced", ""),
    ("weekdays 08:00-18:00 Europe/Berlin", "until 2026-10-20 21:00"),
    ("00:00-24:00", "off until 2026-10-25"),
    ("weekends 10:00-16:00 enforced", "on until 2026-10-28 03:00 Asia/Tokyo"),
];

/// The states of the fleet after each of these ticks, and what people did at these instants.
fn live(
    settings: &Settings,
    fleet: &[Resource],
    ticks: &[Timestamp],
    hands: &[(Timestamp, usize, Action)],
) -> Vec<(Timestamp, Vec<State>)> {
    let mut fleet: Vec<Simulated> = fleet.iter().cloned().map(|instance| Simulated { instance }).collect();
    let mut hands = hands.iter().peekable();
    let mut states = Vec::new();
    for &tick in ticks {
        while let Some((when, who, action)) = hands.next_if(|(when, ..)| *when <= tick) {
            fleet[*who].act(*action, *when);
        }
        let request = trigger::parse(r#"{"action": "schedule"}"#, settings, tick).expect("a tick");
        let plan = plan(settings, &request, fleet.iter().map(|one| one.instance.clone()), Looked::EVERYWHERE);
        for (entry, simulated) in plan.entries.iter().zip(&mut fleet) {
            assert_eq!(entry.id, simulated.instance.id);
            if let Decision::Act(action) = entry.decision {
                simulated.act(action, tick);
            }
        }
        states.push((tick, fleet.iter().map(|one| one.instance.state).collect()));
    }
    states
}

fn simulated(number: usize, (tag, hold): (&str, &str), settings: &Settings) -> Resource {
    Resource {
        id: InstanceId::try_from(id(number).as_str()).expect("an id").into(),
        place: settings.regions[0].clone().into(),
        name: None,
        state: State::Running,
        tag: Some(tag.into()),
        hold: (!hold.is_empty()).then(|| hold.into()),
        owner: None,
        launch: Launch { started_at: Some(at("2026-09-30T00:00:00Z")), ..Launch::default() },
        last_stop: LastStop::Unknown,
        last_start: LastStart::BySomebody,
        status: None,
        forbids: None,
    }
}

fn in_one_region() -> Settings {
    Settings::from_environment([("AWS_REGION".to_owned(), "eu-west-1".to_owned())]).expect("a region is all")
}

fn ticks_of_a_month() -> Vec<Timestamp> {
    // Through the clock changes of Berlin, London and New York.
    let first = at("2026-10-10T00:00:00Z");
    (0..31 * 24 * 12).map(|n| first + SignedDuration::from_mins(5 * n)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, failure_persistence: None, ..ProptestConfig::default() })]

    /// Ticks that get lost for up to two hours, come late or twice, over a month in which people start and stop
    /// things: whenever there has been a tick since the last edge, the fleet is as with a tick every five minutes.
    #[test]
    fn lost_late_and_repeated_ticks_change_nothing_that_lasts(
        outages in prop::collection::vec((0_usize..31 * 24 * 12, 1_usize..24), 50..200),
        delays in prop::collection::vec((0_usize..31 * 24 * 12, 1_i64..290), 200),
        repeats in prop::collection::vec(0_usize..31 * 24 * 12, 200),
        hands in prop::collection::vec((0_i64..31 * 24 * 60, 0_usize..SCHEDULES.len(), prop::bool::ANY), 0..80),
    ) {
        let settings = in_one_region();
        let fleet: Vec<Resource> =
            SCHEDULES.iter().enumerate().map(|(n, said)| simulated(n, *said, &settings)).collect();
        let in_time = ticks_of_a_month();
        let mut lost = vec![false; in_time.len()];
        for (first, count) in outages {
            lost.iter_mut().skip(first).take(count).for_each(|tick| *tick = true);
        }
        let mut disturbed = in_time.clone();
        for (tick, seconds) in delays {
            disturbed[tick] += SignedDuration::from_secs(seconds);
        }
        disturbed.extend(repeats.into_iter().map(|tick| in_time[tick] + SignedDuration::from_secs(7)));
        disturbed.retain(|tick| {
            let place = usize::try_from(tick.duration_since(in_time[0]).as_mins() / 5).unwrap();
            !lost[place]
        });
        disturbed.sort();

        let schedules: Vec<_> = SCHEDULES
            .iter()
            .map(|(tag, hold)| {
                let schedule = Schedule::parse(tag).unwrap();
                let hold = (!hold.is_empty()).then(|| Hold::parse(hold).unwrap().end(schedule.zone(&settings.time_zone)));
                (schedule, hold)
            })
            .collect();
        // What a hold in force wants, it wants since ever.
        let edge_before = |n: usize, now| match &schedules[n] {
            (_, Some(end)) if now < *end => Timestamp::MIN,
            (schedule, hold) => schedule.latest_edge(&settings.time_zone, now, *hold).unwrap().at,
        };
        let tick_since = |ticks: &[Timestamp], edge: Timestamp, now: Timestamp| {
            ticks.get(ticks.partition_point(|tick| *tick < edge)).is_some_and(|tick| *tick <= now)
        };
        // People act where both fleets have settled: otherwise they would find, and do, different things.
        let mut hands: Vec<(Timestamp, usize, Action)> = hands
            .into_iter()
            .map(|(minute, who, start)| {
                let when = in_time[0] + SignedDuration::from_mins(minute) + SignedDuration::from_secs(30);
                (when, who, if start { Action::Start } else { Action::Stop })
            })
            .filter(|(when, who, _)| tick_since(&disturbed, edge_before(*who, *when), *when))
            .collect();
        hands.sort_by_key(|(when, ..)| *when);

        let expected = live(&settings, &fleet, &in_time, &hands);
        let found = live(&settings, &fleet, &disturbed, &hands);
        let mut compared = 0;
        for (tick, states) in &found {
            let (_, in_time) = &expected[expected.partition_point(|(other, _)| other <= tick) - 1];
            for (n, state) in states.iter().enumerate() {
                let edge = edge_before(n, *tick);
                let reference_ticked = tick.duration_since(edge) >= SignedDuration::from_mins(5);
                let no_hand_since = !hands.iter().any(|(when, who, _)| *who == n && tick.duration_since(*when) < SignedDuration::from_mins(10) && when <= tick);
                if reference_ticked && no_hand_since {
                    prop_assert_eq!(*state, in_time[n], "{:?} at {}", SCHEDULES[n], tick);
                    compared += 1;
                }
            }
        }
        prop_assert!(compared > 10_000, "{compared}");
    }
}

/// What a moment missed, it says.
#[test]
fn a_moment_that_no_tick_came_for_has_passed() {
    let settings = in_one_region();
    let instance = simulated(1, ("stop daily 18:00", ""), &settings);
    let decide = |now: &str| {
        let request = trigger::parse(r#"{"action": "schedule"}"#, &settings, at(now)).unwrap();
        plan(&settings, &request, [instance.clone()], Looked::EVERYWHERE).entries.remove(0)
    };
    assert_eq!(decide("2026-10-10T18:59:59Z").decision, Decision::Act(Action::Stop));
    let missed = decide("2026-10-10T19:00:00Z");
    let Decision::Keep(why) = missed.decision else { panic!("{missed:?}") };
    assert_eq!(why.reason(), Reason::NotDue);
    let told = "its latest moment, 2026-10-10T18:00:00Z, has passed; the next is 2026-10-11T18:00:00Z";
    assert_eq!(why.detail().as_deref(), Some(told));
}
