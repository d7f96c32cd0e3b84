//! How long a tick takes to decide about 1,000 instances with schedules of every kind, parsing included, how long one
//! tag takes to parse, and what a hostile one costs; pure, on one core. Exits with 1 where it misses a bar. What
//! it measured is a line of JSON on standard output.
#![expect(clippy::print_stdout, reason = "what was measured is for a program to read")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use stopinator::place::Region;
use stopinator::plan::{Looked, plan};
use stopinator::resource::{InstanceId, LastStart, LastStop, Launch, Resource, State};
use stopinator::schedule::Tag;
use stopinator::settings::Settings;
use stopinator::trigger;

const INSTANCES: usize = 1000;
const ROUNDS: usize = 101;
const TICK_BAR: Duration = Duration::from_millis(10);
const PARSE_BAR: Duration = Duration::from_micros(5);

const TAGS: [&str; 10] = [
    "Mon-Fri 07:00-19:00 Asia/Seoul",
    "weekdays 08:00-18:30 + Sat 10:00-14:00 Europe/Berlin",
    "Mon Wed Fri 09:00-17:00",
    "Fri 20:00-02:00 America/New_York",
    "Mon 06:00 - Fri 20:00 Europe/London",
    "stop daily 18:00 Asia/Seoul",
    "start weekdays 07:00 + stop daily 23:00",
    "weekdays 07:00-19:00 except 2026-12-24..2027-01-01 05-01",
    "weekdays 07:00-19:00 Australia/Lord_Howe except 12-24..01-01 enforced",
    "00:00-24:00 except 02-29",
];
const HOSTILE_BAR: Duration = Duration::from_millis(1);
/// Tags that could take long to read, to explain or to decide by. Most of them nobody writes but to harm.
const HOSTILE: [&str; 7] = [
    "08:00-18:00 Amerika/New_Yorck",
    "stop Mon 01:00 except 03-01..02-27 03-02..02-26 03-03..02-25 03-04..02-24 03-05..02-23 03-06..02-22 03-07..02-21 \
     03-08..02-20 03-09..02-19 03-10..02-18 03-11..02-17 03-12..02-16 03-13..02-15",
    "Mon 09:00-17:00 except 03-01..02-28 0001-01-01..2015-01-01",
    "00:00-24:00 except 2026-12-24",
    "08:00-18:00 except 01-01..12-31",
    "Mon 09:00-17:00 except 03-01..02-28 01-01..01-15 01-17..01-31 02-02..02-14 02-16..02-27",
    "0:00-0:01+0:02-0:03+0:04-0:05+0:06-0:07+0:08-0:09+0:10-0:11+0:12-0:13+0:14-0:15+0:16-0:17+0:18-0:19+0:20-0:21",
];

fn main() -> ExitCode {
    let environment = [("AWS_REGION".to_owned(), "ap-northeast-2".to_owned())];
    let settings = Settings::from_environment(environment).expect("settings");
    let now = "2026-11-21T09:00:00Z".parse().expect("a time");
    let request = trigger::parse(r#"{"action": "schedule"}"#, &settings, now).expect("a request");
    let fleet = fleet(&settings.regions[0], now);
    let tick = median(|| {
        let found = fleet.clone();
        let began = Instant::now();
        let plan = plan(&settings, &request, found, Looked::EVERYWHERE);
        let took = began.elapsed();
        assert_eq!(plan.entries.len(), INSTANCES);
        took
    });
    let parse = median(|| {
        let began = Instant::now();
        for n in 0..INSTANCES {
            black_box(Tag::parse(black_box(TAGS[n % TAGS.len()])));
        }
        began.elapsed() / u32::try_from(INSTANCES).expect("a thousand")
    });
    let hostile = HOSTILE.map(|tag| {
        // Running since before any edge, so that it is stopped, and what comes next is looked for.
        let launch = Launch { started_at: Some(Timestamp::MIN), ..Launch::default() };
        let instance = Resource { tag: Some(tag.into()), hold: None, launch, ..fleet[0].clone() };
        median(|| {
            let found = [instance.clone()];
            let began = Instant::now();
            black_box(plan(&settings, &request, found, Looked::EVERYWHERE));
            began.elapsed()
        })
    });
    let hostile = hostile.into_iter().max().unwrap_or_default();
    let mut met = true;
    for (what, median, bar) in [
        ("tick, 1000 instances with schedules", tick, TICK_BAR),
        ("parse, one tag", parse, PARSE_BAR),
        ("decide, the worst of the hostile tags", hostile, HOSTILE_BAR),
    ] {
        met &= median < bar;
        eprintln!("{what}: median {median:.2?} (bar {bar:?}): {}", if median < bar { "PASS" } else { "MISS" });
    }
    let measured = serde_json::json!({
        "instances": INSTANCES,
        "tick_milliseconds": tick.as_secs_f64() * 1e3,
        "tag_microseconds": parse.as_secs_f64() * 1e6,
        "hostile_milliseconds": hostile.as_secs_f64() * 1e3,
    });
    println!("{measured}");
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn median(mut round: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| round()).collect();
    times.sort();
    times[ROUNDS / 2]
}

/// Half running and half stopped, since times that lie around the edges.
fn fleet(region: &Region, now: Timestamp) -> Vec<Resource> {
    let hours = |count: usize| jiff::SignedDuration::from_hours(i64::try_from(count).expect("few"));
    let instance = |n: usize| Resource {
        id: InstanceId::try_from(format!("i-{n:017x}").as_str()).expect("an id").into(),
        place: region.clone().into(),
        name: Some("web".into()),
        state: if n.is_multiple_of(2) { State::Running } else { State::Stopped },
        tag: Some(TAGS[n / 2 % TAGS.len()].into()),
        hold: n.is_multiple_of(20).then(|| "until 2026-11-20 18:00".into()),
        owner: None,
        launch: Launch { started_at: Some(now - hours(n % 50)), ..Launch::default() },
        last_stop: LastStop::BySomebody(Some(now - hours(n % 30))),
        last_start: LastStart::BySomebody,
        status: None,
        forbids: None,
    };
    (0..INSTANCES).map(instance).collect()
}
