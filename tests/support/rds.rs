//! An RDS of our own: it reads the query protocol, keeps databases and their events, answers in XML.
//!
//! It behaves as RDS documents it, and is strict where RDS is: one id a call, no second stop of what is stopping, one
//! token bucket for all calls, states that take time, pages with limits, events that may be late, lost or out of order,
//! and AWS's own start after seven days. What it does not know (an action, a parameter, a filter) it panics at, so that
//! no test passes by luck.
//!
//! The rules and their sources: the token bucket from
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-api-throttling.html>; who cannot be stopped, and the
//! seven days, from <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_StopInstance.html>; events from
//! <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html>; pages, filters and error codes
//! from the API reference; the texts of refusals from people's logs. Where a comment says so, the words are our own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;

use super::clock::Clock;
use super::router::{scope, whose};
use super::xml::{escape, put};

/// How long RDS leaves a database stopped.
pub const SEVEN_DAYS: Duration = Duration::from_hours(7 * 24);
/// From this status, too, a start is taken.
const RECOVERABLE: &str = "inaccessible-encryption-credentials-recoverable";
const NAMESPACE: &str = "http://rds.amazonaws.com/doc/2014-10-31/";
/// The categories that a listing may ask for.
const CATEGORIES: [&str; 2] = ["notification", "availability"];

/// One database, an instance or a cluster, as RDS keeps it.
#[derive(Debug, Clone)]
pub struct Database {
    /// `db:orders` or `cluster:orders`.
    pub id: String,
    /// The key of whoever may see it.
    pub account: &'static str,
    pub region: &'static str,
    pub status: String,
    pub tags: Vec<(String, String)>,
    pub engine: &'static str,
    pub multi_az: bool,
    /// Of clusters; `serverless` is the first version of that.
    pub engine_mode: &'static str,
    /// The name of the cluster that an instance belongs to, without `cluster:`.
    pub member_of: Option<String>,
    /// Its read replicas; a name that begins with `cluster:` is a cluster's.
    pub replicas: Vec<String>,
    /// What it is a read replica of, likewise.
    pub replica_of: Option<String>,
    /// When its last stop was done, as long as it is stopped.
    pub stopped_at: Option<Timestamp>,
    pub takes_to_stop: Duration,
    pub takes_to_start: Duration,
    /// Where it is going, and when it will be there.
    pub on_its_way: Option<(Timestamp, &'static str)>,
    /// Every Stop or Start call on it is refused, with this code and message.
    pub refuses: Option<(&'static str, &'static str)>,
    /// It has no `AutomaticRestartTime`, and starts all the same.
    pub hides_restart_time: bool,
}

impl Database {
    /// Available, untagged, nothing special about it; of engine `postgres`, or Aurora's if it is a cluster.
    pub fn available(id: impl Into<String>) -> Self {
        let id = id.into();
        Self {
            engine: if id.starts_with(CLUSTER.prefix) { "aurora-postgresql" } else { "postgres" },
            id,
            account: "key",
            region: "ap-northeast-2",
            status: "available".to_owned(),
            tags: Vec::new(),
            multi_az: false,
            engine_mode: "provisioned",
            member_of: None,
            replicas: Vec::new(),
            replica_of: None,
            stopped_at: None,
            takes_to_stop: Duration::from_mins(8),
            takes_to_start: Duration::from_mins(12),
            on_its_way: None,
            refuses: None,
            hides_restart_time: false,
        }
    }

    /// Stopped since then; the log has the event of it.
    pub fn stopped(id: impl Into<String>, when: Timestamp) -> Self {
        Self { stopped_at: Some(when), ..Self::available(id).with_status("stopped") }
    }

    /// In this status, for as long as nobody changes it.
    pub fn with_status(self, status: impl Into<String>) -> Self {
        Self { status: status.into(), ..self }
    }

    pub fn in_region(self, region: &'static str) -> Self {
        Self { region, ..self }
    }

    /// A member of an Aurora cluster, which is named without `cluster:`; it has a status of its own.
    pub fn in_cluster(self, cluster: &str) -> Self {
        Self { member_of: Some(cluster.to_owned()), engine: "aurora-postgresql", ..self }
    }

