//! Scenarios that read like a sentence: a fleet, a trigger, and what came of it.

pub mod bus;
pub mod clock;
pub mod door;
pub mod ec2;
pub mod organizations;
pub mod rds;
pub mod router;
pub mod sts;
mod xml;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stopinator::aws::Clients;
use stopinator::handler::{Handler, Invocation};
use stopinator::report::Report;
use stopinator::run::{Progress, Run};
use stopinator::settings::Settings;
use stopinator::trigger;

use bus::Bus;
use clock::Clock;
use ec2::{Call, Ec2, Machine, Whims};
use organizations::{Member, Organizations, OrganizationsCall};
use rds::{Database, Rds, RdsCall};
use router::{Router, Traffic};
use sts::{Sts, StsCall};

/// The handler's clock when a scenario begins.
pub const NOW: &str = "2026-11-21T09:00:10Z";
/// The rule fired ten seconds ago.
pub const RULE_FIRED: &str = r#"{"version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
    "time": "2026-11-21T09:00:00Z", "region": "ap-northeast-2",
    "resources": ["arn:aws:events:ap-northeast-2:123456789012:rule/stop"], "detail": {}}"#;
/// Where the function is.
const OWN_REGION: &str = "ap-northeast-2";
/// The function itself.
pub const FUNCTION: &str = "arn:aws:lambda:ap-northeast-2:999999999999:function:stopinator";
pub const START: &str = r#"{"action": "start", "time": "2026-11-21T09:00:00Z"}"#;

/// A deployment with the given machines in EC2. Its invocations are those of one process, which keeps what it knows,
/// until its environment changes.
pub struct Scenario {
    clock: Clock,
    traffic: Arc<Mutex<Traffic>>,
    pub bus: Bus,
    pub ec2: Ec2,
    pub rds: Rds,
    pub sts: Sts,
    pub organizations: Organizations,
    timeout: Duration,
    settings: Vec<(String, String)>,
    /// Of the process, once it has begun.
    handler: RefCell<Option<Rc<Handler>>>,
}

/// What came of an invocation.
pub struct Story {
    /// The response as JSON, or the error's code and message.
    pub answer: Result<Value, (String, String)>,
    /// Every call that EC2 saw, in order.
    pub calls: Vec<Call>,
    /// Every call that RDS saw, in order.
    pub rds_calls: Vec<RdsCall>,
    /// Every call that STS saw, in order.
    pub sts_calls: Vec<StsCall>,
    /// Every call that Organizations saw, in order.
    pub organizations_calls: Vec<OrganizationsCall>,
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
    let sts = Sts::new(clock.clone());
    let organizations = Organizations::new(clock.clone());
    let settings = vec![("AWS_REGION".to_owned(), OWN_REGION.to_owned())];
    let (timeout, handler) = (Duration::from_mins(5), RefCell::new(None));
    Scenario {
        clock,
        traffic: Arc::default(),
        bus: Bus::default(),
        ec2,
        rds,
        sts,
        organizations,
        timeout,
        settings,
        handler,
    }
}

/// A deployment that looks after databases, too, and has these.
pub fn databases(databases: impl IntoIterator<Item = Database>) -> Scenario {
    fleet([]).and_databases(databases)
}

