//! Scenarios that read like a sentence: a fleet, a trigger, and what came of it.

pub mod clock;
pub mod door;
pub mod ec2;
pub mod rds;
mod xml;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ec2::config::{Credentials, SharedAsyncSleep};
use aws_smithy_async::time::SharedTimeSource;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stopinator::aws::Clients;
use stopinator::handler::{Handler, Invocation};
use stopinator::report::Report;
use stopinator::run::{Progress, Run};
use stopinator::settings::Settings;
use stopinator::trigger;

use clock::Clock;
use ec2::{Call, Ec2, Machine, Whims};
use rds::{Database, Rds, RdsCall};

/// The handler's clock when a scenario begins.
pub const NOW: &str = "2026-11-21T09:00:10Z";
/// The rule fired ten seconds ago.
pub const RULE_FIRED: &str = r#"{"version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
    "time": "2026-11-21T09:00:00Z", "region": "ap-northeast-2",
    "resources": ["arn:aws:events:ap-northeast-2:123456789012:rule/stop"], "detail": {}}"#;
pub const START: &str = r#"{"action": "start", "time": "2026-11-21T09:00:00Z"}"#;

/// A deployment with the given machines in EC2.
pub struct Scenario {
    clock: Clock,
    ec2: Ec2,
    pub rds: Rds,
    timeout: Duration,
    settings: Vec<(String, String)>,
}

/// What came of an invocation.
pub struct Story {
    /// The response as JSON, or the error's code and message.
    pub answer: Result<Value, (String, String)>,
    /// Every call that EC2 saw, in order.
    pub calls: Vec<Call>,
    /// Every call that RDS saw, in order.
    pub rds_calls: Vec<RdsCall>,
    /// What databases were when the invocation was over.
    pub statuses: BTreeMap<String, String>,
    /// The states when the invocation was over.
    pub states: BTreeMap<String, &'static str>,
    /// When it began, and how long it took, by the scenario's clock.
    pub began: Duration,
    pub took: Duration,
}

pub fn fleet(machines: impl IntoIterator<Item = Machine>) -> Scenario {
    let clock = Clock::default();
    let ec2 = Ec2::new(clock.clone(), machines);
    let rds = Rds::new(clock.clone(), []);
    let settings = vec![("AWS_REGION".to_owned(), "ap-northeast-2".to_owned())];
    Scenario { clock, ec2, rds, timeout: Duration::from_mins(5), settings }
}

/// A deployment that looks after databases, too, and has these.
pub fn databases(databases: impl IntoIterator<Item = Database>) -> Scenario {
    fleet([]).and_databases(databases)
}

impl Scenario {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With these databases, and looking after them.
    pub fn and_databases(self, databases: impl IntoIterator<Item = Database>) -> Self {
        Self { rds: Rds::new(self.clock.clone(), databases), ..self }.with("STOPINATOR_SERVICES", "ec2,rds")
    }

    /// EC2 answers this action in this region with this error, each time.
    pub fn where_ec2_refuses(self, region: &str, action: &str, code: &str, message: &str) -> Self {
        self.ec2.refuse(region, action, code, message);
        self
    }

    pub fn where_ec2_has(self, whims: Whims) -> Self {
        self.ec2.set_whims(whims);
        self
    }

