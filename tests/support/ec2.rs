//! An EC2 of our own: it reads the query protocol, keeps machines, answers in XML.
//!
//! It behaves as EC2 documents it, and is strict where EC2 is: a Stop or Start call fails as a whole for one bad id,
//! calls draw from token buckets, states take time, filter values are patterns, pages have limits. What it does not
//! know it refuses, so that no test passes by luck.
//!
//! The rules and their sources: token buckets and throttling from
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>; states and reasons from
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html>; error codes from
//! <https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html>; filters and pages from
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html> and the API reference.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use jiff::SignedDuration;

use super::clock::Clock;
use super::router::{scope, whose};
use super::xml::{escape, put};

const USER_INITIATED: (&str, &str) =
    ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown");

/// One machine, as EC2 keeps it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a trait of its own")]
pub struct Machine {
    pub id: String,
    /// The key of whoever may see it.
    pub account: &'static str,
    pub region: &'static str,
    pub state: &'static str,
    pub tags: Vec<(String, String)>,
    pub launch_time: Cow<'static, str>,
    pub instance_type: &'static str,
    pub zone: &'static str,
    /// The Dedicated Host that it is bound to.
    pub host: Option<&'static str>,
    pub placement_group: Option<&'static str>,
    pub root_device_type: &'static str,
    pub lifecycle: Option<&'static str>,
    pub one_time_spot: bool,
    pub operator_managed: bool,
    pub stop_protected: bool,
    pub transition_reason: Cow<'static, str>,
    /// Code and message.
    pub state_reason: Option<(&'static str, &'static str)>,
    pub hibernation: bool,
    /// Asked to hibernate, it is not ready yet.
    pub too_soon_to_hibernate: bool,
    /// How long it takes to stop or start.
    pub takes: Duration,
    /// Started, it stops again, with this code and message.
    pub falls_back: Option<(&'static str, &'static str)>,
    /// A call that names it fails on EC2's side.
    pub breaks_ec2: bool,
    /// When EC2 forgets it.
    pub vanishes_at: Option<Duration>,
    /// Where it is going, and when it will be there.
    pub on_its_way: Option<(Duration, &'static str)>,
}

impl Machine {
    /// Running since yesterday, untagged, nothing special about it.
    pub fn running(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            account: "key",
            region: "ap-northeast-2",
            state: "running",
            tags: Vec::new(),
            launch_time: "2026-11-20T08:00:00.000Z".into(),
            instance_type: "t3.micro",
            zone: "ap-northeast-2a",
            host: None,
            placement_group: None,
            root_device_type: "ebs",
            lifecycle: None,
            one_time_spot: false,
            operator_managed: false,
            stop_protected: false,
            transition_reason: "".into(),
            state_reason: None,
            hibernation: false,
            too_soon_to_hibernate: false,
            takes: Duration::from_secs(25),
            falls_back: None,
            breaks_ec2: false,
            vanishes_at: None,
            on_its_way: None,
        }
    }

    /// Stopped by somebody last night.
    pub fn stopped(id: impl Into<String>) -> Self {
        Self {
            transition_reason: "User initiated (2026-11-20 12:00:00 GMT)".into(),
            state_reason: Some(USER_INITIATED),
            ..Self::running(id).in_state("stopped")
        }
    }

    pub fn in_state(self, state: &'static str) -> Self {
        Self { state, ..self }
    }

    pub fn in_region(self, region: &'static str) -> Self {
        Self { region, ..self }
    }