impl Scenario {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self.cold();
        self
    }

    /// The process ends, and with it all that it knows; the next invocation begins another.
    pub fn cold(&self) -> &Self {
        *self.handler.borrow_mut() = None;
        self
    }

    /// A hub that enters these accounts: ids, and units of an organization, with commas.
    pub fn with_accounts(self, list: &str) -> Self {
        self.with("STOPINATOR_ACCOUNTS", list)
    }

    /// The organization has these accounts.
    pub fn where_the_organization_has(self, members: impl IntoIterator<Item = Member>) -> Self {
        self.organizations.set_members(members);
        self
    }

    /// With these databases, and looking after them.
    pub fn and_databases(self, databases: impl IntoIterator<Item = Database>) -> Self {
        Self { rds: Rds::new(self.clock.clone(), databases), ..self }.with("STOPINATOR_SERVICES", "ec2,rds")
    }

    /// Every call takes so long.
    pub fn at_a_distance_of(self, latency: Duration) -> Self {
        self.traffic().latency = latency;
        self
    }

    /// What is, and was, on the way to all services.
    pub fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().expect("nobody panics while counting")
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
        let keys = Credentials::new("key", "secret", None, None, "scenario");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(OWN_REGION))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .sleep_impl(self.clock.clone())
            .time_source(self.clock.clone())
            .http_client(self.router())
            .build();
        Clients::of(&config, settings)
    }

    /// All the services, as one HTTP client.
    fn router(&self) -> Router {
        let Self { ec2, rds, sts, organizations, .. } = self;
        Router {
            clock: self.clock.clone(),
            traffic: self.traffic.clone(),
            ec2: ec2.clone(),
            rds: rds.clone(),
            sts: sts.clone(),
            organizations: organizations.clone(),
            bus: self.bus.clone(),
        }
    }

    /// The process, which begins with the first invocation.
    fn handler(&self) -> Rc<Handler> {
        let begin = || {
            let settings = self.settings();
            let clients = self.clients(&settings);
            Rc::new(Handler::new(settings, clients))
        };
        self.handler.borrow_mut().get_or_insert_with(begin).clone()
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
        let clients = self.clients(&settings);
        let run = Run::begin(&settings, &clients, &request, self.timeout, 1);
        let run = self.clock.run(run);
        let shown = self.clock.run(run.look(&tell));
        let mut done = shown.clone();
        self.clock.run(run.carry_out(&mut done, &tell));
        (shown, done, told.into_inner())
    }

    pub fn on(&self, trigger: &str) -> Story {
        let before = self.ec2.count_calls();
        let rds_before = self.rds.count_calls();
        let sts_before = self.sts.count_calls();
        let organizations_before = self.organizations.count_calls();
        let began = self.clock.now();
        // A clock's last digits, which are never the same.
        let digits = SignedDuration::from_nanos(i64::try_from(before).expect("a story of some calls"));
        let now = at(NOW) + SignedDuration::try_from(began).expect("a story of minutes") + digits;
        let deadline = now + SignedDuration::try_from(self.timeout).expect("a story of minutes");
        let handler = self.handler();
        let answer = self.clock.run(handler.handle(Invocation {
            trigger,
            request_id: "request-1",
            function_arn: FUNCTION,
            now,
            deadline,
        }));
        Story {
            answer: answer
                .map(|response| serde_json::to_value(response).expect("a response is JSON"))
                .map_err(|error| (error.code().to_owned(), error.to_string())),
            calls: self.ec2.calls_from(before),
            rds_calls: self.rds.calls_from(rds_before),
            sts_calls: self.sts.calls_from(sts_before),
            organizations_calls: self.organizations.calls_from(organizations_before),
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

    /// The accounts that it asked STS for, whether or not it was let in, sorted.
    pub fn asked_to_enter(&self) -> Vec<&str> {
        let asked = self.sts_calls.iter().filter(|call| call.action == "AssumeRole");
        let mut accounts: Vec<&str> = asked.filter_map(|call| call.account.as_deref()).collect();
        accounts.sort_unstable();
        accounts
    }

    /// What the response says of accounts: how many were looked at, and how many could not be.
    pub fn accounts(&self) -> (u64, u64) {
        let accounts = &self.response()["accounts"];
        let [looked_at, unreachable] =
            ["looked_at", "unreachable"].map(|name| accounts[name].as_u64().expect("a number"));
        (looked_at, unreachable)
    }

    /// What was unreachable: account, region (or nothing, where it is the account) and call.
    pub fn unreachable(&self) -> Vec<[&str; 3]> {
        let list = self.response()["unreachable"].as_array().expect("a list");
        let words = ["account", "region", "call"];
        list.iter().map(|entry| words.map(|name| entry[name].as_str().unwrap_or_default())).collect()
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