    /// Lambda's timeout, instead of five minutes.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn after(&self, pause: Duration) -> &Self {
        self.clock.advance(pause);
        self
    }

    fn settings(&self) -> Settings {
        Settings::from_environment(self.settings.iter().cloned()).expect("the scenario's settings")
    }

    fn clients(&self, settings: &Settings) -> Clients {
        let config = aws_sdk_ec2::config::Builder::new()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .credentials_provider(Credentials::new("key", "secret", None, None, "scenario"))
            .sleep_impl(SharedAsyncSleep::new(self.clock.clone()))
            .time_source(SharedTimeSource::new(self.clock.clone()))
            .http_client(self.ec2.clone());
        let clients = Clients::new(&config, &settings.regions);
        if !settings.databases {
            return clients;
        }
        let config = aws_sdk_rds::config::Builder::new()
            .behavior_version(aws_config::BehaviorVersion::v2026_01_12())
            .credentials_provider(Credentials::new("key", "secret", None, None, "scenario"))
            .sleep_impl(SharedAsyncSleep::new(self.clock.clone()))
            .time_source(SharedTimeSource::new(self.clock.clone()))
            .http_client(self.rds.clone());
        clients.with_databases(&config, &settings.regions)
    }

    /// The present, by the scenario's clock.
    pub fn now(&self) -> Timestamp {
        at(NOW) + SignedDuration::try_from(self.clock.now()).expect("a story of weeks")
    }

    /// As a person sees it: the report before anything is done, the one after, and what was told on the way.
    pub fn shown_and_done(&self, trigger: &str) -> (Report, Report, Vec<Progress>) {
        let settings = self.settings();
        let request = trigger::parse(trigger, &settings, at(NOW)).expect("a request");
        let told = RefCell::new(Vec::new());
        let tell = |progress| told.borrow_mut().push(progress);
        let run = Run::begin(&settings, &self.clients(&settings), &request, self.timeout);
        let shown = self.clock.run(run.look(&tell));
        let mut done = shown.clone();
        self.clock.run(run.carry_out(&mut done, 1, &tell));
        (shown, done, told.into_inner())
    }

    pub fn on(&self, trigger: &str) -> Story {
        let settings = self.settings();
        let clients = self.clients(&settings);
        let before = self.ec2.count_calls();
        let rds_before = self.rds.count_calls();
        let began = self.clock.now();
        // A clock's last digits, which are never the same.
        let digits = SignedDuration::from_nanos(i64::try_from(before).expect("a story of some calls"));
        let now = at(NOW) + SignedDuration::try_from(began).expect("a story of minutes") + digits;
        let deadline = now + SignedDuration::try_from(self.timeout).expect("a story of minutes");
        let handler = Handler::new(settings, clients);
        let answer = self.clock.run(handler.handle(Invocation { trigger, request_id: "request-1", now, deadline }));
        Story {
            answer: answer
                .map(|response| serde_json::to_value(response).expect("a response is JSON"))
                .map_err(|error| (error.code().to_owned(), error.to_string())),
            calls: self.ec2.calls_from(before),
            rds_calls: self.rds.calls_from(rds_before),
            states: self.ec2.states(),
            statuses: self.rds.statuses(),
            began,
            took: self.clock.now().saturating_sub(began),
        }
    }
}

impl Story {
    pub fn response(&self) -> &Value {
        self.answer.as_ref().expect("the invocation succeeds")
    }

    /// The error's code and message.
    pub fn error(&self) -> (&str, &str) {
        match &self.answer {
            Ok(response) => panic!("the invocation should fail, and not say {}", response["counts"]),
            Err((code, message)) => (code, message),
        }
    }

    pub fn state(&self, id: &str) -> &'static str {
        self.states[id]
    }

    /// What the response says of an instance.
    pub fn row(&self, id: &str) -> &Value {
        let rows = self.response()["instances"].as_array().expect("a list");
        rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("{id} is not in the response"))
    }

    /// The decision about an instance, and the outcome or else the reason.
    pub fn said(&self, id: &str) -> (String, String) {
        let row = self.row(id);
        let word = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let second = if row.get("outcome").is_some() { "outcome" } else { "reason" };
        (word("decision"), word(second))
    }

    pub fn calls_of(&self, action: &str) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.action == action).collect()
    }

    /// Every id named in a Stop or Start call.
    pub fn named(&self) -> Vec<String> {
        self.calls.iter().filter(|call| call.changes_something()).flat_map(Call::ids).collect()
    }

    pub fn touched_nothing(&self) -> bool {
        !self.calls.iter().any(Call::changes_something) && self.stopped_or_started().is_empty()
    }

    /// Every Stop or Start call that RDS saw, as the action and the database, sorted.
    pub fn stopped_or_started(&self) -> Vec<String> {
        let calls = self.rds_calls.iter().filter(|call| call.changes_something());
        let mut calls: Vec<String> =
            calls.map(|call| format!("{} {}", call.action, call.id().unwrap_or_default())).collect();
        calls.sort();
        calls
    }

    /// How often RDS was asked this.
    pub fn asked_rds(&self, action: &str) -> usize {
        self.rds_calls.iter().filter(|call| call.action == action).count()
    }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

/// An id of its own for each number.
pub fn id(number: usize) -> String {
    format!("i-{number:017x}")
}