    pub fn tagged(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Tagged for this tool, with the default key.
    pub fn due(self) -> Self {
        self.tagged("Stopinator", "true")
    }

    #[cfg(feature = "cli")]
    pub fn named(self, name: &str) -> Self {
        self.tagged("Name", name)
    }

    /// With another name than before.
    #[cfg(feature = "cli")]
    pub fn named_anew(mut self, name: &str) -> Self {
        self.tags.retain(|(key, _)| key != "Name");
        self.named(name)
    }

    #[cfg(feature = "cli")]
    pub fn launched(self, at: &'static str) -> Self {
        Self { launch_time: at.into(), ..self }
    }

    /// Why EC2 would refuse to stop or start it, as code and message.
    fn refusal(&self, action: &str, hibernate: bool) -> Option<(&'static str, String)> {
        let id = &self.id;
        if matches!(self.state, "terminated" | "shutting-down")
            || (action == "StopInstances" && self.state == "pending")
        {
            return Some((
                "IncorrectInstanceState",
                format!(
                    "The instance '{id}' is not in a state from which it can be {}.",
                    if action == "StopInstances" { "stopped" } else { "started" }
                ),
            ));
        }
        if self.root_device_type == "instance-store" {
            let text = format!("The instance '{id}' does not have an 'ebs' root device type and cannot be stopped");
            return Some(("UnsupportedOperation", text));
        }
        if self.one_time_spot {
            let text = format!(
                "You can't stop the Spot Instance '{id}' because it is associated with a one-time Spot Instance request"
            );
            return Some(("UnsupportedOperation", text));
        }
        if self.stop_protected && action == "StopInstances" {
            let text =
                format!("The instance '{id}' may not be stopped. Modify its 'disableApiStop' instance attribute");
            return Some(("OperationNotPermitted", text));
        }
        if hibernate && !self.hibernation {
            let text = format!("Instance {id} is not configured for hibernation.");
            return Some(("UnsupportedHibernationConfiguration", text));
        }
        if hibernate && self.too_soon_to_hibernate {
            let text = format!("Instance {id} is not ready to hibernate yet, retry in a few minutes");
            return Some(("UnsupportedOperation", text));
        }
        None
    }

    /// Lets time pass.
    fn live_until(&mut self, now: Duration) {
        if let Some((_, to)) = self.on_its_way.take_if(|(then, _)| *then <= now) {
            self.state = to;
            if let (Some(reason), "running") = (self.falls_back, to) {
                self.state = "stopped";
                self.state_reason = Some(reason);
                self.transition_reason = reason.0.into();
            }
        }
    }
}

/// A call as EC2 saw it.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it came, by the scenario's clock.
    pub at: Duration,
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

impl Call {
    /// The values of a list parameter, in order.
    pub fn list(&self, name: &str) -> Vec<String> {
        (1..).map_while(|n| self.parameters.get(&format!("{name}.{n}")).cloned()).collect()
    }

    /// The instance ids that it names.
    pub fn ids(&self) -> Vec<String> {
        self.list("InstanceId")
    }

    pub fn changes_something(&self) -> bool {
        !self.action.starts_with("Describe")
    }

    /// Its filters, each a name and its values.
    pub fn filters(&self) -> Vec<(String, Vec<String>)> {
        (1..)
            .map_while(|n| {
                let name = self.parameters.get(&format!("Filter.{n}.Name"))?;
                Some((name.clone(), self.list(&format!("Filter.{n}.Value"))))
            })
            .collect()
    }
}

/// EC2 in every region, shared by all who hold a clone.
#[derive(Debug, Clone)]
pub struct Ec2(Arc<Mutex<Model>>);

#[derive(Debug)]
struct Model {
    clock: Clock,
    machines: BTreeMap<String, Machine>,
    calls: Vec<Call>,
    refusals: Vec<Refusal>,
    throttled_once: Vec<(String, String)>,
    /// By account, region and action.
    buckets: BTreeMap<(String, String, String), (Bucket, Bucket)>,
    whims: Whims,
}

#[derive(Debug)]
struct Refusal {
    /// Whose calls; everybody's where it is not said.
    account: Option<String>,
    region: String,
    action: String,
    code: String,
    message: String,
}

/// What else may go wrong.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a whim of its own")]
pub struct Whims {
    /// Refusals name all offenders, not the first alone.
    pub names_all: bool,
    /// Refusals name nobody.
    pub names_nobody: bool,
    /// Where capacity is counted; elsewhere there is enough.
    pub rooms: Vec<Room>,
    /// What a refusal of permission names, if not the instance.
    pub other_resource: Option<&'static str>,
    /// The role may not act on these.
    pub forbidden: BTreeSet<String>,
    /// Answers to `DescribeInstances` end in the middle.
    pub cuts_answers: bool,
    /// The token of the first page comes again with every page.
    pub repeats_its_token: bool,
    /// A region that takes calls and never answers.
    pub silent: Option<&'static str>,
    /// An account that takes calls and never answers.
    pub silent_account: Option<&'static str>,
    /// So many calls are carried out by half and then fail.
    pub half_done: usize,
    /// So many calls are answered with a throttling error whatever the buckets hold.
    pub throttled: usize,
    /// Every call in this account is answered with a throttling error, for ever.
    pub throttled_account: Option<&'static str>,
}

/// A pool of capacity: a type in a zone, or narrower, on a host or in a placement group.
#[derive(Debug, Clone)]
pub struct Room {
    pub instance_type: &'static str,
    pub zone: &'static str,
    pub host: Option<&'static str>,
    pub placement_group: Option<&'static str>,
    /// For how many there is room.
    pub left: usize,
}

impl Room {
    pub fn of(instance_type: &'static str, zone: &'static str, left: usize) -> Self {
        Self { instance_type, zone, host: None, placement_group: None, left }
    }