    pub fn tagged(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Tagged for this tool, with the default key.
    pub fn due(self) -> Self {
        self.tagged("Stopinator", "true")
    }

    /// Its id without `db:` or `cluster:`.
    pub fn name(&self) -> &str {
        self.id.split_once(':').map_or("", |(_, name)| name)
    }

    pub fn is_cluster(&self) -> bool {
        self.id.starts_with(CLUSTER.prefix)
    }

    /// When AWS starts it, if nobody does before.
    pub fn restarts_at(&self) -> Option<Timestamp> {
        self.stopped_at.filter(|_| self.status == "stopped").map(|then| then + SEVEN_DAYS)
    }

    fn is_seen_by(&self, call: &RdsCall) -> bool {
        self.account == call.account && self.region == call.region
    }

    fn kind(&self) -> Kind {
        if self.is_cluster() { CLUSTER } else { INSTANCE }
    }

    fn is_in(&self, statuses: &[&str]) -> bool {
        statuses.contains(&self.status.as_str())
    }

    /// Whether it is this one, or a member of this cluster.
    fn goes_with(&self, id: &str) -> bool {
        let cluster = id.strip_prefix(CLUSTER.prefix);
        self.id == id || (self.member_of.is_some() && self.member_of.as_deref() == cluster)
    }

    fn passes(&self, (name, values): &(String, Vec<String>)) -> bool {
        let has = match name.as_str() {
            "db-cluster-id" if !self.is_cluster() => self.member_of.as_deref(),
            _ => Some(self.name()),
        };
        has.is_some_and(|has| values.iter().any(|value| value == has))
    }

    /// Why RDS never stops or starts it. But for members and replicas, the words are our own.
    fn ineligibility(&self) -> Option<(&'static str, String)> {
        let engine = self.engine;
        let replicated = self.replica_of.is_some() || !self.replicas.is_empty();
        let combination = |text: String| Some(("InvalidParameterCombination", text));
        if self.is_cluster() {
            return if !(engine.starts_with("aurora") || matches!(engine, "docdb" | "neptune")) {
                combination(format!("{engine} DB clusters are not eligible for stopping and starting."))
            } else if self.engine_mode != "provisioned" {
                combination(format!("{} DB clusters are not eligible for stopping and starting.", self.engine_mode))
            } else if replicated {
                combination("Cannot stop or start a cluster with a Read-Replica".to_owned())
            } else {
                None
            };
        }
        if self.member_of.is_some() {
            return combination(format!("{engine} DB instances are not eligible for stopping and starting."));
        }
        if replicated {
            // The text is RDS's; its code is not known.
            return Some(("InvalidDBInstanceState", "Cannot stop or start a Read-Replica instance".to_owned()));
        }
        let mirrored = self.multi_az && (engine.starts_with("sqlserver-") || engine.starts_with("custom-sqlserver-"));
        if mirrored || engine.starts_with("custom-oracle-") {
            return combination(format!("Cannot stop or start a {engine} instance of this kind"));
        }
        None
    }

    /// Sets out; a stop and a start both end the time that it was stopped.
    fn depart(&mut self, to: &'static str, at: Timestamp) {
        let (status, takes) =
            if to == "stopped" { ("stopping", self.takes_to_stop) } else { ("starting", self.takes_to_start) };
        status.clone_into(&mut self.status);
        self.on_its_way = Some((at + takes, to));
        self.stopped_at = None;
    }

    /// Is there, which RDS tells if it was a stop, a start or a reboot.
    fn arrive(&mut self, to: &'static str, at: Timestamp) -> Option<Event> {
        let from = std::mem::replace(&mut self.status, to.to_owned());
        self.stopped_at = (to == "stopped").then_some(at);
        match (from.as_str(), to) {
            ("stopping", "stopped") => Some(self.event("stopped", at)),
            ("starting", "available") => Some(self.event("started", at)),
            ("stopping", "available") if self.is_cluster() => Some(self.event("stop failed", at)),
            ("rebooting", "available") => Some(self.event("restarted", at).in_category("availability")),
            _ => None,
        }
    }

    fn event(&self, what: &str, at: Timestamp) -> Event {
        let subject = match (self.engine, self.is_cluster()) {
            ("docdb", true) => "Cluster",
            ("docdb", false) => "Instance",
            (_, true) => "DB cluster",
            (_, false) => "DB instance",
        };
        Event::notification(&self.id, at, &format!("{subject} {what}"))
    }

    /// When AWS starts it by itself: members go with their cluster.
    fn wakes_at(&self) -> Option<Timestamp> {
        self.restarts_at().filter(|_| self.member_of.is_none() && self.on_its_way.is_none())
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.on_its_way.is_some_and(|(then, _)| then <= now) || self.wakes_at().is_some_and(|then| then <= now)
    }
}

/// What is called how for instances and for clusters.
#[derive(Debug, Clone, Copy)]
struct Kind {
    prefix: &'static str,
    noun: &'static str,
    not_found: &'static str,
    source_type: &'static str,
    filters: &'static [&'static str],
}

const INSTANCE: Kind = Kind {
    prefix: "db:",
    noun: "DBInstance",
    not_found: "DBInstanceNotFound",
    source_type: "db-instance",
    filters: &["db-instance-id", "db-cluster-id"],
};

const CLUSTER: Kind = Kind {
    prefix: "cluster:",
    noun: "DBCluster",
    not_found: "DBClusterNotFoundFault",
    source_type: "db-cluster",
    filters: &["db-cluster-id"],
};

/// A line of the log that `DescribeEvents` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `db:orders` or `cluster:orders`.
    pub source: String,
    pub at: Timestamp,
    pub message: String,
    pub category: &'static str,
}

