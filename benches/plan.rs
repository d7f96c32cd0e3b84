//! How long the plan takes: 10,000 instances, pure, on one core. Exits with 1 where it misses its bar.
//! What it measured is a line of JSON on standard output.
#![expect(clippy::print_stdout, reason = "what was measured is for a program to read")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot begin has nothing to say")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use stopinator::place::Region;
use stopinator::plan::{Looked, plan};
use stopinator::resource::{InstanceId, LastStart, LastStop, Launch, Resource, State};
use stopinator::settings::Settings;
use stopinator::trigger;

const INSTANCES: usize = 10_000;
const ROUNDS: usize = 101;
const BAR: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let environment = [("AWS_REGION".to_owned(), "ap-northeast-2".to_owned())];
    let settings = Settings::from_environment(environment).expect("settings");
    let now = "2026-11-21T09:00:00Z".parse().expect("a time");
    let request = trigger::parse(r#"{"action": "stop"}"#, &settings, now).expect("a request");
    let fleet = fleet(&settings.regions[0]);
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let found = fleet.clone();
            let began = Instant::now();
            let plan = plan(&settings, &request, found, Looked::EVERYWHERE);
            let took = began.elapsed();
            assert_eq!((plan.entries.len(), plan.actions()), (INSTANCES, INSTANCES / 4));
            took
        })
        .collect();
    times.sort();
    let median = times[ROUNDS / 2];
    let met = median < BAR;
    eprintln!("plan, {INSTANCES} instances: median {median:.2?} (bar {BAR:?}): {}", if met { "PASS" } else { "MISS" });
    println!("{}", serde_json::json!({ "instances": INSTANCES, "milliseconds": median.as_secs_f64() * 1e3 }));
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A quarter each due, opted out, badly tagged and stopped, in no order.
fn fleet(region: &Region) -> Vec<Resource> {
    let instance = |n: usize| {
        // A prime step visits every number once, out of order.
        let id = format!("i-{:017x}", n * 7_919 % INSTANCES);
        Resource {
            id: InstanceId::try_from(id).expect("an id").into(),
            place: region.clone().into(),
            name: Some("web".into()),
            state: if n % 4 == 3 { State::Stopped } else { State::Running },
            tag: Some(["true", "false", "office hours", "yes"][n % 4].into()),
            launch: Launch { started_at: Some("2026-11-20T09:00:00Z".parse().expect("a time")), ..Launch::default() },
            hold: None,
            owner: None,
            last_stop: LastStop::Unknown,
            last_start: LastStart::BySomebody,
            status: None,
            forbids: None,
        }
    };
    (0..INSTANCES).map(instance).collect()
}