    fn is_for(&self, machine: &Machine) -> bool {
        let asked = |asked: Option<&str>, has: Option<&str>| asked.is_none_or(|asked| has == Some(asked));
        (self.instance_type, self.zone) == (machine.instance_type, machine.zone)
            && asked(self.host, machine.host)
            && asked(self.placement_group, machine.placement_group)
    }
}

/// A token bucket as EC2 documents it.
#[derive(Debug, Clone)]
struct Bucket {
    size: f64,
    tokens_a_second: f64,
    tokens: f64,
    filled_at: Duration,
}

impl Bucket {
    fn new(size: f64, tokens_a_second: f64) -> Self {
        Self { size, tokens_a_second, tokens: size, filled_at: Duration::ZERO }
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.tokens_a_second).min(self.size);
        self.filled_at = now;
    }
}

type Answer = Result<String, (u16, String, String)>;

impl Ec2 {
    pub fn new(clock: Clock, machines: impl IntoIterator<Item = Machine>) -> Self {
        let machines = machines.into_iter().map(|machine| (machine.id.clone(), machine)).collect();
        let (calls, refusals, buckets) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Model {
            clock,
            machines,
            calls,
            refusals,
            throttled_once: Vec::new(),
            buckets,
            whims: Whims::default(),
        })))
    }

    pub fn refuse(&self, region: &str, action: &str, code: &str, message: &str) {
        let [region, action, code, message] = [region, action, code, message].map(str::to_owned);
        self.model().refusals.push(Refusal { account: None, region, action, code, message });
    }

    /// The first call of this account in this region is throttled.
    pub fn throttle_once(&self, account: &str, region: &str) {
        self.model().throttled_once.push((account.to_owned(), region.to_owned()));
    }

    /// EC2 refuses nothing any more.
    pub fn relent(&self) {
        self.model().refusals.clear();
    }

    /// The same, in this account alone.
    pub fn refuse_in(&self, account: &str, region: &str, action: &str, code: &str, message: &str) {
        let [account, region, action, code, message] = [account, region, action, code, message].map(str::to_owned);
        self.model().refusals.push(Refusal { account: Some(account), region, action, code, message });
    }

    pub fn set_whims(&self, whims: Whims) {
        self.model().whims = whims;
    }

    pub fn calls_from(&self, number: usize) -> Vec<Call> {
        self.model().calls[number..].to_vec()
    }

    pub fn count_calls(&self) -> usize {
        self.model().calls.len()
    }

    #[cfg(feature = "cli")]
    pub fn calls(&self) -> Vec<Call> {
        self.model().calls.clone()
    }

    /// The states as they are now; what EC2 has forgotten is left out.
    pub fn states(&self) -> BTreeMap<String, &'static str> {
        let mut model = self.model();
        model.live();
        model.machines.values().map(|machine| (machine.id.clone(), machine.state)).collect()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().expect("no test panics inside EC2")
    }
}