impl Event {
    /// In the category of stops and starts.
    pub fn notification(source: &str, at: Timestamp, message: &str) -> Self {
        Self { source: source.to_owned(), at, message: message.to_owned(), category: "notification" }
    }

    pub fn in_category(self, category: &'static str) -> Self {
        Self { category, ..self }
    }
}

/// A call as RDS saw it.
#[derive(Debug, Clone)]
pub struct RdsCall {
    /// When it came.
    pub at: Timestamp,
    /// Whose key signed it: that of an account is the account's id, and the hub's is `key`.
    pub account: String,
    /// It was signed by a session that may only look.
    pub only_looks: bool,
    pub region: String,
    pub action: String,
    pub parameters: BTreeMap<String, String>,
    /// Whether it was carried out.
    pub taken: bool,
}

impl RdsCall {
    /// The values of a list parameter, in order.
    pub fn list(&self, name: &str) -> Vec<String> {
        (1..).map_while(|n| self.parameters.get(&format!("{name}.{n}")).cloned()).collect()
    }

    /// Its filters, each a name and its values.
    pub fn filters(&self) -> Vec<(String, Vec<String>)> {
        (1..)
            .map_while(|n| {
                let name = self.parameters.get(&format!("Filters.Filter.{n}.Name"))?;
                Some((name.clone(), self.list(&format!("Filters.Filter.{n}.Values.Value"))))
            })
            .collect()
    }

    /// The database that it names, as `db:orders` or `cluster:orders`.
    pub fn id(&self) -> Option<String> {
        [INSTANCE, CLUSTER].iter().find_map(|kind| {
            let name = self.parameters.get(&format!("{}Identifier", kind.noun))?;
            Some(format!("{}{name}", kind.prefix))
        })
    }

    pub fn changes_something(&self) -> bool {
        !self.action.starts_with("Describe")
    }
}

/// What may go wrong with events.
#[derive(Debug, Clone, Copy)]
pub struct Whims {
    /// How long after its instant an event appears.
    pub late: Duration,
    /// Which events never appear.
    pub lose: fn(&Event) -> bool,
    /// They come out of order.
    pub shuffle: bool,
}

impl Default for Whims {
    fn default() -> Self {
        Self { late: Duration::ZERO, lose: |_| false, shuffle: false }
    }
}

/// RDS in every region, shared by all who hold a clone.
#[derive(Debug, Clone)]
pub struct Rds(Arc<Mutex<Model>>);

#[derive(Debug)]
struct Model {
    clock: Clock,
    databases: BTreeMap<String, Database>,
    events: Vec<Event>,
    calls: Vec<RdsCall>,
    refusals: Vec<Refusal>,
    /// One for each account and region.
    buckets: BTreeMap<(String, String), Bucket>,
    whims: Whims,
}

#[derive(Debug)]
struct Refusal {
    region: String,
    action: String,
    code: String,
    message: String,
}

/// The one token bucket of a region: 300 calls, and 12 more each second.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

impl Bucket {
    const SIZE: f64 = 300.0;
    const TOKENS_A_SECOND: f64 = 12.0;

