//! The program itself, over TCP: the same EC2 by its second door, under Lambda's Runtime API.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::clock::Clock;
use crate::support::ec2::{Ec2, Machine, Whims};
use crate::support::rds::Rds;
use crate::support::{door, id};

#[test]
fn it_finishes_the_job_and_proves_it() {
    let clock = Clock::default();
    let machine = |n| Machine { takes: Duration::from_millis(300), ..Machine::running(id(n)).due() };
    let machines = (0..20).map(|n| Machine { stop_protected: n == 7, ..machine(n) });
    let ec2 = Ec2::new(clock.clone(), machines);
    ec2.set_whims(Whims { throttled: 1, half_done: 1, ..Whims::default() });
    let ec2_address = door::open(ec2.clone(), Rds::new(clock.clone(), []), clock);
    let (runtime_api, answers) = door::runtime_api(r#"{"action": "stop"}"#, Duration::from_mins(1));

    let mut program = Command::new(env!("CARGO_BIN_EXE_stopinator-lambda"))
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "stopinator")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "group")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "stream")
        .env("AWS_ENDPOINT_URL", format!("http://{ec2_address}"))
        .env("AWS_REGION", "ap-northeast-2")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let answer = answers.recv_timeout(Duration::from_mins(1));
    program.kill().expect("it runs");
    program.wait().expect("it ends");

    let (kind, body) = answer.expect("an answer before the deadline");
    assert_eq!(kind, "response", "{body}");
    let response: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&response["counts"]["confirmed"], &response["counts"]["refused"]), (&19.into(), &1.into()), "{body}");
    assert_eq!(response["instances"][7]["reason"], "stop-protected");
    let states = ec2.states();
    assert_eq!(states.values().filter(|state| **state == "stopped").count(), 19);
    assert_eq!(states[&id(7)], "running");
}