impl HttpClient for Ec2 {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The first door: in process, for the SDK.
impl HttpConnector for Ec2 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let signature = request.headers().get("authorization").expect("a signed request");
        let (account, _) = whose(scope(signature).key);
        let is_silent = {
            let model = self.model();
            let whims = &model.whims;
            whims.silent.is_some_and(|region| signature.contains(&format!("/{region}/")))
                || whims.silent_account.is_some_and(|silent| silent == account)
        };
        if is_silent {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let body = request.body().bytes().expect("the query protocol has its body in memory");
        let (status, body) = self.answer(signature, body);
        let status = StatusCode::try_from(status).expect("a status code");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Ec2 {
    /// Answers a request of the query protocol with a status and XML.
    pub fn answer(&self, signature: &str, body: &[u8]) -> (u16, String) {
        // Both doors know the region by the signature's scope: key/date/region/ec2/aws4_request.
        // What comes with a token of another kind is not signed.
        let region = signature.split('/').nth(2).unwrap_or_default().to_owned();
        let (account, only_looks) = whose(scope(signature).key);
        let account = account.to_owned();
        let mut parameters: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let action = parameters.remove("Action").expect("the query protocol names an action");
        let mut model = self.model();
        let at = model.clock.now();
        let call = Call { at, account, only_looks, region, action, parameters, taken: false };
        let answer = model.answer(&call);
        let call_describes = call.action == "DescribeInstances";
        model.calls.push(Call { taken: answer.is_ok(), ..call });
        let cuts = model.whims.cuts_answers && call_describes;
        match answer {
            Ok(body) if cuts => (200, body[..body.len() / 2].to_owned()),
            Ok(body) => (200, body),
            Err((status, code, message)) => (
                status,
                format!(
                    "<Response><Errors><Error><Code>{code}</Code><Message>{}</Message></Error></Errors>\
                     <RequestID>r</RequestID></Response>",
                    escape(&message)
                ),
            ),
        }
    }
}

impl Model {
    fn answer(&mut self, call: &Call) -> Answer {
        self.live();
        let refused = |r: &&Refusal| {
            let is_about = r.account.as_ref().is_none_or(|account| *account == call.account);
            is_about && r.region == call.region && r.action == call.action
        };
        if let Some(refusal) = self.refusals.iter().find(refused) {
            let status = match refusal.code.as_str() {
                "RequestLimitExceeded" => 503,
                "AuthFailure" | "OptInRequired" => 401,
                _ => 403,
            };
            return Err((status, refusal.code.clone(), refusal.message.clone()));
        }
        let is_meant = |(account, region): &(String, String)| *account == call.account && *region == call.region;
        if let Some(place) = self.throttled_once.iter().position(is_meant) {
            self.throttled_once.remove(place);
            return Err(throttled());
        }
        if self.whims.throttled_account.is_some_and(|account| account == call.account) {
            return Err(throttled());
        }
        if call.only_looks && call.changes_something() {
            return Err(no_session_policy(call));
        }
        match call.action.as_str() {
            "DescribeInstances" => self.describe_instances(call),
            "DescribeInstanceTypes" => describe_instance_types(call),
            "StopInstances" | "StartInstances" => self.change(call),
            "CreateTags" | "DeleteTags" => self.tag(call),
            "DescribeRegions" => Ok(describe_regions()),
            "GetCallerIdentity" => Ok(caller_identity(&call.account)),
            "AssumeRole" | "AssumeRoleWithWebIdentity" => Ok(assumed_role(call)),
            other => Err((400, "InvalidAction".into(), format!("The action {other} is not valid"))),
        }
    }

    /// Two instances to a reservation, and an empty page with a token between any two pages: EC2 may do both.
    fn describe_instances(&self, call: &Call) -> Answer {
        if !call.ids().is_empty() {
            return self.describe_by_id(call);
        }
        let page_size = page_size(call, 5, 1000)?;
        let filters = call.filters();
        for (name, values) in &filters {
            if values.len() > 200 {
                return Err((400, "FilterLimitExceeded".into(), format!("{name} has too many values")));
            }
        }
        let selected: Vec<&Machine> = self
            .machines
            .values()
            .filter(|machine| machine.region == call.region && machine.account == call.account)
            .filter(|machine| filters.iter().all(|filter| passes(machine, filter)))
            .collect();
        let token = call.parameters.get("NextToken").map_or("page-0", String::as_str);
        let (empty, first) = match token.split_once('-') {
            Some(("page", n)) => (false, n.parse::<usize>().expect("our own token")),
            Some(("empty", n)) => (true, n.parse::<usize>().expect("our own token")),
            _ => return Err((400, "InvalidNextToken".into(), token.to_owned())),
        };
        let last = if empty { first } else { selected.len().min(first + page_size) };
        let mut xml = String::from("<DescribeInstancesResponse><requestId>r</requestId><reservationSet>");
        for pair in selected[first..last].chunks(2) {
            xml.push_str("<item><reservationId>r-1</reservationId><instancesSet>");
            for machine in pair {
                write_machine(&mut xml, machine);
            }
            xml.push_str("</instancesSet></item>");
        }
        xml.push_str("</reservationSet>");
        if self.whims.repeats_its_token {
            xml.push_str("<nextToken>page-1</nextToken>");
        } else if last < selected.len() {
            let next = if empty { "page" } else { "empty" };
            put(&mut xml, format_args!("<nextToken>{next}-{last}</nextToken>"));
        }
        Ok(xml + "</DescribeInstancesResponse>")
    }

    /// Without pages, which do not go with ids; one unknown id fails it.
    fn describe_by_id(&self, call: &Call) -> Answer {
        if call.parameters.contains_key("MaxResults") {
            return Err((400, "InvalidParameterCombination".into(), "MaxResults does not go with InstanceId".into()));
        }
        self.all_known(call)?;
        let mut xml = String::from("<DescribeInstancesResponse><reservationSet><item><instancesSet>");
        for id in call.ids() {
            write_machine(&mut xml, &self.machines[&id]);
        }
        Ok(xml + "</instancesSet></item></reservationSet></DescribeInstancesResponse>")
    }

    fn all_known(&self, call: &Call) -> Result<(), (u16, String, String)> {
        let is_here = |machine: &Machine| machine.region == call.region && machine.account == call.account;
        let known = |id: &String| self.machines.get(id).is_some_and(is_here);
        let mut unknown = call.ids();
        unknown.retain(|id| !known(id));
        if unknown.is_empty() {
            return Ok(());
        }
        let text = format!("The instance IDs '{}' do not exist", unknown.join(", "));
        Err((400, "InvalidInstanceID.NotFound".into(), text))
    }

    fn change(&mut self, call: &Call) -> Answer {
        let ids = call.ids();
        if ids.is_empty() {
            return Err((400, "MissingParameter".into(), "The request must contain InstanceId".into()));
        }
        let known = |name: &str| name.starts_with("InstanceId.") || matches!(name, "Version" | "Hibernate");
        if !call.parameters.keys().all(|name| known(name)) {
            return Err((400, "UnknownParameter".into(), format!("{:?}", call.parameters.keys())));
        }
        if self.whims.throttled > 0 {
            self.whims.throttled -= 1;
            return Err(throttled());
        }
        let (requests, resources) = self.buckets(call);
        if requests.tokens < 1.0 || resources.tokens < count(ids.len()) {
            return Err(throttled());
        }
        requests.tokens -= 1.0;
        self.refuse_offenders(call, &ids)?;
        self.buckets(call).1.tokens -= count(ids.len());
        if self.whims.half_done > 0 {
            self.whims.half_done -= 1;
            self.apply(call, &ids[..ids.len() / 2]);
            return Err((500, "InternalError".into(), "An internal error has occurred".into()));
        }
        let changed = self.apply(call, &ids);
        Ok(format!("<{0}Response><instancesSet>{changed}</instancesSet></{0}Response>", call.action))
    }

    fn buckets(&mut self, call: &Call) -> (&mut Bucket, &mut Bucket) {
        let full = if call.action == "StopInstances" {
            (Bucket::new(50.0, 5.0), Bucket::new(1000.0, 20.0))
        } else {
            (Bucket::new(5.0, 2.0), Bucket::new(1000.0, 2.0))
        };
        let key = (call.account.clone(), call.region.clone(), call.action.clone());
        let (requests, resources) = self.buckets.entry(key).or_insert(full);
        requests.fill(call.at);
        resources.fill(call.at);
        (requests, resources)
    }

    /// One bad instance fails the call for all.
    fn refuse_offenders(&self, call: &Call, ids: &[String]) -> Result<(), (u16, String, String)> {
        self.all_known(call)?;
        let hibernate = call.parameters.get("Hibernate").is_some_and(|text| text == "true");
        let machines = || ids.iter().map(|id| &self.machines[id]);
        let whims = &self.whims;
        let forbidden: Vec<&Machine> = machines().filter(|machine| whims.forbidden.contains(&machine.id)).collect();
        if let [first, ..] = forbidden[..] {
            let arn = |id: &str| format!("arn:aws:ec2:{}:123456789012:instance/{id}", call.region);
            let resource = match whims.other_resource {
                Some(other) => format!(" on resource: {other}"),
                None if whims.names_nobody => String::new(),
                None if whims.names_all => {
                    let arns: Vec<String> = forbidden.iter().map(|machine| arn(&machine.id)).collect();
                    format!(" on resource: {}", arns.join(", "))
                }
                None => format!(" on resource: {} because no policy allows it.", arn(&first.id)),
            };
            let text = format!("You are not authorized to perform this operation{resource}");
            return Err((403, "UnauthorizedOperation".into(), text));
        }
        if machines().any(|machine| machine.breaks_ec2) {
            return Err((500, "InternalError".into(), "An internal error has occurred".into()));
        }
        let wants =
            |room: &Room| machines().filter(|machine| machine.state == "stopped" && room.is_for(machine)).count();
        let lacking = whims.rooms.iter().find(|room| wants(room) > room.left);
        if let (Some(room), "StartInstances") = (lacking, call.action.as_str()) {
            let text = format!(
                "We currently do not have sufficient {0} capacity in the Availability Zone you requested ({1}). You can \
                 currently get {0} capacity by choosing ap-northeast-2a, ap-northeast-2c.",
                room.instance_type, room.zone
            );
            let text = if whims.names_nobody { "Insufficient capacity.".to_owned() } else { text };
            return Err((500, "InsufficientInstanceCapacity".into(), text));
        }
        let Some((code, text)) = machines().find_map(|machine| machine.refusal(&call.action, hibernate)) else {
            return Ok(());
        };
        let alike =
            |machine: &&Machine| machine.refusal(&call.action, hibernate).is_some_and(|(other, _)| other == code);
        let text = if whims.names_nobody {
            "One of the instances cannot be changed".to_owned()
        } else if whims.names_all {
            let all: Vec<&str> = machines().filter(alike).map(|machine| machine.id.as_str()).collect();
            text.replace(machines().find(alike).map_or("", |machine| &machine.id), &all.join(", "))
        } else {
            text
        };
        Err((400, code.into(), text))
    }

    fn apply(&mut self, call: &Call, ids: &[String]) -> String {
        let mut xml = String::new();
        let now = super::at(super::NOW) + SignedDuration::try_from(call.at).expect("a story of minutes");
        for id in ids {
            let Some(machine) = self.machines.get_mut(id) else { continue };
            let from = machine.state;
            match (from, call.action.as_str()) {
                ("running", "StopInstances") => {
                    machine.state = "stopping";
                    machine.on_its_way = Some((call.at + machine.takes, "stopped"));
                    machine.transition_reason = format!("User initiated ({})", now.strftime("%F %T GMT")).into();
                    machine.state_reason = Some(USER_INITIATED);
                }
                ("stopped", "StartInstances") => {
                    for room in self.whims.rooms.iter_mut().filter(|room| room.is_for(machine)) {
                        room.left -= 1;
                    }
                    machine.state = "pending";
                    machine.on_its_way = Some((call.at + machine.takes, "running"));
                    machine.launch_time = now.to_string().into();
                    machine.transition_reason = "".into();
                    machine.state_reason = None;
                }
                _ => {}
            }
            put(
                &mut xml,
                format_args!(
                    "<item><instanceId>{id}</instanceId><currentState><name>{}</name></currentState>\
                     <previousState><name>{from}</name></previousState></item>",
                    machine.state
                ),
            );
        }
        xml
    }

    fn live(&mut self) {
        let now = self.clock.now();
        self.machines.retain(|_, machine| machine.vanishes_at.is_none_or(|then| then > now));
        for machine in self.machines.values_mut() {
            machine.live_until(now);
        }
    }
}

/// Sets a tag, or takes it away, of all that the call names or of none.
impl Model {
    fn tag(&mut self, call: &Call) -> Answer {
        let ids = call.list("ResourceId");
        let keys: Vec<&String> = (1..).map_while(|n| call.parameters.get(&format!("Tag.{n}.Key"))).collect();
        if let Some(unknown) = ids.iter().find(|id| !self.machines.contains_key(*id)) {
            return Err((400, "InvalidID".into(), format!("The ID '{unknown}' is not valid")));
        }
        for machine in self.machines.values_mut().filter(|machine| ids.contains(&machine.id)) {
            machine.tags.retain(|(other, _)| !keys.contains(&other));
            if let (Some(value), "CreateTags") = (call.parameters.get("Tag.1.Value"), &*call.action) {
                machine.tags.extend(keys.iter().map(|key| ((*key).clone(), value.clone())));
            }
        }
        Ok(format!("<{0}Response><return>true</return></{0}Response>", call.action))
    }
}

fn throttled() -> (u16, String, String) {
    (503, "RequestLimitExceeded".to_owned(), "Request limit exceeded.".to_owned())
}

/// A session policy allows less than the role does.
fn no_session_policy(call: &Call) -> (u16, String, String) {
    let Call { account, region, action, .. } = call;
    let id = call.ids().into_iter().next().unwrap_or_default();
    let text = format!(
        "You are not authorized to perform this operation. User: \
         arn:aws:sts::{account}:assumed-role/StopinatorSpoke/f is not authorized to perform: ec2:{action} on resource: \
         arn:aws:ec2:{region}:{account}:instance/{id} because no session policy allows the ec2:{action} action"
    );
    (403, "UnauthorizedOperation".to_owned(), text)
}

fn describe_regions() -> String {
    let region = |name| format!("<item><regionName>{name}</regionName></item>");
    let regions: String = ["us-east-1", "eu-central-1", "ap-northeast-2"].map(region).concat();
    format!("<DescribeRegionsResponse><regionInfo>{regions}</regionInfo></DescribeRegionsResponse>")
}

/// Keys that bear the name of the role.
fn assumed_role(call: &Call) -> String {
    let role = call.parameters.get("RoleArn").and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
    format!(
        "<{0}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{0}Result><Credentials>\
         <AccessKeyId>{role}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
         <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></{0}Result></{0}Response>",
        call.action
    )
}

/// The account of a key: that of the scenarios, or another for each other key.
fn caller_identity(key: &str) -> String {
    let account = if key == "key" { 123_456_789_012 } else { 111_122_223_333 + u64::from(key.as_bytes()[0]) };
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:user/ops</Arn><UserId>AIDA</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
}

fn count(tokens: usize) -> f64 {
    f64::from(u32::try_from(tokens).expect("thousands"))
}

/// The types that this EC2 knows, and whether they have instance-store disks.
fn describe_instance_types(call: &Call) -> Answer {
    page_size(call, 5, 100)?;
    let known = [("t3.micro", false), ("m5.large", false), ("m5d.large", true), ("i4i.large", true)];
    let filters = call.filters();
    let [(name, wanted)] = filters.as_slice() else {
        return Err((400, "InvalidParameterValue".into(), format!("{filters:?}")));
    };
    if name != "instance-type" || wanted.len() > 200 {
        return Err((400, "InvalidParameterValue".into(), name.clone()));
    }
    let mut xml = String::from("<DescribeInstanceTypesResponse><instanceTypeSet>");
    for (name, disks) in known.iter().filter(|(name, _)| wanted.iter().any(|wanted| wanted == name)) {
        put(
            &mut xml,
            format_args!(
                "<item><instanceType>{name}</instanceType><instanceStorageSupported>{disks}</instanceStorageSupported></item>"
            ),
        );
    }
    Ok(xml + "</instanceTypeSet></DescribeInstanceTypesResponse>")
}

fn page_size(call: &Call, least: usize, most: usize) -> Result<usize, (u16, String, String)> {
    let asked = call.parameters.get("MaxResults").and_then(|text| text.parse().ok());
    match asked {
        Some(size) if (least..=most).contains(&size) => Ok(size),
        _ => Err((400, "InvalidMaxResults".into(), format!("a page has {least} to {most} results"))),
    }
}

fn passes(machine: &Machine, (name, values): &(String, Vec<String>)) -> bool {
    let matches = |text: &str| values.iter().any(|pattern| pattern_fits(pattern.as_bytes(), text.as_bytes()));
    match name.as_str() {
        "tag-key" => machine.tags.iter().any(|(key, _)| matches(key)),
        "instance-id" => matches(&machine.id),
        "instance-state-name" => matches(machine.state),
        "tag:Name" => machine.tags.iter().any(|(key, value)| key == "Name" && matches(value)),
        other => panic!("this EC2 does not know the filter {other}"),
    }
}

/// `*` is any text, `?` any one character, `\` takes the next one as it is.
fn pattern_fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| pattern_fits(rest, &text[n..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => pattern_fits(pattern, text),
        ([b'\\', literal, pattern @ ..] | [literal, pattern @ ..], [first, text @ ..]) => {
            literal == first && pattern_fits(pattern, text)
        }
        _ => false,
    }
}

fn write_machine(xml: &mut String, machine: &Machine) {
    xml.push_str("<item>");
    let mut element = |name: &str, text: &str| {
        put(xml, format_args!("<{name}>{}</{name}>", escape(text)));
    };
    element("instanceId", &machine.id);
    element("instanceType", machine.instance_type);
    element("launchTime", &machine.launch_time);
    element("rootDeviceType", machine.root_device_type);
    element("reason", &machine.transition_reason);
    if let Some(lifecycle) = machine.lifecycle {
        element("instanceLifecycle", lifecycle);
    }
    let mut tags = String::new();
    for (key, value) in &machine.tags {
        put(&mut tags, format_args!("<item><key>{}</key><value>{}</value></item>", escape(key), escape(value)));
    }
    let mut state_reason = String::new();
    if let Some((code, message)) = machine.state_reason {
        put(
            &mut state_reason,
            format_args!("<stateReason><code>{code}</code><message>{message}</message></stateReason>"),
        );
    }
    let (zone, hibernation) = (machine.zone, machine.hibernation);
    let host = machine.host.map_or_else(String::new, |host| format!("<hostId>{host}</hostId>"));
    let group = machine.placement_group.map_or_else(String::new, |group| format!("<groupName>{group}</groupName>"));
    put(
        xml,
        format_args!(
            "<placement><availabilityZone>{zone}</availabilityZone>{host}{group}</placement>\
             <hibernationOptions><configured>{hibernation}</configured></hibernationOptions>"
        ),
    );
    let (state, managed) = (machine.state, machine.operator_managed);
    put(
        xml,
        format_args!(
            "<instanceState><name>{state}</name></instanceState><operator><managed>{managed}</managed></operator>\
         <tagSet>{tags}</tagSet>{state_reason}</item>"
        ),
    );
}