    /// Takes a token, if there is one.
    fn take(&mut self, now: Timestamp) -> bool {
        let passed = now.duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * Self::TOKENS_A_SECOND).min(Self::SIZE);
        self.filled_at = now;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

/// Code and message.
type Refused = (String, String);
type Answer = Result<String, Refused>;

impl Rds {
    /// With these databases; each that is stopped since a known instant has its event in the log.
    pub fn new(clock: Clock, databases: impl IntoIterator<Item = Database>) -> Self {
        let mut model = Model {
            clock,
            databases: BTreeMap::new(),
            events: Vec::new(),
            calls: Vec::new(),
            refusals: Vec::new(),
            buckets: BTreeMap::new(),
            whims: Whims::default(),
        };
        for database in databases {
            assert!(database.id.starts_with(database.kind().prefix), "{} is neither db: nor cluster:", database.id);
            if let Some(then) = database.stopped_at.filter(|_| database.status == "stopped") {
                model.events.push(database.event("stopped", then));
            }
            let twin = model.databases.insert(database.id.clone(), database);
            assert!(twin.is_none(), "two databases have one id: {twin:?}");
        }
        for member in model.databases.values() {
            let Some(name) = &member.member_of else { continue };
            let cluster = model.databases.get(&format!("{}{name}", CLUSTER.prefix));
            let fits = cluster.is_some_and(|cluster| cluster.region == member.region) && !member.is_cluster();
            assert!(fits, "{} cannot be a member of {name}", member.id);
        }
        Self(Arc::new(Mutex::new(model)))
    }

    /// This action in this region is answered with this error, each time.
    pub fn refuse(&self, region: &str, action: &str, code: &str, message: &str) {
        let [region, action, code, message] = [region, action, code, message].map(str::to_owned);
        self.model().refusals.push(Refusal { region, action, code, message });
    }

    pub fn set_whims(&self, whims: Whims) {
        self.model().whims = whims;
    }

    /// How many calls there have been.
    pub fn count_calls(&self) -> usize {
        self.model().calls.len()
    }

    /// Every call from the given number on, in order.
    pub fn calls_from(&self, number: usize) -> Vec<RdsCall> {
        self.model().calls[number..].to_vec()
    }

    /// Writes into the log; the past is allowed.
    pub fn add_event(&self, event: Event) {
        self.model().events.push(event);
    }

    /// The log as it would be if no event were ever late or lost, by time.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.alive().events.clone();
        events.sort_by_key(|event| event.at);
        events
    }

    /// The statuses as they are now.
    pub fn statuses(&self) -> BTreeMap<String, String> {
        self.alive().databases.values().map(|database| (database.id.clone(), database.status.clone())).collect()
    }

    /// A person does it to a database: `start`, `stop` or `reboot`, with what follows from it.
    pub fn by_hand(&self, id: &str, what: &str) {
        let mut model = self.alive();
        let at = model.now();
        let database = model.databases.get_mut(id).unwrap_or_else(|| panic!("there is no {id}"));
        if what == "reboot" {
            assert!(!database.is_cluster() && database.is_in(&["available"]), "{id} cannot be rebooted now");
            "rebooting".clone_into(&mut database.status);
            database.on_its_way = Some((at + Duration::from_mins(2), "available"));
            let event = database.event("shutdown", at).in_category("availability");
            model.events.push(event);
            return;
        }
        let to = match what {
            "start" => "available",
            "stop" => "stopped",
            other => panic!("nobody can {other} a database"),
        };
        if let Some((code, message)) = model.refusal(&model.databases[id], to) {
            panic!("nobody can {what} {id} now: {code}: {message}");
        }
        model.send(id, to, at);
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().expect("no test panics inside RDS")
    }

    /// The model as it is by now.
    fn alive(&self) -> MutexGuard<'_, Model> {
        let mut model = self.model();
        model.live();
        model
    }
}

