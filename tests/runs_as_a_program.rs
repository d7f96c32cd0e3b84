//! The program itself, over TCP: the same EC2 by its second door, under Lambda's Runtime API.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::support::bus::Bus;
use crate::support::clock::Clock;
use crate::support::ec2::{Ec2, Machine, Whims};
use crate::support::organizations::Organizations;
use crate::support::rds::Rds;
use crate::support::router::Router;
use crate::support::sts::{self, Sts};
use crate::support::{door, id};

/// The response to the command `stop`, from the program with these accounts.
fn stopped(services: SocketAddr, accounts: &str) -> Value {
    let (runtime_api, answers) = door::runtime_api(r#"{"action": "stop"}"#, Duration::from_mins(1));
    let mut program = Command::new(env!("CARGO_BIN_EXE_stopinator-lambda"))
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "stopinator")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
        .env("AWS_ENDPOINT_URL", format!("http://{services}"))
        .env("AWS_REGION", "ap-northeast-2")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("STOPINATOR_ACCOUNTS", accounts)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let answer = answers.recv_timeout(Duration::from_mins(1));
    program.kill().expect("it runs");
    program.wait().expect("it ends");
    let (kind, body) = answer.expect("an answer before the deadline");
    assert_eq!(kind, "response", "{body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn it_finishes_the_job_and_proves_it() {
    let clock = Clock::default();
    let machine = |n| Machine { takes: Duration::from_millis(300), ..Machine::running(id(n)).due() };
    let machines = (0..20).map(|n| Machine { stop_protected: n == 7, ..machine(n) });
    let ec2 = Ec2::new(clock.clone(), machines);
    ec2.set_whims(Whims { throttled: 1, half_done: 1, ..Whims::default() });
    let response = stopped(door::open(ec2.clone(), Rds::new(clock.clone(), []), clock), "");
    let counts = &response["counts"];
    assert_eq!((&counts["confirmed"], &counts["refused"]), (&19.into(), &1.into()), "{response}");
    assert_eq!(response["instances"][7]["reason"], "stop-protected");
    let states = ec2.states();
    assert_eq!(states.values().filter(|state| **state == "stopped").count(), 19);
    assert_eq!(states[&id(7)], "running");
}

#[test]
fn it_enters_the_accounts_that_it_is_given() {
    let clock = Clock::default();
    let machine = |n| Machine { takes: Duration::from_millis(300), ..Machine::running(id(n)).due() };
    let ec2 = Ec2::new(clock.clone(), [machine(1), Machine { account: "111111111111", ..machine(2) }]);
    let sts = Sts::new(clock.clone());
    sts.set_whims(sts::Whims { on_the_wall: true, ..sts::Whims::default() });
    sts.deny("222222222222");
    let (rds, organizations) = (Rds::new(clock.clone(), []), Organizations::new(clock.clone()));
    let services = Router {
        clock: clock.clone(),
        traffic: Arc::default(),
        ec2: ec2.clone(),
        rds,
        sts: sts.clone(),
        organizations,
        bus: Bus::default(),
    };
    let response = stopped(door::open_to_all(services, clock), "111111111111,222222222222");
    assert_eq!(response["accounts"], serde_json::json!({"looked_at": 2, "unreachable": 1}), "{response}");
    assert_eq!(response["unreachable"][0]["account"], "222222222222", "{response}");
    assert_eq!(sts.assumed(), ["111111111111"]);
    assert!(ec2.states().values().all(|state| *state == "stopped"), "{response}");
}
