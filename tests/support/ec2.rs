//! An EC2 of our own, behind the SDK's HTTP connector: it reads the query protocol, keeps machines, answers in XML.
//!
//! It behaves as EC2 documents it, and is strict where EC2 is: a Stop or Start call fails as a whole for one bad id,
//! filter values are patterns, pages have limits. What it does not know it refuses, so that no test passes by luck.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;

/// One machine, as EC2 keeps it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub id: String,
    pub region: &'static str,
    pub state: &'static str,
    pub tags: Vec<(String, String)>,
    pub launch_time: &'static str,
    pub instance_type: &'static str,
    pub root_device_type: &'static str,
    pub lifecycle: Option<&'static str>,
    pub one_time_spot: bool,
    pub operator_managed: bool,
    pub stop_protected: bool,
    pub transition_reason: &'static str,
    pub state_reason: Option<&'static str>,
}

impl Machine {
    /// Running since yesterday, untagged, nothing special about it.
    pub fn running(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            region: "ap-northeast-2",
            state: "running",
            tags: Vec::new(),
            launch_time: "2026-11-20T08:00:00.000Z",
            instance_type: "t3.micro",
            root_device_type: "ebs",
            lifecycle: None,
            one_time_spot: false,
            operator_managed: false,
            stop_protected: false,
            transition_reason: "",
            state_reason: None,
        }
    }

    /// Stopped by somebody last night.
    pub fn stopped(id: impl Into<String>) -> Self {
        Self {
            transition_reason: "User initiated (2026-11-20 12:00:00 GMT)",
            state_reason: Some("Client.UserInitiatedShutdown"),
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

    /// Why EC2 would refuse to stop or start it, as code and message.
    fn refusal(&self, action: &str) -> Option<(&'static str, String)> {
        let id = &self.id;
        if matches!(self.state, "terminated" | "shutting-down")
            || (action == "StopInstances" && self.state == "pending")
        {
            return Some((
                "IncorrectInstanceState",
                format!("The instance '{id}' is not in a state from which it can be changed."),
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
        None
    }
}

/// A call as EC2 saw it.
#[derive(Debug, Clone)]
pub struct Call {
    pub region: String,
    pub action: String,
    pub parameters: BTreeMap<String, String>,
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
    machines: Vec<Machine>,
    calls: Vec<Call>,
    refusals: Vec<Refusal>,
}

#[derive(Debug)]
struct Refusal {
    region: String,
    action: String,
    code: String,
    message: String,
}

type Answer = Result<String, (u16, String, String)>;

impl Ec2 {
    pub fn new(machines: impl IntoIterator<Item = Machine>) -> Self {
        let machines = machines.into_iter().collect();
        Self(Arc::new(Mutex::new(Model { machines, calls: Vec::new(), refusals: Vec::new() })))
    }

    pub fn refuse(&self, region: &str, action: &str, code: &str, message: &str) {
        let [region, action, code, message] = [region, action, code, message].map(str::to_owned);
        self.model().refusals.push(Refusal { region, action, code, message });
    }

    pub fn calls(&self) -> Vec<Call> {
        self.model().calls.clone()
    }

    pub fn states(&self) -> BTreeMap<String, &'static str> {
        self.model().machines.iter().map(|machine| (machine.id.clone(), machine.state)).collect()
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

impl HttpConnector for Ec2 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().split('/').nth(2).unwrap_or_default();
        let region = host.split('.').nth(1).expect("ec2.<region>.amazonaws.com").to_owned();
        let body = request.body().bytes().expect("the query protocol has its body in memory");
        let mut parameters: BTreeMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let action = parameters.remove("Action").expect("the query protocol names an action");
        let answer = self.model().answer(&Call { region, action, parameters });
        let (status, body) = match answer {
            Ok(body) => (200, body),
            Err((status, code, message)) => (
                status,
                format!(
                    "<Response><Errors><Error><Code>{code}</Code><Message>{}</Message></Error></Errors>\
                     <RequestID>r</RequestID></Response>",
                    escape(&message)
                ),
            ),
        };
        let status = StatusCode::try_from(status).expect("a status code");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl Model {
    fn answer(&mut self, call: &Call) -> Answer {
        self.calls.push(call.clone());
        let refused = |r: &&Refusal| r.region == call.region && r.action == call.action;
        if let Some(refusal) = self.refusals.iter().find(refused) {
            let status = if refusal.code == "RequestLimitExceeded" { 503 } else { 403 };
            return Err((status, refusal.code.clone(), refusal.message.clone()));
        }
        match call.action.as_str() {
            "DescribeInstances" => self.describe_instances(call),
            "DescribeInstanceTypes" => describe_instance_types(call),
            "StopInstances" => self.change(call, "stopping"),
            "StartInstances" => self.change(call, "pending"),
            other => Err((400, "InvalidAction".into(), format!("The action {other} is not valid"))),
        }
    }

    /// Two instances to a reservation, and an empty page with a token between any two pages: EC2 may do both.
    fn describe_instances(&self, call: &Call) -> Answer {
        let page_size = page_size(call, 5, 1000)?;
        let filters = call.filters();
        for (name, values) in &filters {
            if values.len() > 200 {
                return Err((400, "FilterLimitExceeded".into(), format!("{name} has too many values")));
            }
        }
        let selected: Vec<&Machine> = self
            .machines
            .iter()
            .filter(|machine| machine.region == call.region)
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
        if last < selected.len() {
            let next = if empty { "page" } else { "empty" };
            put(&mut xml, format_args!("<nextToken>{next}-{last}</nextToken>"));
        }
        Ok(xml + "</DescribeInstancesResponse>")
    }

    fn change(&mut self, call: &Call, to: &'static str) -> Answer {
        let ids = call.ids();
        if ids.is_empty() {
            return Err((400, "MissingParameter".into(), "The request must contain InstanceId".into()));
        }
        if call.parameters.keys().any(|name| !name.starts_with("InstanceId.") && name != "Version") {
            return Err((400, "UnknownParameter".into(), format!("{:?}", call.parameters.keys())));
        }
        let here = |machine: &&Machine| machine.region == call.region;
        let unknown: Vec<&str> = ids
            .iter()
            .filter(|id| !self.machines.iter().filter(here).any(|machine| machine.id == **id))
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            let text = format!("The instance IDs '{}' do not exist", unknown.join(", "));
            return Err((400, "InvalidInstanceID.NotFound".into(), text));
        }
        let named = |machine: &&Machine| ids.contains(&machine.id);
        for machine in self.machines.iter().filter(here).filter(named) {
            if let Some((code, message)) = machine.refusal(&call.action) {
                return Err((400, code.into(), message));
            }
        }
        let mut xml = format!("<{}Response><instancesSet>", call.action);
        for machine in self.machines.iter_mut().filter(|machine| ids.contains(&machine.id)) {
            let from = machine.state;
            machine.state = match (from, to) {
                ("running", "stopping") => "stopping",
                ("stopped", "pending") => "pending",
                (as_it_was, _) => as_it_was,
            };
            let (id, now) = (&machine.id, machine.state);
            put(
                &mut xml,
                format_args!(
                    "<item><instanceId>{id}</instanceId><currentState><name>{now}</name></currentState>\
                 <previousState><name>{from}</name></previousState></item>"
                ),
            );
        }
        put(&mut xml, format_args!("</instancesSet></{}Response>", call.action));
        Ok(xml)
    }
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
        Some(_) if !call.ids().is_empty() => {
            Err((400, "InvalidParameterCombination".into(), "MaxResults does not go with InstanceId".into()))
        }
        Some(size) if (least..=most).contains(&size) => Ok(size),
        _ => Err((400, "InvalidMaxResults".into(), format!("a page has {least} to {most} results"))),
    }
}

fn passes(machine: &Machine, (name, values): &(String, Vec<String>)) -> bool {
    let matches = |text: &str| values.iter().any(|pattern| pattern_fits(pattern.as_bytes(), text.as_bytes()));
    match name.as_str() {
        "tag-key" => machine.tags.iter().any(|(key, _)| matches(key)),
        "instance-id" => matches(&machine.id),
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
    element("launchTime", machine.launch_time);
    element("rootDeviceType", machine.root_device_type);
    element("reason", machine.transition_reason);
    if let Some(lifecycle) = machine.lifecycle {
        element("instanceLifecycle", lifecycle);
    }
    let mut tags = String::new();
    for (key, value) in &machine.tags {
        put(&mut tags, format_args!("<item><key>{}</key><value>{}</value></item>", escape(key), escape(value)));
    }
    let mut state_reason = String::new();
    if let Some(code) = machine.state_reason {
        put(&mut state_reason, format_args!("<stateReason><code>{code}</code></stateReason>"));
    }
    let (state, managed) = (machine.state, machine.operator_managed);
    put(
        xml,
        format_args!(
            "<instanceState><name>{state}</name></instanceState><operator><managed>{managed}</managed></operator>\
         <tagSet>{tags}</tagSet>{state_reason}</item>"
        ),
    );
}

fn put(xml: &mut String, text: fmt::Arguments) {
    xml.write_fmt(text).expect("a String takes all");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