impl HttpClient for Rds {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Rds {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let signature = request.headers().get("authorization").expect("a signed request");
        let body = request.body().bytes().expect("the query protocol has its body in memory");
        let (status, body) = self.answer(signature, body);
        let status = StatusCode::try_from(status).expect("a status code");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Rds {
    /// Answers a request of the query protocol with a status and XML.
    pub fn answer(&self, signature: &str, body: &[u8]) -> (u16, String) {
        let scope = scope(signature);
        assert_eq!(scope.service, "rds", "not signed for RDS: {signature}");
        let (account, only_looks) = whose(scope.key);
        let (account, region) = (account.to_owned(), scope.region.to_owned());
        let mut parameters: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let action = parameters.remove("Action").expect("the query protocol names an action");
        let mut model = self.alive();
        let at = model.now();
        let call = RdsCall { at, account, only_looks, region, action, parameters, taken: false };
        let answer = model.answer(&call);
        model.calls.push(RdsCall { taken: answer.is_ok(), ..call });
        match answer {
            Ok(body) => (200, body),
            Err((code, message)) => {
                let status = match code.as_str() {
                    "AccessDenied" | "AccessDeniedException" => 403,
                    "InternalFailure" | "InternalError" => 500,
                    "ServiceUnavailable" => 503,
                    code if code.contains("NotFound") => 404,
                    _ => 400,
                };
                let whose = if status < 500 { "Sender" } else { "Receiver" };
                let message = escape(&message);
                let body = format!(
                    "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{whose}</Type><Code>{code}</Code>\
                     <Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"
                );
                (status, body)
            }
        }
    }
}

impl Model {
    fn now(&self) -> Timestamp {
        super::at(super::NOW) + self.clock.now()
    }

    fn answer(&mut self, call: &RdsCall) -> Answer {
        let full = Bucket { tokens: Bucket::SIZE, filled_at: call.at };
        if !self.buckets.entry((call.account.clone(), call.region.clone())).or_insert(full).take(call.at) {
            return Err(refused("ThrottlingException", "Rate exceeded"));
        }
        let meant = |refusal: &&Refusal| refusal.region == call.region && refusal.action == call.action;
        if let Some(refusal) = self.refusals.iter().find(meant) {
            return Err(refused(&refusal.code, &refusal.message));
        }
        if call.only_looks && call.changes_something() {
            let (account, action) = (&call.account, &call.action);
            let text = format!(
                "User: arn:aws:sts::{account}:assumed-role/StopinatorSpoke/f is not authorized to perform: \
                 rds:{action} because no session policy allows the rds:{action} action"
            );
            return Err(refused("AccessDenied", &text));
        }
        match call.action.as_str() {
            "DescribeDBInstances" => self.describe(call, INSTANCE),
            "DescribeDBClusters" => self.describe(call, CLUSTER),
            "DescribeEvents" => self.describe_events(call),
            "StopDBInstance" => self.carry_out(call, INSTANCE, "stopped"),
            "StartDBInstance" => self.carry_out(call, INSTANCE, "available"),
            "StopDBCluster" => self.carry_out(call, CLUSTER, "stopped"),
            "StartDBCluster" => self.carry_out(call, CLUSTER, "available"),
            "AddTagsToResource" => self.tag(call, |tags| {
                for n in 1.. {
                    let [key, value] =
                        ["Key", "Value"].map(|part| call.parameters.get(&format!("Tags.Tag.{n}.{part}")));
                    let (Some(key), Some(value)) = (key, value) else { break };
                    tags.retain(|(other, _)| other != key);
                    tags.push((key.clone(), value.clone()));
                }
            }),
            "RemoveTagsFromResource" => self.tag(call, |tags| {
                let keys = call.list("TagKeys.member");
                tags.retain(|(key, _)| !keys.contains(key));
            }),
            other => panic!("this RDS does not know the action {other}"),
        }
    }

    /// Tags go by ARN: `arn:aws:rds:region:account:db:orders`.
    fn tag(&mut self, call: &RdsCall, change: impl FnOnce(&mut Vec<(String, String)>)) -> Answer {
        let arn = call.parameters.get("ResourceName").map_or("", String::as_str);
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let database = match parts[..] {
            ["arn", "aws", "rds", region, "123456789012", id] if region == call.region => self.databases.get_mut(id),
            _ => return Err(refused("InvalidParameterValue", &format!("Invalid resource name: {arn}"))),
        };
        change(&mut database.ok_or_else(|| refused("DBInstanceNotFound", "The resource is not found."))?.tags);
        Ok(envelope(&call.action, ""))
    }

    fn describe(&self, call: &RdsCall, kind: Kind) -> Answer {
        let identifier = format!("{}Identifier", kind.noun);
        check(call, &[identifier.as_str(), "MaxRecords", "Marker"], &["Filters.Filter."]);
        let size = page_size(call)?;
        let filters = call.filters();
        for (name, values) in &filters {
            assert!(kind.filters.contains(&name.as_str()), "this RDS does not know the filter {name}");
            if !(1..=100).contains(&values.len()) {
                let text = format!("The filter {name} takes 1 to 100 values, not {}", values.len());
                return Err(refused("InvalidParameterValue", &text));
            }
        }
        let only = call.parameters.get(&identifier).map(|name| self.named(call, kind, name)).transpose()?;
        // A page goes on where the one before ended, whatever has changed since.
        let after = match call.parameters.get("Marker") {
            Some(marker) => marker.strip_prefix("after-").ok_or_else(|| invalid_marker(marker))?,
            None => "",
        };
        let selected: Vec<&Database> = self
            .databases
            .values()
            .filter(|database| database.is_seen_by(call) && database.id.starts_with(kind.prefix))
            .filter(|database| only.is_none_or(|only| only.id == database.id))
            .filter(|database| filters.iter().all(|filter| database.passes(filter)))
            .filter(|database| database.id.as_str() > after)
            .collect();
        let mut xml = format!("<{}s>", kind.noun);
        for database in selected.iter().take(size) {
            self.write_database(&mut xml, database);
        }
        put(&mut xml, format_args!("</{}s>", kind.noun));
        if selected.len() > size {
            element(&mut xml, "Marker", &format!("after-{}", selected[size - 1].id));
        }
        Ok(envelope(&call.action, &xml))
    }

    /// The pages of a listing are all as of its first one.
    fn describe_events(&self, call: &RdsCall) -> Answer {
        let lists = ["EventCategories.EventCategory."];
        check(call, &["SourceType", "Duration", "MaxRecords", "Marker"], &lists);
        let size = page_size(call)?;
        let minutes = number(call, "Duration", 60, 1, 14 * 24 * 60)?;
        let kind = match call.parameters.get("SourceType").map(String::as_str) {
            Some("db-instance") => INSTANCE,
            Some("db-cluster") => CLUSTER,
            other => panic!("this RDS does not know the events of {other:?}"),
        };
        let categories = call.list("EventCategories.EventCategory");
        let unknown = categories.iter().find(|category| !CATEGORIES.contains(&category.as_str()));
        assert!(unknown.is_none(), "this RDS does not know the category {unknown:?}");
        let (then, first) = match call.parameters.get("Marker") {
            Some(marker) => event_marker(marker).ok_or_else(|| invalid_marker(marker))?,
            None => (call.at, 0),
        };
        let since = then - Duration::from_mins(u64::from(minutes));
        let mut selected: Vec<(usize, &Event)> = self
            .events
            .iter()
            .enumerate()
            .filter(|(_, event)| event.source.starts_with(kind.prefix) && self.is_told_to(event, call))
            .filter(|(_, event)| since <= event.at && event.at + self.whims.late <= then)
            .filter(|(_, event)| categories.is_empty() || categories.iter().any(|category| category == event.category))
            .filter(|(_, event)| !(self.whims.lose)(event))
            .collect();
        selected.sort_by_key(|(_, event)| event.at);
        if self.whims.shuffle {
            selected.sort_by_key(|(place, _)| place * 7919 % 1009);
        }
        let mut xml = String::from("<Events>");
        for (_, event) in selected.iter().skip(first).take(size) {
            self.write_event(&mut xml, event);
        }
        xml.push_str("</Events>");
        if selected.len() > first + size {
            element(&mut xml, "Marker", &format!("{then}_{}", first + size));
        }
        Ok(envelope(&call.action, &xml))
    }

    /// One that is no longer there, or was renamed, is taken to be where databases are by default.
    fn region_of(&self, event: &Event) -> &'static str {
        self.databases.get(&event.source).map_or("ap-northeast-2", |database| database.region)
    }

    /// So it is with its account.
    fn is_told_to(&self, event: &Event, call: &RdsCall) -> bool {
        let account = self.databases.get(&event.source).map_or("key", |database| database.account);
        account == call.account && self.region_of(event) == call.region
    }

    fn named(&self, call: &RdsCall, kind: Kind, name: &str) -> Result<&Database, Refused> {
        let database = self.databases.get(&format!("{}{name}", kind.prefix));
        database
            .filter(|database| database.is_seen_by(call))
            .ok_or_else(|| refused(kind.not_found, &format!("{} {name} not found.", kind.noun)))
    }

    fn carry_out(&mut self, call: &RdsCall, kind: Kind, to: &'static str) -> Answer {
        let identifier = format!("{}Identifier", kind.noun);
        check(call, &[identifier.as_str()], &[]);
        let Some(name) = call.parameters.get(&identifier) else {
            return Err(refused("MissingParameter", &format!("The request must contain the parameter {identifier}")));
        };
        let database = self.named(call, kind, name)?;
        if let Some((code, message)) = database.refuses {
            return Err(refused(code, message));
        }
        if let Some(refusal) = self.refusal(database, to) {
            return Err(refusal);
        }
        let id = database.id.clone();
        self.send(&id, to, call.at);
        let mut xml = String::new();
        self.write_database(&mut xml, &self.databases[&id]);
        Ok(envelope(&call.action, &xml))
    }

    /// Why RDS would not stop or start it now.
    fn refusal(&self, database: &Database, to: &str) -> Option<Refused> {
        if let Some((code, text)) = database.ineligibility() {
            return Some(refused(code, &text));
        }
        let from: &[&str] = if to == "stopped" { &["available"] } else { &["stopped", RECOVERABLE] };
        let instance = |name: &str| {
            let state = if to == "stopped" { "in available state" } else { "stopped, it cannot be started" };
            Some(refused("InvalidDBInstanceState", &format!("Instance {name} is not {state}.")))
        };
        if !database.is_in(from) {
            let (name, status) = (database.name(), &database.status);
            if !database.is_cluster() {
                return instance(name);
            }
            let from = from.join(",");
            let text = format!("DbCluster {name} is in {status} state but expected it to be one of {from}.");
            return Some(refused("InvalidDBClusterStateFault", &text));
        }
        if database.is_cluster() && to == "stopped" {
            // The code is RDS's; its words about a member are not known, and these are about an instance.
            let late = self.members(&database.id).into_iter().find(|member| !member.is_in(from))?;
            return instance(late.name());
        }
        None
    }

    fn members(&self, cluster: &str) -> Vec<&Database> {
        self.databases.values().filter(|database| database.goes_with(cluster) && database.id != cluster).collect()
    }

    /// It sets out, and with it the members of a cluster.
    fn send(&mut self, id: &str, to: &'static str, at: Timestamp) {
        for database in self.databases.values_mut().filter(|database| database.goes_with(id)) {
            database.depart(to, at);
        }
    }

    /// Lets time pass, in rounds: what has arrived may set out again.
    fn live(&mut self) {
        let now = self.now();
        loop {
            let due = self.databases.values().filter(|database| database.is_due(now));
            let due: Vec<String> = due.map(|database| database.id.clone()).collect();
            if due.is_empty() {
                return;
            }
            for id in due {
                self.step(&id, now);
            }
        }
    }

    /// The next thing that has happened to it by now.
    fn step(&mut self, id: &str, now: Timestamp) {
        let Some(database) = self.databases.get_mut(id) else { return };
        if let Some((then, to)) = database.on_its_way.take_if(|(then, _)| *then <= now) {
            let event = database.arrive(to, then);
            self.events.extend(event);
            return;
        }
        let Some(then) = database.wakes_at().filter(|then| *then <= now) else { return };
        let event =
            database.event("is being started due to it exceeding the maximum allowed time being stopped.", then);
        self.events.push(event);
        self.send(id, "available", then);
    }

    fn write_database(&self, xml: &mut String, database: &Database) {
        let noun = database.kind().noun;
        put(xml, format_args!("<{noun}>"));
        element(xml, &format!("{noun}Identifier"), database.name());
        element(xml, &format!("{noun}Arn"), &arn(database.region, &database.id));
        element(xml, "Engine", database.engine);
        element(xml, "MultiAZ", if database.multi_az { "true" } else { "false" });
        if database.is_cluster() {
            element(xml, "Status", &database.status);
            element(xml, "EngineMode", database.engine_mode);
            if let Some(source) = &database.replica_of {
                element(xml, "ReplicationSourceIdentifier", source);
            }
            let replicas = database.replicas.iter().map(String::as_str);
            list(xml, "ReadReplicaIdentifiers", "ReadReplicaIdentifier", replicas);
            xml.push_str("<DBClusterMembers>");
            for (place, member) in self.members(&database.id).into_iter().enumerate() {
                xml.push_str("<DBClusterMember>");
                element(xml, "DBInstanceIdentifier", member.name());
                element(xml, "IsClusterWriter", if place == 0 { "true" } else { "false" });
                xml.push_str("</DBClusterMember>");
            }
            xml.push_str("</DBClusterMembers>");
        } else {
            element(xml, "DBInstanceStatus", &database.status);
            if let Some(cluster) = &database.member_of {
                element(xml, "DBClusterIdentifier", cluster);
            }
            if let Some(source) = &database.replica_of {
                match source.strip_prefix(CLUSTER.prefix) {
                    Some(cluster) => element(xml, "ReadReplicaSourceDBClusterIdentifier", cluster),
                    None => element(xml, "ReadReplicaSourceDBInstanceIdentifier", without_db(source)),
                }
            }
            let clusters = database.replicas.iter().filter_map(|replica| replica.strip_prefix(CLUSTER.prefix));
            let instances = database.replicas.iter().filter(|replica| !replica.starts_with(CLUSTER.prefix));
            let instances = instances.map(|replica| without_db(replica));
            list(xml, "ReadReplicaDBInstanceIdentifiers", "ReadReplicaDBInstanceIdentifier", instances);
            list(xml, "ReadReplicaDBClusterIdentifiers", "ReadReplicaDBClusterIdentifier", clusters);
        }
        if let Some(then) = database.restarts_at().filter(|_| !database.hides_restart_time) {
            element(xml, "AutomaticRestartTime", &then.to_string());
        }
        xml.push_str("<TagList>");
        for (key, value) in &database.tags {
            put(xml, format_args!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(key), escape(value)));
        }
        put(xml, format_args!("</TagList></{noun}>"));
    }

    fn write_event(&self, xml: &mut String, event: &Event) {
        let (kind, name) = match event.source.strip_prefix(CLUSTER.prefix) {
            Some(name) => (CLUSTER, name),
            None => (INSTANCE, without_db(&event.source)),
        };
        xml.push_str("<Event>");
        element(xml, "SourceIdentifier", name);
        element(xml, "SourceType", kind.source_type);
        element(xml, "SourceArn", &arn(self.region_of(event), &event.source));
        element(xml, "Message", &event.message);
        element(xml, "Date", &event.at.to_string());
        list(xml, "EventCategories", "EventCategory", std::iter::once(event.category));
        xml.push_str("</Event>");
    }
}

/// Panics at a parameter that this RDS does not know.
fn check(call: &RdsCall, names: &[&str], lists: &[&str]) {
    let version = call.parameters.get("Version").map(String::as_str);
    assert_eq!(version, Some("2014-10-31"), "the API's version");
    for name in call.parameters.keys().map(String::as_str) {
        let known = name == "Version" || names.contains(&name) || lists.iter().any(|list| name.starts_with(*list));
        assert!(known, "this RDS does not know the parameter {name} of {}", call.action);
    }
}

fn page_size(call: &RdsCall) -> Result<usize, Refused> {
    let size = number(call, "MaxRecords", 100, 20, 100)?;
    Ok(usize::try_from(size).expect("a hundred at most"))
}

/// A number within its limits, or the default where none is given.
fn number(call: &RdsCall, name: &str, default: u32, least: u32, most: u32) -> Result<u32, Refused> {
    let Some(text) = call.parameters.get(name) else { return Ok(default) };
    match text.parse::<u32>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => {
            let text = format!("Invalid value {text} for {name}. Must be between {least} and {most}");
            Err(refused("InvalidParameterValue", &text))
        }
    }
}

/// The instant of the listing, and how many events have been shown.
fn event_marker(marker: &str) -> Option<(Timestamp, usize)> {
    let (then, shown) = marker.split_once('_')?;
    Some((then.parse().ok()?, shown.parse().ok()?))
}

fn invalid_marker(marker: &str) -> Refused {
    refused("InvalidParameterValue", &format!("Invalid marker {marker}"))
}

fn refused(code: &str, message: &str) -> Refused {
    (code.to_owned(), message.to_owned())
}

fn without_db(id: &str) -> &str {
    id.strip_prefix(INSTANCE.prefix).unwrap_or(id)
}

fn arn(region: &str, id: &str) -> String {
    format!("arn:aws:rds:{region}:123456789012:{id}")
}

fn envelope(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></{action}Response>"
    )
}

fn list<'a>(xml: &mut String, name: &str, item: &str, values: impl Iterator<Item = &'a str>) {
    put(xml, format_args!("<{name}>"));
    for value in values {
        element(xml, item, value);
    }
    put(xml, format_args!("</{name}>"));
}

fn element(xml: &mut String, name: &str, text: &str) {
    put(xml, format_args!("<{name}>{}</{name}>", escape(text)));
}
